"""Total counts per cell, observed and predicted."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from scribeviz.criticism.draws import NaturalDraws
from scribeviz.criticism.predictive import BANDS
from scribeviz.data.counts import Counts

_BARS = 40
_MOST_DRAWS = 64
_ROOM = 1.5  # how much farther than the data the bars reach, either way


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
    Given component and capture, genes are independent, so the mean and the variance of a cell's
    total are sums over genes.  The total is drawn from the negative binomial with these two: exact
    for ``nbdm`` and ``nbvcp``, whose genes share their odds, and close where zeros are inflated.
    """
    rng = np.random.default_rng(seed)
    edges = library_edges(counts)
    if draws.totals is not None:
        observed = library_histogram(counts.cell_totals, edges)
        return LibraryCheck(edges, observed, draws.totals.astype(float))
    few = draws.thinned(_MOST_DRAWS)
    shares = few.mixed_weights / few.mixed_weights.sum(axis=1, keepdims=True)
    mean, variance = _moments_of_totals(few)
    replicates = []
    for share, mu, var in zip(shares, mean, variance, strict=True):
        kind = np.repeat(np.arange(share.size), rng.multinomial(counts.n_cells, share))
        odds = np.maximum(var / mu - 1, 1e-9)  # of a count: variance = mean (1 + odds)
        rate = rng.gamma(mu[kind] / odds[kind], odds[kind])
        if few.spread is not None:
            # Cells of a group differ: without this their totals would clump around its mean.
            spread = few.spread[kind % few.groups.size]
            rate *= np.exp(spread * rng.standard_normal(kind.size) - spread**2 / 2)
        replicates.append(library_histogram(rng.poisson(rate), edges))
    return LibraryCheck(
        edges=edges,
        observed=library_histogram(counts.cell_totals, edges),
        bands=np.percentile(replicates, BANDS, axis=0),
    )


def _moments_of_totals(
    draws: NaturalDraws,
) -> tuple[Float[np.ndarray, "draws kinds"], Float[np.ndarray, "draws kinds"]]:
    """Mean and variance of a cell's total for each component and group."""
    odds, r = np.exp(draws.full("log_odds")), draws.full("r")
    kept = 1 - draws.full("gate") if "gate" in draws.natural else 1.0
    # Sums over genes before the groups come in: all pairs of both would be many.
    expressed = (kept * r).sum(axis=-1, keepdims=True)
    # What gates add: a gene is either there or not.
    gated = (kept * r**2 - (kept * r) ** 2).sum(axis=-1, keepdims=True)
    mean = expressed * odds
    variance = expressed * odds * (1 + odds) + gated * odds**2
    return mean.reshape(draws.n_draws, -1), variance.reshape(draws.n_draws, -1)
