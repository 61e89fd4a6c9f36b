r"""Poisson counts given the depth of each cell: the baseline that every other model must beat.

With relative depths :math:`s_c` and means :math:`\mu_g`, all counts have log-probability

.. math:: \ell = \sum_g X_g \ln\mu_g - \sum_g \mu_g \sum_c s_c + \sum_c T_c \ln s_c
          - \sum_{c,g} \ln x_{gc}!

where :math:`X_g` are the totals of the genes and :math:`T_c` those of the cells.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int
from scipy.special import gammaln

from scribeviz.data.counts import Counts
from scribeviz.data.tables import CellBatch, CellRows, SurvivalTable
from scribeviz.models.depth import Depth
from scribeviz.models.likelihood import (
    GIVEN,
    GeneSummary,
    Likelihood,
    Parameters,
    Start,
    StartSettings,
    log_depth_of,
)
from scribeviz.models.lists import at_pairs, sum_over_lists
from scribeviz.models.moments import grouped
from scribeviz.models.parameterizations import MU, Parameterization, Values
from scribeviz.models.score_tables import ScoreTable

_MEAN = Parameterization(
    key="standard",
    label="Mean (μ)",
    doc="One mean μ per gene: its count in a cell of typical depth.",
    formula="mean = variance = μ s, s the depth of the cell over that of a typical one",
    expression=replace(MU, doc="One per gene: its mean count in a cell of typical depth."),
    natural=lambda free: {"log_mean": free["mu"]},
    from_natural=lambda natural: {"mu": natural["log_mean"]},
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Poisson(Likelihood):
    """Counts with variance equal to the mean; depths are taken from the cells' totals."""

    def natural(self, parameterization: str, free: Values) -> dict[str, Array]:
        """``log_mean`` (components, genes)."""
        return self.parameterizations[parameterization].natural(free)

    def from_natural(self, parameterization: str, natural: Values) -> dict[str, Array]:
        """Free values by quantity."""
        return self.parameterizations[parameterization].from_natural(natural)

    def quantities(self, natural: Values) -> dict[str, Array]:
        """``mu``."""
        return {"mu": jnp.exp(natural["log_mean"])}

    @property
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        """What each quantity is repeated over."""
        return {"mu": ("components", "genes")}

    def single_counts(self, natural: Values) -> dict[str, Array]:
        """``log_mean`` and ``log_depth``."""
        return {
            "log_mean": natural["log_mean"][:, None, :],
            "log_depth": log_depth_of(natural)[None, :, None],
        }

    def log_prob_table(self, table: SurvivalTable, natural: Values) -> Float[Array, ""]:
        """Log-probability of all counts under one component, in nats."""
        log_mean, log_depth = natural["log_mean"][0], log_depth_of(natural)
        by_gene = table.gene_total * log_mean - jnp.exp(log_mean) * jnp.exp(log_depth).sum()
        return by_gene.sum() + (table.cell_total * log_depth).sum() - table.log_factorials

    def log_prob_cells(
        self, rows: CellRows | CellBatch, natural: Values
    ) -> Float[Array, "components cells"]:
        """Log-probability of each cell under each component, in nats."""
        rest = self._nonzeros(rows, natural["log_mean"]) - rows.log_factorials
        return rest + _varying(rows, natural, log_depth_of(natural))

    def log_prob_by_depth(
        self, rows: CellRows, natural: Values
    ) -> Callable[[Float[Array, "components cells"]], Float[Array, "components cells"]]:
        """Only T ln s - M s depends on depth: the rest is computed once."""
        rest = self._nonzeros(rows, natural["log_mean"]) - rows.log_factorials
        return lambda log_depth: rest + _varying(rows, natural, log_depth)

    def _nonzeros(
        self, rows: CellRows | CellBatch, log_mean: Float[Array, "components genes"]
    ) -> Float[Array, "components cells"]:
        """Sum of x ln μ over the genes of every cell."""
        if isinstance(rows, CellBatch):
            of_gene = jnp.pad(log_mean, ((0, 0), (0, 1)))  # the padding's gene, of value 0
            return jax.lax.map(lambda one: (one[rows.gene] * rows.value).sum(axis=1), of_gene)
        per_pair = at_pairs(log_mean, rows.pair_gene, rows.pairs_of_gene) * rows.pair_count
        return sum_over_lists(per_pair, rows.pairs_of_cell, rows.cells_of_pair)

    def expected_totals(self, natural: Values) -> Float[Array, " components"]:
        """Expected total count of a cell of depth 1."""
        return jnp.exp(natural["log_mean"]).sum(axis=1)

    def score(
        self, natural: Values, table: ScoreTable, *, by_cell: bool
    ) -> Float[Array, "components scored"]:
        """Weighted log-probability of every cell or gene, under each component."""
        depth = jnp.exp(log_depth_of(natural))
        log_depth_sum = table.log_depth_sum
        assert log_depth_sum is not None  # noqa: S101  depth is given

        def one(log_mean: Array) -> Array:
            per_pair = log_mean[table.pair_gene] * table.pair_count - table.pair_log_factorial
            # Nothing is differentiated here, so that the transposed lists do not matter.
            seen = sum_over_lists((per_pair * table.pair_weight)[None], table.pairs, table.pairs)[0]
            mean = jnp.exp(log_mean)
            expected = (
                (table.weight * mean).sum() * depth
                if by_cell
                else mean * (table.weight * depth).sum()
            )
            return seen + log_depth_sum - expected

        return jax.lax.map(one, natural["log_mean"])

    def dense(self, parameters: Values) -> dist.Distribution:
        """NumPyro's own distribution of single counts: what all the fast forms must equal."""
        return dist.Poisson(jnp.exp(_log_means(parameters)))

    def pmfs(
        self,
        parameters: Mapping[str, Float[Array, "draws components groups genes"]],
        weights: Float[Array, "draws components groups"],
        n_counts: int,
    ) -> Float[Array, "draws genes counts"]:
        """Probability of the counts 0 … ``n_counts - 1``."""
        return _pmfs(dict(parameters), weights, n_counts=n_counts)

    def log_pmf(self, counts: np.ndarray, parameters: Parameters) -> np.ndarray:
        """Log-probability of single counts."""
        log_mean = _log_means(parameters)
        return counts * log_mean - np.exp(log_mean) - gammaln(counts + 1.0)

    def mean(self, parameters: Parameters) -> np.ndarray:
        """Expected count."""
        return np.exp(_log_means(parameters))

    def variance(self, parameters: Parameters) -> np.ndarray:
        """Variance of a count: its mean."""
        return self.mean(parameters)

    def draw(self, rng: np.random.Generator, parameters: Parameters) -> np.ndarray:
        """Draw counts."""
        return rng.poisson(self.mean(parameters))

    def start(
        self, counts: Counts, group_of_cell: Int[np.ndarray, " cells"], settings: StartSettings
    ) -> Start:
        """The moments of the data: exact but for the prior."""
        depth = Depth.of_cells(counts, settings.depth_column).relative
        groups = grouped(counts, group_of_cell, settings.n_components, depth)
        spreads = {"mu": 1 / np.sqrt(1 + groups.totals)}
        return Start({"log_mean": np.log(groups.means)}, spreads)

    def summary(self, point: Parameters, n_components: int) -> GeneSummary:
        """Mean counts of genes."""
        return GeneSummary(np.asarray(point["mu"], float).reshape(n_components, -1), {}, {})

    def oracle_arguments(self, parameters: Parameters) -> tuple[np.ndarray, ...]:
        """``mu`` of SciPy's ``poisson``."""
        return (np.exp(_log_means(parameters)),)


def _log_means(parameters: Mapping[str, Any]) -> Any:
    return parameters["log_mean"] + parameters["log_depth"]


def _varying(
    rows: CellRows | CellBatch, natural: Values, log_depth: Array
) -> Float[Array, "components cells"]:
    expected = jnp.exp(natural["log_mean"]).sum(axis=1)[:, None]
    return jnp.asarray(rows.cell_total) * log_depth - expected * jnp.exp(log_depth)


@partial(jax.jit, static_argnames="n_counts")
def _pmfs(
    parameters: Mapping[str, Array], weights: Array, *, n_counts: int
) -> Float[Array, "draws genes counts"]:
    log_mean, log_depth = parameters["log_mean"], parameters["log_depth"]
    log_mean = log_mean + jnp.zeros((*weights.shape[:2], 1, 1))
    log_depth = log_depth + jnp.zeros((*weights.shape, 1))
    x = jnp.arange(n_counts, dtype=log_mean.dtype)
    log_factorial = jax.lax.lgamma(x + 1)

    def add(total: Array, kind: tuple[Array, ...]) -> tuple[Array, None]:
        log_mean, log_depth, weight = kind  # of a component and a group: (draws, genes), (draws, 1)
        logs = (log_mean + log_depth)[..., None]
        return total + weight[:, None, None] * jnp.exp(
            x * logs - jnp.exp(logs) - log_factorial
        ), None

    def of_component(total: Array, arrays: tuple[Array, ...]) -> tuple[Array, None]:
        log_mean, log_depth, weight = arrays
        groups = log_depth.shape[1]
        repeated = jnp.broadcast_to(log_mean[:, 0][None], (groups, *log_mean[:, 0].shape))
        kinds = (repeated, jnp.moveaxis(log_depth, 1, 0), weight.T)
        return jax.lax.scan(add, total, kinds)[0], None

    by_component = tuple(jnp.moveaxis(a, 1, 0) for a in (log_mean, log_depth, weights))
    nothing = jnp.zeros((weights.shape[0], log_mean.shape[-1], n_counts), log_mean.dtype)
    return jax.lax.scan(of_component, nothing, by_component)[0]


POISSON = Poisson(
    key="poisson",
    label="Poisson",
    use_when="The baseline: counts that scatter no more than chance alone makes them, given each "
    "cell's depth. What it misses is biology, or noise that the other models explain.",
    formula="count ~ Poisson(μ of the gene x depth of the cell); depth = total of the cell over "
    "the mean total",
    source="Wang et al. 2018, PNAS 115, E6437",
    heading="Given the depth of each cell",
    depth=GIVEN,
    parameterizations={"standard": _MEAN},
    oracle="poisson",
)
