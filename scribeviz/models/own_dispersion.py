r"""Negative binomial counts whose genes each have a mean and a dispersion, given the cells' depths.

With depths :math:`s_c = e^{b_c}`, a count has mean :math:`\mu_g s_c` and variance
:math:`\mu_g s_c (1 + \mu_g s_c / r_g)`.  With :math:`a_g = \ln\mu_g - \ln r_g`,

.. math:: \ell = \sum_g X_g \ln\mu_g + \sum_{g,j} S_g(j) \ln(1 + j / r_g)
          - \sum_{c,g} (x_{gc} + r_g) \ln(1 + e^{a_g + b_c}) + \sum_c T_c b_c
          - \sum_{c,g} \ln x_{gc}!

which becomes Poisson's as r grows, term by term.  The third sum is one over a few nodes of depth
(:mod:`scribeviz.data.depth_nodes`): a step costs the same however many cells there are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from scribeviz.data.counts import Counts
from scribeviz.data.tables import CellBatch, CellRows, SurvivalTable
from scribeviz.models import nb_predictions
from scribeviz.models.depth import Depth
from scribeviz.models.hits import hits_at, hits_of_batch, sum_hits
from scribeviz.models.likelihood import (
    GIVEN,
    GeneSummary,
    Parameters,
    Start,
    StartSettings,
    log_depth_of,
)
from scribeviz.models.lists import at_pairs, for_each_list, sum_over_lists, with_genes
from scribeviz.models.moments import grouped
from scribeviz.models.nb_likelihood import NegativeBinomialLikelihood
from scribeviz.models.nb_scores import log_rising_to_rounding
from scribeviz.models.parameterizations import COMPONENT_SPECIFIC, MU, Parameterization, R, Values
from scribeviz.models.priors import LEARNED, Prior
from scribeviz.models.score_tables import ScoreTable, padded
from scribeviz.models.special import log_rising
from scribeviz.models.zeros import nodes_over

_SMALLEST_DISPERSION, _LARGEST_DISPERSION = 1e-2, 1e3  # where a fit may start
_SPREAD_OF_DISPERSION = 0.5
# One cell's depth, where it is integrated out: nodes, and how many standard errors they reach.
_DEPTH_NODES = 15
_REACH = 8.0
_SHORTEST_REACH = 0.1

_MEAN_DISPERSION = Parameterization(
    key="mean_dispersion",
    label="Mean and dispersion (μ, r)",
    doc="Each gene has a mean μ and a dispersion r: nearly independent of each other in the "
    "posterior, so that both intervals can be read by themselves.",
    formula="mean = μ s, variance = μ s (1 + μ s / r), s the depth of the cell over that of a "
    "typical one",
    expression=replace(
        MU, doc="One per gene: its mean count in a cell of typical depth.", prior=Prior(LEARNED, ())
    ),
    natural=lambda free: {"log_mean": free["mu"], "log_r": free["r"]},
    from_natural=lambda natural: {"mu": natural["log_mean"], "r": natural["log_r"]},
)


_DISPERSION = replace(
    R,
    doc="One per gene: the smaller, the noisier; where it is large, counts scatter as chance alone "
    "makes them.",
    axes=(COMPONENT_SPECIFIC, "genes"),
    prior=Prior(LEARNED, ()),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnDispersion(NegativeBinomialLikelihood):
    """Negative binomial counts with odds of every gene's own."""

    @property
    def own_odds(self) -> bool:
        """Depth meets every gene's own odds."""
        return True

    def natural(self, parameterization: str, free: Values) -> dict[str, Array]:
        """``log_mean`` and ``log_r`` (components, genes)."""
        return self.parameterizations[parameterization].natural(free)

    def from_natural(self, parameterization: str, natural: Values) -> dict[str, Array]:
        """Free values by quantity."""
        return self.parameterizations[parameterization].from_natural(natural)

    def quantities(self, natural: Values) -> dict[str, Array]:
        """``mu`` and ``r``."""
        return {"mu": jnp.exp(natural["log_mean"]), "r": jnp.exp(natural["log_r"])}

    @property
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        """What each quantity is repeated over."""
        return {"mu": ("components", "genes"), "r": (COMPONENT_SPECIFIC, "genes")}

    def single_counts(self, natural: Values) -> dict[str, Array]:
        """``r``, ``log_odds`` at depth 1, and ``log_depth``."""
        log_r = natural["log_r"][:, None, :]
        limits = jnp.finfo(log_r.dtype)
        return {
            "r": jnp.clip(jnp.exp(log_r), limits.tiny, limits.max),
            "log_odds": natural["log_mean"][:, None, :] - log_r,
            "log_depth": log_depth_of(natural)[None, :, None],
        }

    def log_prob_table(self, table: SurvivalTable, natural: Values) -> Float[Array, ""]:
        """Log-probability of all counts under one component, in nats."""
        log_mean, log_r = natural["log_mean"][0], natural["log_r"][0]
        r = jnp.exp(log_r)
        rising = jnp.zeros((), r.dtype)
        for log_of_gene, (step, weight) in with_genes(log_r, table.genes_of_steps, table.steps):
            rising += (jnp.log1p(step * jnp.exp(-log_of_gene)) * weight).sum()
        stretches = with_genes(log_r, table.genes_of_stretches, table.stretches)
        for log_of_gene, (start, length, weight) in stretches:
            long = log_rising(jnp.exp(log_of_gene) + start, length) - length * log_of_gene
            rising += (long * weight).sum()
        depth = table.depth
        assert depth is not None  # noqa: S101  the builder adds it where odds are the genes' own
        misses = jax.nn.softplus((log_mean - log_r)[:, None] + depth.place)
        missed = ((depth.of_genes + r[:, None] * depth.of_cells) * misses).sum(axis=1)
        by_gene = table.gene_total * log_mean - missed
        of_depth = (table.cell_total * log_depth_of(natural)).sum()
        return rising + by_gene.sum() + of_depth - table.log_factorials

    def log_prob_cells(
        self, rows: CellRows | CellBatch, natural: Values
    ) -> Float[Array, "components cells"]:
        """Log-probability of each cell under each component, in nats."""
        log_depth = log_depth_of(natural)
        odds = natural["log_mean"] - natural["log_r"]
        if isinstance(rows, CellBatch):
            hits = hits_of_batch(odds, log_depth, rows)
        else:
            hits = sum_hits(odds, log_depth, rows.entries)
        seen = self._nonzeros(rows, natural) - rows.log_factorials
        return seen + rows.cell_total * log_depth - hits - self._misses(natural, log_depth)

    def log_prob_by_depth(
        self, rows: CellRows, natural: Values
    ) -> Callable[[Float[Array, "components cells"]], Float[Array, "components cells"]]:
        """What depends on a cell's depth is computed at a few depths about its own."""
        odds = natural["log_mean"] - natural["log_r"]
        total = jnp.asarray(rows.cell_total)
        # A cell of few counts may be as deep as any other.
        others = log_depth_of(natural)
        precision = 1 / jnp.maximum(others.var(), 1e-2)
        information = self._information(natural, others).min(axis=0)
        center = (information * others + precision * others.mean()) / (information + precision)
        reach = jnp.maximum(_REACH / jnp.sqrt(information + precision), _SHORTEST_REACH)
        angle = np.pi * (np.arange(_DEPTH_NODES) + 0.5) / _DEPTH_NODES
        place = jnp.asarray(np.cos(angle), center.dtype)
        entries = rows.entries
        assert entries is not None  # noqa: S101  the builder adds them for this likelihood

        def at(place: Array) -> Array:
            log_depth = center + reach * place
            return hits_at(odds, log_depth, entries) + self._misses(natural, log_depth)

        at_nodes = jax.lax.map(at, place)  # (nodes, components, cells)
        order = jnp.arange(_DEPTH_NODES)
        scale = jnp.where(order == 0, 1, 2) / _DEPTH_NODES
        basis = scale[:, None] * jnp.cos(order[:, None] * jnp.asarray(angle, center.dtype))
        coefficients = jnp.tensordot(basis, at_nodes, axes=1)
        rest = self._nonzeros(rows, natural) - rows.log_factorials

        def of_depth(log_depth: Array) -> Array:
            # Beyond reach nothing is left of the posterior of a cell's depth.
            x = jnp.clip((log_depth - center) / reach, -1, 1)
            waves = jnp.cos(order[:, None, None] * jnp.arccos(x)[None])
            return rest + total * (center + reach * x) - (coefficients * waves).sum(axis=0)

        return of_depth

    def _nonzeros(
        self, rows: CellRows | CellBatch, natural: Values
    ) -> Float[Array, "components cells"]:
        """What a cell's counts give besides hits: x ln(mean) and ln(1 + j / r) for j < x."""
        log_mean, log_r = natural["log_mean"], natural["log_r"]
        if isinstance(rows, CellBatch):

            def one(component: tuple[Array, Array]) -> Array:
                mean, r = (padded(each)[rows.gene] for each in component)
                rising = log_rising(jnp.exp(r), rows.value)
                return (rows.value * (mean - r) + rising).sum(axis=1)

            return jax.lax.map(one, (log_mean, log_r))
        per_pair = at_pairs(log_mean - log_r, rows.pair_gene, rows.pairs_of_gene) * rows.pair_count
        r = at_pairs(jnp.exp(log_r), rows.pair_gene, rows.pairs_of_gene)
        per_pair += log_rising(r, rows.pair_count[None, :])
        return sum_over_lists(per_pair, rows.pairs_of_cell, rows.cells_of_pair)

    def _misses(
        self, natural: Values, log_depth: Float[Array, " cells"]
    ) -> Float[Array, "components cells"]:
        """Sum of r ln(1 + odds) over all genes."""

        def of_gene(log_mean: Array, log_r: Array, log_depth: Array) -> Array:
            return jnp.exp(log_r) * jax.nn.softplus(log_mean - log_r + log_depth)

        return _sum_over_genes(of_gene, natural, log_depth)

    def _information(
        self, natural: Values, log_depth: Float[Array, " cells"]
    ) -> Float[Array, "components cells"]:
        """Fisher's information about each cell's log depth."""

        def of_gene(log_mean: Array, log_r: Array, log_depth: Array) -> Array:
            mean = jnp.exp(log_mean + log_depth)
            return mean / (1 + mean / jnp.exp(log_r))

        return _sum_over_genes(of_gene, natural, log_depth)

    def expected_totals(self, natural: Values) -> Float[Array, " components"]:
        """Expected total count of a cell of depth 1."""
        return jnp.exp(natural["log_mean"]).sum(axis=1)

    def score(
        self, natural: Values, table: ScoreTable, *, by_cell: bool
    ) -> Float[Array, "components scored"]:
        """Weighted log-probability of every cell or gene, under each component."""
        log_depth = log_depth_of(natural)
        nodes = nodes_over(log_depth)
        weight = jnp.asarray(table.weight)
        weights, depths = padded(weight), padded(log_depth)
        nonzeros, log_depth_sum = table.nonzeros, table.log_depth_sum
        assert nonzeros is not None  # noqa: S101  odds are the genes' own
        assert log_depth_sum is not None  # noqa: S101  depth is given

        def one(component: tuple[Array, Array]) -> Array:
            log_mean, log_r = component
            r, odds = jnp.exp(log_r), log_mean - log_r
            per_pair = log_rising_to_rounding(r[table.pair_gene], table.pair_count)
            per_pair += table.pair_count * odds[table.pair_gene] - table.pair_log_factorial
            # Nothing is differentiated here, so that the transposed lists do not matter.
            seen = sum_over_lists((per_pair * table.pair_weight)[None], table.pairs, table.pairs)[0]
            at_nodes = r[:, None] * jax.nn.softplus(odds[:, None] + nodes.place)
            of_gene = padded(odds)

            def cells(genes: Array, cell: Array, count: Array) -> Array:
                hits = jax.nn.softplus(of_gene[genes] + log_depth[cell][:, None])
                return (weights[genes] * count * hits).sum(axis=1)

            def genes(cells: Array, gene: Array, count: Array) -> Array:
                hits = jax.nn.softplus(odds[gene][:, None] + depths[cells])
                return (weights[cells] * count * hits).sum(axis=1)

            if by_cell:
                misses = nodes.at_cells(weight @ at_nodes)
            else:
                misses = at_nodes @ nodes.weights(weight)
            hits = for_each_list(cells if by_cell else genes, nonzeros.lists, nonzeros.counts)
            return seen + log_depth_sum - misses - hits

        return jax.lax.map(one, (natural["log_mean"], natural["log_r"]))

    def draw(self, rng: np.random.Generator, parameters: Parameters) -> np.ndarray:
        """Draw counts."""
        # NumPy draws a failure probability that rounds to 1 as nothing but zeros.
        rate = rng.gamma(parameters["r"], np.exp(nb_predictions.log_odds(parameters)))
        return rng.poisson(rate)

    def moments(
        self, parameters: Parameters, groups: Float[np.ndarray, " groups"]
    ) -> tuple[
        Float[np.ndarray, "draws components genes"], Float[np.ndarray, "draws components genes"]
    ]:
        """Mean of the counts and of their squares over cells, which fall into groups."""
        depth = np.exp(parameters["log_depth"])
        weights = groups[:, None]
        first, second = ((weights * depth**power).sum(axis=2) for power in (1, 2))
        r, odds = parameters["r"][:, :, 0], np.exp(parameters["log_odds"][:, :, 0])
        mean = r * odds * first
        return mean, mean + r * (r + 1) * odds**2 * second

    def totals(
        self, parameters: Parameters
    ) -> tuple[
        Float[np.ndarray, "draws components groups"], Float[np.ndarray, "draws components groups"]
    ]:
        """Mean and variance of a cell's total: sums over genes before the groups come in."""
        r, odds = parameters["r"], np.exp(parameters["log_odds"])
        depth = np.exp(parameters["log_depth"])[..., 0]
        mean = (r * odds).sum(axis=-1) * depth
        return mean, mean + (r * odds**2).sum(axis=-1) * depth**2

    def start(
        self, counts: Counts, group_of_cell: Int[np.ndarray, " cells"], settings: StartSettings
    ) -> Start:
        """The moments of the data."""
        depth = Depth.of_cells(counts, settings.depth_column).relative
        groups = grouped(counts, group_of_cell, settings.n_components, depth)
        log_r = np.stack(
            [
                np.log(_dispersions(part, depth, mean))
                for part, depth, mean in zip(
                    groups.groups, groups.depths, groups.means, strict=True
                )
            ]
        )
        if settings.shared_odds:
            log_r = np.broadcast_to(log_r.mean(axis=0), log_r.shape)
        # ln(mean) is known as well as counts and dispersion let it be.
        information = groups.totals / (1 + groups.means / np.exp(log_r)) + 1
        spreads = {
            "mu": 1 / np.sqrt(information),
            "r": np.full(log_r[: 1 if settings.shared_odds else None].shape, _SPREAD_OF_DISPERSION),
        }
        return Start({"log_mean": np.log(groups.means), "log_r": log_r}, spreads)

    def summary(self, point: Parameters, n_components: int) -> GeneSummary:
        """Mean counts and dispersions of genes."""
        mean = np.asarray(point["mu"], float).reshape(n_components, -1)
        r = np.asarray(point["r"], float).reshape(-1, mean.shape[1])
        r = np.broadcast_to(r, mean.shape)
        return GeneSummary(mean, {"dispersion": r}, {})


def _sum_over_genes(
    of_gene: Callable[..., Array], natural: Values, log_depth: Float[Array, " cells"]
) -> Float[Array, "components cells"]:
    """Sum a function of ln(mean), ln(r) and log depth, smooth in the last, for every cell."""
    nodes = nodes_over(log_depth)

    def one(component: tuple[Array, Array]) -> Array:
        log_mean, log_r = component
        return nodes.at_cells(of_gene(log_mean[:, None], log_r[:, None], nodes.place).sum(axis=0))

    return jax.lax.map(one, (natural["log_mean"], natural["log_r"]))


def _dispersions(
    counts: Counts, depth: Float[np.ndarray, " cells"], mean: Float[np.ndarray, " genes"]
) -> Float[np.ndarray, " genes"]:
    """By moments: what of the variance is beyond Poisson's."""
    squares = np.asarray(counts.matrix.astype(np.float64).power(2).sum(axis=0)).ravel()
    totals = counts.gene_totals
    # E[x(x - 1)] = mean^2 depth^2 (1 + 1/r)
    excess = (squares - totals) / np.maximum(mean**2 * (depth**2).sum(), 1e-12) - 1
    return np.clip(1 / np.maximum(excess, 1e-9), _SMALLEST_DISPERSION, _LARGEST_DISPERSION)


NB = OwnDispersion(
    key="nb",
    label="Negative binomial, a dispersion per gene",
    use_when="What most data accept: every gene has its own mean and its own scatter, given each "
    "cell's depth; genes with few counts learn theirs from all others. Its posterior is exact.",
    formula="count ~ NB(mean μ of the gene x depth of the cell, dispersion r of the gene); "
    "ln r follows a trend over ln μ that all genes share",
    source="Love, Huber & Anders 2014, Genome Biol. 15, 550; Ahlmann-Eltze & Huber 2020, "
    "Bioinformatics 36, 5701",
    heading="Given the depth of each cell",
    depth=GIVEN,
    parameterizations={"mean_dispersion": _MEAN_DISPERSION},
    further_sites=(_DISPERSION,),
    oracle="nbinom",
)
