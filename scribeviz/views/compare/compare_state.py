"""Which runs are compared, and what follows.  Plain ``param``: it runs without a server."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import param

from scribeviz.criticism.assignments import entropy
from scribeviz.criticism.comparison import can_be_relied_on, compare, verdict
from scribeviz.criticism.loo import LEFT_OUT, CellScores
from scribeviz.criticism.predictive import GeneCheck
from scribeviz.data.cell_filter import CellFilter
from scribeviz.fitting.folds import FOLDS
from scribeviz.fitting.kinds import ChosenModel, known_kind_of
from scribeviz.fitting.methods import InferenceConfig, method_of
from scribeviz.fitting.validation import compare_posteriors
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.spec import ModelSpec
from scribeviz.runs.folder import RunFolder, RunState, RunStatus
from scribeviz.runs.script import compare_code
from scribeviz.runs.store import RunStore
from scribeviz.views.compare.scoring_state import ScoringState
from scribeviz.views.explore.explored import Explored, load_explored

_UNDECIDED = ("No clear winner", "No verdict")


class CompareState(param.Parameterized):
    """Finished runs of the same data, side by side."""

    store = param.ClassSelector(class_=RunStore, constant=True, doc="All runs.")
    runs = param.List([], doc="Ids of the runs that are compared.")
    table = param.DataFrame(doc="One row per run, best first; None until there are two.")
    problem = param.String("", doc="Why the runs cannot be compared.")
    pair = param.Tuple(("", ""), doc="Names of the two runs whose genes are compared.")
    gene = param.String("", doc="The gene that is shown under both.")
    trusted = param.Tuple(None, length=2, allow_None=True, doc="From :func:`trust`.")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.explored: dict[str, Explored] = {}
        self.scoring = ScoringState(store=self.store)

    def recall(self, runs: list[str], gene: str, comparable: Collection[str]) -> str:
        """Choose what a link names, to be compared next; gives a sentence if some of it is gone.

        Parameters
        ----------
        runs, gene
            Ids of the runs, and the gene to show.
        comparable
            Ids of the runs that can be compared here.
        """
        there = [run for run in runs if run in comparable]
        self.param.update(runs=there, gene=gene)
        gone = len(runs) - len(there)
        if not gone:
            return ""
        which = "The run" if len(runs) == 1 else f"{gone} of the {len(runs)} runs"
        return (
            f"{which} of this link cannot be compared: not on this server any more, or not ended."
        )

    def load(self, runs: list[str]) -> dict[str, Explored]:
        """Read runs, each under its name; the slow part of :meth:`show`, for another thread.

        Raises
        ------
        ValueError
            If they are not of the same cells and genes.
        """
        return named([self.read(run) for run in runs])

    def read(self, run: str) -> Explored:
        """All that is compared of a run; takes a moment."""
        return load_explored(self.store.root / Path(run).name)

    def show(
        self,
        runs: list[str],
        explored: dict[str, Explored],
        table: pd.DataFrame,
        trusted: tuple[str, pd.DataFrame] | None = None,
    ) -> None:
        """Compare what :meth:`load`, :func:`score` and :func:`trust` gave."""
        self.explored = explored
        # Of a model that can only be simulated no gene has a score.
        genes = {name: explored[name].critique.genes for name in table.index}
        by_gene = [name for name, one in genes.items() if one["elpd"].notna().all()]
        first, second, *_ = [*by_gene, "", ""]
        gene = self.gene
        if second:
            ranked = self.gene_differences((first, second))
            counts = explored[first].counts
            meant = {str(counts.genes[place]) for place in counts.lookup.positions(gene)}
            shown = sorted(meant & set(ranked["gene"]))
            gene = shown[0] if len(shown) == 1 else str(ranked["gene"].iloc[0])
        pair = (first, second) if second else ("", "")
        self.param.update(runs=runs, problem="", pair=pair, gene=gene, table=table, trusted=trusted)

    def refuse(self, runs: list[str], problem: str) -> None:
        """Say why ``runs`` cannot be compared."""
        self.explored = {}
        self.scoring.ask_for([], [])
        self.param.update(runs=runs, table=None, problem=problem, pair=("", ""))

    @property
    def verdict(self) -> str:
        """Who wins, in a sentence, and on which cells if not on all."""
        scored = self.table[self.table["elpd_loo"].notna()]
        models = {name: self.explored[name].model for name in scored.index}
        sentence, n_cells = verdict(scored, models), int(scored["n_cells"].iloc[0])
        if self.is_first_look and not sentence.startswith(_UNDECIDED):
            sentence = f"A first look, not a verdict: {sentence}"
        if n_cells == next(iter(self.explored.values())).counts.n_cells:
            return sentence
        return f"On the {n_cells:,} cells that no network was trained on: {sentence}"

    @property
    def is_first_look(self) -> bool:
        """Whether the scores are too weak for a verdict: cross-validation has to tell."""
        scored = self.table[self.table["elpd_loo"].notna()]
        one_fit = scored.index[scored["method"].isin(LEFT_OUT)]
        too_weak = any(_needs_folds(self.explored[name]) for name in one_fit)
        return len(scored) > 1 and (too_weak or not can_be_relied_on(scored))

    @property
    def to_be_scored(self) -> list[str]:
        """Ids of the runs whose cells have to be scored in folds, for a verdict on all of them."""
        if self.table is None or not self.is_first_look:
            return []
        names = self.table.index[self.table["elpd_loo"].notna()]
        runs = (self._run(name) for name in names)
        return [run.id for run in runs if run.fold_scores is None]

    @property
    def warning(self) -> str:
        """Which runs were judged before they had settled; empty where all had."""
        early = self.table["state"][self.table["state"] != "settled"]
        if early.empty:
            return ""
        which = ", ".join(f"{name} ({state})" for name, state in early.items())
        return f"Judged on their way: {which}. Where they would have ended, scores may differ."

    @property
    def gene_note(self) -> str:
        """What the sum over genes answers, beside what the scores of whole cells do."""
        first, second = self.pair
        by_gene = float(self.gene_differences()["difference"].sum())
        by_cell = float(self.table.loc[first, "elpd_loo"] - self.table.loc[second, "elpd_loo"])
        note = (
            "Gene by gene every count is scored alone, for a cell whose depth and component are "
            "not known; the models are ranked by whole cells, whose genes tell of each other."
        )
        if by_gene * by_cell >= 0:
            return f"{note} Both ways {first if by_cell >= 0 else second} is ahead."
        by_itself, whole = (first, second) if by_gene > 0 else (second, first)
        return (
            f"{note} Here they differ: {by_itself} predicts single counts better, by "
            f"{abs(by_gene):,.0f} nats, and {whole} whole cells, by {abs(by_cell):,.0f}."
        )

    def gene_differences(self, pair: tuple[str, str] | None = None) -> pd.DataFrame:
        """``gene``, ``mean`` and ``difference`` in elpd (nats), the largest first."""
        first, second = (self.explored[name].critique.genes for name in pair or self.pair)
        differences = first[["gene", "mean"]].assign(
            difference=first["elpd"] - second["elpd"],
            first_problem=first["problem"],
            second_problem=second["problem"],
        )
        order = differences["difference"].abs().sort_values(ascending=False).index
        return differences.loc[order].reset_index(drop=True)

    def checks(self) -> dict[str, GeneCheck]:
        """The chosen gene under both models, with the same bars."""
        checks: dict[str, GeneCheck] = {}
        edges = None
        for name in sorted(self.pair, key=lambda name: -self._reach(name)):
            explored = self.explored[name]
            index = explored.counts.gene_index(self.gene)
            checks[name] = explored.critique.check(explored.counts.gene_at(index), index, edges)
            edges = checks[name].edges
        return {name: checks[name] for name in self.pair}

    def _reach(self, name: str) -> int:
        explored = self.explored[name]
        index = explored.counts.gene_index(self.gene)
        return int(explored.critique.check(explored.counts.gene_at(index), index).edges[-1])

    def losses(self) -> dict[str, np.ndarray]:
        """Of every run that is compared."""
        return {name: self._run(name).losses for name in self.explored}

    def entropies(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Of every cell's assignment under both models, if both are mixtures."""
        both = [self.explored[name] for name in self.pair if name]
        if len(both) < 2 or not all(one.model.is_mixture for one in both):
            return None
        first, second = (entropy(one.critique.calibrated) for one in both)
        return first, second

    def differing_settings(self) -> pd.DataFrame:
        """The settings in which the runs differ: one row each, one column per run."""
        settings = {name: settings_of(self._run(name)) for name in self.explored}
        table = pd.DataFrame(settings).fillna("-")
        return table[table.ne(table.iloc[:, 0], axis=0).any(axis=1)]

    def code(self) -> str:
        """The Python that makes the same table."""
        runs = {name: self._run(name) for name in self.explored}
        methods = self.table["method"].dropna()
        if methods.empty or methods.isin(LEFT_OUT).any():
            return compare_code(runs)
        return compare_code({name: runs[name] for name in methods.index}, FOLDS)

    def _run(self, name: str) -> RunFolder:
        return RunFolder(self.store.root / self.explored[name].run_id)


def named(loaded: list[Explored]) -> dict[str, Explored]:
    """Runs by their names; raises unless all are of the same cells and genes."""
    for one, other in pairwise(loaded):
        check_same(one, other)
    names = distinct([explored.label for explored in loaded])
    return dict(zip(names, loaded, strict=True))


def finished(history: list[tuple[RunFolder, RunStatus]]) -> list[tuple[RunFolder, RunStatus]]:
    """The runs that can be compared: those with results."""
    return [(run, status) for run, status in history if status.state.is_over and run.has_results]


def ending(status: RunStatus) -> str:
    """How a run ended, in a word or two."""
    if status.state is RunState.DONE:
        return "settled" if status.settled else "not settled"
    return str(status.state.value)


def score(explored: dict[str, Explored], runs: dict[str, RunFolder]) -> pd.DataFrame:
    """All that is known of the runs side by side, best first; those without a score come last."""
    scores = comparable_scores(explored, runs)
    scored = compare(scores)
    order = [*scored.index, *(name for name in explored if name not in scores)]
    about = pd.DataFrame({name: _about(runs[explored[name].run_id]) for name in order}).T
    return about.join(scored).reindex(order)


def comparable_scores(
    explored: Mapping[str, Explored], runs: Mapping[str, RunFolder]
) -> dict[str, CellScores]:
    """Scores of one kind of all models that have any.

    Those of one cell left out at a time where they are enough for a verdict, else those of
    cross-validation as soon as all models have them.
    """
    scores = {
        name: one.critique.scores
        for name, one in explored.items()
        if one.critique.scores is not None
    }
    in_folds = {name: runs[explored[name].run_id].fold_scores for name in scores}
    complete = {name: one for name, one in in_folds.items() if one is not None}
    if len(complete) < len(scores):
        return scores
    if any(_needs_folds(explored[name]) for name in scores):
        return complete
    return scores if can_be_relied_on(compare(scores)) else complete


def _needs_folds(explored: Explored) -> bool:
    """Whether one fit cannot say how well the model predicts unseen cells."""
    kind = known_kind_of(explored.model)
    return kind is None or kind.scored_in_folds


def trust(runs: dict[str, RunFolder]) -> tuple[str, pd.DataFrame] | None:
    """The first variational fit that was also sampled, and how its posterior compares.

    None where no model among the runs was fitted in both ways.
    """
    for name, run in runs.items():
        for other in runs.values():
            same = run.spec.model == other.spec.model
            if not same or not method_of(run.spec.config).starts_others:
                continue
            if method_of(other.spec.config).takes_start:
                fitted: Any = run.results
                sampled: Any = other.results
                return name, compare_posteriors(fitted, sampled)
    return None


def check_same(one: Explored, other: Explored) -> None:
    """Raise unless both runs are of the same cells and genes."""
    if one.fingerprint != other.fingerprint:
        kept, others = (_kept(each.counts.filters) for each in (one, other))
        why = "" if kept == others else f" Kept for one: {kept}; for the other: {others}."
        raise ValueError(
            f"{one.name} and {other.name} cannot be compared: they are fits of different data."
            f"{why} Tick runs of the same data set."
        )
    if list(one.counts.genes) != list(other.counts.genes):
        raise ValueError(
            f"{one.name} and {other.name} cannot be compared: one of them was fitted to "
            f"{one.counts.n_genes:,} genes and the other to {other.counts.n_genes:,}."
        )


def family(spec: ChosenModel) -> list[ModelSpec]:
    """All count distributions with the settings of ``spec`` that apply to each."""
    kind = known_kind_of(spec)
    plain: Any = spec if kind is not None and kind.has_priors else ModelSpec()
    return [plain.changed(likelihood=key) for key in LIKELIHOODS]


def distinct(names: list[str]) -> list[str]:
    """The names, numbered where two are equal."""
    seen: dict[str, int] = {}
    numbered = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        numbered.append(name if names.count(name) == 1 else f"{name} ({seen[name]})")
    return numbered


def settings_of(run: RunFolder) -> dict[str, str]:
    """Every setting of a run in words: of the model, of the data, then of the method."""
    spec = run.spec
    settings = settings_of_model(spec.model)
    config: InferenceConfig = spec.config
    settings["cells and genes"] = _kept(spec.filters)
    settings["method"] = type(config).__name__.removesuffix("Config")
    return settings | {
        f.name.replace("_", " "): _in_words(getattr(config, f.name)) for f in fields(config)
    }


def settings_of_model(chosen: ChosenModel) -> dict[str, str]:
    """Every setting of a model in words, its priors and posteriors among them."""
    model: dict[str, Any] = {}
    for name, value in chosen.as_dict().items():
        nested = isinstance(value, Mapping) and name not in {"priors", "guides"}
        model |= dict(value) if nested else {name: value}
    priors, guides = model.pop("priors", {}), model.pop("guides", {})
    settings = {name.replace("_", " "): _in_words(value) for name, value in model.items()}
    settings |= {f"prior of {name}": _in_words(value) for name, value in dict(priors).items()}
    return settings | {f"posterior of {n}": _in_words(value) for n, value in dict(guides).items()}


def _kept(filters: Iterable[Mapping[str, Any]]) -> str:
    """What was kept of the data before a fit, in words."""
    words = [CellFilter.from_dict(each).described for each in filters]
    return ", then ".join(words) or "all cells and genes"


def _about(run: RunFolder) -> dict[str, Any]:
    spec, status = run.spec.model, run.status
    settings = spec.as_dict()
    return {
        "model": run.spec.described,
        "parameterization": settings.get("parameterization", "-"),
        "components": spec.n_components,
        "state": ending(status),
        "loss": np.nan if (loss := run.last_loss) is None else loss,
        "seconds": status.seconds,
    }


def _in_words(value: Any) -> str:
    match value:
        case {"family": family, "numbers": numbers}:
            return f"{family}({', '.join(f'{n:g}' for n in numbers)})"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case None:
            return "-"
    return str(value)
