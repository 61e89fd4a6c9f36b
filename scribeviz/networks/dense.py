r"""Negative binomial log-probabilities of whole blocks of cells, entry by entry.

A decoder gives every cell a mean of its own, so no table helps: each entry has to be computed.
What makes this quick are logarithms only (no lgamma, no digamma), a gradient written down instead
of derived, and blocks of rows that stay in the processor's cache.

"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scribeviz.models.special import log_rising, log_rising_slope

_BLOCK = 131_072  # entries: a few arrays of so many fit the cache
_LOG_SQRT_2PI = 0.9189385332046727


@jax.custom_jvp
def nb_log_prob(
    log_mean: Float[Array, "cells genes"],
    log_dispersion: Float[Array, " genes"],
    counts: Float[Array, "cells genes"],
) -> Float[Array, "cells genes"]:
    r"""Log-probability of each count, in nats.

    Parameters
    ----------
    log_mean
        Of each count.
    log_dispersion
        :math:`\ln\theta`; the variance is :math:`\mu + \mu^2/\theta`.
    counts
        Whole numbers, as floats.
    """
    theta = jnp.exp(log_dispersion)
    log_odds = log_mean - log_dispersion
    beyond = counts * log_odds - (counts + theta) * jax.nn.softplus(log_odds)
    return log_rising(theta, counts) - log_factorial(counts) + beyond


@nb_log_prob.defjvp
def _slope(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    # By mean and dispersion; counts are given.
    log_mean, log_dispersion, counts = primals
    theta = jnp.exp(log_dispersion)
    log_odds = log_mean - log_dispersion
    of_mean = counts - (counts + theta) * jax.nn.sigmoid(log_odds)
    of_theta = log_rising_slope(theta, counts) - jax.nn.softplus(log_odds)
    change = of_mean * tangents[0] + (theta * of_theta - of_mean) * tangents[1]
    return nb_log_prob(*primals), change


def log_factorial(counts: Array) -> Array:
    r""":math:`\ln x!`, exactly 0 for 0 and 1."""
    z = counts + 4
    series = (z - 0.5) * jnp.log(z) - z + _LOG_SQRT_2PI + _stirling(z)
    logs = series - jnp.log((counts + 1) * (counts + 2) * (counts + 3))
    return jnp.where(counts > 1, logs, 0.0)


def _stirling(z: Array) -> Array:
    return (1 / 12 - 1 / (360 * z * z)) / z


def by_blocks(score: Callable[..., Array], *by_cell: Array) -> Float[Array, " cells"]:
    """Apply ``score`` to blocks of rows, one after the other.

    Parameters
    ----------
    score
        ``(*blocks) -> (cells,)``, row by row.
    *by_cell
        Arrays of shape ``(cells, genes)``.
    """
    n_cells, n_genes = by_cell[0].shape
    rows = max(_BLOCK // n_genes, 1)
    if n_cells <= 2 * rows:
        return score(*by_cell)
    whole = n_cells // rows * rows
    blocks = [a[:whole].reshape(-1, rows, n_genes) for a in by_cell]
    scores = jax.lax.map(lambda block: score(*block), tuple(blocks)).reshape(-1)
    if whole == n_cells:
        return scores
    return jnp.concatenate([scores, score(*(a[whole:] for a in by_cell))])
