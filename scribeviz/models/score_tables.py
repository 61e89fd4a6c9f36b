"""Counts laid out so that every cell, or every gene, can be scored under many posterior draws."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int
from scipy.special import gammaln

from scribeviz.data.counts import Counts
from scribeviz.data.tables import PaddedLists, indexed_pairs, padded_lists


class Nonzeros(NamedTuple):
    """The non-zeros of every scored cell or gene, where cells differ.

    Attributes
    ----------
    lists
        By cell its genes, by gene its cells.
    counts
        In the order of ``lists.rectangles``; 0 where these are padded.
    """

    lists: PaddedLists
    counts: tuple[Float[np.ndarray, "blocks rows width"], ...]


class ScoreTable(NamedTuple):
    """The counts, and the weights of what is summed over; "scored" are the cells or the genes.

    Attributes
    ----------
    pair_gene, pair_count, pair_log_factorial
        The distinct (gene, count) pairs with count > 0.
    pair_weight
        By cell the weight of the pair's gene; by gene the sum of the weights of its cells.
    pairs
        The pairs of every scored.
    weight
        Of what is summed over: the genes by cell, the cells by gene.
    n_scored
        Its shape says how many there are.
    nonzeros
        Only where a count's score differs from cell to cell by more than count times log depth.
    log_depth
        Of the cells, where it is given.
    log_depth_sum
        Then also the weighted sum of count times log depth over what every scored shows.
    """

    pair_gene: Int[np.ndarray, " pairs"]
    pair_count: Float[np.ndarray, " pairs"]
    pair_log_factorial: Float[np.ndarray, " pairs"]
    pair_weight: Float[np.ndarray, " pairs"]
    pairs: PaddedLists
    weight: Float[np.ndarray, " summed"]
    n_scored: np.ndarray
    nonzeros: Nonzeros | None
    log_depth: Float[np.ndarray, " cells"] | None = None
    log_depth_sum: Float[np.ndarray, " scored"] | None = None


def score_table(
    counts: Counts,
    weights: np.ndarray | None,
    *,
    by_cell: bool,
    with_nonzeros: bool,
    log_depth: np.ndarray | None = None,
) -> ScoreTable:
    """Lay out the counts in float64; JAX rounds them where it computes in float32.

    Parameters
    ----------
    counts
        The data.
    weights
        One per gene by cell, one per cell by gene; all 1 when left out.
    by_cell
        Whether cells are scored, or genes.
    with_nonzeros
        Whether a count's score differs from cell to cell by more than count times log depth.
    log_depth
        Of the cells, where it is given.
    """
    n_scored, n_summed = counts.n_cells, counts.n_genes
    if not by_cell:
        n_scored, n_summed = n_summed, n_scored
    weight = np.ones(n_summed) if weights is None else weights
    gene, count, pair_of_entry = indexed_pairs(counts)
    per_cell = np.diff(counts.matrix.indptr)
    if by_cell:
        pairs = padded_lists(pair_of_entry, per_cell, size=gene.size)
        pair_weight = weight[gene]
    else:
        per_gene = np.bincount(gene, minlength=counts.n_genes)
        pairs = padded_lists(np.arange(gene.size), per_gene, size=gene.size)
        each = np.repeat(weight, per_cell)
        pair_weight = np.bincount(pair_of_entry, weights=each, minlength=gene.size)
    log_depth_sum = None
    if log_depth is not None:
        exact = counts.matrix.astype(np.float64)
        log_depth_sum = log_depth * (exact @ weight) if by_cell else (weight * log_depth) @ exact
    return ScoreTable(
        pair_gene=gene.astype(np.int32),
        pair_count=count.astype(np.float64),
        pair_log_factorial=gammaln(count + 1.0),
        pair_weight=pair_weight,
        pairs=pairs,
        weight=weight,
        n_scored=np.empty(n_scored, np.int8),
        nonzeros=_nonzeros(counts, by_cell=by_cell) if with_nonzeros else None,
        log_depth=log_depth,
        log_depth_sum=log_depth_sum,
    )


def padded(values: ArrayLike) -> Array:
    """With an entry for the padding of lists, whose weight is thereby 0."""
    array = jnp.asarray(values)
    return jnp.append(array, jnp.zeros((), array.dtype))


def _nonzeros(counts: Counts, *, by_cell: bool) -> Nonzeros:
    matrix = counts.matrix if by_cell else counts.columns
    lengths = np.diff(matrix.indptr)
    n_summed = matrix.shape[1] if by_cell else matrix.shape[0]
    where = padded_lists(np.arange(matrix.nnz), lengths, size=matrix.nnz)
    data = np.append(matrix.data, 0).astype(np.float64)
    return Nonzeros(
        lists=padded_lists(matrix.indices, lengths, size=n_summed),
        counts=tuple(data[rectangle] for rectangle in where.rectangles),
    )
