r"""A guide that lets the genes move together, with each other and with the odds.

Given the odds, the free values of the gene-level site are

.. math:: x_g = \mathrm{loc}_g + \mathrm{slope}_g\, d + \sum_k F_{gk} z_k + \mathrm{scale}_g\, e_g,

with :math:`d` how far the free value of p (or phi) lies from its own mean.  A mean-field guide has
neither slope nor F: it lays a rectangle on the ridge that p and r share, and is too sure of both.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints
from numpyro.distributions.kl import kl_divergence

from scribeviz.models.guide import Guide, Lazy, MeanField, Shape
from scribeviz.models.parameterizations import Site
from scribeviz.models.priors import POSITIVE, REAL

# Directions that start at zero would have no gradient: z enters only through F z.
_FIRST_FACTOR = 0.01


class LowRankNormal(dist.Distribution):
    """Normal with covariance ``factor @ factor.T + diag(scale**2)`` over the last axis.

    Parameters
    ----------
    loc, scale
        Shape ``(*components, genes)``.
    factor
        Shape ``(*components, genes, rank)``.
    positive
        Whether values are the exponentials of these.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "factor": constraints.independent(constraints.real, 2),
        "scale": constraints.independent(constraints.positive, 1),
    }
    reparametrized_params = ["loc", "factor", "scale"]
    pytree_data_fields = ("loc", "factor", "scale")
    pytree_aux_fields = ("positive",)

    def __init__(self, loc: Array, factor: Array, scale: Array, *, positive: bool) -> None:
        self.loc, self.factor, self.scale, self.positive = loc, factor, scale, positive
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Positive or real vectors."""
        one = constraints.positive if self.positive else constraints.real
        return constraints.independent(one, 1)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw values, shape ``(*sample_shape, *components, genes)``."""
        shared, single = jax.random.split(key)
        rank = self.factor.shape[-1]
        z = jax.random.normal(shared, (*sample_shape, *self.batch_shape, rank))
        e = jax.random.normal(single, sample_shape + self.loc.shape)
        free = self.loc + jnp.einsum("...gk,...k->...g", self.factor, z) + self.scale * e
        return jnp.exp(free) if self.positive else free

    def log_prob(self, value: Array) -> Array:
        """Log density."""
        free = jnp.log(value) if self.positive else value
        normal = dist.LowRankMultivariateNormal(
            self.loc, self.factor, self.scale**2, validate_args=False
        )
        jacobian = free.sum(axis=-1) if self.positive else 0.0
        return normal.log_prob(free) - jacobian

    @property
    def marginal_spread(self) -> Float[Array, "*components genes"]:
        """Standard deviation of each gene on the free scale."""
        return jnp.sqrt(self.scale**2 + (self.factor**2).sum(axis=-1))

    @property
    def half_log_determinant(self) -> Float[Array, "*components"]:
        """Half the log determinant of the covariance, by that of a small matrix."""
        rank = self.factor.shape[-1]
        scaled = self.factor / self.scale[..., None]
        small = jnp.eye(rank) + jnp.einsum("...gi,...gj->...ij", scaled, scaled)
        diagonal = jnp.diagonal(jnp.linalg.cholesky(small), axis1=-2, axis2=-1)
        return jnp.log(self.scale).sum(axis=-1) + jnp.log(diagonal).sum(axis=-1)


_SUFFIXES = ("loc", "scale", "factor", "slope")


@dataclass(frozen=True, kw_only=True, eq=False)
class LowRank(Guide):
    """Genes that move together in a few directions, and along the odds.

    Attributes
    ----------
    positive, real
        The families of single values: of positive sites, and of those on the free scale.
    """

    key: str
    label: str
    positive: MeanField
    real: MeanField
    supports: tuple[str, ...] = (POSITIVE, REAL)
    follows_odds: bool = True

    def names(self, site: Site) -> list[str]:
        """Names of the parameters, such as ``r_factor``."""
        return [f"{site.quantity}_{suffix}" for suffix in _SUFFIXES]

    def declare(self, site: Site, shape: Shape, rank: int) -> list[Array]:
        """Declare the parameters to NumPyro, at their first values."""
        loc, scale, factor, slope = self.names(site)
        # Distinct directions from the start, the same in every fit.
        start = _FIRST_FACTOR * jax.random.normal(jax.random.PRNGKey(0), (*shape, rank))
        return [
            numpyro.param(loc, jnp.zeros(shape)),
            numpyro.param(scale, jnp.ones(shape), constraint=constraints.positive),
            numpyro.param(factor, start),
            numpyro.param(slope, jnp.zeros(shape)),
        ]

    def conditional(self, site: Site, params: list[Array], deviation: Lazy) -> LowRankNormal:
        """Where the odds deviate by this much from their mean."""
        loc, scale, factor, slope = params
        moved = loc + slope * _over_genes(deviation(), loc.ndim)
        return LowRankNormal(moved, factor, scale, positive=site.support == POSITIVE)

    def joint(self, site: Site, params: list[Array], spread: Lazy) -> LowRankNormal:
        """Whatever the odds: their spread becomes one more direction."""
        loc, scale, factor, slope = params
        column = slope * _over_genes(spread(), loc.ndim)
        factor = jnp.concatenate([factor, column[..., None]], axis=-1)
        return LowRankNormal(loc, factor, scale, positive=site.support == POSITIVE)

    def marginal(
        self, site: Site, params: list[Array], spread: Lazy
    ) -> tuple[MeanField, list[Array]]:
        """That of single genes."""
        joint = self.joint(site, params, spread)
        family = self.positive if site.support == POSITIVE else self.real
        return family, [joint.loc, joint.marginal_spread]

    def start(self, site: Site, center: Array, spread: Array, slope: float) -> dict[str, Array]:
        """Parameters by name; directions begin where they are declared."""
        loc, scale, _, slopes = self.names(site)
        return {loc: center, scale: spread, slopes: jnp.full(center.shape, slope, center.dtype)}


def _over_genes(shared: Array, ndim: int) -> Array:
    return jnp.reshape(shared, jnp.shape(shared) + (1,) * (ndim - jnp.ndim(shared)))


@kl_divergence.register(LowRankNormal, dist.Independent)
def _kl_from_independent(p: LowRankNormal, q: dist.Independent) -> Array:
    base = q.base_dist
    if isinstance(base, dist.ExpandedDistribution):
        base = base.base_dist
    if not isinstance(base, dist.LogNormal if p.positive else dist.Normal):
        raise NotImplementedError  # NumPyro then estimates it from the draw
    inside = (p.marginal_spread**2 + (p.loc - base.loc) ** 2) / base.scale**2
    terms = 0.5 * (inside - 1) + jnp.log(base.scale)
    return terms.sum(axis=-1) - p.half_log_determinant
