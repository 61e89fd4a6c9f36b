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

from scribeviz.criticism.misfit import EDGES, as_table, compared, misfit
from scribeviz.criticism.predictive import GeneCheck
from scribeviz.data.counts import Counts

_BARS = 40
_BANDS = (5, 25, 50, 75, 95)  # percent
_RANGE = (5, 50, 95)


@dataclass(frozen=True, slots=True, eq=False)
class ReplicateBands:
    """What replicated data sets look like, gene by gene.

    Attributes
    ----------
    width
        Counts per bar of each gene.
    bands
        Predicted cells per bar: 5, 25, 50, 75 and 95 % quantiles over replicates.
    zeros, mean
        Share of cells without the gene, and its mean count: 5, 50 and 95 % quantiles.
    n_draws
        Number of replicates.
    """

    width: Int[np.ndarray, " genes"]
    bands: Float[np.ndarray, "5 genes bars"]
    zeros: Float[np.ndarray, "3 genes"]
    mean: Float[np.ndarray, "3 genes"]
    n_draws: int

    def check(self, counts: Int[np.ndarray, " cells"], gene: int) -> GeneCheck:
        """Compare the counts of one gene with the replicates."""
        width = int(self.width[gene])
        n_bars = -(-(max(int(counts.max(initial=0)), 3) + 1) // width)
        edges = np.arange(n_bars + 1) * width
        low90, low50, median, high50, high90 = self.bands[:, gene, :n_bars].astype(float)
        return GeneCheck(
            edges=edges,
            observed=np.histogram(counts, edges)[0],
            low90=low90,
            low50=low50,
            median=median,
            high50=high50,
            high90=high90,
            observed_zeros=float((counts == 0).mean()),
            observed_mean=float(counts.mean()),
            zeros=self.zeros[:, gene].astype(float),
            mean=self.mean[:, gene].astype(float),
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
    reduced = [_Reduced.of(replicate, width) for replicate in replicates]
    bands = ReplicateBands(
        width=width,
        bands=np.percentile([r.bars for r in reduced], _BANDS, axis=0).astype(np.float32),
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

    @classmethod
    def of(
        cls, replicate: Int[np.ndarray, "cells genes"], width: Int[np.ndarray, " genes"]
    ) -> Self:
        """Reduce a replicate; ``width`` is that of the bars of each gene."""
        return cls(
            # Beyond the last bar nothing is shown: such counts go to one more, which is dropped.
            bars=_tallied(np.minimum(replicate // width, _BARS), _BARS + 1)[:, :_BARS],
            bins=_binned(replicate),
            zeros=(replicate == 0).mean(axis=0),
            mean=replicate.mean(axis=0),
            variance=replicate.var(axis=0),
            largest=replicate.max(axis=0),
        )


def _table(counts: Counts, reduced: list[_Reduced]) -> pd.DataFrame:
    seen = _binned(counts.matrix.toarray())
    replicates = np.stack([r.bins for r in reduced])
    held = seen.sum(axis=0) + replicates.sum(axis=(0, 1))
    used = int(np.flatnonzero(held)[-1]) + 1
    seen, replicates = seen[:, :used], replicates[..., :used]
    predicted = replicates.mean(axis=0) / counts.n_cells
    against = misfit(seen, predicted[None], replicates[:, None])
    found = compared(seen, predicted, EDGES[:used]) | {
        "misfit": against.excess,
        "distance": against.distance,
        "p_value": against.p_value,
        "elpd": np.full(counts.n_genes, np.nan),  # its probabilities are not known
        "predicted_mean": np.mean([r.mean for r in reduced], axis=0),
        "predicted_variance": np.mean([r.variance for r in reduced], axis=0),
        "predicted_largest": np.median([r.largest for r in reduced], axis=0).astype(int),
    }
    return as_table(counts, pd.DataFrame(found))


def _binned(matrix: Int[np.ndarray, "cells genes"]) -> Int[np.ndarray, "genes bins"]:
    bins = np.searchsorted(EDGES, matrix, side="right") - 1
    return _tallied(bins, EDGES.size)


def _tallied(bins: Int[np.ndarray, "cells genes"], n_bins: int) -> Int[np.ndarray, "genes bins"]:
    """Cells per bin, gene by gene."""
    n_genes = bins.shape[1]
    flat = bins.astype(np.int64) + np.arange(n_genes) * n_bins
    found = np.bincount(flat.ravel(), minlength=n_genes * n_bins)
    return found.reshape(n_genes, n_bins).astype(np.int32)
