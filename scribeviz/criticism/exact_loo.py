r"""Exact leave-one-out, where every gene's posterior is known as weighted points.

Given a cell's depth, what the other cells predict of one count is

.. math:: p(x_{gc} \mid x_{g,-c}) = \Big[\sum_q w_{gq} / p(x_{gc} \mid q)\Big]^{-1}

over the points q of the gene's posterior: nothing is resampled, and no Pareto k is needed.  It is
the same for all cells of one depth that show the same count of a gene, and smooth in the depth: a
few nodes of depth for every distinct (gene, count) pair, and for the zeros of every gene, give it
for all cells.  The sum over genes is a cell's score given its depth.

The depth of a cell that is left out is not known for free: it is integrated out over the log-normal
distribution of the depths of the others.  Its own depth :math:`b_c` shaped the posterior that it is
taken out of; at another depth b its counts have, to second order in :math:`b - b_c`,

.. math:: \ln p(x \mid b) = \ln p(x \mid b_c) + B(b) - B(b_c) + \tfrac12 V(b_c) (b - b_c)^2

with B and V the posterior means of :math:`\ln p(x_{gc} \mid q, b)`, and the posterior variances of
its slope in b, summed over genes.  What all genes share, their priors, is known from all cells, the
one that is left out among them: one cell of thousands moves it very little.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.special import gammaln, logsumexp

from scribeviz.data.counts import Counts
from scribeviz.data.depth_nodes import DepthNodes, depth_nodes, shares
from scribeviz.data.tables import indexed_pairs
from scribeviz.inference.gene_posterior import GenePosterior
from scribeviz.inference.gene_quadrature import Nodes

_ERROR = 1e-6
_BEYOND = 0.5  # of log depth: where a cell's depth may be once its total is not known
_NARROWEST = 0.05  # spread of log depths: cells of one total are known to differ a little
_PAIRS = 64  # whose points are in memory at a time
_PLACES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_PASSES = 3
_FIRST_STEP = 0.02


class LeftOut(NamedTuple):
    """Expected log predictive densities, in nats.

    Attributes
    ----------
    by_cell
        Of every cell, its depth integrated out.
    by_cell_given_depth, by_gene
        Of every cell and of every gene, the depths of cells given: their sums are equal.
    """

    by_cell: Float[np.ndarray, " cells"]
    by_cell_given_depth: Float[np.ndarray, " cells"]
    by_gene: Float[np.ndarray, " genes"]


def leave_one_out(
    posterior: GenePosterior, counts: Counts, log_depth: Float[np.ndarray, " cells"]
) -> LeftOut:
    """Score every cell and every gene without it.

    Parameters
    ----------
    posterior
        Of the genes of ``counts``.
    counts
        The data that were fitted.
    log_depth
        Of their cells.
    """
    nodes = depth_nodes(log_depth, error=_ERROR, beyond=_BEYOND)
    scored = _Scored.of(posterior, counts, nodes, _summed)
    of_cells = _Parts(*scored.by_cell)
    share = shares(nodes, log_depth)
    by_gene = scored.zeros[0] @ share.sum(axis=0)
    shown = ((scored.shown.T @ share) * scored.changed[0]).sum(axis=1)
    np.add.at(by_gene, scored.pair_gene, shown)
    given = (of_cells.left_out * share).sum(axis=1)
    return LeftOut(given + _integrated(nodes, of_cells, log_depth), given, by_gene)


def predict_unseen(
    posterior: GenePosterior,
    counts: Counts,
    log_depth: Float[np.ndarray, " cells"],
    fitted_log_depth: Float[np.ndarray, " fitted"],
) -> Float[np.ndarray, " cells"]:
    """Log predictive density of cells that were not fitted, their depths integrated out, in nats.

    Parameters
    ----------
    posterior
        Of the genes of ``counts``.
    counts
        The cells.
    log_depth
        About theirs: where the integrals begin.
    fitted_log_depth
        Of the cells that were fitted, whose log-normal distribution is what is known of the others.
    """
    nodes = depth_nodes(log_depth, error=_ERROR, beyond=2 * _BEYOND)
    [log_p] = _Scored.of(posterior, counts, nodes, _averaged).by_cell

    def score(at: Float[np.ndarray, " cells"]) -> Float[np.ndarray, " cells"]:
        return (log_p * shares(nodes, at)).sum(axis=1)

    return _over_depths(nodes, score, log_depth, fitted_log_depth)


class _Scored(NamedTuple):
    """What is summed over genes, at nodes of depth: each part of zeros, and of other counts less.

    Attributes
    ----------
    zeros
        Of a zero of every gene.
    changed
        What every distinct count of a gene adds to that.
    pair_gene
        The gene of every such count.
    shown
        Which cell shows which of them.
    """

    zeros: Float[np.ndarray, "parts genes nodes"]
    changed: Float[np.ndarray, "parts pairs nodes"]
    pair_gene: Int[np.ndarray, " pairs"]
    shown: sp.csr_array

    @classmethod
    def of(
        cls, posterior: GenePosterior, counts: Counts, nodes: DepthNodes, summed: "_Sum"
    ) -> "_Scored":
        """Of all genes and counts; ``summed`` gives the parts from the points of a posterior."""
        pair_gene, pair_count, pair_of_entry = indexed_pairs(counts)
        first = np.searchsorted(pair_gene, np.arange(counts.n_genes + 1))
        zeros, changed = [], []
        for genes, points in posterior.blocks():
            scorer = _Scorer(points, nodes, summed)
            of_zero = scorer.zeros()
            pairs = slice(first[genes.start], first[genes.stop])
            gene = pair_gene[pairs] - genes.start
            changed.append(scorer.counts(gene, pair_count[pairs]) - of_zero[:, gene])
            zeros.append(of_zero)
        cell_of_entry = np.repeat(np.arange(counts.n_cells), np.diff(counts.matrix.indptr))
        shown = sp.csr_array(
            (np.ones(pair_of_entry.size), (cell_of_entry, pair_of_entry)),
            shape=(counts.n_cells, pair_gene.size),
        )
        parts = np.concatenate(zeros, axis=1), np.concatenate(changed, axis=1)
        return cls(*parts, pair_gene, shown)

    @property
    def by_cell(self) -> Float[np.ndarray, "parts cells nodes"]:
        """Every part, summed over the genes of a cell."""
        each = zip(self.zeros, self.changed, strict=True)
        return np.stack([zeros.sum(axis=0) + self.shown @ changed for zeros, changed in each])


type _Sum = Callable[[np.ndarray, np.ndarray, np.ndarray], Float[np.ndarray, "parts *scored nodes"]]


class _Parts(NamedTuple):
    """What is summed over genes, at nodes of depth: see the formulas of this module."""

    left_out: Float[np.ndarray, "scored nodes"]
    mean: Float[np.ndarray, "scored nodes"]
    variance: Float[np.ndarray, "scored nodes"]


class _Scorer:
    """Log-probabilities of counts of some genes, at nodes of depth."""

    def __init__(self, points: Nodes, nodes: DepthNodes, summed: _Sum) -> None:
        self._summed = summed
        n_genes = len(points.log_r)
        rho = np.broadcast_to(points.log_r[..., None], points.log_mean.shape)
        self._log_r = points.log_r
        self._r = np.exp(rho).reshape(n_genes, 1, -1)
        self._log_mean = points.log_mean.reshape(n_genes, -1)
        odds = np.exp(points.log_mean - rho).reshape(n_genes, 1, -1)
        odds = odds * np.exp(nodes.place)[:, None]  # genes, nodes, points
        self._misses, self._hit = np.log1p(odds), odds / (1 + odds)
        self._weight = points.weight.reshape(n_genes, 1, -1)
        self._place = nodes.place

    def zeros(self) -> Float[np.ndarray, "parts genes nodes"]:
        """Of a zero of every gene."""
        return self._summed(self._weight, -self._r * self._misses, -self._r * self._hit)

    def counts(self, gene: np.ndarray, count: np.ndarray) -> Float[np.ndarray, "parts pairs nodes"]:
        """Of counts above zero, each of a gene."""
        parts = []
        n_means = self._log_mean.shape[1] // self._log_r.shape[1]
        for start in range(0, gene.size, _PAIRS):
            some = slice(start, start + _PAIRS)
            g, x = gene[some], count[some, None].astype(float)
            r = np.exp(self._log_r[g])
            rising = gammaln(x + r) - gammaln(r) - x * self._log_r[g] - gammaln(x + 1)
            constant = np.repeat(rising, n_means, axis=1) + x * self._log_mean[g]
            both = x[:, None] + self._r[g]
            log_p = constant[:, None] - both * self._misses[g] + (x * self._place)[..., None]
            parts.append(self._summed(self._weight[g], log_p, x[:, None] - both * self._hit[g]))
        return np.concatenate(parts, axis=1) if parts else self.zeros()[:, :0]


def _averaged(weight: np.ndarray, log_p: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Logarithm of the weighted mean over the points of a posterior."""
    del slope
    top = log_p.max(axis=-1, keepdims=True)
    return (top[..., 0] + np.log((weight * np.exp(log_p - top)).sum(axis=-1)))[None]


def _summed(weight: np.ndarray, log_p: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """:class:`_Parts` over the points of a posterior; the slope is that in log depth."""
    mean = (weight * slope).sum(axis=-1)
    variance = (weight * slope**2).sum(axis=-1) - mean**2
    parts = _Parts(_left_out(weight, log_p), (weight * log_p).sum(axis=-1), variance)
    return np.stack(parts)


def _left_out(weight: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """Logarithm of the weighted harmonic mean over the points."""
    least = log_p.min(axis=-1, keepdims=True)
    return least[..., 0] - np.log((weight * np.exp(least - log_p)).sum(axis=-1))


def _integrated(
    nodes: DepthNodes, of_cells: _Parts, log_depth: Float[np.ndarray, " cells"]
) -> Float[np.ndarray, " cells"]:
    """What a cell's score changes once its depth is integrated out."""
    at_depth = shares(nodes, log_depth)
    mean_there = (of_cells.mean * at_depth).sum(axis=1)
    variance = (of_cells.variance * at_depth).sum(axis=1)

    def score(at: Float[np.ndarray, " cells"]) -> Float[np.ndarray, " cells"]:
        changed = (of_cells.mean * shares(nodes, at)).sum(axis=1) - mean_there
        return changed + 0.5 * variance * (at - log_depth) ** 2

    return _over_depths(nodes, score, log_depth, log_depth)


def _over_depths(
    nodes: DepthNodes,
    score: Callable[[np.ndarray], Float[np.ndarray, " cells"]],
    start: Float[np.ndarray, " cells"],
    others: Float[np.ndarray, " others"],
) -> Float[np.ndarray, " cells"]:
    """Logarithm of the integral of every cell's ``score`` over its depth.

    By adaptive Gauss-Hermite quadrature (:mod:`scribeviz.criticism.integrated`).
    """
    mean, spread = others.mean(), max(float(others.std()), _NARROWEST)

    def height(at: Float[np.ndarray, " cells"]) -> Float[np.ndarray, " cells"]:
        off = (at - mean) / spread
        inside = np.clip(at, nodes.low, nodes.high)
        return score(inside) - 0.5 * off**2 - np.log(spread * np.sqrt(2 * np.pi))

    step = _FIRST_STEP
    middle, below, above = (height(start + off) for off in (0, -step, step))
    bend = np.maximum(-(above - 2 * middle + below) / step**2, 1 / spread**2)
    center = start + np.clip((above - below) / (2 * step) / bend, -_BEYOND, _BEYOND)
    width = 1 / np.sqrt(bend)
    for _ in range(_PASSES):
        places = center + width * _PLACES[:, None]
        logs = np.stack([height(at) for at in places])
        logs += (np.log(_WEIGHTS) + _PLACES**2 / 2)[:, None] + np.log(width)
        total = logsumexp(logs, axis=0)
        share = np.exp(logs - total)
        center = (share * places).sum(axis=0)
        width = np.sqrt(np.maximum((share * (places - center) ** 2).sum(axis=0), (width / 4) ** 2))
    return total
