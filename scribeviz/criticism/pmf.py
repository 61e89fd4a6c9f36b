"""Predictive probabilities of the counts of many genes at once, for every posterior draw."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from scribeviz.criticism.draws import NaturalDraws


def predictive_pmfs(
    draws: NaturalDraws, genes: Int[np.ndarray, " chosen"], n_counts: int
) -> Float[np.ndarray, "draws chosen n_counts"]:
    r"""Probability of the counts 0 … ``n_counts - 1`` of some genes, for each posterior draw.

    Parameters
    ----------
    draws
        Posterior draws.
    genes
        Positions among the fitted genes.
    n_counts
        How many counts.

    Returns
    -------
    numpy.ndarray
        float32; what is missing to 1 lies beyond.

    Notes
    -----
    :math:`\Gamma(r + x) / (\Gamma(r)\, x!) = \prod_{j<x} (1 + (r - 1) / (j + 1))` is a running sum
    of logarithms near 0, so float32 suffices.  It is the same for all cells: groups of cells that
    differ in capture share it.
    """
    gate = draws.natural.get("gate")
    found = _pmfs(
        jnp.asarray(draws.natural["r"][..., genes]),
        None if gate is None else jnp.asarray(gate[..., genes]),
        jnp.asarray(draws.natural["log_odds"]),
        jnp.asarray(draws.mixed_weights.reshape(draws.natural["log_odds"].shape), jnp.float32),
        n_counts=n_counts,
    )
    return np.asarray(found)


@partial(jax.jit, static_argnames="n_counts")
def _pmfs(
    r: Float[Array, "draws components genes"],
    gate: Float[Array, "draws components genes"] | None,
    log_odds: Float[Array, "draws components groups"],
    weights: Float[Array, "draws components groups"],
    *,
    n_counts: int,
) -> Float[Array, "draws genes counts"]:
    x = jnp.arange(n_counts, dtype=r.dtype)

    def of_component(arrays: tuple[Array, ...]) -> Array:
        r, log_odds, weights = arrays[:3]  # (draws, genes), (draws, groups), (draws, groups)
        later = jnp.log1p((r[..., None] - 1) / (x[1:-1] + 1))
        ratios = jnp.concatenate([jnp.log(r)[..., None], later], axis=-1)  # r - 1 may lose r
        rising = jnp.pad(jnp.cumsum(ratios, axis=-1), ((0, 0), (0, 0), (1, 0)))

        def add(total: Array, group: tuple[Array, Array]) -> tuple[Array, None]:
            log_odds, weight = (value[:, None, None] for value in group)
            log_pmf = rising + x * jax.nn.log_sigmoid(log_odds)
            log_pmf += r[..., None] * jax.nn.log_sigmoid(-log_odds)
            return total + weight * jnp.exp(log_pmf), None

        total, _ = jax.lax.scan(add, jnp.zeros_like(rising), (log_odds.T, weights.T))
        if gate is None:
            return total
        dropped = arrays[3][..., None]
        share = weights.sum(axis=-1)[:, None]
        return ((1 - dropped) * total).at[..., 0].add(dropped[..., 0] * share)

    by_component = [jnp.moveaxis(a, 1, 0) for a in (r, log_odds, weights)]
    if gate is not None:
        by_component.append(jnp.moveaxis(gate, 1, 0))
    return jax.lax.map(of_component, tuple(by_component)).sum(axis=0)
