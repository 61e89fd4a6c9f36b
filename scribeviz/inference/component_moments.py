"""What cells and shared priors need of the posteriors of genes in the components of a mixture."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from scribeviz.data.component_tables import CellsByDepth, ComponentTables
from scribeviz.inference.component_quadrature import (
    N_DISPERSIONS,
    ComponentNodes,
    ComponentRegion,
    component_quadrature,
)
from scribeviz.inference.shared_priors import Summary
from scribeviz.models.component_priors import ComponentPriors


class Moments(NamedTuple):
    """Posterior means over the genes of a mixture, at the nodes of depth of some cells.

    Attributes
    ----------
    log_evidence
        Of all genes together, in nats.
    of_counts
        Of ln(mean) - ln(1 + odds): what one count adds to a cell's log-probability.
    of_zeros
        Of -r ln(1 + odds): what a gene adds without any count.
    summary
        Of dispersions and levels.
    squares
        Of the squared distance of ln(mean) from the gene's level, summed over all.
    of_steps
        What the distinct counts of genes add in every component; None where components share
        dispersions, so that it is the same in all of them.
    """

    log_evidence: float
    of_counts: Float[np.ndarray, "genes components nodes"]
    of_zeros: Float[np.ndarray, "genes components nodes"]
    summary: Summary
    squares: float
    of_steps: Float[np.ndarray, "pairs components"] | None


def moments_of(
    tables: ComponentTables,
    priors: ComponentPriors,
    region: ComponentRegion,
    cells: CellsByDepth,
) -> Moments:
    """Compute the posteriors of all genes; ``region`` is corrected meanwhile.

    Parameters
    ----------
    tables, priors, region
        As of :func:`scribeviz.inference.component_quadrature.component_quadrature`.
    cells
        Those that are to be scored: their nodes of depth and their distinct counts matter.
    """
    n_genes, k, _ = tables.of_genes.shape
    n_nodes = cells.nodes.place.size
    n_rows = k if tables.rising else 1
    summary = Summary.empty(n_genes * n_rows, N_DISPERSIONS)
    of_counts, of_zeros = np.empty((n_genes, k, n_nodes)), np.empty((n_genes, k, n_nodes))
    log_evidence = squares = 0.0
    place = None if np.array_equal(cells.nodes.place, tables.place) else cells.nodes.place
    for genes, nodes in component_quadrature(tables, priors, region, place=place):
        log_evidence += float(nodes.log_evidence.sum())
        log_mean = (nodes.weight.sum(axis=2) * nodes.log_mean).sum(axis=2)
        of_counts[genes] = log_mean[..., None] - nodes.hits
        of_zeros[genes] = -nodes.misses
        squares += _squares(nodes)
        _summarize(summary, slice(genes.start * n_rows, genes.stop * n_rows), nodes)
    of_steps = None
    if tables.rising:
        shape = (n_genes, k, N_DISPERSIONS)
        weight = np.exp(summary.log_weight).reshape(shape)
        of_steps = cells.pairs.rising(summary.log_r.reshape(shape), weight)
    return Moments(log_evidence, of_counts, of_zeros, summary, squares, of_steps)


def log_likelihood(
    cells: CellsByDepth, moments: Moments, genes: Bool[np.ndarray, " genes"] | None = None
) -> Float[np.ndarray, "cells components"]:
    """Posterior mean of the log-probability of every cell in every component, in nats.

    Up to a number for each cell; of some of the genes only where these are given.
    """
    of_counts, of_zeros, of_steps = moments.of_counts, moments.of_zeros, moments.of_steps
    if genes is not None:
        of_counts, of_zeros = of_counts * genes[:, None, None], of_zeros[genes]
        of_steps = None if of_steps is None else of_steps * genes[cells.pairs.gene][:, None]
    return cells.log_likelihood(of_counts, of_zeros.sum(axis=0), of_steps)


def _squares(nodes: ComponentNodes) -> float:
    share = (nodes.joint / nodes.given).astype(np.float32).swapaxes(2, 3)
    both = (share @ nodes.likelihood) * nodes.prior.swapaxes(2, 3)  # ..., levels, means
    away = nodes.log_mean[:, :, None, :] - nodes.level[:, None, :, None]
    return float(np.vdot(both, away**2))


def _summarize(summary: Summary, rows: slice, nodes: ComponentNodes) -> None:
    joint = nodes.joint.reshape(-1, *nodes.joint.shape[2:])
    level = np.repeat(nodes.level, nodes.joint.shape[1], axis=0)[:, None, :]
    weight = joint.sum(axis=2)
    share = joint / np.maximum(weight, 1e-300)[..., None]
    mean = (share * level).sum(axis=2)
    summary.log_r[rows] = nodes.log_r.reshape(len(joint), -1)
    summary.log_weight[rows] = np.log(np.maximum(weight, 1e-300))
    summary.log_mean[rows] = mean
    summary.variance[rows] = (share * (level - mean[..., None]) ** 2).sum(axis=2)
