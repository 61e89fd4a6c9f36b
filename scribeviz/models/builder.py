"""From a spec to a NumPyro model and guide: the only place where the axes meet."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Int, PRNGKeyArray
from numpyro.infer import Predictive

from scribeviz.data.counts import Counts
from scribeviz.data.depth_nodes import DepthSums, depth_sums
from scribeviz.data.tables import (
    CellRows,
    SparseRows,
    SurvivalTable,
    cell_rows,
    entries,
    sparse_rows,
    survival_table,
)
from scribeviz.models.batches import cut_out
from scribeviz.models.depth import Depth
from scribeviz.models.distribution import CountDistribution
from scribeviz.models.families import LogNormal
from scribeviz.models.gene_priors import GenePriors
from scribeviz.models.guide import Guide, MeanField
from scribeviz.models.guides import GUIDE_FAMILIES
from scribeviz.models.likelihood import GIVEN, NO_DEPTH, Likelihood
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.parameterizations import MIXING, SUPPORTS, Parameterization, Site, Values
from scribeviz.models.priors import REAL, SIMPLEX, Prior
from scribeviz.models.spec import ModelSpec

type Tables = SurvivalTable | CellRows | SparseRows
type Params = Mapping[str, Any]

# How sharply the mean mRNA content of cells is known (log scale), as in the reference.
_SPREAD_OF_MRNA = 0.3


@dataclass(frozen=True, slots=True)
class CountModel:
    """A model of ``n_cells`` x ``n_genes`` counts: ``model`` and ``guide`` are plain NumPyro.

    ``model(tables)`` conditions on data; ``model()`` predicts: NumPyro's ``Predictive`` works.
    With a ``batch_size``, each call sees that many cells, drawn anew, weighted up to all of them.
    ``depth`` is that of the cells that are predicted, where the likelihood takes it as given; data
    that are scored bring their own.  ``gene_priors`` are the priors that are learned from all
    genes, where some are.
    """

    spec: ModelSpec
    n_cells: int
    n_genes: int
    batch_size: int | None = None
    depth: Depth | None = None
    gene_priors: GenePriors | None = None

    @property
    def likelihood(self) -> Likelihood:
        """The registry entry of the likelihood."""
        return LIKELIHOODS[self.spec.likelihood]

    @property
    def parameterization(self) -> Parameterization:
        """The entry of the parameterization."""
        return self.likelihood.parameterizations[self.spec.parameterization]

    @property
    def cells_differ(self) -> bool:
        """Whether the same count has another probability in another cell."""
        return self.likelihood.depth != NO_DEPTH

    @property
    def fitted_log_depth(self) -> np.ndarray:
        """Log depths of the cells that the model predicts, where they are given."""
        if self.depth is None:
            raise ValueError(f"{self.spec.name} needs the depths of the cells that were fitted.")
        return self.depth.log

    def model(self, tables: Tables | None = None) -> None:
        """Priors and likelihood."""
        values = self._sample(self._shared_sites)
        cell_total: ArrayLike | None = None if tables is None else tables.cell_total
        log_depth = None if tables is None else tables.log_depth
        with self._cells() as cells:
            values |= self._sample(self._cell_sites)
            if isinstance(tables, SparseRows):
                batch = cut_out(tables, cells, self.n_genes)
                cell_total, log_depth = batch.cell_total, batch.log_depth
                counts = self.counts_given(values, log_depth)
                numpyro.factor("counts", counts.log_prob_cells(batch))
        for name, value in self.derived(values).items():
            numpyro.deterministic(name, value)
        if self.spec.total_mrna and cell_total is not None:
            self._anchor(values, cell_total)
        counts = self.counts_given(values, log_depth)
        if tables is None:
            numpyro.sample("counts", counts)
        elif not isinstance(tables, SparseRows):
            numpyro.factor("counts", counts.log_prob(tables))

    def sample_priors(self) -> dict[str, Array]:
        """The parameters alone: a NumPyro model without counts."""
        shared = self._sample(self._shared_sites)
        with self._cells():
            return shared | self._sample(self._cell_sites)

    def guide(self, tables: Tables | None = None) -> None:
        """Posterior in the families of the spec; see :mod:`scribeviz.models.guide`."""
        del tables
        drawn: dict[str, Array] = {}
        for site in self._shared_sites:
            declared = self._declare(site)
            fn = self.guide_of(site).conditional(site, declared, partial(self._deviation, drawn))
            drawn[site.key] = numpyro.sample(site.key, fn.to_event(len(fn.batch_shape)))
        if self._cell_sites:
            with self._cells() as cells:
                for site in self._cell_sites:
                    chosen = [
                        parameter.at[cells].get(unique_indices=True)
                        for parameter in self._declare(site)
                    ]
                    fn = self.guide_of(site).conditional(
                        site, chosen, partial(self._deviation, drawn)
                    )
                    numpyro.sample(site.key, fn)

    def guide_of(self, site: Site) -> Guide:
        """The variational family of a site."""
        return GUIDE_FAMILIES[self.spec.guide(site)]

    @property
    def guide_is_low_rank(self) -> bool:
        """Whether the posterior of the genes moves along the odds."""
        return any(self.guide_of(site).follows_odds for site in self.spec.sites)

    def counts_given(self, values: Values, log_depth: ArrayLike | None = None) -> CountDistribution:
        """The distribution of the counts when the sites have these ``values``.

        ``log_depth`` is that of the cells where the likelihood takes it as given; that of the cells
        that are predicted when left out.
        """
        natural = self.natural(values, log_depth)
        log_weights = natural.pop("log_weights")
        n_cells = natural["log_depth"].shape[0] if "log_depth" in natural else self.n_cells
        shape = (n_cells, self.n_genes)
        return CountDistribution(self.likelihood, natural, log_weights, shape)

    def natural(self, values: Values, log_depth: ArrayLike | None = None) -> dict[str, Array]:
        """The likelihood's own parameters, and ``log_weights``, each with a component axis."""
        natural = self._of_sites(values)
        if self.likelihood.depth == GIVEN:
            given = self.fitted_log_depth if log_depth is None else log_depth
            natural["log_depth"] = jnp.asarray(given)
        return natural

    def _of_sites(self, values: Values) -> dict[str, Array]:
        """The same without what does not follow from the sites."""
        k = self.spec.n_components
        free = {site.quantity: site.free(values[site.key]) for site in self.spec.sites}
        for site in self.spec.sites:
            if "cells" not in site.axes:
                shape = (k, self.n_genes) if "genes" in site.axes else (k,)
                free[site.quantity] = jnp.broadcast_to(free[site.quantity], shape)
        natural = self.likelihood.natural(self.spec.parameterization, free)
        logits = free.get(MIXING.quantity, jnp.zeros(1))
        return natural | {"log_weights": jax.nn.log_softmax(logits)}

    def from_natural(self, natural: Values) -> dict[str, Array]:
        """Free values of the sites by key; the inverse of :meth:`natural`."""
        free = self.likelihood.from_natural(self.spec.parameterization, natural)
        free |= {MIXING.quantity: natural["log_weights"]}
        by_site = {}
        for site in self.spec.sites:
            value = free[site.quantity]
            shared = "cells" not in site.axes and not self.spec.has_axis(site, "components")
            by_site[site.key] = value.mean(axis=0) if shared else value
        return by_site

    def derived(self, values: Values) -> dict[str, Array]:
        """Every quantity of the likelihood that is not itself a site, such as ``r`` and ``mu``.

        Each in the shape that it would have as a site; ``p_hat`` (cells), or (components, cells)
        where components have odds of their own.
        """
        quantities = self.likelihood.quantities(self._of_sites(values))
        for name, axes in self.likelihood.axes.items():
            if name in quantities and axes != ("cells",):
                repeated = self.spec.repeats(axes, "components")
                quantities[name] = quantities[name] if repeated else quantities[name][0]
        for site in self.spec.sites:
            quantities[site.quantity] = site.value(site.free(values[site.key]))
        sites = {site.key for site in self.spec.sites}
        return {name: value for name, value in quantities.items() if name not in sites}

    def draw(
        self, rng: np.random.Generator, values: Values
    ) -> tuple[Int[np.ndarray, "cells genes"], Int[np.ndarray, " cells"]]:
        """Draw a data set and each cell's component: in NumPy, thirty times faster than JAX here.

        Parameters
        ----------
        rng
            Source of randomness.
        values
            Values of the sites.
        """
        natural = self.natural(values)
        weights = np.exp(np.asarray(natural.pop("log_weights"), float))
        component = rng.choice(len(weights), size=self.n_cells, p=weights / weights.sum())
        cells = np.arange(self.n_cells)
        of_cells = {
            name: _of_cells(np.asarray(value, float), component, cells)
            for name, value in self.likelihood.single_counts(natural).items()
        }
        return self.likelihood.draw(rng, of_cells), component

    def tables(self, counts: Counts) -> Tables:
        """The reduction of ``counts`` that this model's likelihood is exact on."""
        if self.batch_size is None:
            if self.spec.is_mixture:
                return self.rows(counts)
            table: Tables = self._survival_table(counts)
        else:
            table = sparse_rows(counts)
        return table._replace(log_depth=self.log_depth(counts))

    def rows(self, counts: Counts) -> CellRows:
        """The reduction of ``counts`` that scores every cell by itself."""
        rows = cell_rows(counts)
        if self.likelihood.zeros_differ or self.likelihood.own_odds:
            layout = entries(counts, with_counts=self.likelihood.own_odds)
            rows = rows._replace(entries=layout)
        return rows._replace(log_depth=self.log_depth(counts))

    def _survival_table(self, counts: Counts) -> SurvivalTable:
        table = survival_table(counts)
        if self.likelihood.own_odds:
            depth = self.depth_of(counts)
            assert depth is not None  # noqa: S101  own odds are met by depths that are given
            sums = depth_sums(counts, np.log(depth.relative))
            return table._replace(depth=DepthSums(*(each.astype(np.float32) for each in sums)))
        return table._replace(entries=entries(counts)) if self.likelihood.zeros_differ else table

    def log_depth(self, counts: Counts) -> np.ndarray | None:
        """Log depth of the cells of ``counts``; None unless the likelihood takes it as given.

        On the scale of the cells that the model predicts, where these are known.
        """
        depth = self.depth_of(counts)
        return None if depth is None else depth.log

    def depth_of(self, counts: Counts) -> Depth | None:
        """Depth of the cells of ``counts``; None unless the likelihood takes it as given."""
        if self.likelihood.depth != GIVEN:
            return None
        if self.depth is None:
            return Depth.of_cells(counts, self.spec.depth_column)
        if counts.n_cells == self.depth.relative.size:
            return self.depth  # the fitted cells, perhaps of some of the genes
        return self.depth.of(counts, self.spec.depth_column)

    def shape(self, site: Site) -> tuple[int, ...]:
        """Shape of a value of ``site``."""
        sizes = {
            "components": self.spec.n_components,
            "genes": self.n_genes,
            "cells": self.n_cells,
        }
        return tuple(size for axis, size in sizes.items() if self.spec.has_axis(site, axis))

    def refine(self, params: Params, tables: Tables) -> dict[str, Array]:
        """Closed-form update of the mixing weights: the mean responsibilities (one EM step).

        With many genes their gradient drowns in that of the other parameters.
        """
        if not isinstance(tables, CellRows):
            return {}
        values = self.posterior_means(params)
        counts = self.counts_given(values, tables.log_depth)
        sizes = counts.responsibilities(tables).sum(axis=1)
        site = self.spec.sites[-1]
        names = self.param_names(site)
        if site.support == SIMPLEX:
            (concentration,) = self.spec.prior(site).numbers
            return {names[0]: concentration + sizes}
        # Of logits only differences count; the prior asks for them to be centred.
        logits = jnp.log(sizes + 1)
        return {names[0]: logits - logits.mean()}

    def posterior_means(self, params: Params) -> dict[str, Array]:
        """Typical value of every site under the guide: its mean on the free scale.

        Unlike the mean itself it exists for every family and is the same in every parameterization.
        """
        means = {}
        for site in self.spec.sites:
            center, _ = self.free_moments(site, params)
            means[site.key] = SUPPORTS[site.support].from_free(center)
        return means

    def free_moments(self, site: Site, params: Params) -> tuple[Array, Array]:
        """Mean and standard deviation of a site on the free scale, under the guide."""
        family, arrays = self.marginal(site, params)
        return family.free_moments(*arrays)

    def marginal(self, site: Site, params: Params) -> tuple[MeanField, list[Array]]:
        """The guide's marginal of single values of a site: a family, and its parameters."""
        arrays = self._params_of(site, params)
        return self.guide_of(site).marginal(site, arrays, partial(self._odds_spread, params))

    def posterior(self, params: Params) -> dict[str, dist.Distribution]:
        """The guide's distribution of every site; all axes but draws are events."""
        distributions = {}
        for site in self.spec.sites:
            arrays = self._params_of(site, params)
            fn = self.guide_of(site).joint(site, arrays, partial(self._odds_spread, params))
            distributions[site.key] = fn.to_event(len(fn.batch_shape))
        return distributions

    def sample_posterior(self, key: PRNGKeyArray, n_draws: int, params: Params) -> dict[str, Array]:
        """Draw every site from the guide; each value has a leading axis of draws."""
        whole = CountModel(self.spec, self.n_cells, self.n_genes)
        arrays = {name: jnp.asarray(value) for name, value in params.items()}
        return _drawn(whole, n_draws, key, arrays)

    def with_derived(self, draws: Values) -> dict[str, np.ndarray]:
        """Draws of the sites, and of the quantities that follow from them."""
        whole = CountModel(self.spec, self.n_cells, self.n_genes)
        arrays = {name: jnp.asarray(value) for name, value in draws.items()}
        return {name: np.asarray(v) for name, v in (arrays | _derived(whole, arrays)).items()}

    def param_names(self, site: Site) -> list[str]:
        """Names of the guide's parameters of a site."""
        return self.guide_of(site).names(site)

    def start(self, site: Site, center: Array, spread: Array) -> dict[str, Array]:
        """Guide parameters that put ``site`` at a center, on the free scale."""
        center, spread = (jnp.broadcast_to(a, self.shape(site)) for a in (center, spread))
        return self.guide_of(site).start(site, center, spread, self.parameterization.slope)

    @property
    def _shared_sites(self) -> list[Site]:
        return [site for site in self.spec.sites if "cells" not in site.axes]

    @property
    def _cell_sites(self) -> list[Site]:
        return [site for site in self.spec.sites if "cells" in site.axes]

    def _cells(self) -> numpyro.plate:
        return numpyro.plate("cells", self.n_cells, subsample_size=self.batch_size)

    def _sample(self, sites: list[Site]) -> dict[str, Array]:
        """Sample sites from their priors; those of cells inside the plate of cells."""
        values: dict[str, Array] = {}
        for site in sites:
            values[site.key] = numpyro.sample(site.key, self.prior_of(site, values))
        return values

    def prior_of(
        self, site: Site, values: Values, shape: tuple[int, ...] | None = None
    ) -> dist.Distribution:
        """The prior of a site, given ``values`` of the sites before it.

        ``shape`` is that of a value; of one cell, where cells have their own, when left out.
        """
        if shape is None:
            shape = () if "cells" in site.axes else self.shape(site)
        prior = self.spec.prior(site)
        if not prior.is_learned:
            return prior.distribution(shape)
        learned = self.gene_priors
        if learned is None:
            raise ValueError(f"the priors of {self.spec.name} have to be learned first.")
        expression = self.spec.expression
        if site.quantity == expression.quantity:
            center, spread = jnp.asarray(learned.mean), learned.spread
        else:
            level = expression.free(values[expression.key])
            if self.spec.has_axis(expression, "components") > self.spec.has_axis(
                site, "components"
            ):
                level = level.mean(axis=-2)  # components share the gene's dispersion
            center = learned.trend_in_jax(level)
            spread = learned.scatter
        center = jnp.broadcast_to(center, jnp.broadcast_shapes(center.shape, shape))
        family = dist.Normal if site.support is REAL else LogNormal
        return family(center, spread).to_event(len(shape))

    def numbered_prior(self, site: Site, draws: Values, gene: int) -> Prior:
        """The prior of one value of a site with its numbers, also where these were learned.

        That of a dispersion depends on the mean of the gene: ``draws`` from its posterior tell.
        """
        prior, learned, expression = self.spec.prior(site), self.gene_priors, self.spec.expression
        if not prior.is_learned or learned is None:
            return prior
        if site.quantity == expression.quantity:
            numbers = learned.mean, learned.spread
        else:
            log_mean = float(expression.free(draws[expression.key][..., gene]).mean())
            numbers = float(learned.trend(np.array(log_mean))), learned.scatter
        return Prior("normal" if site.support is REAL else "lognormal", numbers)

    def _declare(self, site: Site) -> list[Array]:
        return self.guide_of(site).declare(site, self.shape(site), self.spec.guide_rank)

    def _params_of(self, site: Site, params: Params) -> list[Array]:
        return [jnp.asarray(params[name]) for name in self.param_names(site)]

    def _deviation(self, drawn: Values) -> Array:
        """How far the drawn odds lie from their mean, on the free scale; 0 where there are none."""
        odds = self.spec.odds
        if odds is None:
            return jnp.zeros(())
        family, arrays = self.guide_of(odds).marginal(odds, self._declare(odds), _no_spread)
        return odds.free(drawn[odds.key]) - family.free_moments(*arrays)[0]

    def _odds_spread(self, params: Params) -> Array:
        """Standard deviation of the odds on the free scale; 0 where there are none."""
        odds = self.spec.odds
        return jnp.zeros(()) if odds is None else self.free_moments(odds, params)[1]

    def _anchor(self, values: Values, cell_total: ArrayLike) -> None:
        """Tell capture from expression: so much of a cell's mRNA as stated was counted.

        On the level every other prior has a say, once per cell and gene; what is stated counts for
        as much as all of them.  It speaks of capture alone: the mean count is its other side, but
        would tie every gene to the odds, and mean field would take that for certainty.
        """
        log_capture = self.natural(values)["log_depth"]
        mean_capture = jax.nn.logsumexp(log_capture) - jnp.log(log_capture.size)
        stated = jnp.log(jnp.maximum(jnp.mean(cell_total), 1.0) / self.spec.total_mrna)
        about = dist.Normal(stated, _SPREAD_OF_MRNA).log_prob(mean_capture)
        voices = self.n_cells + self.spec.n_components * self.n_genes
        numpyro.factor("total_mrna", voices * about)


@partial(jax.jit, static_argnames=("model", "n_draws"))
def _drawn(model: CountModel, n_draws: int, key: PRNGKeyArray, params: Params) -> dict[str, Array]:
    """Compiled once per model and number of draws."""
    drawn = Predictive(model.guide, params=params, num_samples=n_draws)(key)
    return {site.key: drawn[site.key] for site in model.spec.sites}


@partial(jax.jit, static_argnames="model")
def _derived(model: CountModel, draws: Values) -> dict[str, Array]:
    """Compiled once per model and number of draws."""
    return jax.lax.map(model.derived, dict(draws))


def _no_spread() -> Array:
    """The odds follow nothing else."""
    return jnp.zeros(())


def _of_cells(value: np.ndarray, component: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """A parameter of single counts, (components, cells, genes) or broadcast, for every cell."""
    k, n_cells, _ = value.shape
    return value[component if k > 1 else 0 * component, cells if n_cells > 1 else 0 * cells]


def build(
    spec: ModelSpec,
    n_cells: int,
    n_genes: int,
    batch_size: int | None = None,
    depth: Depth | None = None,
    gene_priors: GenePriors | None = None,
) -> CountModel:
    """Make the model that ``spec`` describes for a data set of this size."""
    return CountModel(spec, n_cells, n_genes, batch_size, depth, gene_priors)
