"""What negative binomial counts are predicted to be: probabilities, moments, draws.

The parameters of single counts are ``r``, ``log_odds``, where cells differ ``log_depth`` (added to
the log odds), and where zeros are inflated ``gate``.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import gammaln

from scribeviz.models.likelihood import Parameters


def log_odds(parameters: Mapping[str, Any]) -> Any:
    """Log odds of success of every cell; of NumPy or JAX."""
    return parameters["log_odds"] + parameters.get("log_depth", 0.0)


def log_pmf(counts: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Log-probability of single counts in NumPy, in the precision of its arrays."""
    r, eta = parameters["r"], log_odds(parameters)
    rising = gammaln(counts + r) - gammaln(r) - gammaln(counts + 1.0)
    plain = rising - r * np.logaddexp(0, eta) - counts * np.logaddexp(0, -eta)
    if "gate" not in parameters:
        return plain
    gate = parameters["gate"]
    with np.errstate(divide="ignore"):
        expressed = np.log1p(-gate) + plain
        return np.where(counts == 0, np.logaddexp(np.log(gate), expressed), expressed)


def mean(parameters: Parameters) -> np.ndarray:
    """Expected count."""
    expected = parameters["r"] * np.exp(log_odds(parameters))
    return expected * (1 - parameters["gate"]) if "gate" in parameters else expected


def variance(parameters: Parameters) -> np.ndarray:
    """Variance of a count."""
    odds = np.exp(log_odds(parameters))
    expressed = parameters["r"] * odds
    if "gate" not in parameters:
        return expressed * (1 + odds)
    kept = 1 - parameters["gate"]
    return kept * expressed * (1 + odds + (1 - kept) * expressed)


def draw(rng: np.random.Generator, parameters: Parameters) -> np.ndarray:
    """Draw counts in NumPy, thirty times faster than JAX on a CPU."""
    failure = 1 / (1 + np.exp(log_odds(parameters)))
    counts = rng.negative_binomial(parameters["r"], failure)
    if "gate" not in parameters:
        return counts
    return np.where(rng.random(counts.shape) < parameters["gate"], 0, counts)


def moments(
    parameters: Parameters, groups: Float[np.ndarray, " groups"]
) -> tuple[
    Float[np.ndarray, "draws components genes"], Float[np.ndarray, "draws components genes"]
]:
    """Mean of the counts and of their squares over cells, which fall into groups.

    What groups share comes in last: groups times genes are many.
    """
    kept = 1 - parameters["gate"] if "gate" in parameters else np.ones((1, 1, 1, 1))
    kept_is_shared = kept.shape[2] == 1
    weights = groups[:, None] * (1.0 if kept_is_shared else kept)
    odds, r = np.exp(log_odds(parameters)), parameters["r"][:, :, 0]

    def averaged(function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        over_groups = (weights * function(odds)).sum(axis=2)
        return kept[:, :, 0] * over_groups if kept_is_shared else over_groups

    first = averaged(lambda odds: odds)
    square = r * averaged(lambda odds: odds * (1 + odds)) + r**2 * averaged(np.square)
    return r * first, square


def totals(
    parameters: Parameters,
) -> tuple[
    Float[np.ndarray, "draws components groups"], Float[np.ndarray, "draws components groups"]
]:
    """Mean and variance of a cell's total: sums over genes before the groups come in."""
    odds, r = np.exp(log_odds(parameters)), parameters["r"]
    kept = 1 - parameters["gate"] if "gate" in parameters else 1.0
    expressed = (kept * r).sum(axis=-1, keepdims=True)
    # What gates add: a gene is either there or not.
    gated = (kept * r**2 - (kept * r) ** 2).sum(axis=-1, keepdims=True)
    mean_total = expressed * odds
    variance_total = expressed * odds * (1 + odds) + gated * odds**2
    return mean_total[..., 0], variance_total[..., 0]


@partial(jax.jit, static_argnames="n_counts")
def pmfs(
    parameters: Mapping[str, Float[Array, "draws components groups genes"]],
    weights: Float[Array, "draws components groups"],
    *,
    n_counts: int,
) -> Float[Array, "draws genes counts"]:
    r"""Probability of the counts 0 … ``n_counts - 1``, averaged over components and groups.

    Notes
    -----
    :math:`\Gamma(r + x) / (\Gamma(r)\, x!) = \prod_{j<x} (1 + (r - 1) / (j + 1))` is a running sum
    of logarithms near 0, so float32 suffices.  It is the same for all cells: groups of cells that
    differ in depth share it.
    """
    r, gate = parameters["r"][:, :, 0], parameters.get("gate")
    x = jnp.arange(n_counts, dtype=r.dtype)
    eta = log_odds(parameters)
    eta = jnp.broadcast_to(eta, (*weights.shape, eta.shape[-1]))
    if gate is not None:
        gate = jnp.broadcast_to(gate, (*weights.shape, r.shape[-1]))

    def of_component(arrays: tuple[Array, ...]) -> Array:
        r, eta, weights = arrays[:3]  # (draws, genes), (draws, groups, #genes), …
        later = jnp.log1p((r[..., None] - 1) / (x[1:-1] + 1))
        ratios = jnp.concatenate([jnp.log(r)[..., None], later], axis=-1)  # r - 1 may lose r
        rising = jnp.pad(jnp.cumsum(ratios, axis=-1), ((0, 0), (0, 0), (1, 0)))

        def add(total: Array, group: tuple[Array, ...]) -> tuple[Array, None]:
            eta, weight = group[0][..., None], group[1][:, None, None]
            log_pmf = rising + x * jax.nn.log_sigmoid(eta)
            log_pmf += r[..., None] * jax.nn.log_sigmoid(-eta)
            pmf = jnp.exp(log_pmf)
            if gate is not None:
                dropped = group[2][..., None]
                pmf = ((1 - dropped) * pmf).at[..., 0].add(dropped[..., 0])
            return total + weight * pmf, None

        groups = [jnp.moveaxis(eta, 1, 0), weights.T]
        if gate is not None:
            groups.append(jnp.moveaxis(arrays[3], 1, 0))
        return jax.lax.scan(add, jnp.zeros_like(rising), tuple(groups))[0]

    by_component = [jnp.moveaxis(a, 1, 0) for a in (r, eta, weights)]
    if gate is not None:
        by_component.append(jnp.moveaxis(gate, 1, 0))
    return jax.lax.map(of_component, tuple(by_component)).sum(axis=0)
