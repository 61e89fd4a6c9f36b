"""The variational families.  To add one: one entry in ``GUIDE_FAMILIES``."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import scipy.stats
from jax.scipy.special import digamma, polygamma
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scribeviz.models.families import Beta, BetaPrime, Dirichlet, Gamma, LogNormal
from scribeviz.models.guide import Guide, MeanField
from scribeviz.models.low_rank import LowRank
from scribeviz.models.priors import POSITIVE, REAL, SIMPLEX, UNIT_INTERVAL

LOW_RANK = "low_rank"


def _size(center: Array, spread: Array) -> tuple[Array, Array]:
    # The log odds of a beta with mean m and size s have variance 1 / (s m (1 - m)), nearly.
    m = 1 / (1 + jnp.exp(-center))
    return m, 1 / (m * (1 - m) * spread**2)


def _beta_from_free(center: Array, spread: Array) -> tuple[Array, Array]:
    m, size = _size(center, spread)
    return m * size, (1 - m) * size


def _beta_moments(alpha: Array, beta: Array) -> tuple[Array, Array]:
    mean = digamma(alpha) - digamma(beta)
    return mean, jnp.sqrt(polygamma(1, alpha) + polygamma(1, beta))


def _beta_mode(alpha: Array, beta: Array) -> Array:
    inside = (alpha > 1) & (beta > 1)
    return jnp.where(inside, (alpha - 1) / jnp.where(inside, alpha + beta - 2, 1), jnp.nan)


def _beta_prime_from_free(center: Array, spread: Array) -> tuple[Array, Array]:
    return _beta_from_free(-center, spread)


def _beta_prime_moments(alpha: Array, beta: Array) -> tuple[Array, Array]:
    mean, spread = _beta_moments(alpha, beta)
    return -mean, spread


def _beta_prime_mode(alpha: Array, beta: Array) -> Array:
    return jnp.where(beta >= 1, (beta - 1) / (alpha + 1), jnp.nan)


def _dirichlet_mode(concentrations: Float[Array, " k"]) -> Float[Array, " k"]:
    k = concentrations.shape[-1]
    inside = (concentrations > 1).all()
    total = jnp.where(inside, concentrations.sum() - k, 1)
    return jnp.where(inside, (concentrations - 1) / total, jnp.nan)


def _dirichlet_from_free(center: Array, spread: Array) -> tuple[Array]:
    # A log share has a variance of about 1 / concentration: one size for all, from the largest.
    share = jnp.exp(center)
    return (share / (share * spread**2).max(),)


def _gamma_from_free(center: Array, spread: Array) -> tuple[Array, Array]:
    # The log of a gamma of shape a has variance trigamma(a), about 1 / a + 1 / (2 a^2).
    shape = (1 + jnp.sqrt(1 + 2 * spread**2)) / (2 * spread**2)
    return shape, jnp.exp(digamma(shape) - center)


_LOC_SCALE = {"loc": (constraints.real, 0.0), "scale": (constraints.positive, 1.0)}
_ALPHA_BETA = {"alpha": (constraints.positive, 1.0), "beta": (constraints.positive, 1.0)}
_SHAPE_RATE = {"concentration": (constraints.positive, 1.0), "rate": (constraints.positive, 1.0)}

_LOG_NORMAL = MeanField(
    key="lognormal",
    label="Log-normal",
    supports=(POSITIVE,),
    parameters=_LOC_SCALE,
    make=LogNormal,
    scipy=lambda loc, scale: scipy.stats.lognorm(s=scale, scale=np.exp(loc)),
    from_free=lambda center, spread: (center, spread),
    free_moments=lambda loc, scale: (loc, scale),
    mode=lambda loc, scale: jnp.exp(loc - scale**2),
    mean=lambda loc, scale: jnp.exp(loc + scale**2 / 2),
)
_NORMAL = MeanField(
    key="normal",
    label="Normal",
    supports=(REAL,),
    parameters=_LOC_SCALE,
    make=dist.Normal,
    scipy=scipy.stats.norm,
    from_free=lambda center, spread: (center, spread),
    free_moments=lambda loc, scale: (loc, scale),
    mode=lambda loc, _: loc,
    mean=lambda loc, _: loc,
)

GUIDE_FAMILIES: Mapping[str, Guide] = {
    entry.key: entry
    for entry in (
        _LOG_NORMAL,
        MeanField(
            key="gamma",
            label="Gamma",
            supports=(POSITIVE,),
            parameters=_SHAPE_RATE,
            make=Gamma,
            scipy=lambda shape, rate: scipy.stats.gamma(shape, scale=1 / rate),
            from_free=_gamma_from_free,
            free_moments=lambda shape, rate: (
                digamma(shape) - jnp.log(rate),
                jnp.sqrt(polygamma(1, shape)),
            ),
            mode=lambda shape, rate: jnp.where(shape >= 1, (shape - 1) / rate, jnp.nan),
            mean=lambda shape, rate: shape / rate,
        ),
        MeanField(
            key="beta",
            label="Beta",
            supports=(UNIT_INTERVAL,),
            parameters=_ALPHA_BETA,
            make=Beta,
            scipy=scipy.stats.beta,
            from_free=_beta_from_free,
            free_moments=_beta_moments,
            mode=_beta_mode,
            mean=lambda alpha, beta: alpha / (alpha + beta),
        ),
        MeanField(
            key="betaprime",
            label="Beta prime",
            supports=(POSITIVE,),
            parameters=_ALPHA_BETA,
            make=BetaPrime,
            # Odds against, where SciPy has odds for.
            scipy=lambda alpha, beta: scipy.stats.betaprime(beta, alpha),
            from_free=_beta_prime_from_free,
            free_moments=_beta_prime_moments,
            mode=_beta_prime_mode,
            mean=lambda alpha, beta: BetaPrime(alpha, beta).mean,
        ),
        _NORMAL,
        MeanField(
            key="dirichlet",
            label="Dirichlet",
            supports=(SIMPLEX,),
            parameters={"concentrations": (constraints.positive, 1.0)},
            make=Dirichlet,
            scipy=scipy.stats.dirichlet,
            from_free=_dirichlet_from_free,
            free_moments=lambda concentrations: (
                digamma(concentrations) - digamma(concentrations.sum()),
                jnp.sqrt(polygamma(1, concentrations) - polygamma(1, concentrations.sum())),
            ),
            mode=_dirichlet_mode,
            mean=lambda concentrations: concentrations / concentrations.sum(),
            is_vector=True,
        ),
        LowRank(key=LOW_RANK, label="Low-rank normal", positive=_LOG_NORMAL, real=_NORMAL),
    )
}
