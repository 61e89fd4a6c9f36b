r"""Sums over cells of anything smooth in their depth, from a few nodes.

Where every gene has odds of its own, a cell's log depth :math:`b_c` meets them one by one, in
:math:`\sum_c x_{gc} f_g(b_c)` with :math:`f_g(b) = \ln(1 + e^{a_g + b})`.  Every such function is
analytic for :math:`|\mathrm{Im}\, b| < \pi`, whatever the gene, so that a few Chebyshev nodes
:math:`\beta_n` over the range of the depths do for all of them:

.. math:: \sum_c x_{gc} f_g(b_c) = \sum_n W_{gn} f_g(\beta_n), \quad
          W_{gn} = \sum_c x_{gc} L_n(b_c), \quad w_n = \sum_c L_n(b_c)

with Lagrange's polynomials :math:`L_n`.  The tables are sums over cells: those of chunks of a file
add up, as long as the nodes are the same.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from scribeviz.data.counts import Counts

_ERROR = 1e-9
_NARROWEST = 0.05  # half width of a range of log depths: cells of one depth still need two nodes


class DepthNodes(NamedTuple):
    """Chebyshev nodes over a range of log depths.

    Attributes
    ----------
    low, high
        The range.
    place
        The nodes.
    """

    low: float
    high: float
    place: Float[np.ndarray, " nodes"]


class DepthSums(NamedTuple):
    """A count matrix as far as functions of depth see it, in float64.

    Attributes
    ----------
    place
        Log depth of every node.
    of_genes
        W, the counts of every gene shared out among the nodes.
    of_cells
        w, the cells shared out among the nodes.
    """

    place: Float[np.ndarray, " nodes"]
    of_genes: Float[np.ndarray, "genes nodes"]
    of_cells: Float[np.ndarray, " nodes"]


def depth_nodes(
    log_depth: Float[np.ndarray, " cells"], *, error: float = _ERROR, beyond: float = 0.0
) -> DepthNodes:
    r"""Choose nodes for cells of these log depths, as many as their range needs.

    Parameters
    ----------
    log_depth
        Of the cells.
    error
        Of the interpolated functions, relative to the largest.
    beyond
        How much farther than the cells the range goes, on each side.

    Notes
    -----
    The error of interpolation at n nodes falls as :math:`\rho^{-n}`, where the ellipse of Bernstein
    with semi-axes :math:`(\rho \pm 1/\rho)/2` times half the range just touches the singularities
    at :math:`\pm i\pi` (Trefethen 2013, Approximation Theory and Approximation Practice, 8.2).
    """
    low, high = float(np.min(log_depth)) - beyond, float(np.max(log_depth)) + beyond
    half = max((high - low) / 2, _NARROWEST)
    reach = np.pi / half
    rho = reach + np.sqrt(reach**2 + 1)
    n_nodes = max(int(np.ceil(-np.log(error) / np.log(rho))), 2)
    middle = (low + high) / 2
    angle = np.pi * (np.arange(n_nodes) + 0.5) / n_nodes
    return DepthNodes(middle - half, middle + half, middle + half * np.cos(angle))


def shares(
    nodes: DepthNodes, log_depth: Float[np.ndarray, " cells"]
) -> Float[np.ndarray, "cells nodes"]:
    """Lagrange's polynomials at every cell: how it is shared out among the nodes."""
    n_nodes, order = nodes.place.size, np.arange(nodes.place.size)
    middle, half = (nodes.low + nodes.high) / 2, (nodes.high - nodes.low) / 2
    angle = np.arccos(np.clip((log_depth - middle) / half, -1, 1))
    at_nodes = np.cos(np.pi * (order + 0.5)[:, None] * order / n_nodes)
    scale = np.where(order == 0, 1, 2) / n_nodes
    return (np.cos(angle[:, None] * order) * scale) @ at_nodes.T


def depth_sums(counts: Counts, log_depth: Float[np.ndarray, " cells"]) -> DepthSums:
    """Share out counts and cells among nodes over the range of their depths."""
    nodes = depth_nodes(log_depth)
    return depth_sums_at(nodes, counts, log_depth)


def depth_sums_at(
    nodes: DepthNodes, counts: Counts, log_depth: Float[np.ndarray, " cells"]
) -> DepthSums:
    """The same at given nodes: such sums of parts of the cells add up."""
    of_cells = shares(nodes, np.asarray(log_depth, np.float64))
    return DepthSums(nodes.place, counts.columns.T @ of_cells, of_cells.sum(axis=0))
