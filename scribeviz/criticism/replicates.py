"""Checks of a model that can only be simulated: bands over whole replicated data sets.

A user's own model has no predictive probabilities that we could compute, but it can predict.  Each
replicate is reduced to one histogram per gene as soon as it is drawn.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

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


def replicate_bands(
    counts: Counts, replicates: Iterable[Int[np.ndarray, "cells genes"]]
) -> ReplicateBands:
    """Reduce replicated data sets, one at a time.

    Parameters
    ----------
    counts
        The data that were fitted: they decide how wide a gene's bars are.
    replicates
        Data sets drawn from the fitted model.
    """
    largest = np.maximum(counts.columns.max(axis=0).toarray().ravel(), 3)
    width = -(-(largest + 1) // _BARS)
    reduced = [_reduced(replicate, width) for replicate in replicates]
    histograms, zeros, means = (np.stack(part) for part in zip(*reduced, strict=True))
    return ReplicateBands(
        width=width.astype(np.int64),
        bands=np.percentile(histograms, _BANDS, axis=0).astype(np.float32),
        zeros=np.percentile(zeros, _RANGE, axis=0).astype(np.float32),
        mean=np.percentile(means, _RANGE, axis=0).astype(np.float32),
        n_draws=len(reduced),
    )


def replicate_table(counts: Counts, bands: ReplicateBands) -> pd.DataFrame:
    """All genes at a glance; the columns of :func:`scribeviz.criticism.predictive.gene_table`."""
    zeros = 1 - np.diff(counts.columns.indptr) / counts.n_cells
    return pd.DataFrame(
        {
            "gene": counts.genes,
            "mean": counts.gene_totals / counts.n_cells,
            "predicted_mean": bands.mean[1].astype(float),
            "zeros": zeros,
            "predicted_zeros": bands.zeros[1].astype(float),
            "excess_zeros": zeros - bands.zeros[1],
            "largest": counts.columns.max(axis=0).toarray().ravel(),
        }
    )


def _reduced(replicate: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, ...]:
    n_genes = width.size
    # Beyond the last bar nothing is shown: such counts go to one more, which is dropped.
    bar = np.minimum(replicate // width, _BARS).astype(np.int64)
    flat = bar + np.arange(n_genes) * (_BARS + 1)
    histogram = np.bincount(flat.ravel(), minlength=n_genes * (_BARS + 1))
    kept = histogram.reshape(n_genes, _BARS + 1)[:, :_BARS].astype(np.int32)
    return kept, (replicate == 0).mean(axis=0), replicate.mean(axis=0)
