"""Checks of a model that can only be simulated: bands over whole replicated data sets.

A user's own model has no predictive probabilities that we could compute, but it can predict.  Each
replicate is reduced to one histogram per gene as soon as it is drawn.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from scribeviz._cards import shown_by_fields
from scribeviz.criticism.library import library_edges, library_histogram
from scribeviz.criticism.misfit import EDGES, as_table, compared, misfit
from scribeviz.criticism.predictive import BANDS, GeneCheck, HighCounts, residual_shares
from scribeviz.data.counts import Counts

_BARS = 40
_RANGE = (5, 50, 95)


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class ReplicateBands:
    """What replicated data sets look like, gene by gene.

    Attributes
    ----------
    width
        Counts per bar of each gene.
    bands
        Predicted cells per bar: 5, 25, 50, 75 and 95 % quantiles over replicates.
    cumulative
        The same quantiles of the share of cells up to the end of each bar.
    expected
        Predicted cells per bar, averaged.
    zeros, mean
        Share of cells without the gene, and its mean count: 5, 50 and 95 % quantiles.
    library
        The quantiles of cells per bar of their total counts
        (:func:`scribeviz.criticism.library.library_edges`).
    n_draws
        Number of replicates.
    """

    width: Int[np.ndarray, " genes"]
    bands: Float[np.ndarray, "5 genes bars"]
    cumulative: Float[np.ndarray, "5 genes bars"]
    expected: Float[np.ndarray, "genes bars"]
    zeros: Float[np.ndarray, "3 genes"]
    mean: Float[np.ndarray, "3 genes"]
    library: Float[np.ndarray, "5 totals"]
    n_draws: int

    def check(self, counts: Int[np.ndarray, " cells"], gene: int, problem: str) -> GeneCheck:
        """Compare the counts of one gene with the replicates; ``problem`` is the table's word."""
        width = int(self.width[gene])
        n_bars = -(-(max(int(counts.max(initial=0)), 3) + 1) // width)
        edges = np.arange(n_bars + 1) * width
        observed = np.histogram(counts, edges)[0]
        expected = self.expected[[gene], :n_bars].astype(float) / counts.size
        cumulative = self.cumulative[:, gene, :n_bars].astype(float)
        return GeneCheck(
            edges=edges,
            observed=observed,
            bands=self.bands[:, gene, :n_bars].astype(float),
            cumulative=cumulative,
            residuals=residual_shares(observed[None], expected)[0],
            observed_zeros=float((counts == 0).mean()),
            observed_mean=float(counts.mean()),
            zeros=self.zeros[:, gene].astype(float),
            mean=self.mean[:, gene].astype(float),
            high=HighCounts.of_bars(edges, observed, cumulative),
            problem=problem,
        )


def check_replicates(
    counts: Counts, replicates: Iterable[Int[np.ndarray, "cells genes"]]
) -> tuple[ReplicateBands, pd.DataFrame]:
    """Compare the data with replicated data sets, of which only one is in memory at a time.

    Parameters
    ----------
    counts
        The data that were fitted: they decide how wide a gene's bars are.
    replicates
        Data sets drawn from the fitted model.

    Returns
    -------
    tuple
        The bands, and all genes at a glance: the columns of
        :func:`scribeviz.criticism.misfit.gene_table`.
    """
    largest = np.maximum(counts.columns.max(axis=0).toarray().ravel(), 3).astype(np.int64)
    width = -(-(largest + 1) // _BARS)
    totals = library_edges(counts)
    reduced = [_Reduced.of(replicate, width, totals) for replicate in replicates]
    bars = np.stack([r.bars for r in reduced])
    upto = bars.cumsum(axis=2) / counts.n_cells
    library = [r.library for r in reduced]
    bands = ReplicateBands(
        width=width,
        bands=np.percentile(bars, BANDS, axis=0).astype(np.float32),
        cumulative=np.percentile(upto, BANDS, axis=0).astype(np.float32),
        expected=bars.mean(axis=0).astype(np.float32),
        library=np.percentile(library, BANDS, axis=0).astype(np.float32),
        zeros=np.percentile([r.zeros for r in reduced], _RANGE, axis=0).astype(np.float32),
        mean=np.percentile([r.mean for r in reduced], _RANGE, axis=0).astype(np.float32),
        n_draws=len(reduced),
    )
    return bands, _table(counts, reduced)


@dataclass(frozen=True, slots=True, eq=False)
class _Reduced:
    """What is kept of a replicate, gene by gene."""

    bars: Int[np.ndarray, "genes bars"]
    bins: Int[np.ndarray, "genes bins"]
    zeros: Float[np.ndarray, " genes"]
    mean: Float[np.ndarray, " genes"]
    variance: Float[np.ndarray, " genes"]
    largest: Int[np.ndarray, " genes"]
    library: Int[np.ndarray, " totals"]

    @classmethod
    def of(
        cls,
        replicate: Int[np.ndarray, "cells genes"],
        width: Int[np.ndarray, " genes"],
        totals: Float[np.ndarray, " totals+1"],
    ) -> Self:
        """Reduce a replicate; ``width`` is that of a gene's bars, ``totals`` those of cells."""
        return cls(
            # Beyond the last bar nothing is shown: such counts go to one more, which is dropped.
            bars=_tallied(np.minimum(replicate // width, _BARS), _BARS + 1)[:, :_BARS],
            bins=_binned(replicate),
            zeros=(replicate == 0).mean(axis=0),
            mean=replicate.mean(axis=0),
            variance=replicate.var(axis=0),
            largest=replicate.max(axis=0),
            library=library_histogram(replicate.sum(axis=1), totals),
        )


def _table(counts: Counts, reduced: list[_Reduced]) -> pd.DataFrame:
    seen = _binned(counts.matrix.toarray())
    replicates = np.stack([r.bins for r in reduced])
    held = seen.sum(axis=0) + replicates.sum(axis=(0, 1))
    used = int(np.flatnonzero(held)[-1]) + 1
    seen, replicates = seen[:, :used], replicates[..., :used]
    predicted = replicates.mean(axis=0) / counts.n_cells
    against = misfit(seen, predicted[None], replicates[:, None])
    judged = compared(seen, predicted, EDGES[:used]) | {
        "misfit": against.excess,
        "distance": against.distance,
        "p_value": against.p_value,
        "elpd": np.full(counts.n_genes, np.nan),  # its probabilities are not known
        "predicted_mean": np.mean([r.mean for r in reduced], axis=0),
        "predicted_variance": np.mean([r.variance for r in reduced], axis=0),
        "predicted_largest": np.median([r.largest for r in reduced], axis=0).astype(int),
    }
    return as_table(counts, pd.DataFrame(judged))


def _binned(matrix: Int[np.ndarray, "cells genes"]) -> Int[np.ndarray, "genes bins"]:
    bins = np.searchsorted(EDGES, matrix, side="right") - 1
    return _tallied(bins, EDGES.size)


def _tallied(bins: Int[np.ndarray, "cells genes"], n_bins: int) -> Int[np.ndarray, "genes bins"]:
    """Cells per bin, gene by gene."""
    n_genes = bins.shape[1]
    flat = bins.astype(np.int64) + np.arange(n_genes) * n_bins
    tally = np.bincount(flat.ravel(), minlength=n_genes * n_bins)
    return tally.reshape(n_genes, n_bins).astype(np.int32)
