"""Log-likelihood of single cells under a user's own model, from the sites that it observes."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro import handlers

from scribeviz.data.counts import Counts
from scribeviz.models.custom.model import BoundModel, CustomModel, Data, bind


def log_likelihood_by_cell(
    custom: CustomModel, counts: Counts, draws: Mapping[str, np.ndarray]
) -> Float[np.ndarray, "draws cells"] | None:
    """Log-likelihood of every cell under posterior draws, in nats.

    Parameters
    ----------
    custom
        The model.
    counts
        The cells.
    draws
        Of the sites, each with a leading axis of draws.

    Returns
    -------
    numpy.ndarray or None
        None where an observed site (a ``factor``, say) does not tell the cells apart.
    """
    whole, data = bind(custom, counts)

    @jax.jit
    def one(draw: dict[str, Array]) -> Array | None:
        observed = [s for s in _sites(whole, data, draw) if s["is_observed"]]
        total = jnp.zeros(whole.n_cells)
        for site in observed:
            logs = _by_cell(site["fn"].log_prob(site["value"]), whole.n_cells)
            if logs is None:
                return None
            total += logs
        return total

    scores = []
    for i in range(len(next(iter(draws.values())))):
        logs = one({name: jnp.asarray(value[i]) for name, value in draws.items()})
        if logs is None:
            return None
        scores.append(np.asarray(logs))
    return np.stack(scores)


def sites_of_cells(custom: CustomModel, counts: Counts) -> list[str]:
    """Names of the sites that have values of single cells: their shape follows the cells."""
    shapes = []
    for n_cells in (counts.n_cells, counts.n_cells - 1):
        bound, data = bind(custom, counts.select_cells(np.arange(n_cells)))

        def values(bound: BoundModel = bound, data: Data = data) -> dict[str, Array]:
            sites = _sites(bound, data, {})
            return {s["name"]: s["value"] for s in sites if not s["is_observed"]}

        shaped = jax.eval_shape(values)
        shapes.append({name: value.shape for name, value in shaped.items()})
    all_cells, fewer = shapes
    return [name for name, shape in all_cells.items() if fewer.get(name) != shape]


def _sites(bound: BoundModel, data: Data, values: Mapping[str, Array]) -> list[dict]:
    seeded = handlers.seed(bound.model, jax.random.PRNGKey(0))
    sites = handlers.trace(handlers.substitute(seeded, values)).get_trace(data).values()
    return [site for site in sites if site["type"] == "sample"]


def _by_cell(logs: Array, n_cells: int) -> Array | None:
    """Sum over all axes but that of the cells, the first of its size; None if none is."""
    axes = [axis for axis, size in enumerate(logs.shape) if size == n_cells]
    if not axes:
        return None
    return jnp.moveaxis(logs, axes[0], 0).reshape(n_cells, -1).sum(axis=1)
