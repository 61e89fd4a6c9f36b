"""The Python that does what a run did, made from the very settings that the worker read."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from jaxtyping import Int

from scribeviz.data.counts import Counts
from scribeviz.fitting.kinds import ChosenModel
from scribeviz.fitting.methods import InferenceConfig, method_of
from scribeviz.inference.nuts import NUTSConfig
from scribeviz.inference.svi import SVIConfig
from scribeviz.models.custom.registry import CustomSpec
from scribeviz.networks.cellvae import CellVAE
from scribeviz.runs.folder import RunFolder, RunSpec, RunState

IMPORT = "import scribeviz"
_WIDTH = 88


def read_code(of: Counts | RunSpec) -> str:
    """Code that reads the counts, or those of a run, again."""
    known = of.read_by or "scribeviz.read(...)"
    name = of.name if isinstance(of, Counts) else of.data_name
    # In a comment, which a name from a file must not end.
    told = " ".join(name.split())
    return f"counts = {known}  # {told}: {of.n_cells:,} cells x {of.n_genes:,} genes"


def model_code(spec: ChosenModel) -> str:
    """Code for the chosen model; only what differs from the defaults is said."""
    if isinstance(spec, CustomSpec):
        return (
            "# Import the file that registers this model first.\n"
            "from scribeviz.models.custom.registry import CUSTOM_MODELS\n\n"
            f"model = CUSTOM_MODELS[{spec.key!r}]"
        )
    said = _changed(spec)
    if isinstance(spec, CellVAE):
        return f"model = {_call('scribeviz.CellVAE', [], said)}"
    if spec.priors:
        said["priors"] = {key: (prior.family, *prior.numbers) for key, prior in spec.priors}
    return f"model = {_call('scribeviz.ModelSpec', [], {'likelihood': spec.likelihood} | said)}"


def fit_code(run: RunFolder, results: str = "results") -> str:
    """Code that fits what the run fitted; ``counts`` is there already."""
    spec = run.spec
    lines, more = [], {}
    if run.status.state.is_over and run.status.state is not RunState.DONE:
        lines.append(f"# That run ended early, after {run.status.step:,} steps; this one goes on.")
    before = RunFolder(run.path.parent / spec.start_from) if spec.start_from else None
    if before is not None and before.path.is_dir():
        lines += [fit_code(before, "first"), ""]
        more["start_from"] = _Name("first")
    elif before is not None:
        lines.append("# The fit that it started from has been deleted: draws will differ a little.")
    lines.append(model_code(spec.model))
    settings = _settings(spec.config)
    # A network is known by how it was trained, whether or not it is registered here.
    if isinstance(spec.model, CustomSpec) and isinstance(spec.config, SVIConfig):
        config = _call("scribeviz.SVIConfig", [], settings)
        prepared = f"prepare_custom(counts, model, {config})"
        lines += [
            "from scribeviz.fitting.custom_models import prepare_custom",
            "from scribeviz.fitting.plan import run",
            "",
        ]
        lines.append(f"{results} = run({prepared})")
    else:
        call = _call("scribeviz.fit", ["counts", "model"], settings | more)
        lines.append(f"{results} = {call}")
    return "\n".join(lines)


def critique_code(run: RunFolder, results: str = "results", critique: str = "critique") -> str:
    """Code that judges a fit as the dashboard does."""
    return f"{critique} = {results}.critique(counts, seed={run.spec.config.seed})"


def explore_code(run: RunFolder, gene: str, cells: Int[np.ndarray, " chosen"] | None = None) -> str:
    """Code for what the Explore page shows of a gene, in all or in some of the cells."""
    lines = [
        IMPORT,
        "",
        read_code(run.spec),
        fit_code(run),
        "",
        critique_code(run),
        'genes = critique.genes.sort_values("misfit", ascending=False)',
        "print(genes.head(10))",
        "",
        f"gene = {gene!r}",
        "seen = counts.gene(gene)",
    ]
    if cells is not None:
        positions = textwrap.fill(
            ", ".join(map(str, cells)), _WIDTH, initial_indent="    ", subsequent_indent="    "
        )
        lines += [
            f"cells = [\n{positions}\n]",
            "critique, seen = critique.of_cells(cells), seen[cells]",
        ]
    lines += [
        'check = critique.check(seen, list(critique.genes["gene"]).index(gene))',
        "print(check.verdict)",
    ]
    return "\n".join(lines)


def compare_code(runs: Mapping[str, RunFolder]) -> str:
    """Code for the table of the Compare page; runs by the names they have there."""
    first = next(iter(runs.values()))
    lines = [IMPORT, "", read_code(first.spec), "scores = {}"]
    for name, run in runs.items():
        lines += ["", fit_code(run), critique_code(run)]
        lines.append(f"scores[{name!r}] = critique.scores")
    return "\n".join([*lines, "", "print(scribeviz.compare(scores))"])


class _Name(str):
    """A name in the code, where a plain text would be quoted."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _settings(config: InferenceConfig) -> dict[str, Any]:
    sampled = isinstance(config, NUTSConfig)
    method = {"inference_method": method_of(config).key} if sampled else {}
    return method | _changed(config)


def _changed(settings: Any) -> dict[str, Any]:
    """Fields that differ from their defaults, priors left out."""
    return {
        f.name: getattr(settings, f.name)
        for f in fields(settings)
        if f.name != "priors" and getattr(settings, f.name) != f.default
    }


def _call(function: str, positional: Sequence[str], named: Mapping[str, Any]) -> str:
    arguments = [*positional, *(f"{name}={value!r}" for name, value in named.items())]
    short = f"{function}({', '.join(arguments)})"
    if len(short) <= _WIDTH:
        return short
    body = "".join(f"    {argument},\n" for argument in arguments)
    return f"{function}(\n{body})"
