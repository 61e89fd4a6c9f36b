r"""Log-likelihood of cells with their own capture integrated out, for comparing models.

A cell's :math:`\nu_c` is fitted to that very cell: to condition on it while asking how well the
cell was foretold would count it twice (Pareto k near 1 for nearly every cell).  What a model
foretells of a new cell is

.. math:: p(x_c \mid \theta) = \int p(x_c \mid \nu, \theta)\, p(\nu)\, d\nu

with the prior of capture (:mod:`scribeviz.criticism.capture_prior`), one integral per draw,
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
from scribeviz.criticism.capture_prior import (
    Tilt,
    capture_tilt,
    free_of_capture,
    log_capture,
    tilted_log_prior,
    value,
)
from scribeviz.data.counts import Counts
from scribeviz.data.tables import CellRows
from scribeviz.models.builder import CountModel
from scribeviz.models.parameterizations import Site, Values

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
    rows = jax.tree.map(jnp.asarray, of_all.rows(counts))
    site = _capture_site(model)
    tilt = None if site is None else capture_tilt(model, site, counts.cell_totals)
    return np.asarray(_of_draws(of_all, shared, rows, tilt))


def _capture_site(model: CountModel) -> Site | None:
    return next((site for site in model.spec.sites if "cells" in site.axes), None)


@partial(jax.jit, static_argnames="model")
def _of_draws(
    model: CountModel, draws: Values, rows: CellRows, tilt: Tilt | None
) -> Float[Array, "draws cells"]:
    def one(draw: Values) -> Array:
        by_component, log_weights = _by_component(model, draw, rows, tilt)
        return jax.nn.logsumexp(by_component + log_weights[:, None], axis=0)

    return jax.lax.map(one, draws)


def _by_component(
    model: CountModel, draw: Values, rows: CellRows, tilt: Tilt | None
) -> tuple[Float[Array, "components cells"], Float[Array, " components"]]:
    site = _capture_site(model)
    if site is None or tilt is None:
        natural = dict(model.natural(draw))
        log_weights = natural.pop("log_weights")
        return model.likelihood.log_prob_cells(rows, natural), log_weights
    n_cells = rows.cell_total.shape[0]
    # The middle of what can be captured stands in, until the nodes are known.
    natural = dict(model.natural({**draw, site.key: value(site, jnp.zeros(n_cells))}))
    log_weights = natural.pop("log_weights")
    if model.likelihood.has_gate:
        given = _each_node(model, site, natural, rows)
    else:
        given = _closed(model, site, natural, rows)
    start = _start(site, natural, rows)
    prior = partial(tilted_log_prior, model, site, tilt)
    return _quadrature(lambda u: given(u) + prior(u), start), log_weights


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


def _start(site: Site, natural: Values, rows: CellRows) -> _Bell:
    """Capture that gives each cell its total, and how well the total tells."""
    expected = jnp.exp(natural["log_r"] + natural["log_odds"][:, None])
    if "gate_logit" in natural:
        expected *= jax.nn.sigmoid(-natural["gate_logit"])
    total = rows.cell_total + 0.5
    capture = jnp.clip(total / expected.sum(axis=1)[:, None], 1e-8, 0.99)
    center = free_of_capture(site, capture)
    spread = 2 / (jnp.sqrt(total) * (1 - capture))
    return _Bell(center, jnp.clip(spread, 0.02, _LIMITS[1]))


def _closed(model: CountModel, site: Site, natural: Values, rows: CellRows) -> _Integrand:
    """Without a gate only T ln p + R ln(1 - p) depends on capture: the rest is computed once."""
    r = jnp.exp(natural["log_r"]).sum(axis=1)[:, None]
    total = jnp.asarray(rows.cell_total)

    def varying(log_nu: Array) -> Array:
        eta = natural["log_odds"][:, None] + log_nu
        return total * jax.nn.log_sigmoid(eta) + r * jax.nn.log_sigmoid(-eta)

    whole = model.likelihood.log_prob_cells(rows, natural)
    rest = whole - varying(natural["log_capture"])
    return lambda u: rest + varying(log_capture(site, u))


def _each_node(model: CountModel, site: Site, natural: Values, rows: CellRows) -> _Integrand:
    """With a gate every node costs a pass over the non-zeros, for each component."""

    def given(u: Array) -> Array:
        def of_component(single: tuple[Values, Array]) -> Array:
            own, log_nu = single
            own = {name: value[None] for name, value in own.items()}
            own["log_capture"] = log_nu
            return model.likelihood.log_prob_cells(rows, own)[0]

        per_component = {k: v for k, v in natural.items() if k != "log_capture"}
        return jax.lax.map(of_component, (per_component, log_capture(site, u)))

    return given
