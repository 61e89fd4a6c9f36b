"""The mean-field families, one per support, so that a guide cannot leave its prior's support."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scribeviz.models.priors import POSITIVE, SIMPLEX, UNIT_INTERVAL

type Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuideFamily:
    """A variational family for a site.

    Attributes
    ----------
    parameters
        Suffixes of its NumPyro parameters, with their constraint and first value, as in
        ``r_loc``, ``r_scale``.
    make
        From these parameters, in order, to the distribution of the site (all axes are events).
    from_moments
        ``(center, spread) -> parameters``: start values from a typical value and its relative
        standard deviation.
    mode, mean
        ``parameters -> value`` of the site; the mode is NaN where there is none.
    """

    parameters: Mapping[str, tuple[constraints.Constraint, float]]
    make: Callable[..., dist.Distribution]
    from_moments: Callable[[Array, Array], tuple[Array, ...]]
    mode: Callable[..., Array]
    mean: Callable[..., Array]

    def names(self, site: str) -> list[str]:
        """Names of the parameters of ``site``, in the order of ``make``."""
        return [f"{_PREFIX.get(site, site)}_{suffix}" for suffix in self.parameters]

    def declare(self, site: str, shape: Shape) -> list[Array]:
        """Declare the parameters of ``site`` to NumPyro, at their first values."""
        entries = zip(self.names(site), self.parameters.values(), strict=True)
        return [
            numpyro.param(name, jnp.full(shape, first), constraint=constraint)
            for name, (constraint, first) in entries
        ]


# The reference calls the parameter of the weights "mixing_concentrations".
_PREFIX = {"mixing_weights": "mixing"}


def _beta_from_moments(center: Array, spread: Array) -> tuple[Array, Array]:
    # Relative spread of a beta: sqrt((1 - m) / (m (size + 1))).
    size = (1 - center) / (center * spread**2)
    return center * size, (1 - center) * size


def _beta_mode(alpha: Array, beta: Array) -> Array:
    inside = (alpha > 1) & (beta > 1)
    return jnp.where(inside, (alpha - 1) / jnp.where(inside, alpha + beta - 2, 1), jnp.nan)


def _dirichlet_mode(concentrations: Float[Array, " k"]) -> Float[Array, " k"]:
    k = concentrations.shape[-1]
    inside = (concentrations > 1).all()
    total = jnp.where(inside, concentrations.sum() - k, 1)
    return jnp.where(inside, (concentrations - 1) / total, jnp.nan)


GUIDE_FAMILIES: Mapping[str, GuideFamily] = {
    POSITIVE: GuideFamily(
        parameters={"loc": (constraints.real, 0.0), "scale": (constraints.positive, 1.0)},
        make=lambda loc, scale: dist.LogNormal(loc, scale).to_event(jnp.ndim(loc)),
        from_moments=lambda center, spread: (jnp.log(center), spread),
        mode=lambda loc, scale: jnp.exp(loc - scale**2),
        mean=lambda loc, scale: jnp.exp(loc + scale**2 / 2),
    ),
    UNIT_INTERVAL: GuideFamily(
        parameters={"alpha": (constraints.positive, 1.0), "beta": (constraints.positive, 1.0)},
        make=lambda alpha, beta: dist.Beta(alpha, beta).to_event(jnp.ndim(alpha)),
        from_moments=_beta_from_moments,
        mode=_beta_mode,
        mean=lambda alpha, beta: alpha / (alpha + beta),
    ),
    SIMPLEX: GuideFamily(
        parameters={"concentrations": (constraints.positive, 1.0)},
        make=dist.Dirichlet,
        # ``spread`` of a share m is about 1 / sqrt(m size): one size for all, from the largest.
        from_moments=lambda center, spread: (center / (center * spread**2).max(),),
        mode=_dirichlet_mode,
        mean=lambda concentrations: concentrations / concentrations.sum(),
    ),
}
