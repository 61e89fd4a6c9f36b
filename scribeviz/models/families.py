r"""Distributions that NumPyro lacks, or has too slowly for ten thousand of them per step.

NumPyro draws a beta through a Dirichlet: some two microseconds a draw with its gradient, most of a
step when every gene or cell has one.  It has no divergence between log-normals and then estimates
one from the draw itself, which adds noise to every gradient.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints
from numpyro.distributions.kl import kl_divergence
from numpyro.distributions.util import promote_shapes

from scribeviz.models.special import dirichlet_divergence

# Shapes are raised by this much before the rejection step: it then accepts 99.4 % or more.
_RAISE = 4
_PROPOSALS = 2
_LARGEST_LOG = 80.0  # its exponential is a float32 still


def log_gamma_draw(
    key: PRNGKeyArray, concentration: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    r"""Logarithm of a standard gamma draw, with a gradient in its shape.

    Marsaglia & Tsang (2000, ACM TOMS 26, 363) at :math:`a + 4`, brought down by
    :math:`\prod_{i<4} U_i^{1/(a+i)}`.  One in 30,000 draws is an unaccepted second proposal.

    Notes
    -----
    The gradient holds the noise fixed and leaves out that acceptance depends on the shape
    (Naesseth et al. 2017, AISTATS): at these raised shapes it is off by less than 0.1 %, which
    ``tests/models/test_families.py`` measures.
    """
    # One call of the generator: each is a tenth of a second of compilation.
    shape = (2 * _PROPOSALS - 1 + _RAISE, *jnp.shape(concentration))
    uniforms = jax.random.uniform(key, shape, minval=jnp.nextafter(-1.0, 0.0), maxval=1.0)
    x = math.sqrt(2) * lax.erf_inv(uniforms[:_PROPOSALS])
    log_u = jnp.log((1 + uniforms[_PROPOSALS:]) / 2)
    d = concentration + (_RAISE - 1 / 3)
    each = d[None]  # of each proposal
    cube = 1 + x / jnp.sqrt(9 * each)
    log_v = 3 * jnp.log(jnp.where(cube > 0, cube, 1.0))
    ratio = 0.5 * x**2 + each * (1 - cube**3 + log_v)
    accepted = (cube[0] > 0) & (log_u[0] < ratio[0])
    # The last proposal is taken as it is; where it is no gamma draw at all, the mode is.
    log_ratio = jnp.where(accepted, log_v[0], jnp.where(cube[1] > 0, log_v[1], 0.0))
    lowered = sum(log_u[-1 - i] / (concentration + i) for i in range(_RAISE))
    return jnp.log(d) + log_ratio + lowered


def logit_beta_draw(
    key: PRNGKeyArray, alpha: Float[Array, "*shape"], beta: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Log odds of a beta draw: exact to the last digit near 0 and near 1 alike."""
    alpha, beta = jnp.broadcast_arrays(alpha, beta)
    draws = log_gamma_draw(key, jnp.stack([alpha, beta]))
    return draws[0] - draws[1]


class LogNormal(dist.LogNormal):
    """NumPyro's log-normal distribution, with an exact divergence from another."""


@kl_divergence.register(LogNormal, LogNormal)
def _kl_log_normal(p: LogNormal, q: LogNormal) -> Array:
    # A one-to-one map changes no divergence: that of the logarithms.
    return kl_divergence(dist.Normal(p.loc, p.scale), dist.Normal(q.loc, q.scale))


class Gamma(dist.Gamma):
    """NumPyro's gamma distribution with a faster ``sample``."""

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw positive values."""
        shape = sample_shape + self.batch_shape
        log_draw = log_gamma_draw(key, jnp.broadcast_to(self.concentration, shape))
        return jnp.exp(jnp.clip(log_draw, -_LARGEST_LOG)) / self.rate


class Beta(dist.Beta):
    """NumPyro's beta distribution with a faster ``sample`` and divergence."""

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw values strictly between 0 and 1."""
        shape = sample_shape + self.batch_shape
        logit = logit_beta_draw(
            key,
            jnp.broadcast_to(self.concentration1, shape),
            jnp.broadcast_to(self.concentration0, shape),
        )
        finfo = jnp.finfo(logit.dtype)
        return jnp.clip(jax.nn.sigmoid(logit), finfo.tiny, 1 - finfo.epsneg)


@kl_divergence.register(Beta, Beta)
def _kl_beta(p: Beta, q: Beta) -> Array:
    return _divergence_of_betas(
        p.concentration1, p.concentration0, q.concentration1, q.concentration0
    )


class Dirichlet(dist.Dirichlet):
    """NumPyro's Dirichlet distribution with a faster ``sample`` and divergence."""

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw shares that are above 0 and sum to 1."""
        shape = sample_shape + self.batch_shape + self.event_shape
        log_draws = log_gamma_draw(key, jnp.broadcast_to(self.concentration, shape))
        return jnp.clip(jax.nn.softmax(log_draws), jnp.finfo(log_draws.dtype).tiny)


@kl_divergence.register(Dirichlet, Dirichlet)
def _kl_dirichlet(p: Dirichlet, q: Dirichlet) -> Array:
    return _divergence(p.concentration, q.concentration)


class BetaPrime(dist.Distribution):
    r"""Odds of failure :math:`\varphi = (1-p)/p` of a probability ``p ~ Beta(alpha, beta)``.

    The density is :math:`\varphi^{\beta-1} (1+\varphi)^{-\alpha-\beta} / B(\alpha, \beta)`: in
    SciPy's order, ``betaprime(beta, alpha)``.

    Parameters
    ----------
    alpha, beta
        Those of the probability; positive.

    Examples
    --------
    >>> from scribeviz import stats
    >>> float(stats.BetaPrime(3.0, 4.0).mean)
    2.0
    """

    arg_constraints = {"alpha": constraints.positive, "beta": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["alpha", "beta"]

    def __init__(self, alpha: Any, beta: Any, *, validate_args: bool | None = None) -> None:
        self.alpha, self.beta = promote_shapes(jnp.asarray(alpha), jnp.asarray(beta))
        shape = lax.broadcast_shapes(jnp.shape(alpha), jnp.shape(beta))
        super().__init__(batch_shape=shape, validate_args=validate_args)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw positive values."""
        shape = sample_shape + self.batch_shape
        logit = logit_beta_draw(
            key, jnp.broadcast_to(self.alpha, shape), jnp.broadcast_to(self.beta, shape)
        )
        return jnp.exp(jnp.clip(-logit, -_LARGEST_LOG, _LARGEST_LOG))

    def log_prob(self, value: Array) -> Array:
        """Log density."""
        a, b = self.alpha, self.beta
        normalizer = jax.scipy.special.betaln(a, b)
        return (b - 1) * jnp.log(value) - (a + b) * jnp.log1p(value) - normalizer

    @property
    def mean(self) -> Array:
        """``beta / (alpha - 1)``; infinite for ``alpha <= 1``."""
        finite = self.alpha > 1
        return jnp.where(finite, self.beta / jnp.where(finite, self.alpha - 1, 1.0), jnp.inf)

    @property
    def variance(self) -> Array:
        """Infinite for ``alpha <= 2``."""
        a, b = self.alpha, self.beta
        finite = a > 2
        below = jnp.where(finite, (a - 2) * (a - 1) ** 2, 1.0)
        return jnp.where(finite, b * (a + b - 1) / below, jnp.inf)


@kl_divergence.register(BetaPrime, BetaPrime)
def _kl_beta_prime(p: BetaPrime, q: BetaPrime) -> Array:
    # That of the probabilities behind the odds.
    return _divergence_of_betas(p.alpha, p.beta, q.alpha, q.beta)


def _divergence_of_betas(*shapes: Array) -> Array:
    alpha1, beta1, alpha2, beta2 = jnp.broadcast_arrays(*shapes)
    return _divergence(jnp.stack([alpha1, beta1], axis=-1), jnp.stack([alpha2, beta2], axis=-1))


def _divergence(p: Array, q: Array) -> Array:
    # A prior may be given in whole numbers.
    return dirichlet_divergence(*jnp.broadcast_arrays(1.0 * p, 1.0 * q))
