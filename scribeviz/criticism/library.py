"""Total counts per cell, observed and predicted."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from scribeviz._cards import shown_by_fields
from scribeviz.criticism.draws import NaturalDraws
from scribeviz.criticism.predictive import BANDS
from scribeviz.data.counts import Counts

_BARS = 40
_MOST_DRAWS = 64
_ROOM = 1.5  # how much farther than the data the bars reach, either way


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class LibraryCheck:
    """Total counts per cell against what the fitted model predicts.

    Attributes
    ----------
    edges
        Of the bars, evenly spaced on a logarithmic axis; the first and the last bar also hold what
        lies beyond them.
    observed
        Cells per bar.
    bands
        Predicted cells per bar: 5, 25, 50, 75 and 95 % quantiles over replicated data sets.
    """

    edges: Float[np.ndarray, " bars+1"]
    observed: Int[np.ndarray, " bars"]
    bands: Float[np.ndarray, "5 bars"]


def library_edges(counts: Counts) -> Float[np.ndarray, " bars+1"]:
    """Bars of total counts that reach past those of the data."""
    totals = np.maximum(counts.cell_totals, 1)
    return np.geomspace(totals.min() / _ROOM, totals.max() * _ROOM, _BARS + 1)


def library_histogram(
    totals: np.ndarray, edges: Float[np.ndarray, " bars+1"]
) -> Int[np.ndarray, " bars"]:
    """Cells per bar; what lies beyond the bars goes to the outermost."""
    within = np.clip(totals, edges[0], edges[-1])
    return np.histogram(within, edges)[0]


def library_check(counts: Counts, draws: NaturalDraws, seed: int = 0) -> LibraryCheck:
    """Compare total counts per cell with replicated data sets.

    Parameters
    ----------
    counts
        The genes that were fitted.
    draws
        Posterior draws of their parameters.
    seed
        Of the replicates.

    Notes
    -----
    Given component and depth, genes are independent, so the mean and the variance of a cell's
    total are sums over genes.  The total is drawn with these two
    (:meth:`scribeviz.models.likelihood.Likelihood.draw_totals`): exact where genes share their
    odds or have none, and close where zeros are inflated.
    """
    rng = np.random.default_rng(seed)
    edges = library_edges(counts)
    if draws.totals is not None:
        observed = library_histogram(counts.cell_totals, edges)
        return LibraryCheck(edges, observed, draws.totals.astype(float))
    few = draws.thinned(_MOST_DRAWS)
    shares = few.mixed_weights / few.mixed_weights.sum(axis=1, keepdims=True)
    kinds = (few.n_draws, few.weights.shape[1], few.groups.size)
    mean, variance = (
        np.broadcast_to(each, kinds).reshape(few.n_draws, -1)
        for each in few.likelihood.totals(few.genes())
    )
    replicates = []
    for share, mu, var in zip(shares, mean, variance, strict=True):
        kind = np.repeat(np.arange(share.size), rng.multinomial(counts.n_cells, share))
        factor = np.zeros(kind.size)
        if few.spread is not None:
            # Cells of a group differ: without this their totals would clump around its mean.
            spread = few.spread[kind % few.groups.size]
            factor = spread * rng.standard_normal(kind.size) - spread**2 / 2
        totals = few.likelihood.draw_totals(rng, mu[kind], var[kind], factor)
        replicates.append(library_histogram(totals, edges))
    return LibraryCheck(
        edges=edges,
        observed=library_histogram(counts.cell_totals, edges),
        bands=np.percentile(replicates, BANDS, axis=0),
    )
