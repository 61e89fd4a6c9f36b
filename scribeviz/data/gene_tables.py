r"""The counts of every gene in float64, as exact posteriors need them.

With mean :math:`\mu`, dispersion r and log depths :math:`b_c`, and up to a constant,

.. math:: \ell_g(\mu, r) = X_g \ln\mu + \sum_{j \ge 1} S_g(j) \ln(1 + j/r)
          - \sum_n (W_{gn} + r w_n) \ln(1 + e^{\beta_n} \mu / r)

(:mod:`scribeviz.data.tables`, :mod:`scribeviz.data.depth_nodes`).  Written so, nothing large
cancels: with growing r it becomes the Poisson distribution's, term by term.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln

from scribeviz._cards import shown_by_fields
from scribeviz.data.counts import Counts
from scribeviz.data.depth_nodes import DepthSums, depth_sums
from scribeviz.data.tables import LONGEST_STRETCH_OF_STEPS, distinct_pairs, stretches


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class GeneTables:
    """Everything that the counts say about each gene's mean and dispersion.

    Attributes
    ----------
    total
        X, the counts of every gene.
    depth
        W, w and the nodes.
    first_step
        Where the steps of every gene begin; one more than there are genes.
    step, cells_above
        j from 1 on, and S(j), in how many cells the gene has more than j counts.
    first_stretch
        Where the stretches of every gene begin, over which S stays the same.
    stretch_start, stretch_length, stretch_cells
        Their first j, how many there are, and S.
    """

    total: Float[np.ndarray, " genes"]
    depth: DepthSums
    first_step: Int[np.ndarray, " genes+1"]
    step: Float[np.ndarray, " steps"]
    cells_above: Float[np.ndarray, " steps"]
    first_stretch: Int[np.ndarray, " genes+1"]
    stretch_start: Float[np.ndarray, " stretches"]
    stretch_length: Float[np.ndarray, " stretches"]
    stretch_cells: Float[np.ndarray, " stretches"]

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self.total.size

    @property
    def depth_total(self) -> float:
        """Sum of the depths of all cells."""
        return float(self.depth.of_cells @ np.exp(self.depth.place))

    def select(self, genes: Int[np.ndarray, " chosen"]) -> "GeneTables":
        """The tables of some genes, in this order."""
        first_step, steps = _ranges(self.first_step, genes)
        first_stretch, long = _ranges(self.first_stretch, genes)
        return GeneTables(
            total=self.total[genes],
            depth=self.depth._replace(of_genes=self.depth.of_genes[genes]),
            first_step=first_step,
            step=self.step[steps],
            cells_above=self.cells_above[steps],
            first_stretch=first_stretch,
            stretch_start=self.stretch_start[long],
            stretch_length=self.stretch_length[long],
            stretch_cells=self.stretch_cells[long],
        )

    def block(self, low: int, high: int) -> "GeneTables":
        """The tables of neighbouring genes, without a copy."""
        steps = slice(self.first_step[low], self.first_step[high])
        long = slice(self.first_stretch[low], self.first_stretch[high])
        return GeneTables(
            total=self.total[low:high],
            depth=self.depth._replace(of_genes=self.depth.of_genes[low:high]),
            first_step=self.first_step[low : high + 1] - self.first_step[low],
            step=self.step[steps],
            cells_above=self.cells_above[steps],
            first_stretch=self.first_stretch[low : high + 1] - self.first_stretch[low],
            stretch_start=self.stretch_start[long],
            stretch_length=self.stretch_length[long],
            stretch_cells=self.stretch_cells[long],
        )

    def log_rising(
        self, log_r: Float[np.ndarray, "genes points"]
    ) -> Float[np.ndarray, "genes points"]:
        r"""Sum of :math:`S(j) \ln(1 + j/r)` over the counts of each gene."""
        gene = np.repeat(np.arange(self.n_genes), np.diff(self.first_step))
        each = np.log1p(self.step[:, None] * np.exp(-log_r[gene]))
        each *= self.cells_above[:, None]
        total = _sums(each, self.first_step)
        if self.stretch_start.size:
            gene = np.repeat(np.arange(self.n_genes), np.diff(self.first_stretch))
            r = np.exp(log_r[gene])
            start = r + self.stretch_start[:, None]
            length = self.stretch_length[:, None]
            long = gammaln(start + length) - gammaln(start) - length * log_r[gene]
            total += _sums(long * self.stretch_cells[:, None], self.first_stretch)
        return total


def gene_tables(counts: Counts, log_depth: Float[np.ndarray, " cells"]) -> GeneTables:
    """Reduce counts to the tables of their genes, given the log depth of every cell."""
    pairs = distinct_pairs(counts)
    start, length, cells = stretches(pairs)
    # ln(1 + 0/r) is nothing: j = 0 is left out.
    length, start = np.where(start == 0, length - 1, length), np.maximum(start, 1)
    long = length > LONGEST_STRETCH_OF_STEPS
    gene = np.repeat(pairs.gene[~long], length[~long])
    before = np.repeat(np.cumsum(length[~long]) - length[~long], length[~long])
    step = np.repeat(start[~long], length[~long]) + np.arange(gene.size) - before
    genes = np.arange(counts.n_genes + 1)
    return GeneTables(
        total=counts.gene_totals.astype(np.float64),
        depth=depth_sums(counts, log_depth),
        first_step=np.searchsorted(gene, genes),
        step=step.astype(np.float64),
        cells_above=np.repeat(cells[~long], length[~long]).astype(np.float64),
        first_stretch=np.searchsorted(pairs.gene[long], genes),
        stretch_start=start[long].astype(np.float64),
        stretch_length=length[long].astype(np.float64),
        stretch_cells=cells[long].astype(np.float64),
    )


def _sums(each: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Sum rows of genes that lie one after the other; a gene may have none."""
    total = np.zeros((first.size - 1, each.shape[1]))
    some = np.diff(first) > 0
    if some.any():
        total[some] = np.add.reduceat(each, first[:-1][some], axis=0)
    return total


def _ranges(first: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the rows of chosen genes begin once they are put together, and which rows these are."""
    length = np.diff(first)[chosen]
    begin = np.concatenate([[0], np.cumsum(length)])
    return begin, np.repeat(first[:-1][chosen] - begin[:-1], length) + np.arange(begin[-1])


def constant_of(counts: Counts, log_depth: Float[np.ndarray, " cells"]) -> float:
    """What the tables leave out of the log-probability of all counts, in nats."""
    pairs = distinct_pairs(counts)
    factorials = (pairs.repeats * gammaln(pairs.value + 1.0)).sum()
    return float(counts.cell_totals @ np.asarray(log_depth, np.float64) - factorials)
