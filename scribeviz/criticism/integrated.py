r"""Log-likelihood of cells with their own depth integrated out, for comparing models.

A cell's :math:`\nu_c` is fitted to that very cell: to condition on it while asking how well the
cell was predicted would count it twice (Pareto k near 1 for nearly every cell).  What a model
predicts of a new cell is

.. math:: p(x_c \mid \theta) = \int p(x_c \mid \nu, \theta)\, p(\nu)\, d\nu

with the prior of its depth (:mod:`scribeviz.criticism.depth_prior`), one integral per draw,
component and cell.  It is done on the free scale by adaptive Gauss-Hermite quadrature (Naylor &
Smith 1982, Appl. Stat. 31, 214).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scribeviz.criticism.budget import check_budget
from scribeviz.criticism.depth_prior import DepthPrior, depth_prior
from scribeviz.data.counts import Counts
from scribeviz.data.tables import CellRows
from scribeviz.models.builder import CountModel
from scribeviz.models.parameterizations import Values

_NODES = 9
_PASSES = 3  # where the nodes lie is corrected so often
_LIMITS = (1e-3, 5.0)  # of the spread of a cell's capture on the free scale
_FARTHEST = 30.0  # exp of it is all that float32 tells from 0 or 1


def integrated_log_likelihood(
    model: CountModel, values: Values, counts: Counts
) -> Float[np.ndarray, "draws cells"]:
    """Log-likelihood of every cell under posterior draws, in nats, its own capture integrated out.

    Parameters
    ----------
    model
        The model of the draws.
    values
        Draws of its sites by key, each with a leading axis of draws.  Those of capture are not
        looked at: cells need not be the ones that were fitted.
    counts
        Of ``model.n_genes`` genes.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(draws, cells)``; mixtures are summed over components.
    """
    shared = {s.key: jnp.asarray(values[s.key]) for s in model.spec.sites if "cells" not in s.axes}
    n_draws = len(next(iter(shared.values())))
    check_budget(
        "the log-likelihoods", (n_draws, counts.n_cells), np.float32, instead="fewer draws"
    )
    of_all = CountModel(model.spec, counts.n_cells, model.n_genes)
    rows = jax.tree.map(jnp.asarray, model.rows(counts))
    return np.asarray(_of_draws(of_all, shared, rows, depth_prior(model, counts.cell_totals)))


@partial(jax.jit, static_argnames="model")
def _of_draws(
    model: CountModel, draws: Values, rows: CellRows, prior: DepthPrior | None
) -> Float[Array, "draws cells"]:
    def one(draw: Values) -> Array:
        by_component, log_weights = _by_component(model, draw, rows, prior)
        return jax.nn.logsumexp(by_component + log_weights[:, None], axis=0)

    return jax.lax.map(one, draws)


def _by_component(
    model: CountModel, draw: Values, rows: CellRows, prior: DepthPrior | None
) -> tuple[Float[Array, "components cells"], Float[Array, " components"]]:
    # The middle of what a depth can be stands in, until the nodes are known.
    middle = {} if prior is None else prior.values(rows.cell_total.shape[0])
    natural = model.natural({**draw, **middle}, rows.log_depth)
    log_weights = natural.pop("log_weights")
    if prior is None:
        return model.likelihood.log_prob_cells(rows, natural), log_weights
    given = model.likelihood.log_prob_by_depth(rows, natural)
    start = _start(prior, model.likelihood.expected_totals(natural), rows)
    integral = _quadrature(lambda u: given(prior.log_depth(u)) + prior.log_density(u), start)
    return integral, log_weights


class _Bell(NamedTuple):
    """Where an integrand is large: center and spread on the free scale."""

    center: Float[Array, "components cells"]
    spread: Float[Array, "components cells"]


type _Integrand = Callable[[Float[Array, "components cells"]], Float[Array, "components cells"]]


def _quadrature(log_integrand: _Integrand, bell: _Bell) -> Float[Array, "components cells"]:
    """Logarithm of the integral, node after node so that only a few are in memory."""
    places, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    # exp(t^2 / 2) undoes the weight function.
    log_weights = jnp.asarray(np.log(weights) + places**2 / 2, bell.center.dtype)
    nodes = jnp.asarray(places, bell.center.dtype)

    def at(bell: _Bell) -> tuple[Array, Array]:
        points = bell.center + bell.spread * nodes[:, None, None]
        logs = jax.lax.map(log_integrand, points) + log_weights[:, None, None]
        return points, logs + jnp.log(bell.spread)

    for _ in range(_PASSES):
        points, logs = at(bell)
        share = jax.nn.softmax(logs, axis=0)
        center = (share * points).sum(axis=0)
        spread = jnp.sqrt((share * (points - center) ** 2).sum(axis=0))
        # Where all mass is at one node the spread is unknown: look closer around it.
        spread = jnp.clip(jnp.maximum(spread, bell.spread / 4), *_LIMITS)
        bell = _Bell(jnp.clip(center, -_FARTHEST, _FARTHEST), spread)
    return jax.nn.logsumexp(at(bell)[1], axis=0)


def _start(
    prior: DepthPrior, expected_totals: Float[Array, " components"], rows: CellRows
) -> _Bell:
    """Depth that gives each cell its total, and how well the total tells."""
    total = jnp.asarray(rows.cell_total) + 0.5
    depth = total / expected_totals[:, None]
    spread = 2 / (jnp.sqrt(total) * prior.steepness(depth))
    return _Bell(prior.free(depth), jnp.clip(spread, 0.02, _LIMITS[1]))
