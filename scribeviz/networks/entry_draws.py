"""What a trained module predicts, gene by gene, in the form that every check starts from.

Each cell has a mean of its own for each gene.  Over cells these means are many, so for each gene
they are sorted and averaged in groups of equal size: the predictive probability of a count is then
a mixture of a few negative binomials, exact in its mean and close in its shape.
"""

from collections.abc import Callable, Iterator

import jax
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Float, Int, PRNGKeyArray
from scipy.special import betainc, expit

from scribeviz.criticism.draws import NaturalDraws
from scribeviz.criticism.library import library_histogram
from scribeviz.criticism.predictive import BANDS
from scribeviz.networks.batches import CountBatch
from scribeviz.networks.decoded import DecodedCounts
from scribeviz.networks.evaluation import Cells, compiled
from scribeviz.networks.vae import Amortized

_GROUPS = 32
_ENTRIES = 20_000_000  # cells times genes that are decoded for a draw, 80 MB
_DECODED = 300_000_000  # the same over all draws
_FEWEST_DRAWS, _MOST_DRAWS = 8, 32
_ALMOST_POISSON = 1e6  # a dispersion: the variance exceeds the mean by a millionth of its square


def shown_cells(n_cells: int, n_genes: int, seed: int = 0) -> Int[np.ndarray, " shown"]:
    """Positions of the cells that stand for all: all of them, unless their counts are too many."""
    most = max(_ENTRIES // n_genes, 1)
    if n_cells <= most:
        return np.arange(n_cells)
    return np.sort(np.random.default_rng(seed).choice(n_cells, most, replace=False))


def affordable_place_draws(n_cells: int, n_genes: int) -> int:
    """How many draws of the places of so many cells checks can take."""
    return int(np.clip(_DECODED // (n_cells * n_genes), _FEWEST_DRAWS, _MOST_DRAWS))


def decoder_of_draws(
    module: Amortized,
) -> Callable[[CountBatch, PRNGKeyArray], dist.Distribution]:
    """Compile: draw the places of a batch, and give the distribution of its counts."""

    def of_batch(module: Amortized, batch: CountBatch, key: PRNGKeyArray) -> dist.Distribution:
        of_place, of_total = jax.random.split(key)
        z = module.encode(batch).sample(of_place)
        return module.decode(batch.with_library(module.expected_library(batch, of_total)), z)

    return compiled(module, of_batch)


def entry_draws(
    module: Amortized,
    batches: Cells,
    n_cells: int,
    totals: Float[np.ndarray, " bars+1"],
    *,
    n_draws: int,
    seed: int = 0,
) -> NaturalDraws:
    """Draws of every cell's counts, as groups of cells of about the same mean, gene by gene.

    Parameters
    ----------
    module
        A trained one, whose counts are :class:`DecodedCounts`.
    batches
        The cells that stand for all.
    n_cells
        How many cells there are.
    totals
        Edges of bars of cells' total counts.
    n_draws
        Draws of each cell's place.
    seed
        Of the draws.
    """
    decode, key = decoder_of_draws(module), jax.random.key(seed)
    rng = np.random.default_rng(seed)
    r, log_odds, gates, histograms = [], [], [], []
    for draw in range(n_draws):
        of_draw = jax.random.fold_in(key, draw)
        decoded = [decode(b, jax.random.fold_in(of_draw, i)) for i, b in enumerate(batches)]
        dispersion = _dispersion(decoded[0])
        log_mean = np.concatenate([np.asarray(one.log_mean) for one in decoded])
        gate = None
        if decoded[0].gate_logit is not None:
            gate = expit(np.concatenate([np.asarray(one.gate_logit) for one in decoded]))
        means, gate_of_group = _in_groups(log_mean, gate)
        r.append(dispersion)
        log_odds.append(np.log(means) - np.log(dispersion))
        if gate_of_group is not None:
            gates.append(gate_of_group)
        drawn = _drawn_totals(log_mean, gate, dispersion, n_cells, rng)
        histograms.append(library_histogram(drawn, totals))
    natural = {"r": np.stack(r)[:, None, None], "log_odds": np.stack(log_odds)[:, None]}
    if gates:
        natural["gate"] = np.stack(gates)[:, None]
    n_shown = log_mean.shape[0]
    return NaturalDraws(
        likelihood_key="zinb" if gates else "nbdm",
        natural={name: value.astype(np.float32) for name, value in natural.items()},
        weights=np.ones((n_draws, 1)),
        groups=np.diff(_bounds(n_shown)) / n_shown,
        group_of_cell=np.zeros(0, np.int32),
        totals=np.percentile(histograms, BANDS, axis=0).astype(np.float32),
    )


def _dispersion(counts: DecodedCounts) -> Float[np.ndarray, " genes"]:
    if counts.log_dispersion is None:
        return np.full(counts.log_mean.shape[-1], _ALMOST_POISSON)
    return np.exp(np.asarray(counts.log_dispersion, float))


def _in_groups(
    log_mean: Float[np.ndarray, "cells genes"], gate: Float[np.ndarray, "cells genes"] | None
) -> tuple[Float[np.ndarray, "groups genes"], Float[np.ndarray, "groups genes"] | None]:
    """Means, and probabilities of being dropped, of groups of cells of about the same mean."""
    bounds = _bounds(log_mean.shape[0])
    sizes = np.diff(bounds)[:, None]
    by_gene = np.ascontiguousarray(log_mean.T)  # sorting is quick along rows
    if gate is None:
        mean = np.exp(np.sort(by_gene, axis=1), dtype=np.float64)
        return np.add.reduceat(mean, bounds[:-1], axis=1).T / sizes, None
    order = np.argsort(by_gene, axis=1)
    mean = np.exp(np.take_along_axis(by_gene, order, axis=1), dtype=np.float64)
    dropped = np.take_along_axis(np.ascontiguousarray(gate.T), order, axis=1)
    kept = np.add.reduceat((1 - dropped) * mean, bounds[:-1], axis=1).T / sizes
    share = np.add.reduceat(1 - dropped, bounds[:-1], axis=1).T / sizes
    # The mean of what is kept stays exact.
    return kept / np.maximum(share, 1e-12), 1 - share


def _bounds(n_cells: int) -> Int[np.ndarray, " groups+1"]:
    """Where groups of cells begin and end; their sizes may differ by one."""
    return np.linspace(0, n_cells, min(_GROUPS, n_cells) + 1).astype(int)


def _drawn_totals(
    log_mean: Float[np.ndarray, "cells genes"],
    gate: Float[np.ndarray, "cells genes"] | None,
    dispersion: Float[np.ndarray, " genes"],
    n_cells: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, " cells"]:
    """Total counts of cells: negative binomials with the mean and variance of the sum of genes."""
    mean = np.exp(log_mean)
    kept = 1.0 if gate is None else 1 - gate
    expected = (kept * mean).sum(axis=1, dtype=np.float64)
    variance = (kept * (mean + mean**2 / dispersion + (1 - kept) * mean**2)).sum(axis=1)
    shown = expected.size
    cells = np.arange(n_cells) if n_cells == shown else rng.integers(shown, size=n_cells)
    odds = np.maximum(variance / expected - 1, 1e-9)[cells]
    return rng.poisson(rng.gamma(expected[cells] / odds, odds))


def replicates(
    module: Amortized, batches: Cells, n_samples: int, seed: int = 0
) -> Iterator[Int[np.ndarray, "cells genes"]]:
    """Data sets drawn from the posterior of these cells, one after the other.

    NumPy draws the counts, thirty times as fast as JAX on a processor; where a module's counts are
    a distribution of somebody else's, that draws them.
    """
    decode, rng = decoder_of_draws(module), np.random.default_rng(seed)
    key = jax.random.key(seed)
    for draw in range(n_samples):
        blocks = []
        for i, batch in enumerate(batches):
            of_block = jax.random.fold_in(jax.random.fold_in(key, draw), i)
            of_place, of_counts = jax.random.split(of_block)
            counts = decode(batch, of_place)
            if isinstance(counts, DecodedCounts):
                blocks.append(counts.draw(rng))
            else:
                blocks.append(np.asarray(counts.sample(of_counts)))
        yield np.concatenate(blocks).astype(np.int32)


def residuals(
    module: Amortized, batches: Cells, *, n_draws: int = 20, seed: int = 0
) -> Float[np.ndarray, "cells genes"]:
    """Randomised quantile residuals of every count, uniform on 0 … 1 where the prediction is right.

    The prediction of a count is averaged over draws of its cell's place.

    Parameters
    ----------
    module
        A trained one, whose counts are :class:`DecodedCounts`.
    batches
        Cells, best ones that were not trained on.
    n_draws
        Draws of each cell's place.
    seed
        Of all draws.

    Notes
    -----
    Dunn & Smyth 1996, J. Comput. Graph. Stat. 5, 236.
    """
    decode, rng = decoder_of_draws(module), np.random.default_rng(seed)
    key, blocks = jax.random.key(seed), []
    for i, batch in enumerate(batches):
        x = np.asarray(batch.x, float)
        below, at_most = np.zeros(x.shape), np.zeros(x.shape)
        for draw in range(n_draws):
            counts = decode(batch, jax.random.fold_in(jax.random.fold_in(key, draw), i))
            one_below, one_at_most = _distribution_function(counts, x)
            below += one_below / n_draws
            at_most += one_at_most / n_draws
        blocks.append(below + rng.random(x.shape) * (at_most - below))
    return np.concatenate(blocks)


def _distribution_function(
    counts: DecodedCounts, x: Float[np.ndarray, "cells genes"]
) -> tuple[np.ndarray, np.ndarray]:
    """Probability of a count below each of ``x``, and of one that is at most that."""
    theta = _dispersion(counts)
    failure = theta / (theta + np.exp(np.asarray(counts.log_mean, float)))
    at_most, below = failure**theta, np.zeros(x.shape)
    rows, columns = np.nonzero(x)  # zeros are most of them, and need no special function
    seen, r, q = x[rows, columns], theta[columns], failure[rows, columns]
    at_most[rows, columns] = betainc(r, seen + 1, q)
    below[rows, columns] = betainc(r, seen, q)
    if counts.gate_logit is None:
        return below, at_most
    dropped = expit(np.asarray(counts.gate_logit, float))
    return (
        np.where(x > 0, dropped + (1 - dropped) * below, 0.0),
        dropped + (1 - dropped) * at_most,
    )
