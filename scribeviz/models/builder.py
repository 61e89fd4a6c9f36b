"""From a spec to a NumPyro model and guide: the only place where the axes meet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, PRNGKeyArray

from scribeviz.data.counts import Counts
from scribeviz.data.tables import CellRows, SurvivalTable, cell_rows, survival_table
from scribeviz.models.distribution import CountDistribution
from scribeviz.models.guides import GUIDE_FAMILIES, GuideFamily
from scribeviz.models.likelihoods import LIKELIHOODS, Likelihood
from scribeviz.models.parameterizations import MIXING, PARAMETERIZATIONS, Site, Values
from scribeviz.models.spec import ModelSpec

type Tables = SurvivalTable | CellRows
type Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CountModel:
    """A model of ``n_cells`` x ``n_genes`` counts: ``model`` and ``guide`` are plain NumPyro.

    ``model(tables)`` conditions on data; ``model()`` predicts: NumPyro's ``Predictive`` works.
    """

    spec: ModelSpec
    n_cells: int
    n_genes: int

    @property
    def likelihood(self) -> Likelihood:
        """The registry entry of the likelihood."""
        return LIKELIHOODS[self.spec.likelihood]

    def model(self, tables: Tables | None = None) -> None:
        """Priors and likelihood."""
        counts = self.counts_given(self.sample_priors())
        if tables is None:
            numpyro.sample("counts", counts)
        else:
            numpyro.factor("counts", counts.log_prob(tables))

    def sample_priors(self) -> dict[str, Array]:
        """The parameters alone: a NumPyro model without counts."""
        return {site.key: self._sample_prior(site) for site in self.spec.sites}

    def guide(self, tables: Tables | None = None) -> None:
        """Mean-field posterior, in the families of the reference."""
        del tables
        for site in self.spec.sites:
            family = GUIDE_FAMILIES[site.support]
            parameters = family.declare(site.key, self.shape(site))
            numpyro.sample(site.key, family.make(*parameters))

    def counts_given(self, values: Values) -> CountDistribution:
        """The distribution of the counts when the sites have these ``values``."""
        k = self.spec.n_components
        natural = PARAMETERIZATIONS[self.spec.parameterization].natural(values)
        r = natural["r"].reshape(k, self.n_genes)
        with_components = {"r": r, "p": jnp.broadcast_to(natural["p"], (k,))}
        weights = values.get(MIXING.key, jnp.ones(1))
        return CountDistribution(self.likelihood, with_components, weights, self.n_cells)

    def tables(self, counts: Counts) -> Tables:
        """The reduction of ``counts`` that this model's likelihood is exact on."""
        return cell_rows(counts) if self.spec.is_mixture else survival_table(counts)

    def shape(self, site: Site) -> tuple[int, ...]:
        """Shape of a value of ``site``."""
        sizes = {"components": self.spec.n_components, "genes": self.n_genes}
        return tuple(
            sizes[axis] for axis in site.axes if axis != "components" or self.spec.is_mixture
        )

    def refine(self, params: Params, tables: Tables) -> dict[str, Array]:
        """Closed-form update of the mixing weights: the mean responsibilities (one EM step).

        With many genes their gradient drowns in that of the other parameters.
        """
        if not isinstance(tables, CellRows):
            return {}
        values = self.posterior_means(params)
        responsibilities = self.counts_given(values).responsibilities(tables)
        (name,) = self.families()[MIXING.key].names(MIXING.key)
        (concentration,) = self.spec.prior(MIXING).numbers
        return {name: concentration + responsibilities.sum(axis=1)}

    def posterior_means(self, params: Params) -> dict[str, Array]:
        """Mean of every site under the guide."""
        return {
            key: family.mean(*(params[name] for name in family.names(key)))
            for key, family in self.families().items()
        }

    def posterior(self, params: Params) -> dict[str, dist.Distribution]:
        """The guide's distribution of every site."""
        return {
            key: family.make(*(jnp.asarray(params[name]) for name in family.names(key)))
            for key, family in self.families().items()
        }

    def sample_posterior(self, key: PRNGKeyArray, n_draws: int, params: Params) -> dict[str, Array]:
        """Draw every site from the guide; each value has a leading axis of draws."""
        posterior = self.posterior(params)
        keys = jax.random.split(key, len(posterior))
        return {
            site: fn.sample(key, (n_draws,))
            for key, (site, fn) in zip(keys, posterior.items(), strict=True)
        }

    def families(self) -> dict[str, GuideFamily]:
        """The guide's family of every site."""
        return {site.key: GUIDE_FAMILIES[site.support] for site in self.spec.sites}

    def _sample_prior(self, site: Site) -> Array:
        return numpyro.sample(site.key, self.spec.prior(site).distribution(self.shape(site)))


def build(spec: ModelSpec, n_cells: int, n_genes: int) -> CountModel:
    """Make the model that ``spec`` describes for a data set of this size."""
    return CountModel(spec, n_cells, n_genes)
