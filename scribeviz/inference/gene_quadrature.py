r"""The exact posterior of each gene's mean and dispersion, by quadrature.

Given the priors that genes share, genes are independent, and each posterior has two dimensions,
:math:`u = \ln\mu` and :math:`\rho = \ln r`.  For every :math:`\rho` of a grid the posterior of u is
unimodal: its mode is found by Newton's method, and a grid in units of its spread laid around it.
The grid of :math:`\rho` covers all that has a share of the posterior, which may be long and bent
where counts hardly know the dispersion.  Equal steps over a smooth function that ends in nothing
converge faster than any power of the step (Trefethen & Weideman 2014, SIAM Rev. 56, 385).

All in float64 and NumPy: sums reach millions of nats, and their differences count.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from scribeviz._cards import shown_by_fields
from scribeviz.data.gene_tables import GeneTables
from scribeviz.models.gene_priors import GRID_STEP, GenePriors, between

N_DISPERSIONS = 17
FROM_MODE = np.arange(-8.0, 5.5)  # of u, in its spreads: a few counts leave a long tail below
_WIDEST = (-12.0, 18.0)  # of ln(r), before anything is known
_FALL = 14.0  # nats below the highest: what has less has no share
_FIRST_LOOKS = 4
_FIRST_NEWTON_STEPS = 4
_NEWTON_STEPS = 2  # from where the mode was before: the grid only has to lie about it
_LONGEST_STEP = 2.0
_POISSON_STEPS = 20
_BLOCK = 64  # genes whose nodes stay in a processor's cache


@shown_by_fields
@dataclass(slots=True, eq=False)
class Region:
    """Where the posteriors lie; it is corrected with every sweep.

    Attributes
    ----------
    low, high
        Range of ln(r) of every gene.
    log_mean
        Its likeliest ln(mean) at every ln(r) of the grid.
    """

    low: Float[np.ndarray, " genes"]
    high: Float[np.ndarray, " genes"]
    log_mean: Float[np.ndarray, "genes dispersions"]

    def copy(self) -> "Region":
        """A region of its own."""
        return Region(self.low.copy(), self.high.copy(), self.log_mean.copy())


class Nodes(NamedTuple):
    """The posteriors of some genes as weighted points.

    Attributes
    ----------
    log_r
        ln(r), equally spaced.
    log_mean
        ln(mean) of every point.
    weight
        Of every point; those of a gene sum to 1.
    log_evidence
        Of every gene, in nats, up to a constant that the data alone decide.
    mode, spread
        Of ln(mean) at every ln(r).
    """

    log_r: Float[np.ndarray, "genes dispersions"]
    log_mean: Float[np.ndarray, "genes dispersions means"]
    weight: Float[np.ndarray, "genes dispersions means"]
    log_evidence: Float[np.ndarray, " genes"]
    mode: Float[np.ndarray, "genes dispersions"]
    spread: Float[np.ndarray, "genes dispersions"]


def first_region(
    tables: GeneTables, priors: GenePriors
) -> tuple[Region, Float[np.ndarray, " genes"]]:
    """Find where the posteriors lie, from nothing; also about the log evidence of every gene.

    The latter by Laplace's approximation in ln(mean).
    """
    n_genes = tables.n_genes
    start = np.log((tables.total + 0.5) / tables.depth_total)
    region = Region(
        np.full(n_genes, _WIDEST[0]),
        np.full(n_genes, _WIDEST[1]),
        np.repeat(start[:, None], N_DISPERSIONS, axis=1),
    )
    evidence = np.empty(n_genes)
    for genes in _blocks(n_genes):
        some = tables.block(genes.start, genes.stop)
        for look in range(_FIRST_LOOKS):
            log_r = _grid(region, genes)
            steps = _NEWTON_STEPS if look else _FIRST_NEWTON_STEPS
            mode, spread = _modes(some, priors, log_r, region.log_mean[genes], steps)
            height = _log_joint(some, priors, log_r, mode[..., None])[..., 0] + np.log(spread)
            region.log_mean[genes] = mode
            _narrow(region, genes, log_r, height)
        width = np.sqrt(2 * np.pi) * (log_r[:, 1] - log_r[:, 0])
        evidence[genes] = logsumexp(height, axis=1) + np.log(width)
    return region, evidence


def quadrature(
    tables: GeneTables, priors: GenePriors, region: Region
) -> Iterator[tuple[slice, Nodes]]:
    """The posteriors, block of genes after block; ``region`` is corrected meanwhile."""
    for genes in _blocks(tables.n_genes):
        some = tables.block(genes.start, genes.stop)
        log_r = _grid(region, genes)
        mode, spread = _modes(some, priors, log_r, region.log_mean[genes], _NEWTON_STEPS)
        log_mean = mode[..., None] + spread[..., None] * FROM_MODE
        height = _log_joint(some, priors, log_r, log_mean)
        cell = spread * (log_r[:, 1] - log_r[:, 0])[:, None] * (FROM_MODE[1] - FROM_MODE[0])
        height += np.log(cell)[..., None]
        top = height.max(axis=(1, 2), keepdims=True)
        weight = np.exp(height - top)
        total = weight.sum(axis=(1, 2), keepdims=True)
        weight /= total
        region.log_mean[genes] = mode
        with np.errstate(divide="ignore"):
            _narrow(region, genes, log_r, np.log(weight.sum(axis=2)))
        evidence = (top + np.log(total))[:, 0, 0]
        yield genes, Nodes(log_r, log_mean, weight, evidence, mode, spread)


def poisson_evidence(tables: GeneTables, priors: GenePriors) -> Float[np.ndarray, " genes"]:
    """Log evidence of every gene if its counts scattered as chance alone makes them, in nats.

    The prior of the mean and the constant are those of :attr:`Nodes.log_evidence`.
    """
    total, depth, precision = tables.total, tables.depth_total, 1 / priors.spread**2
    u = np.log((total + 0.5) / depth)
    for _ in range(_POISSON_STEPS):
        gradient = total - np.exp(u) * depth - (u - priors.mean) * precision
        step = gradient / (np.exp(u) * depth + precision)
        u += np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
    spread = 1 / np.sqrt(np.exp(u) * depth + precision)
    log_mean = u[:, None] + spread[:, None] * FROM_MODE
    height = total[:, None] * log_mean - np.exp(log_mean) * depth
    height -= 0.5 * ((log_mean - priors.mean) / priors.spread) ** 2
    cell = spread * (FROM_MODE[1] - FROM_MODE[0]) / (np.sqrt(2 * np.pi) * priors.spread)
    return np.asarray(logsumexp(height, axis=1) + np.log(cell))


def _blocks(n_genes: int) -> Iterator[slice]:
    for start in range(0, n_genes, _BLOCK):
        yield slice(start, min(start + _BLOCK, n_genes))


def _grid(region: Region, genes: slice) -> Float[np.ndarray, "genes dispersions"]:
    low, high = region.low[genes, None], region.high[genes, None]
    return low + (high - low) * np.linspace(0, 1, N_DISPERSIONS)


def _narrow(region: Region, genes: slice, log_r: np.ndarray, height: np.ndarray) -> None:
    """Go on with where the posterior is, and a step beyond on each side."""
    inside = height > height.max(axis=1, keepdims=True) - _FALL
    first = inside.argmax(axis=1)
    last = N_DISPERSIONS - 1 - inside[:, ::-1].argmax(axis=1)
    step = log_r[:, 1] - log_r[:, 0]
    low = log_r[:, 0] + (first - 1) * step
    high = log_r[:, 0] + (last + 1) * step
    # Start values of Newton's method at the new grid, between those of the old one.
    place = (_grid(Region(low, high, height), slice(None)) - log_r[:, :1]) / step[:, None]
    before = np.clip(place.astype(int), 0, N_DISPERSIONS - 2)
    share = np.clip(place - before, 0, 1)
    mode, rows = region.log_mean[genes], np.arange(len(low))[:, None]
    region.log_mean[genes] = mode[rows, before] * (1 - share) + mode[rows, before + 1] * share
    region.low[genes], region.high[genes] = low, high


def _modes(
    tables: GeneTables, priors: GenePriors, log_r: np.ndarray, start: np.ndarray, n_steps: int
) -> tuple[Float[np.ndarray, "genes dispersions"], Float[np.ndarray, "genes dispersions"]]:
    """Likeliest ln(mean) for every ln(r), and the spread about it, by Newton's method."""
    u, r = start.copy(), np.exp(log_r)
    node = np.exp(tables.depth.place)
    weight = tables.depth.of_genes[:, None, :] + r[..., None] * tables.depth.of_cells
    precision = 1 / priors.spread**2
    for step in range(n_steps + 1):
        ratio = np.exp(u - log_r)
        odds = ratio[..., None] * node
        kept = 1 / (1 + odds)
        share = weight * odds * kept
        expected = share.sum(axis=-1)
        bend = (share * kept).sum(axis=-1)
        point, share = between(u)
        before, after = priors.table[point], priors.table[point + 1]
        slope = (after - before) / GRID_STEP
        off = (log_r - before * (1 - share) - after * share) / priors.scatter**2
        gradient = tables.total[:, None] - expected - (u - priors.mean) * precision + off * slope
        curvature = np.maximum(bend, 0) + precision + (slope / priors.scatter) ** 2
        if step < n_steps:
            u = u + np.clip(gradient / curvature, -_LONGEST_STEP, _LONGEST_STEP)
    return u, 1 / np.sqrt(curvature)


def _log_joint(
    tables: GeneTables, priors: GenePriors, log_r: np.ndarray, log_mean: np.ndarray
) -> Float[np.ndarray, "genes dispersions means"]:
    """Log-likelihood and log prior of every gene, at points of ln(r) and of ln(mean)."""
    total = log_likelihood(tables, log_r, log_mean)
    total -= 0.5 * ((log_mean - priors.mean) / priors.spread) ** 2
    trend = priors.trend(log_mean)
    total -= 0.5 * ((log_r[..., None] - trend) / priors.scatter) ** 2
    return total - np.log(2 * np.pi * priors.spread * priors.scatter)


def log_likelihood(
    tables: GeneTables,
    log_r: Float[np.ndarray, "genes dispersions"],
    log_mean: Float[np.ndarray, "genes dispersions means"],
) -> Float[np.ndarray, "genes dispersions means"]:
    """Log-likelihood of every gene, in nats, without what only the data decide."""
    r, rho = np.exp(log_r)[..., None], log_r[..., None]
    ratio = np.exp(log_mean - rho)
    total = tables.total[:, None, None] * log_mean
    total += tables.log_rising(log_r)[..., None]
    misses = np.empty_like(ratio)
    for n, depth in enumerate(np.exp(tables.depth.place)):
        weight = tables.depth.of_genes[:, n, None, None] + r * tables.depth.of_cells[n]
        np.multiply(ratio, depth, out=misses)
        np.log1p(misses, out=misses)
        misses *= weight
        total -= misses
    return total
