r"""The exact posterior of each gene's dispersion and of its mean in every component, by quadrature.

Given responsibilities and the priors that genes share, genes are independent.  A gene has a level
m, means :math:`u_k = \ln\mu_k` about it, and a dispersion :math:`\rho = \ln r`:

.. math:: m \sim \mathrm{Normal}(m_0, s), \quad u_k \mid m \sim \mathrm{Normal}(m, \sigma), \quad
          \rho \mid m \sim \mathrm{Normal}(t(m), \tau)

With :math:`\rho` and m given, the means of components are independent: a sum over points of
:math:`u_k` for every component, inside one over :math:`\rho` and m, is the whole posterior.  Where
components have dispersions of their own, :math:`\rho_k` goes inside as well.  All grids are
equally spaced over what has a share of the posterior, and are corrected with every sweep, as in
:mod:`scribeviz.inference.gene_quadrature`.

The log-likelihood is smooth in :math:`u_k`, the prior of a gene of few counts much narrower than
its posterior's range: the former is computed at a few Chebyshev nodes, and interpolated to as many
points as the latter needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int
from numpy.polynomial.chebyshev import chebvander

from scribeviz.data.component_tables import ComponentTables
from scribeviz.models.component_priors import ComponentPriors

N_DISPERSIONS = 9
N_MEANS = 23
N_LEVELS = 7
_N_COMPUTED = 9  # of ln(mean): the others are interpolated
_FALL = 11.0  # nats below the highest: what has less has no share
_CUT = np.exp(-6.0)  # share of the highest at an end: the grid cuts something off
_FEWEST_INSIDE = 0.6  # of the points: with fewer a posterior is not resolved
_MOST_LOOKS = 8  # from a guess to where a posterior lies
_GUESS = 6.0  # spreads, to each side
_POINTS = 300_000  # at a time
_LEAST = np.float32(1e-37)


_COMPUTED = np.cos(np.pi * (np.arange(_N_COMPUTED) + 0.5) / _N_COMPUTED)


def _interpolation() -> Float32[np.ndarray, "computed means"]:
    """The polynomial through the computed points, at the others."""
    computed, wanted = (
        chebvander(places, _N_COMPUTED - 1).T for places in (_COMPUTED, np.linspace(-1, 1, N_MEANS))
    )
    return np.linalg.solve(computed, wanted).astype(np.float32)


_INTERPOLATION = _interpolation()
_PLACES = {n: np.linspace(-1, 1, n) for n in (N_DISPERSIONS, N_MEANS, N_LEVELS)} | {1: np.zeros(1)}


class Span(NamedTuple):
    """Where something lies: the ends of equally spaced points."""

    low: np.ndarray
    high: np.ndarray

    def at(self, places: Float[np.ndarray, " points"]) -> np.ndarray:
        """Points between -1 and 1 of the way from the middle to the ends, in a new last axis."""
        low, high = self.low[..., None], self.high[..., None]
        return np.asarray((low + high) / 2 + (high - low) / 2 * places)

    def grid(self, n_points: int) -> np.ndarray:
        """So many equally spaced points, in a new last axis."""
        return self.at(_PLACES[n_points])

    def of(self, genes: np.ndarray) -> "Span":
        """Of some genes."""
        return Span(self.low[genes], self.high[genes])


@dataclass(slots=True, eq=False)
class ComponentRegion:
    """Where the posteriors lie; it is corrected with every sweep.

    Attributes
    ----------
    dispersion
        Range of ln(r): (genes, 1), or (genes, components) where each has its own.
    mean
        Range of ln(mean) in every component.
    level
        Range of the gene's level; a point where it is given.
    """

    dispersion: Span
    mean: Span
    level: Span

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Numbers, as a file keeps them."""
        spans = {"dispersion": self.dispersion, "mean": self.mean, "level": self.level}
        return {
            f"{name}_{end}": getattr(span, end).copy()
            for name, span in spans.items()
            for end in Span._fields
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "ComponentRegion":
        """Read what :attr:`arrays` gave."""
        names = ("dispersion", "mean", "level")
        ends = ((arrays[f"{name}_low"], arrays[f"{name}_high"]) for name in names)
        return cls(*(Span(low.copy(), high.copy()) for low, high in ends))

    def copy(self) -> "ComponentRegion":
        """A region of its own."""
        return self.from_arrays(self.arrays)

    def select(self, genes: np.ndarray) -> "ComponentRegion":
        """That of some genes."""
        return self.from_arrays({name: value[genes] for name, value in self.arrays.items()})


class ComponentNodes(NamedTuple):
    """The posteriors of some genes as weighted points.

    The posterior of everything is ``joint`` times, for every component, the share of its ln(mean)
    given ln(r) and the level: ``likelihood * prior``, normalised.

    Attributes
    ----------
    log_r
        ln(r), equally spaced; one, or one per component.
    log_mean
        ln(mean) in every component.
    level
        The gene's level.
    joint
        Weight of ln(r) and level; of each component's own ln(r) where it has one.
    likelihood
        Of ln(mean) at every ln(r), up to a factor of each ln(r).
    prior
        Of ln(mean) at every level.
    given
        Their product, summed over ln(mean).
    weight
        Posterior weight of every ln(r) and ln(mean).
    log_evidence
        Of every gene, in nats, up to a constant that the data alone decide.
    hits
        Posterior mean of ln(1 + odds) at every node of depth.
    misses
        Posterior mean of r ln(1 + odds) there.
    """

    log_r: Float[np.ndarray, "genes dispersions points"]
    log_mean: Float[np.ndarray, "genes components means"]
    level: Float[np.ndarray, "genes levels"]
    joint: Float[np.ndarray, "genes dispersions points levels"]
    likelihood: Float[np.ndarray, "genes components points means"]
    prior: Float[np.ndarray, "genes components means levels"]
    given: Float[np.ndarray, "genes components points levels"]
    weight: Float[np.ndarray, "genes components points means"]
    log_evidence: Float[np.ndarray, " genes"]
    hits: Float[np.ndarray, "genes components nodes"]
    misses: Float[np.ndarray, "genes components nodes"]


def first_region(tables: ComponentTables, priors: ComponentPriors) -> ComponentRegion:
    """About where the posteriors lie, from nothing."""
    shared, total, depth = priors.genes, tables.total, tables.depth_total
    spread = priors.between
    before = 1 / spread**2
    of_gene = np.log((total.sum(axis=1) + 0.5) / depth.sum())
    level = _shrunk(of_gene, np.full_like(of_gene, shared.mean), 1.0, 1 / shared.spread**2)
    away = np.sqrt(spread**2 / tables.n_components + 1 / (total.sum(axis=1) + 1))
    reach = _GUESS * np.minimum(away, shared.spread)
    if not priors.has_levels:
        level, reach = np.full_like(level, shared.mean), np.zeros_like(reach)
    observed = np.log((total + np.exp(level)[:, None]) / (depth + 1))
    mean = _shrunk(observed, np.broadcast_to(level[:, None], total.shape), total, before)
    about = _GUESS / np.sqrt(total / 2 + before)
    trend, scatter = shared.trend(level)[:, None], _GUESS * shared.scatter
    if tables.rising:
        trend = np.repeat(trend, tables.n_components, axis=1)
    return ComponentRegion(
        Span(trend - scatter, trend + scatter),
        Span(mean - about, mean + about),
        Span(level - reach, level + reach),
    )


def _shrunk(
    value: np.ndarray, towards: np.ndarray, information: np.ndarray | float, before: float
) -> np.ndarray:
    return np.asarray((information * value + before * towards) / (information + before))


def component_quadrature(
    tables: ComponentTables,
    priors: ComponentPriors,
    region: ComponentRegion,
    *,
    place: Float[np.ndarray, " nodes"] | None = None,
) -> Iterator[tuple[slice, ComponentNodes]]:
    """The posteriors, block of genes after block; ``region`` is corrected meanwhile.

    Parameters
    ----------
    tables
        What the counts say.
    priors
        Shared by the genes.
    region
        Where the posteriors lie, about.
    place
        Log depths at which ``hits`` and ``misses`` are wanted; the nodes of the tables when left
        out.
    """
    per_gene = tables.n_components * N_DISPERSIONS * N_MEANS
    size = max(_POINTS // per_gene, 1)
    for start in range(0, tables.n_genes, size):
        genes = np.arange(start, min(start + size, tables.n_genes))
        nodes = _nodes(tables.block(start, start + genes.size), priors, region, genes, place)
        unresolved = _narrow(region, genes, nodes)
        for _ in range(_MOST_LOOKS):
            if not unresolved.size:
                break
            again = _nodes(tables.select(unresolved), priors, region, unresolved, place)
            for kept, new in zip(nodes, again, strict=True):
                kept[unresolved - start] = new
            unresolved = _narrow(region, unresolved, again)
        yield slice(start, start + genes.size), nodes


def _nodes(
    tables: ComponentTables,
    priors: ComponentPriors,
    region: ComponentRegion,
    genes: Int[np.ndarray, " genes"],
    place: Float[np.ndarray, " nodes"] | None,
) -> ComponentNodes:
    spans = (region.dispersion, region.mean, region.level)
    n_points = (N_DISPERSIONS, N_MEANS, N_LEVELS if priors.has_levels else 1)
    log_r, log_mean, level = (
        span.of(genes).grid(n) for span, n in zip(spans, n_points, strict=True)
    )
    computed = region.mean.of(genes).at(_COMPUTED)
    missed = _Missed(tables.place, log_r, computed)
    height = tables.total[:, :, None, None] * computed[:, :, None, :] - missed.total(tables)
    top = height.max(axis=3, keepdims=True)
    height -= top
    # Millions of nats are told apart in float64; shares of a posterior need less.
    likelihood = _matmul(height.astype(np.float32), _INTERPOLATION)
    np.exp(likelihood, out=likelihood)
    origin = level[:, :1]
    means = (log_mean - origin[..., None]).astype(np.float32)[..., None]
    levels = (level - origin).astype(np.float32)[:, None, None, :]
    prior = _normal(means - levels, priors.between)
    prior *= (log_mean[..., 1] - log_mean[..., 0]).astype(np.float32)[..., None, None]
    given = likelihood @ prior  # genes, components, points, levels
    np.maximum(given, _LEAST, out=given)
    joint, evidence = _joint(tables, priors, log_r, level, np.log(given) + top)
    odds = (joint / given).astype(np.float32)
    weight = likelihood * (odds @ prior.swapaxes(2, 3))
    asked = missed if place is None else _Missed(place, log_r, computed)
    hits, misses = asked.expected(_matmul(weight, _INTERPOLATION.T))
    return ComponentNodes(
        log_r, log_mean, level, joint, likelihood, prior, given, weight, evidence, hits, misses
    )


def _matmul(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """One product instead of one for every gene and component."""
    product = np.ascontiguousarray(rows).reshape(-1, rows.shape[-1]) @ matrix
    return np.asarray(product.reshape(*rows.shape[:-1], -1))


class _Missed:
    """Sums over nodes of depth of ln(1 + odds), at points of ln(r) and ln(mean)."""

    def __init__(self, place: np.ndarray, log_r: np.ndarray, log_mean: np.ndarray) -> None:
        n_genes, k, _ = log_mean.shape
        self._shape = (n_genes, k, log_r.shape[2], log_mean.shape[2])
        ratio = np.exp(-log_r)[..., None] * np.exp(log_mean)[:, :, None, :]
        node = np.exp(place)
        logs = ratio.reshape(n_genes, k, 1, -1) * node[:, None]
        logs += 1.0  # what rounding takes from small odds is nothing after r ln(1 + odds)
        self._logs = np.log(logs, out=logs)  # genes, components, nodes, points
        self._r = np.broadcast_to(np.exp(log_r)[..., None], self._shape).reshape(n_genes, k, -1)

    def total(self, tables: ComponentTables) -> Float[np.ndarray, "genes components points means"]:
        """Weighted by the counts of each gene, and by r and the cells."""
        n_genes, k, n_nodes = tables.of_genes.shape
        weights = np.empty((n_genes, k, 2, n_nodes))
        weights[:, :, 0], weights[:, :, 1] = tables.of_genes, tables.of_cells
        both = weights @ self._logs
        return np.asarray((both[:, :, 0] + self._r * both[:, :, 1]).reshape(self._shape))

    def expected(
        self, weight: Float[np.ndarray, "genes components points means"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Over the posterior: ln(1 + odds) of each gene, and r times it summed over genes."""
        n_genes, k = self._shape[:2]
        weights = np.empty((n_genes, k, self._r.shape[2], 2))
        weights[..., 0] = weight.reshape(n_genes, k, -1)
        weights[..., 1] = weights[..., 0] * self._r
        both = self._logs @ weights
        return both[..., 0], both[..., 1]


def _joint(
    tables: ComponentTables,
    priors: ComponentPriors,
    log_r: np.ndarray,
    level: np.ndarray,
    log_given: Float[np.ndarray, "genes components points levels"],
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of ln(r) and the level, and the log evidence."""
    shared = priors.genes
    trend = shared.trend(level)[:, None, None, :]
    of_r = _log_normal(log_r[..., None], trend, shared.scatter)
    of_r += (np.log(log_r[..., 1] - log_r[..., 0]))[..., None, None]
    of_r += tables.log_rising(log_r)[..., None]
    of_level = np.zeros(level.shape)
    if level.shape[1] > 1:
        of_level = _log_normal(level, shared.mean, shared.spread)
        of_level += np.log(level[:, 1] - level[:, 0])[:, None]
    if not tables.rising:
        height = log_given.sum(axis=1, keepdims=True) + of_r + of_level[:, None, None, :]
        evidence = _log_sum(height, (1, 2, 3))
        return np.exp(height - evidence), evidence[:, 0, 0, 0]
    height = log_given + of_r
    inside = _log_sum(height, 2)
    outside = inside.sum(axis=1, keepdims=True) + of_level[:, None, None, :]
    evidence = _log_sum(outside, (1, 2, 3))
    return np.exp(height - inside + outside - evidence), evidence[:, 0, 0, 0]


def _log_sum(height: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """As SciPy's, of numbers that are all finite, in a fraction of the time."""
    top = height.max(axis=axis, keepdims=True)
    return np.asarray(top + np.log(np.exp(height - top).sum(axis=axis, keepdims=True)))


def _log_normal(value: np.ndarray, mean: np.ndarray | float, spread: float) -> np.ndarray:
    scaled = (value - mean) / spread
    return np.asarray(-0.5 * scaled**2 - np.log(np.sqrt(2 * np.pi) * spread))


def _normal(away: Float32[np.ndarray, "..."], spread: float) -> Float32[np.ndarray, "..."]:
    scaled = away * away
    scaled *= -0.5 / spread**2
    np.exp(scaled, out=scaled)
    scaled *= 1 / (np.sqrt(2 * np.pi) * spread)
    return np.asarray(scaled)


def _narrow(region: ComponentRegion, genes: np.ndarray, nodes: ComponentNodes) -> np.ndarray:
    """Go on with where the posteriors are, and a step beyond on each side.

    Returns those of the genes whose grids did not resolve their posteriors, or cut them off.
    """
    joint, weight = nodes.joint, nodes.weight
    shares = (joint.sum(axis=3), weight.sum(axis=2), joint[:, 0].sum(axis=1))
    unresolved = np.zeros(genes.size, bool)
    for span, share in zip((region.dispersion, region.mean, region.level), shares, strict=True):
        low, high = span.low[genes], span.high[genes]
        n_points = share.shape[-1]
        if n_points == 1:
            continue
        inside = share > share.max(axis=-1, keepdims=True) * np.exp(-_FALL)
        first = inside.argmax(axis=-1)
        last = n_points - 1 - inside[..., ::-1].argmax(axis=-1)
        most = share.max(axis=-1) * _CUT
        cut_below, cut_above = share[..., 0] > most, share[..., -1] > most
        step = (high - low) / (n_points - 1)
        span.low[genes] = low + (first - np.where(cut_below, n_points // 3, 1)) * step
        span.high[genes] = low + (last + np.where(cut_above, n_points // 3, 1)) * step
        wrong = cut_below | cut_above | (last - first + 1 < n_points * _FEWEST_INSIDE)
        unresolved |= wrong.reshape(genes.size, -1).any(axis=1)
    return np.asarray(genes[unresolved])
