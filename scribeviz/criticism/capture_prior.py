r"""What is known about one cell's capture before its counts are seen, on the free scale.

Where the mRNA content of cells is stated, all cells share the anchor of the mean capture
(:meth:`CountModel.model`).  One cell among many then has its own prior tilted until that mean is
met, :math:`p(\nu)\, e^{\lambda\nu} / Z` (Gibbs conditioning; Cover & Thomas, Elements of
Information Theory, 11.6): without it a model would be scored by the level that was stated, which
the counts cannot see.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import brentq
from scipy.special import logsumexp

from scribeviz.models.builder import CountModel
from scribeviz.models.parameterizations import SUPPORTS, Site

_GRID = np.linspace(-25.0, 15.0, 4001)  # log odds of capture; float32 tells the ends from 0 and 1
_MEANS = (1e-6, 0.99)
_STEEPEST = 1e3


class Tilt(NamedTuple):
    """How far the mean that was stated bends the prior; zeros where none was."""

    slope: Float[Array, ""]
    log_normalizer: Float[Array, ""]


def capture_tilt(model: CountModel, site: Site, cell_totals: Float[np.ndarray, " cells"]) -> Tilt:
    """Find the tilt that gives captures the mean that ``total_mrna`` implies."""
    if not model.spec.total_mrna:
        return Tilt(jnp.zeros(()), jnp.zeros(()))
    stated = np.clip(np.mean(cell_totals) / model.spec.total_mrna, *_MEANS)
    free = _GRID if site.quantity == "p_capture" else -_GRID
    capture = 1 / (1 + np.exp(-_GRID))
    logs = np.asarray(log_prior(model, site, jnp.asarray(free, jnp.float32)), float)
    logs -= logsumexp(logs)

    def off(slope: float) -> float:
        tilted = logs + slope * capture
        return float(np.exp(logsumexp(tilted, b=capture) - logsumexp(tilted)) - stated)

    slope = brentq(off, -_STEEPEST / stated, _STEEPEST / (1 - stated))
    return Tilt(jnp.asarray(slope), jnp.asarray(logsumexp(logs + slope * capture)))


def log_prior(model: CountModel, site: Site, u: Array) -> Array:
    """Log density of a cell's capture on the free scale, before any tilt."""
    prior = model.spec.prior(site).distribution(())
    slope = jax.vmap(jax.grad(lambda x: value(site, x)))
    return prior.log_prob(value(site, u)) + jnp.log(jnp.abs(slope(u.ravel()))).reshape(u.shape)


def tilted_log_prior(model: CountModel, site: Site, tilt: Tilt, u: Array) -> Array:
    """Log density of a cell's capture on the free scale."""
    bent = tilt.slope * jnp.exp(log_capture(site, u)) - tilt.log_normalizer
    return log_prior(model, site, u) + bent


def log_capture(site: Site, u: Array) -> Array:
    """Ln of the capture probability; ``u`` is its log odds, or the log of its odds against."""
    return jax.nn.log_sigmoid(u if site.quantity == "p_capture" else -u)


def free_of_capture(site: Site, capture: Array) -> Array:
    """``u``, from the capture probability."""
    log_odds = jnp.log(capture) - jnp.log1p(-capture)
    return log_odds if site.quantity == "p_capture" else -log_odds


def value(site: Site, u: Array) -> Array:
    """The value of the site itself, from the free scale."""
    return SUPPORTS[site.support].from_free(u)
