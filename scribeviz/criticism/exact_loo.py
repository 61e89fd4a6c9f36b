r"""Exact leave-one-out, where every gene's posterior is known as weighted points.

Given a cell's depth, what the other cells predict of one count is

.. math:: p(x_{gc} \mid x_{g,-c}) = \Big[\sum_q w_{gq} / p(x_{gc} \mid q)\Big]^{-1}

over the points q of the gene's posterior: nothing is resampled, and no Pareto k is needed.  It is
the same for all cells of one depth that show the same count of a gene, and smooth in the depth: a
few nodes of depth for every distinct (gene, count) pair, and for the zeros of every gene, give it
for all cells.  The sum over genes is a cell's score given its depth.

The depth of a cell that is left out is not known for free: it is integrated out over the log-normal
distribution of the depths of the others.  What all genes share, their priors, is known from all
cells, the one that is left out among them: one cell of thousands moves it very little.
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
    zeros = np.empty((counts.n_genes, nodes.place.size))
    changed = np.empty((pair_gene.size, nodes.place.size))
    for genes, points in posterior.blocks():
        scorer = _Scorer(points, nodes)
        zeros[genes] = scorer.zeros()
        pairs = slice(first[genes.start], first[genes.stop])
        gene = pair_gene[pairs] - genes.start
        changed[pairs] = scorer.counts(gene, pair_count[pairs]) - zeros[genes][gene]
    per_cell = np.diff(counts.matrix.indptr)
    cell_of_entry = np.repeat(np.arange(counts.n_cells), per_cell)
    shown = sp.csr_array(
        (np.ones(pair_of_entry.size), (cell_of_entry, pair_of_entry)),
        shape=(counts.n_cells, pair_gene.size),
    )
    at_nodes = zeros.sum(axis=0) + shown @ changed
    of_cells = shares(nodes, log_depth)
    of_pairs = shown.T @ of_cells
    by_gene = zeros @ of_cells.sum(axis=0)
    np.add.at(by_gene, pair_gene, (of_pairs * changed).sum(axis=1))
    given = (at_nodes * of_cells).sum(axis=1)
    return LeftOut(_integrated(nodes, at_nodes, log_depth), given, by_gene)


class _Scorer:
    """Left-out log-probabilities of counts of some genes, at nodes of depth."""

    def __init__(self, points: Nodes, nodes: DepthNodes) -> None:
        n_genes = len(points.log_r)
        rho = np.broadcast_to(points.log_r[..., None], points.log_mean.shape)
        self._log_r = points.log_r
        self._r = np.exp(rho).reshape(n_genes, -1)
        self._log_mean = points.log_mean.reshape(n_genes, -1)
        odds = np.exp(points.log_mean - rho).reshape(n_genes, 1, -1)
        self._misses = np.log1p(odds * np.exp(nodes.place)[:, None])  # genes, nodes, points
        with np.errstate(divide="ignore"):
            self._log_weight = np.log(points.weight).reshape(n_genes, -1)
        self._place = nodes.place

    def zeros(self) -> Float[np.ndarray, "genes nodes"]:
        """Of a zero of every gene."""
        return _left_out(self._log_weight[:, None], -self._r[:, None] * self._misses)

    def counts(self, gene: np.ndarray, count: np.ndarray) -> Float[np.ndarray, "pairs nodes"]:
        """Of counts above zero, each of a gene."""
        scores = np.empty((gene.size, self._place.size))
        n_means = self._log_mean.shape[1] // self._log_r.shape[1]
        for start in range(0, gene.size, _PAIRS):
            some = slice(start, start + _PAIRS)
            g, x = gene[some], count[some, None].astype(float)
            r = np.exp(self._log_r[g])
            rising = gammaln(x + r) - gammaln(r) - x * self._log_r[g] - gammaln(x + 1)
            constant = np.repeat(rising, n_means, axis=1) + x * self._log_mean[g]
            log_p = constant[:, None] - (x + self._r[g])[:, None] * self._misses[g]
            scores[some] = _left_out(self._log_weight[g][:, None], log_p) + x * self._place
        return scores


def _left_out(log_weight: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """Logarithm of the weighted harmonic mean over the points."""
    height = log_weight - log_p
    top = height.max(axis=-1, keepdims=True)
    return -(top[..., 0] + np.log(np.exp(height - top).sum(axis=-1)))


def _integrated(
    nodes: DepthNodes,
    at_nodes: Float[np.ndarray, "cells nodes"],
    log_depth: Float[np.ndarray, " cells"],
) -> Float[np.ndarray, " cells"]:
    """Integrate each cell's depth out, by adaptive Gauss-Hermite quadrature."""
    mean, spread = log_depth.mean(), max(float(log_depth.std()), _NARROWEST)

    def height(at: Float[np.ndarray, " cells"]) -> Float[np.ndarray, " cells"]:
        score = (at_nodes * shares(nodes, np.clip(at, nodes.low, nodes.high))).sum(axis=1)
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
