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

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float
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
    pair_gene, pair_count, pair_of_entry = indexed_pairs(counts)
    first = np.searchsorted(pair_gene, np.arange(counts.n_genes + 1))
    zeros = np.empty((len(_Parts._fields), counts.n_genes, nodes.place.size))
    changed = np.empty((len(_Parts._fields), pair_gene.size, nodes.place.size))
    for genes, points in posterior.blocks():
        scorer = _Scorer(points, nodes)
        zeros[:, genes] = scorer.zeros()
        pairs = slice(first[genes.start], first[genes.stop])
        gene = pair_gene[pairs] - genes.start
        changed[:, pairs] = scorer.counts(gene, pair_count[pairs])
        changed[:, pairs] -= zeros[:, genes][:, gene]
    cell_of_entry = np.repeat(np.arange(counts.n_cells), np.diff(counts.matrix.indptr))
    shown = sp.csr_array(
        (np.ones(pair_of_entry.size), (cell_of_entry, pair_of_entry)),
        shape=(counts.n_cells, pair_gene.size),
    )
    of_cells = _Parts(*(z.sum(axis=0) + shown @ c for z, c in zip(zeros, changed, strict=True)))
    share = shares(nodes, log_depth)
    by_gene = zeros[0] @ share.sum(axis=0)
    np.add.at(by_gene, pair_gene, ((shown.T @ share) * changed[0]).sum(axis=1))
    given = (of_cells.left_out * share).sum(axis=1)
    return LeftOut(given + _integrated(nodes, of_cells, log_depth), given, by_gene)


class _Parts(NamedTuple):
    """What is summed over genes, at nodes of depth: see the formulas of this module."""

    left_out: Float[np.ndarray, "scored nodes"]
    mean: Float[np.ndarray, "scored nodes"]
    variance: Float[np.ndarray, "scored nodes"]


class _Scorer:
    """Log-probabilities of counts of some genes, at nodes of depth."""

    def __init__(self, points: Nodes, nodes: DepthNodes) -> None:
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

    def zeros(self) -> _Parts:
        """Of a zero of every gene."""
        return _summed(self._weight, -self._r * self._misses, -self._r * self._hit)

    def counts(self, gene: np.ndarray, count: np.ndarray) -> Float[np.ndarray, "3 pairs nodes"]:
        """Of counts above zero, each of a gene."""
        parts = np.empty((len(_Parts._fields), gene.size, self._place.size))
        n_means = self._log_mean.shape[1] // self._log_r.shape[1]
        for start in range(0, gene.size, _PAIRS):
            some = slice(start, start + _PAIRS)
            g, x = gene[some], count[some, None].astype(float)
            r = np.exp(self._log_r[g])
            rising = gammaln(x + r) - gammaln(r) - x * self._log_r[g] - gammaln(x + 1)
            constant = np.repeat(rising, n_means, axis=1) + x * self._log_mean[g]
            both = x[:, None] + self._r[g]
            log_p = constant[:, None] - both * self._misses[g] + (x * self._place)[..., None]
            parts[:, some] = _summed(self._weight[g], log_p, x[:, None] - both * self._hit[g])
        return parts


def _summed(weight: np.ndarray, log_p: np.ndarray, slope: np.ndarray) -> _Parts:
    """Over the points of a posterior; the slope is that in log depth."""
    mean = (weight * slope).sum(axis=-1)
    variance = (weight * slope**2).sum(axis=-1) - mean**2
    return _Parts(_left_out(weight, log_p), (weight * log_p).sum(axis=-1), variance)


def _left_out(weight: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """Logarithm of the weighted harmonic mean over the points."""
    least = log_p.min(axis=-1, keepdims=True)
    return least[..., 0] - np.log((weight * np.exp(least - log_p)).sum(axis=-1))


def _integrated(
    nodes: DepthNodes, of_cells: _Parts, log_depth: Float[np.ndarray, " cells"]
) -> Float[np.ndarray, " cells"]:
    """What a cell's score changes once its depth is integrated out.

    By adaptive Gauss-Hermite quadrature (:mod:`scribeviz.criticism.integrated`).
    """
    mean, spread = log_depth.mean(), max(float(log_depth.std()), _NARROWEST)
    at_depth = shares(nodes, log_depth)
    mean_there = (of_cells.mean * at_depth).sum(axis=1)
    variance = (of_cells.variance * at_depth).sum(axis=1)

    def height(at: Float[np.ndarray, " cells"]) -> Float[np.ndarray, " cells"]:
        inside = np.clip(at, nodes.low, nodes.high)
        score = (of_cells.mean * shares(nodes, inside)).sum(axis=1) - mean_there
        score += 0.5 * variance * (inside - log_depth) ** 2
        off = (at - mean) / spread
        return score - 0.5 * off**2 - np.log(spread * np.sqrt(2 * np.pi))

    step = _FIRST_STEP
    middle, below, above = (height(log_depth + off) for off in (0, -step, step))
    bend = np.maximum(-(above - 2 * middle + below) / step**2, 1 / spread**2)
    center = log_depth + np.clip((above - below) / (2 * step) / bend, -_BEYOND, _BEYOND)
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
