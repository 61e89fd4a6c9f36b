r"""What is known about one cell's depth before its counts are seen.

A depth is looked at on a free scale ``u``, where every real number is allowed.  Inferred captures
have the prior of their site, on log odds.  Where the mRNA content of cells is stated, all cells
share the anchor of the mean capture (:meth:`CountModel.model`).  One cell among many then has its
own prior tilted until that mean is met, :math:`p(\nu)\, e^{\lambda\nu} / Z` (Gibbs conditioning;
Cover & Thomas, Elements of Information Theory, 11.6): without it a model would be scored by the
level that was stated, which the counts cannot see.

Depths that are taken from the cells' own totals are not known of an unseen cell: they have the
log-normal distribution of those of the fitted cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import brentq
from scipy.special import logsumexp

from scribeviz._cards import shown_by_fields
from scribeviz.models.builder import CountModel
from scribeviz.models.likelihood import GIVEN, NO_DEPTH
from scribeviz.models.parameterizations import SUPPORTS, Site
from scribeviz.models.priors import Prior

_GRID = np.linspace(-25.0, 15.0, 4001)  # log odds of capture; float32 tells the ends from 0 and 1
_MEANS = (1e-6, 0.99)
_STEEPEST = 1e3
_NARROWEST = 0.05  # spread of log depths: cells of one total are known to differ a little


class DepthPrior(Protocol):
    """The prior of a cell's depth."""

    def values(self, n_cells: int) -> Mapping[str, Array]:
        """Values of the sites of cells, from the middle of what they can be."""

    def log_depth(self, u: Array) -> Array:
        """Log depth, from the free scale."""

    def log_density(self, u: Array) -> Array:
        """Log density on the free scale."""

    def free(self, depth: Array) -> Array:
        """``u``, from a depth."""

    def steepness(self, depth: Array) -> Array:
        """How fast the log depth changes with ``u``."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("slope", "log_normalizer"),
    meta_fields=("site", "prior"),
)
@shown_by_fields
@dataclass(frozen=True)
class CapturePrior:
    """Of inferred captures.

    Attributes
    ----------
    site, prior
        The site of capture, and its prior.
    slope, log_normalizer
        How far the mean that was stated bends the prior; zeros where none was.
    """

    site: Site
    prior: Prior
    slope: Float[Array, ""]
    log_normalizer: Float[Array, ""]

    def values(self, n_cells: int) -> Mapping[str, Array]:
        """Values of the site, from the middle of what can be captured."""
        return {self.site.key: self._value(jnp.zeros(n_cells))}

    def log_depth(self, u: Array) -> Array:
        """Ln of the capture; ``u`` is its log odds, or the log of its odds against."""
        return jax.nn.log_sigmoid(u if self._is_for else -u)

    def log_density(self, u: Array) -> Array:
        """Log density on the free scale."""
        bent = self.slope * jnp.exp(self.log_depth(u)) - self.log_normalizer
        return self.log_prior(u) + bent

    def log_prior(self, u: Array) -> Array:
        """The same before any tilt."""
        slope = jax.vmap(jax.grad(self._value))
        jacobian = jnp.log(jnp.abs(slope(u.ravel()))).reshape(u.shape)
        return self.prior.distribution(()).log_prob(self._value(u)) + jacobian

    def free(self, depth: Array) -> Array:
        """``u``, from the capture."""
        capture = jnp.clip(depth, 1e-8, 0.99)
        log_odds = jnp.log(capture) - jnp.log1p(-capture)
        return log_odds if self._is_for else -log_odds

    def steepness(self, depth: Array) -> Array:
        """How fast the log capture changes with ``u``."""
        return 1 - jnp.clip(depth, 1e-8, 0.99)

    @property
    def _is_for(self) -> bool:
        return self.site.quantity == "p_capture"

    def _value(self, u: Array) -> Array:
        return SUPPORTS[self.site.support].from_free(u)


@partial(jax.tree_util.register_dataclass, data_fields=("mean", "spread"), meta_fields=())
@shown_by_fields
@dataclass(frozen=True)
class TotalsPrior:
    """Of depths that are those of the cells' totals: log-normal, ``u`` is the log depth."""

    mean: Float[Array, ""]
    spread: Float[Array, ""]

    def values(self, n_cells: int) -> Mapping[str, Array]:
        """No site is of cells."""
        del n_cells
        return {}

    def log_depth(self, u: Array) -> Array:
        """The free scale itself."""
        return u

    def log_density(self, u: Array) -> Array:
        """Log density of the log depth."""
        return jax.scipy.stats.norm.logpdf(u, self.mean, self.spread)

    def free(self, depth: Array) -> Array:
        """The log depth."""
        return jnp.log(depth)

    def steepness(self, depth: Array) -> Array:
        """The free scale is that of the log depth."""
        return jnp.ones_like(depth)


def depth_prior(
    model: CountModel, cell_totals: Float[np.ndarray, " cells"]
) -> CapturePrior | TotalsPrior | None:
    """The prior of a cell's depth; None where all cells are alike.

    Parameters
    ----------
    model
        The model that was fitted, with the depths of its cells where these were given.
    cell_totals
        Of the cells that are scored.
    """
    if model.likelihood.depth == NO_DEPTH:
        return None
    if model.likelihood.depth == GIVEN:
        log_depth = model.fitted_log_depth
        spread = max(float(log_depth.std()), _NARROWEST)
        return TotalsPrior(jnp.asarray(log_depth.mean()), jnp.asarray(spread))
    site = next(site for site in model.spec.sites if "cells" in site.axes)
    untilted = CapturePrior(site, model.spec.prior(site), jnp.zeros(()), jnp.zeros(()))
    return _tilted(untilted, model, cell_totals)


def _tilted(
    prior: CapturePrior, model: CountModel, cell_totals: Float[np.ndarray, " cells"]
) -> CapturePrior:
    """Find the tilt that gives captures the mean that ``total_mrna`` implies."""
    if not model.spec.total_mrna:
        return prior
    stated = np.clip(np.mean(cell_totals) / model.spec.total_mrna, *_MEANS)
    free = _GRID if prior.site.quantity == "p_capture" else -_GRID
    capture = 1 / (1 + np.exp(-_GRID))
    logs = np.asarray(prior.log_prior(jnp.asarray(free, jnp.float32)), float)
    logs -= logsumexp(logs)

    def off(slope: float) -> float:
        tilted = logs + slope * capture
        return float(np.exp(logsumexp(tilted, b=capture) - logsumexp(tilted)) - stated)

    slope = brentq(off, -_STEEPEST / stated, _STEEPEST / (1 - stated))
    normalizer = jnp.asarray(logsumexp(logs + slope * capture))
    return CapturePrior(prior.site, prior.prior, jnp.asarray(slope), normalizer)
