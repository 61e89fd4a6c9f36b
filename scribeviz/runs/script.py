"""The Python that does what a run did, made from the very settings that the worker read."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from scribeviz.data.counts import Counts
from scribeviz.fitting.kinds import ChosenModel, call, changed_settings, known_kind_of
from scribeviz.fitting.methods import method_of
from scribeviz.runs.folder import RunFolder, RunSpec, RunState

IMPORT = "import scribeviz"
_WIDTH = 88


def read_code(of: Counts | RunSpec) -> str:
    """Code that reads the counts, or those of a run, again."""
    reading = of.read_by or "scribeviz.read(...)"
    name = of.name if isinstance(of, Counts) else of.data_name
    # In a comment, which a name from a file must not end.
    comment = " ".join(name.split())
    return f"counts = {reading}  # {comment}: {of.n_cells:,} cells x {of.n_genes:,} genes"


def model_code(choice: ChosenModel) -> str:
    """Code for the chosen model; only what differs from the defaults is said."""
    kind = known_kind_of(choice)
    if kind is None:
        return f"# The model {choice.name!r} is not registered here: start with --models."
    return kind.code(choice)


def fit_code(run: RunFolder, results: str = "results") -> str:
    """Code that fits what the run fitted; ``counts`` is there already."""
    spec = run.spec
    if spec.scores:
        scored = run.scored
        if not scored.path.is_dir():
            return "# The run that it scores has been deleted."
        return f"{fit_code(scored, results)}\n{_fold_code(scored, spec.folds, results)}"
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
    fitted = call("scribeviz.fit", ["counts", "model"], _settings(spec) | more)
    lines.append(f"{results} = {fitted}")
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


def compare_code(runs: Mapping[str, RunFolder], folds: int = 0) -> str:
    """Code for the table of the Compare page.

    Parameters
    ----------
    runs
        By the names they have there.
    folds
        Of the cross-validation that they are scored by; 0 where one fit scores each.
    """
    first = next(iter(runs.values()))
    lines = [IMPORT, "", read_code(first.spec), "scores = {}"]
    for name, run in runs.items():
        lines += ["", fit_code(run)]
        if folds:
            lines.append(_fold_code(run, folds, "results", name))
        else:
            lines += [critique_code(run), f"scores[{name!r}] = critique.scores"]
    return "\n".join([*lines, "", "print(scribeviz.compare(scores))"])


def _fold_code(run: RunFolder, folds: int, results: str, name: str = "") -> str:
    """Code that cross-validates what a run fitted; its ``model`` and results are there already."""
    key = repr(name or run.spec.label)
    start = _Name(f"{{{key}: {results}}}")
    made = {"folds": folds, "start_from": start} | _settings(run.spec)
    called = call("scribeviz.cross_validate", ["counts", f"{{{key}: model}}"], made)
    return f"scores |= {called}" if name else f"scores = {called}"


class _Name(str):
    """A name in the code, where a plain text would be quoted."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _settings(spec: RunSpec) -> dict[str, Any]:
    method, kind = method_of(spec.config), known_kind_of(spec.model)
    usual = kind is None or method.key == kind.methods[0]
    said = {} if usual else {"inference_method": method.key}
    return said | changed_settings(spec.config)
