"""Cross-validation by cells: every cell is scored by a fit that has not seen it.

Cells go into folds by the fingerprint of the data, so that all models of a data set have the same.
Every fold scores the same genes, those that each of the fits gets to see, and where a fit to all
cells is given, each fit begins with what that says of its own cells: it then has a short way to go.
A network is trained anew, since weights that have seen a cell remember it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int

from scribeviz._cards import shown_by_fields
from scribeviz.criticism.loo import CellScores
from scribeviz.data.counts import Counts, CountsError
from scribeviz.fitting.kinds import kind_of
from scribeviz.fitting.methods import InferenceConfig
from scribeviz.fitting.plan import AnyCheckpoint, Fit
from scribeviz.results.protocol import Results

FOLDS = 5
_FEWEST_FOLDS = 2


def by_folds(n_folds: int) -> str:
    """How the scores of a cross-validation say that cells were left out."""
    return f"{n_folds} folds"


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Which cells are left out together.

    Attributes
    ----------
    of_cell
        The fold of every cell, from 0.
    genes
        Positions of the genes that are scored: whichever fold is left out, some cell shows them.
    """

    of_cell: Int[np.ndarray, " cells"]
    genes: Int[np.ndarray, " genes"]

    @classmethod
    def of(cls, counts: Counts, n_folds: int) -> "Folds":
        """Folds of equal size; they follow from the data.

        Raises
        ------
        ValueError
            If there are fewer than two folds.
        CountsError
            If there are fewer cells than folds, or no gene is seen in more than one.
        """
        if n_folds < _FEWEST_FOLDS:
            raise ValueError(f"folds={n_folds} should be {_FEWEST_FOLDS} at least.")
        if counts.n_cells < n_folds:
            raise CountsError(
                f"{counts.name} has {counts.n_cells:,} cells, too few for {n_folds} folds of them."
            )
        rng = np.random.default_rng(int(counts.fingerprint[:8], 16))
        of_cell = np.empty(counts.n_cells, np.int64)
        of_cell[rng.permutation(counts.n_cells)] = np.arange(counts.n_cells) % n_folds
        members = np.arange(n_folds)[:, None] == of_cell
        seen = counts.matrix.T @ members.T > 0  # genes x folds
        genes = np.flatnonzero(seen.sum(axis=1) > 1)
        if genes.size == 0:
            raise CountsError(
                f"no gene of {counts.name} is seen in two of {n_folds} folds of its cells: there "
                "is nothing to score."
            )
        return cls(of_cell, genes)

    @property
    def n_folds(self) -> int:
        """How many."""
        return int(self.of_cell.max()) + 1

    def cells(self, fold: int) -> Int[np.ndarray, " cells"]:
        """Positions of the cells that this fold leaves out."""
        return np.flatnonzero(self.of_cell == fold)

    def others(self, fold: int) -> Int[np.ndarray, " cells"]:
        """Positions of the cells that are fitted instead."""
        return np.flatnonzero(self.of_cell != fold)


@dataclass(frozen=True, slots=True)
class FoldStep:
    """A cross-validation so far.

    Attributes
    ----------
    fold
        The fold that is at work, from 0.
    scores
        Of the cells of all folds that are done; NaN of the others.
    fit, checkpoint
        The fold's fit, and how far it is.
    is_scoring, is_done
        Whether the fit has ended and its cells are about to be scored, and whether they are.
    """

    fold: int
    scores: CellScores
    fit: Fit
    checkpoint: AnyCheckpoint
    is_scoring: bool = False
    is_done: bool = False


def cross_validation(  # noqa: PLR0913  what one job has to say
    counts: Counts,
    model: Any,
    config: InferenceConfig,
    n_folds: int = FOLDS,
    *,
    whole: Results | None = None,
    done: CellScores | None = None,
    starts: Mapping[int, AnyCheckpoint] | None = None,
    n_samples: int = 200,
) -> Iterator[FoldStep]:
    """Fit all folds but one, score that one, and so on; a step at a time.

    Parameters
    ----------
    counts, model, config
        What to fit and how.
    n_folds
        How many parts the cells are divided into.
    whole
        A fit of the same model to all the cells, which the fits start from.
    done
        Scores of an earlier, unfinished cross-validation: only the other folds are done.
    starts
        By fold the last checkpoint of one that was under way.
    n_samples
        Posterior draws of each fit that its cells are scored by.

    Raises
    ------
    ValueError
        If a fit cannot be used; the message says why.
    """
    folds = Folds.of(counts, n_folds)
    kind = kind_of(model)
    chosen = counts.select_genes(folds.genes)
    scores = _none_yet(counts, n_folds) if done is None else done
    for fold in range(n_folds):
        cells, others = folds.cells(fold), folds.others(fold)
        if not np.isnan(scores.elpd[cells]).any():
            continue
        before = None if whole is None else whole.start_for(others, chosen.genes)
        fit = kind.prepare(chosen.select_cells(others), model, config, before)
        start = last = (starts or {}).get(fold)
        for last in fit.checkpoints(start=start):
            yield FoldStep(fold, scores, fit, last)
        assert last is not None  # noqa: S101  a fit has one step at least
        yield FoldStep(fold, scores, fit, last, is_scoring=True)
        results: Any = fit.results(last)
        if problem := fit.problem(results):
            raise ValueError(f"fold {fold + 1} of {n_folds}: {problem}")
        scored = results.score_unseen(chosen.select_cells(cells), n_samples, seed=config.seed)
        scores = _with(scores, cells, scored)
        yield FoldStep(fold, scores, fit, last, is_done=True)


def _none_yet(counts: Counts, n_folds: int) -> CellScores:
    return CellScores(
        elpd=np.full(counts.n_cells, np.nan),
        pareto_k=np.zeros(counts.n_cells),
        p_loo=float("nan"),
        scored=counts.depths_fingerprint,
        method=by_folds(n_folds),
    )


def _with(scores: CellScores, cells: Int[np.ndarray, " cells"], scored: CellScores) -> CellScores:
    """The scores with those of another fold."""
    elpd, pareto_k, halves = scores.elpd.copy(), scores.pareto_k.copy(), scores.halves
    elpd[cells], pareto_k[cells] = scored.elpd, scored.pareto_k
    if scored.halves is not None:
        empty = np.full((len(scored.halves), elpd.size), np.nan)
        halves = empty if halves is None else halves.copy()
        halves[:, cells] = scored.halves
    return replace(scores, elpd=elpd, pareto_k=pareto_k, halves=halves)
