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
    shape = (draws.n_draws, draws.weights.shape[1], draws.groups.size)
    chosen = {name: _with_all_axes(name, value, genes) for name, value in draws.natural.items()}
    found = _pmfs(
        chosen["r"][:, :, 0],
        chosen.get("gate"),
        chosen["log_odds"],
        jnp.asarray(draws.mixed_weights.reshape(shape), jnp.float32),
        n_counts=n_counts,
    )
    return np.asarray(found)


def _with_all_axes(
    name: str, value: Float[np.ndarray, "..."], genes: Int[np.ndarray, " chosen"]
) -> Float[Array, "draws components groups chosen"]:
    """A parameter of some genes; its groups and genes are one where they share it."""
    if value.ndim == 3 and name == "log_odds":
        return jnp.asarray(value[..., None])
    some = jnp.asarray(value[..., genes])
    return some if value.ndim == 4 else some[:, :, None]


@partial(jax.jit, static_argnames="n_counts")
def _pmfs(
    r: Float[Array, "draws components genes"],
    gate: Float[Array, "draws components #groups genes"] | None,
    log_odds: Float[Array, "draws components groups #genes"],
    weights: Float[Array, "draws components groups"],
    *,
    n_counts: int,
) -> Float[Array, "draws genes counts"]:
    x = jnp.arange(n_counts, dtype=r.dtype)
    if gate is not None:
        gate = jnp.broadcast_to(gate, (*weights.shape, r.shape[-1]))

    def of_component(arrays: tuple[Array, ...]) -> Array:
        r, log_odds, weights = arrays[:3]  # (draws, genes), (draws, groups, #genes), …
        later = jnp.log1p((r[..., None] - 1) / (x[1:-1] + 1))
        ratios = jnp.concatenate([jnp.log(r)[..., None], later], axis=-1)  # r - 1 may lose r
        rising = jnp.pad(jnp.cumsum(ratios, axis=-1), ((0, 0), (0, 0), (1, 0)))

        def add(total: Array, group: tuple[Array, ...]) -> tuple[Array, None]:
            log_odds, weight = group[0][..., None], group[1][:, None, None]
            log_pmf = rising + x * jax.nn.log_sigmoid(log_odds)
            log_pmf += r[..., None] * jax.nn.log_sigmoid(-log_odds)
            pmf = jnp.exp(log_pmf)
            if gate is not None:
                dropped = group[2][..., None]
                pmf = ((1 - dropped) * pmf).at[..., 0].add(dropped[..., 0])
            return total + weight * pmf, None

        groups = [jnp.moveaxis(log_odds, 1, 0), weights.T]
        if gate is not None:
            groups.append(jnp.moveaxis(arrays[3], 1, 0))
        return jax.lax.scan(add, jnp.zeros_like(rising), tuple(groups))[0]

    by_component = [jnp.moveaxis(a, 1, 0) for a in (r, log_odds, weights)]
    if gate is not None:
        by_component.append(jnp.moveaxis(gate, 1, 0))
    return jax.lax.map(of_component, tuple(by_component)).sum(axis=0)
