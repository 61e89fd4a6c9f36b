"""The mean-field families.  To add one: one entry in ``GUIDE_FAMILIES``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import digamma, polygamma
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scribeviz.models.families import Beta, BetaPrime, LogNormal
from scribeviz.models.parameterizations import Site
from scribeviz.models.priors import POSITIVE, REAL, SIMPLEX, UNIT_INTERVAL

type Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuideFamily:
    """A variational family for a site.

    Attributes
    ----------
    support
        That of its values; a site's prior and its guide share it.
    parameters
        Suffixes of its NumPyro parameters, with their constraint and first value, as in
        ``r_loc``, ``r_scale``.
    make
        From these parameters, in order, to the distribution of the site; no axis is an event.
    from_free
        ``(center, spread) -> parameters``: start values from a typical value and a standard
        deviation on the free scale.
    free_moments
        ``parameters -> (mean, standard deviation)`` on the free scale.
    mode, mean
        ``parameters -> value`` of the site; the mode is NaN where there is none.
    """

    support: str
    parameters: Mapping[str, tuple[constraints.Constraint, float]]
    make: Callable[..., dist.Distribution]
    from_free: Callable[[Array, Array], tuple[Array, ...]]
    free_moments: Callable[..., tuple[Array, Array]]
    mode: Callable[..., Array]
    mean: Callable[..., Array]

    def declare(self, names: list[str], shape: Shape) -> list[Array]:
        """Declare the parameters to NumPyro, at their first values."""
        entries = zip(names, self.parameters.values(), strict=True)
        return [
            numpyro.param(name, jnp.full(shape, first), constraint=constraint)
            for name, (constraint, first) in entries
        ]


def guide_of(site: Site) -> GuideFamily:
    """The family of a site."""
    return GUIDE_FAMILIES[site.guide]


def guide_names(site: Site) -> list[str]:
    """Names of a site's guide parameters, as in the reference: ``r_loc`` or ``phi_alpha``.

    An unconstrained site carries the name of its quantity: ``p_loc`` for ``p_unconstrained``.
    """
    prefix = site.quantity.removesuffix("_weights")
    return [f"{prefix}_{suffix}" for suffix in guide_of(site).parameters]


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


_LOC_SCALE = {"loc": (constraints.real, 0.0), "scale": (constraints.positive, 1.0)}
_ALPHA_BETA = {"alpha": (constraints.positive, 1.0), "beta": (constraints.positive, 1.0)}

GUIDE_FAMILIES: Mapping[str, GuideFamily] = {
    "lognormal": GuideFamily(
        support=POSITIVE,
        parameters=_LOC_SCALE,
        make=LogNormal,
        from_free=lambda center, spread: (center, spread),
        free_moments=lambda loc, scale: (loc, scale),
        mode=lambda loc, scale: jnp.exp(loc - scale**2),
        mean=lambda loc, scale: jnp.exp(loc + scale**2 / 2),
    ),
    "beta": GuideFamily(
        support=UNIT_INTERVAL,
        parameters=_ALPHA_BETA,
        make=Beta,
        from_free=_beta_from_free,
        free_moments=_beta_moments,
        mode=_beta_mode,
        mean=lambda alpha, beta: alpha / (alpha + beta),
    ),
    "betaprime": GuideFamily(
        support=POSITIVE,
        parameters=_ALPHA_BETA,
        make=BetaPrime,
        from_free=_beta_prime_from_free,
        free_moments=_beta_prime_moments,
        mode=_beta_prime_mode,
        mean=lambda alpha, beta: BetaPrime(alpha, beta).mean,
    ),
    "normal": GuideFamily(
        support=REAL,
        parameters=_LOC_SCALE,
        make=dist.Normal,
        from_free=lambda center, spread: (center, spread),
        free_moments=lambda loc, scale: (loc, scale),
        mode=lambda loc, _: loc,
        mean=lambda loc, _: loc,
    ),
    "dirichlet": GuideFamily(
        support=SIMPLEX,
        parameters={"concentrations": (constraints.positive, 1.0)},
        make=dist.Dirichlet,
        from_free=_dirichlet_from_free,
        free_moments=lambda concentrations: (
            digamma(concentrations) - digamma(concentrations.sum()),
            jnp.sqrt(polygamma(1, concentrations) - polygamma(1, concentrations.sum())),
        ),
        mode=_dirichlet_mode,
        mean=lambda concentrations: concentrations / concentrations.sum(),
    ),
}
