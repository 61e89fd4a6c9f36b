r"""What a likelihood needs of a sparse count matrix: three reductions, all exact.

For whole numbers :math:`x`,

.. math:: \ln\Gamma(x + r) - \ln\Gamma(r) = \sum_{j < x} \ln(r + j),

so that over all cells of gene :math:`g` only :math:`S_g(j)`, the number of cells with more than
:math:`j` counts, matters (:class:`SurvivalTable`).  Where every cell must be scored by itself, as
in a mixture, a cell is the list of its (gene, count) pairs (:class:`CellRows`).

Both are tuples of arrays: JAX takes them as they are, and this file needs no JAX.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int32
from scipy.special import gammaln

from scribeviz.data.counts import Counts
from scribeviz.data.depth_nodes import DepthSums

# A stretch of equal survival longer than this is one closed form instead of single steps.
LONGEST_STRETCH_OF_STEPS = 8

# Entries of a block of lists: 4 MB of gathered values, which a program keeps and uses again.
_BLOCK = 2**20


class PaddedLists(NamedTuple):
    """Lists of integers of very different lengths, as a few rectangles.

    Rows of about the same length (up to the next power of two) share a rectangle, padded with
    ``size``, one past the largest integer.  Summing gathered values over a rectangle's rows is what
    a processor does well; scattering them one by one is not.  Large rectangles are cut into blocks
    whose gathered values stay in its cache; rows that fill up the last block belong to no list.
    """

    rectangles: tuple[Int32[np.ndarray, "blocks rows width"], ...]
    members: tuple[Int32[np.ndarray, "blocks rows"], ...]  # which list each row of a rectangle is
    position: Int32[np.ndarray, " lists"]  # where list i lies in the stacked rectangles


class Entries(NamedTuple):
    """Where the non-zeros are, from both sides, and how large.

    Attributes
    ----------
    genes_of_cell, cells_of_gene
        The lists.
    counts_of_cell, counts_of_gene
        The counts in the order of the lists' rectangles, 0 where these are padded; empty unless a
        likelihood needs them.
    """

    genes_of_cell: PaddedLists
    cells_of_gene: PaddedLists
    counts_of_cell: tuple[Float32[np.ndarray, "blocks rows width"], ...] = ()
    counts_of_gene: tuple[Float32[np.ndarray, "blocks rows width"], ...] = ()


class GeneOrder(NamedTuple):
    """Which gene each row of some rectangles is: no gene has two, genes without one come last."""

    genes: Int32[np.ndarray, " genes"]
    position: Int32[np.ndarray, " genes"]  # of every gene, in that order


class SurvivalSteps(NamedTuple):
    """Genes whose tables are about equally long: one row each, padded with weight 0."""

    step: Float32[np.ndarray, "rows width"]  # j
    weight: Float32[np.ndarray, "rows width"]  # S_g(j)


class SurvivalStretches(NamedTuple):
    """Genes with about as many long stretches: one row each, padded with weight 0."""

    start: Float32[np.ndarray, "rows width"]  # the first j
    length: Float32[np.ndarray, "rows width"]
    weight: Float32[np.ndarray, "rows width"]  # S_g(j) of all of them


class SurvivalTable(NamedTuple):
    """A count matrix as far as likelihoods see it that treat all cells alike.

    Attributes
    ----------
    steps, genes_of_steps
        The entries of S_g(j), grouped by length.
    stretches, genes_of_stretches
        Where S_g stays the same over many j (a few cells with very many counts): one closed form.
    gene_total, cells_with_gene
        Counts per gene, and in how many cells it is seen at all.
    cell_total
        Counts per cell.
    n_cells
        Number of cells.
    log_factorials
        Sum of ln(count!) over all entries, in nats.
    entries
        Where the non-zeros are; only for likelihoods whose zeros differ from cell to cell.
    log_depth
        Of the cells, only where a likelihood takes it as given.
    depth
        Sums over the depths of the cells, only where depth meets odds of every gene's own.
    """

    steps: tuple[SurvivalSteps, ...]
    genes_of_steps: GeneOrder
    stretches: tuple[SurvivalStretches, ...]
    genes_of_stretches: GeneOrder
    gene_total: Float32[np.ndarray, " genes"]
    cells_with_gene: Float32[np.ndarray, " genes"]
    cell_total: Float32[np.ndarray, " cells"]
    n_cells: Float32[np.ndarray, ""]
    log_factorials: Float32[np.ndarray, ""]
    entries: Entries | None
    log_depth: Float32[np.ndarray, " cells"] | None = None
    depth: DepthSums | None = None


class CellRows(NamedTuple):
    """A count matrix as far as likelihoods see it that score every cell.

    Attributes
    ----------
    pair_gene, pair_count
        The distinct (gene, count) pairs with count > 0.
    pairs_of_cell
        Per cell, the pairs that it shows.
    cells_of_pair
        The same relation from the other side, for the gradient.
    pairs_of_gene
        Per gene, its pairs: for the gradient as well.
    cell_total
        Counts per cell.
    log_factorials
        Sum of ln(count!) per cell, in nats.
    entries
        Where the non-zeros are; only for likelihoods whose zeros differ from cell to cell.
    log_depth
        Of the cells, only where a likelihood takes it as given.
    """

    pair_gene: Int32[np.ndarray, " pairs"]
    pair_count: Float32[np.ndarray, " pairs"]
    pairs_of_cell: PaddedLists
    cells_of_pair: PaddedLists
    pairs_of_gene: PaddedLists
    cell_total: Float32[np.ndarray, " cells"]
    log_factorials: Float32[np.ndarray, " cells"]
    entries: Entries | None
    log_depth: Float32[np.ndarray, " cells"] | None = None


class SparseRows(NamedTuple):
    """The non-zeros row by row, so that a step can cut out some cells.

    Attributes
    ----------
    start, length
        Where a cell's non-zeros begin, and how many there are.
    gene, value
        The non-zeros, cell after cell: which gene, and its count.
    column
        0 … the largest ``length``: its shape says how wide a cut-out must be.
    cell_total, log_factorials, log_depth
        As in :class:`CellRows`.
    """

    start: Int32[np.ndarray, " cells"]
    length: Int32[np.ndarray, " cells"]
    gene: Int32[np.ndarray, " nonzeros"]
    value: Float32[np.ndarray, " nonzeros"]
    column: Int32[np.ndarray, " width"]
    cell_total: Float32[np.ndarray, " cells"]
    log_factorials: Float32[np.ndarray, " cells"]
    log_depth: Float32[np.ndarray, " cells"] | None = None


class CellBatch(NamedTuple):
    """Some cells cut out of :class:`SparseRows`; padding has gene ``n_genes`` and value 0."""

    gene: Any  # arrays of JAX, which this file does not know
    value: Any
    cell_total: Any
    log_factorials: Any
    log_depth: Any = None


class DistinctPairs(NamedTuple):
    """The distinct (gene, count) pairs with count > 0, sorted, and in how many cells each is."""

    gene: np.ndarray
    value: np.ndarray
    repeats: np.ndarray


def survival_table(counts: Counts) -> SurvivalTable:
    """Reduce ``counts`` to its survival table; cost is one sort of the non-zeros."""
    pairs = distinct_pairs(counts)
    start, length, weight = stretches(pairs)
    long = length > LONGEST_STRETCH_OF_STEPS
    # int64 totals: float32 would lose counts above 2**24.
    factorials = (pairs.repeats * gammaln(pairs.value + 1.0)).sum()
    gene, *stepwise = _step_by_step(pairs.gene[~long], start[~long], length[~long], weight[~long])
    steps, genes_of_steps = _rows_of_genes(gene, stepwise, counts.n_genes)
    closed, genes_of_stretches = _rows_of_genes(
        pairs.gene[long], [start[long], length[long], weight[long]], counts.n_genes
    )
    return SurvivalTable(
        steps=tuple(SurvivalSteps(*arrays) for arrays in steps),
        genes_of_steps=genes_of_steps,
        stretches=tuple(SurvivalStretches(*arrays) for arrays in closed),
        genes_of_stretches=genes_of_stretches,
        gene_total=counts.gene_totals.astype(np.float32),
        cells_with_gene=np.bincount(counts.matrix.indices, minlength=counts.n_genes).astype(
            np.float32
        ),
        cell_total=counts.cell_totals.astype(np.float32),
        n_cells=np.asarray(counts.n_cells, np.float32),
        log_factorials=np.asarray(factorials, np.float32),
        entries=None,
    )


def entries(counts: Counts, *, with_counts: bool = False) -> Entries:
    """Lay out where the non-zeros are, by cell and by gene."""
    rows, columns = counts.matrix, counts.columns
    return Entries(
        genes_of_cell=padded_lists(rows.indices, np.diff(rows.indptr), size=counts.n_genes),
        cells_of_gene=padded_lists(columns.indices, np.diff(columns.indptr), size=counts.n_cells),
        counts_of_cell=_laid_out(rows) if with_counts else (),
        counts_of_gene=_laid_out(columns) if with_counts else (),
    )


def _laid_out(matrix: sp.csr_array | sp.csc_array) -> tuple[np.ndarray, ...]:
    """The counts in the order of the rectangles of their lists."""
    where = padded_lists(np.arange(matrix.nnz), np.diff(matrix.indptr), size=matrix.nnz)
    data = np.append(matrix.data, 0).astype(np.float32)
    return tuple(data[rectangle] for rectangle in where.rectangles)


def sparse_rows(counts: Counts) -> SparseRows:
    """Lay out the non-zeros cell after cell."""
    matrix = counts.matrix
    length = np.diff(matrix.indptr)
    return SparseRows(
        start=matrix.indptr[:-1].astype(np.int32),
        length=length.astype(np.int32),
        gene=matrix.indices.astype(np.int32),
        value=matrix.data.astype(np.float32),
        column=np.arange(max(int(length.max(initial=0)), 1), dtype=np.int32),
        cell_total=counts.cell_totals.astype(np.float32),
        log_factorials=_log_factorials(counts),
    )


def _log_factorials(counts: Counts) -> Float32[np.ndarray, " cells"]:
    cell = np.repeat(np.arange(counts.n_cells), np.diff(counts.matrix.indptr))
    each = gammaln(counts.matrix.data + 1.0)
    return np.bincount(cell, weights=each, minlength=counts.n_cells).astype(np.float32)


def cell_rows(counts: Counts) -> CellRows:
    """Reduce ``counts`` to (gene, count) pairs per cell; memory grows with the non-zeros."""
    pair_gene, pair_count, pair_of_entry = indexed_pairs(counts)
    per_cell = np.diff(counts.matrix.indptr)
    cell_of_entry = np.repeat(np.arange(counts.n_cells, dtype=np.int32), per_cell)
    by_pair = np.argsort(pair_of_entry, kind="stable")
    per_pair = np.bincount(pair_of_entry, minlength=pair_gene.size)
    return CellRows(
        pair_gene=pair_gene.astype(np.int32),
        pair_count=pair_count.astype(np.float32),
        pairs_of_cell=padded_lists(pair_of_entry, per_cell, size=pair_gene.size),
        cells_of_pair=padded_lists(cell_of_entry[by_pair], per_pair, size=counts.n_cells),
        pairs_of_gene=padded_lists(
            np.arange(pair_gene.size),  # sorted by gene
            np.bincount(pair_gene, minlength=counts.n_genes),
            size=pair_gene.size,
        ),
        cell_total=counts.cell_totals.astype(np.float32),
        log_factorials=_log_factorials(counts),
        entries=None,
    )


def indexed_pairs(counts: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Genes and counts of the distinct pairs, sorted, and which pair each non-zero is."""
    unique, pair_of_entry = np.unique(_pair_keys(counts), return_inverse=True)
    gene, count = _split(unique, counts)
    return gene, count, pair_of_entry


def distinct_pairs(counts: Counts) -> DistinctPairs:
    """Count in how many cells each gene shows each count."""
    unique, repeats = np.unique(_pair_keys(counts), return_counts=True)
    gene, count = _split(unique, counts)
    return DistinctPairs(gene=gene, value=count, repeats=repeats)


def padded_lists(flat: np.ndarray, lengths: np.ndarray, *, size: int) -> PaddedLists:
    """Cut ``flat`` into lists of the given ``lengths`` and lay them out as rectangles.

    Parameters
    ----------
    flat
        All lists one after the other; integers below ``size``.
    lengths
        Length of each list; zero is allowed.
    size
        The padding value.
    """
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    rectangles, members = [], []
    position = np.zeros(len(lengths), np.int32)
    stacked = 0
    for rows, width in _by_width(lengths):
        n_blocks = -(-rows.size * width // _BLOCK)
        per_block = -(-rows.size // n_blocks)
        position[rows] = stacked + np.arange(rows.size)
        stacked += n_blocks * per_block
        column = np.arange(width)
        inside = column < lengths[rows, None]
        source = np.where(inside, starts[rows, None] + column, 0)
        padded = np.full((n_blocks * per_block, width), size, np.int32)
        if flat.size:
            padded[: rows.size] = np.where(inside, flat[source], size)
        member = np.zeros(n_blocks * per_block, np.int32)
        member[: rows.size] = rows
        rectangles.append(padded.reshape(n_blocks, per_block, width))
        members.append(member.reshape(n_blocks, per_block))
    return PaddedLists(rectangles=tuple(rectangles), members=tuple(members), position=position)


def _by_width(lengths: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Group the rows by their length rounded up to a power of two."""
    width = 2 ** np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64)
    return [
        (rows := np.flatnonzero(width == w), int(lengths[rows].max(initial=1)) or 1)
        for w in np.unique(width)
    ]


def _pair_keys(counts: Counts) -> np.ndarray:
    # One packed integer sorts many times faster than np.unique over two columns.
    base = int(counts.matrix.data.max(initial=0)) + 1
    return counts.matrix.indices.astype(np.int64) * base + counts.matrix.data


def _split(unique: np.ndarray, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    base = int(counts.matrix.data.max(initial=0)) + 1
    return np.divmod(unique, base)


def stretches(pairs: DistinctPairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where S_g is constant: from one distinct count of a gene to its next."""
    same_gene = np.concatenate([[False], pairs.gene[1:] == pairs.gene[:-1]])
    previous = np.concatenate([[0], pairs.value[:-1]])
    start = np.where(same_gene, previous, 0)
    # Cells of this gene with this count or a higher one: the gene's total minus what came before.
    running = np.cumsum(pairs.repeats)
    n_genes = int(pairs.gene.max(initial=-1)) + 1
    through_gene = np.cumsum(np.bincount(pairs.gene, weights=pairs.repeats, minlength=n_genes))
    weight = through_gene[pairs.gene] - running + pairs.repeats
    return start, pairs.value - start, weight


def _step_by_step(
    gene: np.ndarray, start: np.ndarray, length: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stretches, written out: gene, j and weight of every step."""
    first = np.repeat(np.cumsum(length) - length, length)
    step = np.repeat(start, length) + np.arange(first.size) - first
    return np.repeat(gene, length), step, np.repeat(weight, length)


def _rows_of_genes(
    gene: np.ndarray, values: list[np.ndarray], n_genes: int
) -> tuple[list[list[np.ndarray]], GeneOrder]:
    """Arrays sorted by gene as rectangles with a row a gene; the last array is the weight."""
    genes, begins, lengths = np.unique(gene, return_index=True, return_counts=True)
    rectangles, order = [], []
    for rows, width in _by_width(lengths) if genes.size else []:
        column = np.arange(width)
        inside = column < lengths[rows, None]
        source = np.where(inside, begins[rows, None] + column, begins[rows, None])
        # Padding repeats what the gene has, with weight 0: its logarithm stays finite.
        arrays = [value[source].astype(np.float32) for value in values]
        arrays[-1] = np.where(inside, arrays[-1], np.float32(0))
        rectangles.append(arrays)
        order.append(genes[rows])
    order.append(np.setdiff1d(np.arange(n_genes), genes))
    of_rows = np.concatenate(order)
    return rectangles, GeneOrder(of_rows.astype(np.int32), np.argsort(of_rows).astype(np.int32))
