r"""The counts of every gene in each component of a mixture, in float64.

With responsibilities :math:`R_{ck}` (the share of cell c in component k), and everything else as in
:mod:`scribeviz.data.gene_tables`, what the counts say of a gene's mean in component k is

.. math:: \ell_{gk}(\mu, r) = X^k_g \ln\mu + \sum_{j \ge 1} S^k_g(j) \ln(1 + j/r)
          - \sum_n (W^k_{gn} + r w^k_n) \ln(1 + e^{\beta_n} \mu / r)

with :math:`W^k_{gn} = \sum_c R_{ck} x_{gc} L_n(b_c)` and so on: sums over cells, each with its
share.  One product of the counts with a matrix of (cells, components x nodes) makes all of them.
Where components share a gene's dispersion only :math:`\sum_k S^k = S` is needed, which no
responsibility changes.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.special import gammaln

from scribeviz._cards import shown_by_fields
from scribeviz.data.counts import Counts
from scribeviz.data.depth_nodes import DepthNodes, depth_nodes, shares
from scribeviz.data.gene_tables import GeneTables, gene_tables
from scribeviz.data.tables import indexed_pairs

# Of an interpolated function, relative to the largest.  A fit is consistent whatever it is: the
# interpolated likelihood is the one whose bound rises.
_ERROR = 1e-6


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class ComponentTables:
    """Everything that the counts say about each gene in each component.

    Attributes
    ----------
    genes
        The tables of all cells; their S where components share a gene's dispersion.
    place
        Log depth of every node.
    of_genes
        W of every component.
    of_cells
        w of every component.
    rising
        For every component the tables with its own S; empty where dispersions are shared.
    """

    genes: GeneTables
    place: Float[np.ndarray, " nodes"]
    of_genes: Float[np.ndarray, "genes components nodes"]
    of_cells: Float[np.ndarray, "components nodes"]
    rising: tuple[GeneTables, ...] = ()

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.of_genes)

    @property
    def n_components(self) -> int:
        """Number of components."""
        return len(self.of_cells)

    @property
    def total(self) -> Float[np.ndarray, "genes components"]:
        """Counts of every gene in every component."""
        return np.asarray(self.of_genes.sum(axis=2))

    @property
    def depth_total(self) -> Float[np.ndarray, " components"]:
        """Sum of the depths of the cells of every component."""
        return self.of_cells @ np.exp(self.place)

    def select(self, genes: Int[np.ndarray, " chosen"]) -> "ComponentTables":
        """The tables of some genes, in this order."""
        return replace(
            self,
            genes=self.genes.select(genes),
            of_genes=self.of_genes[genes],
            rising=tuple(each.select(genes) for each in self.rising),
        )

    def block(self, low: int, high: int) -> "ComponentTables":
        """The tables of neighbouring genes, without a copy."""
        return replace(
            self,
            genes=self.genes.block(low, high),
            of_genes=self.of_genes[low:high],
            rising=tuple(each.block(low, high) for each in self.rising),
        )

    def log_rising(
        self, log_r: Float[np.ndarray, "genes dispersions points"]
    ) -> Float[np.ndarray, "genes dispersions points"]:
        r"""Sum of :math:`S(j) \ln(1 + j/r)` of every gene, for one r or one per component."""
        if not self.rising:
            return self.genes.log_rising(log_r[:, 0])[:, None]
        each = [one.log_rising(log_r[:, k]) for k, one in enumerate(self.rising)]
        return np.stack(each, axis=1)


class CellsByDepth:
    """Counts whose cells are shared out among nodes of depth, ready to be weighted.

    Parameters
    ----------
    counts
        The data.
    log_depth
        Of every cell.
    own_dispersions
        Whether components have dispersions of their own.
    """

    def __init__(
        self, counts: Counts, log_depth: Float[np.ndarray, " cells"], *, own_dispersions: bool
    ) -> None:
        self._log_depth, self._own = log_depth, own_dispersions
        self._nodes = depth_nodes(log_depth, error=_ERROR)
        self._share = shares(self._nodes, np.asarray(log_depth, np.float64))
        self._by_cell = sp.csr_array(counts.matrix, dtype=np.float64)
        self._by_gene = sp.csr_array(self._by_cell.T)
        self.genes = gene_tables(counts, log_depth)
        self._steps = _WeightedSteps(counts, self.genes) if own_dispersions else None

    @property
    def nodes(self) -> DepthNodes:
        """The nodes of depth."""
        return self._nodes

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self._share)

    def of_genes(self, counts: Counts, genes: Int[np.ndarray, " chosen"]) -> "CellsByDepth":
        """The same cells, of the same depths, by some of the genes of ``counts``."""
        chosen = counts.select_genes(genes)
        return CellsByDepth(chosen, self._log_depth, own_dispersions=self._own)

    def tables(self, shares_of: Float[np.ndarray, "cells components"]) -> ComponentTables:
        """The tables of components that cells belong to by these shares."""
        n_cells, k = shares_of.shape
        weighted = (shares_of[:, :, None] * self._share[:, None, :]).reshape(n_cells, -1)
        of_genes = self._by_gene @ weighted
        return ComponentTables(
            genes=self.genes,
            place=self._nodes.place,
            of_genes=of_genes.reshape(-1, k, self._nodes.place.size),
            of_cells=weighted.sum(axis=0).reshape(k, -1),
            rising=() if self._steps is None else self._steps.tables(shares_of),
        )

    def log_likelihood(
        self,
        of_counts: Float[np.ndarray, "genes components nodes"],
        of_zeros: Float[np.ndarray, "components nodes"],
        of_steps: Float[np.ndarray, "pairs components"] | None = None,
    ) -> Float[np.ndarray, "cells components"]:
        """Sum over genes of x times ``of_counts``, and of ``of_zeros``, at the depth of each cell.

        ``of_steps`` is what every distinct count of a gene adds, where that differs.
        """
        n_genes, k, n_nodes = of_counts.shape
        at_nodes = self._by_cell @ of_counts.reshape(n_genes, -1)
        at_nodes = at_nodes.reshape(-1, k, n_nodes) + of_zeros
        total = np.einsum("ckn,cn->ck", at_nodes, self._share)
        if of_steps is not None and self._steps is not None:
            total += self._steps.of_cell @ of_steps
        return total

    def log_likelihood_at(
        self,
        log_mean: Float[np.ndarray, "components genes"],
        log_r: Float[np.ndarray, "dispersions genes"],
    ) -> Float[np.ndarray, "cells components"]:
        """Log-probability of every cell at given parameters, up to a number for each cell."""
        odds = (log_mean - log_r).T[..., None] + self._nodes.place
        misses = np.logaddexp(0, odds)
        of_steps = None
        if self._steps is not None:
            of_steps = self._steps.rising(log_r.T[..., None], np.ones((*log_r.T.shape, 1)))
        of_zeros = -(np.exp(log_r).T[..., None] * misses).sum(axis=0)
        return self.log_likelihood(log_mean.T[..., None] - misses, of_zeros, of_steps)

    @property
    def pairs(self) -> "_WeightedSteps":
        """The distinct counts of every gene; only where dispersions are the components' own."""
        assert self._steps is not None  # noqa: S101
        return self._steps


class _WeightedSteps:
    """S of every component, from the distinct counts of every gene."""

    def __init__(self, counts: Counts, genes: GeneTables) -> None:
        self.gene, self.count, entry = indexed_pairs(counts)
        cell = np.repeat(np.arange(counts.n_cells), np.diff(counts.matrix.indptr))
        shown = (np.ones(entry.size), (cell, entry))
        self.of_cell = sp.csr_array(shown, shape=(counts.n_cells, self.gene.size))
        self._of_pair = sp.csr_array(self.of_cell.T)
        self._genes = genes
        self._last = np.searchsorted(self.gene, self.gene, side="right") - 1
        # The pair whose count is the first above j: S(j) counts its cells and those beyond.
        step_gene = np.repeat(np.arange(genes.n_genes), np.diff(genes.first_step))
        long_gene = np.repeat(np.arange(genes.n_genes), np.diff(genes.first_stretch))
        self._of_step = self._first_above(step_gene, genes.step)
        self._of_stretch = self._first_above(long_gene, genes.stretch_start)

    def _first_above(self, gene: np.ndarray, j: np.ndarray) -> np.ndarray:
        width = float(self.count.max(initial=0)) + 1
        return np.searchsorted(self.gene * width + self.count, gene * width + j, side="right")

    def tables(self, shares_of: Float[np.ndarray, "cells components"]) -> tuple[GeneTables, ...]:
        """The tables of every component."""
        weight = self._of_pair @ shares_of
        running = np.cumsum(weight, axis=0)
        above = running[self._last] - running + weight
        return tuple(
            replace(
                self._genes,
                cells_above=above[self._of_step, k],
                stretch_cells=above[self._of_stretch, k],
            )
            for k in range(shares_of.shape[1])
        )

    def rising(
        self,
        log_r: Float[np.ndarray, "genes components points"],
        weight: Float[np.ndarray, "genes components points"],
    ) -> Float[np.ndarray, "pairs components"]:
        r"""Expected :math:`\sum_{j<x} \ln(1 + j/r)` of every count, over weighted ln(r)."""
        k = log_r.shape[1]
        step_gene = np.repeat(np.arange(self._genes.n_genes), np.diff(self._genes.first_step))
        added = np.zeros((self.gene.size, k))
        for component in range(k):
            each = np.zeros(step_gene.size)
            for point in range(log_r.shape[2]):
                inverse = np.exp(-log_r[:, component, point])
                each += weight[step_gene, component, point] * np.log1p(
                    self._genes.step * inverse[step_gene]
                )
            added[:, component] = np.bincount(self._of_step, each, minlength=self.gene.size)
        if self._genes.stretch_start.size:
            gene = np.repeat(np.arange(self._genes.n_genes), np.diff(self._genes.first_stretch))
            r = np.exp(log_r[gene])
            start = r + self._genes.stretch_start[:, None, None]
            length = self._genes.stretch_length[:, None, None]
            long = gammaln(start + length) - gammaln(start) - length * log_r[gene]
            np.add.at(added, self._of_stretch, (long * weight[gene]).sum(axis=2))
        running = np.cumsum(added, axis=0)
        first = np.searchsorted(self.gene, self.gene)
        return np.asarray(running - (running - added)[first])
