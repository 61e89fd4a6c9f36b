r"""Sums over the non-zeros of count times :math:`\ln(1 + e^{a_g + b_c})`.

Where odds are the genes' own and depth the cells', every non-zero has its own.  Rows of cells for
the value and for the slope in b, rows of genes for the slope in a: nothing is ever scattered.
"""

import jax
from jaxtyping import Array, Float

from scribeviz.data.tables import CellBatch, Entries
from scribeviz.models.lists import for_each_list
from scribeviz.models.score_tables import padded


@jax.custom_vjp
def sum_hits(
    odds: Float[Array, "components genes"], log_depth: Float[Array, " cells"], entries: Entries
) -> Float[Array, "components cells"]:
    r"""Sum of :math:`x_{gc} \ln(1 + e^{a_g + b_c})` over the genes that each cell shows."""
    return hits_at(odds, log_depth, entries)


def hits_at(
    odds: Float[Array, "components genes"], log_depth: Float[Array, " cells"], entries: Entries
) -> Float[Array, "components cells"]:
    """The same, not to be differentiated."""

    def one(odds: Array) -> Array:
        of_gene = padded(odds)

        def of_rows(genes: Array, cells: Array, count: Array) -> Array:
            hits = jax.nn.softplus(of_gene[genes] + log_depth[cells][:, None])
            return (count * hits).sum(axis=1)

        return for_each_list(of_rows, entries.genes_of_cell, entries.counts_of_cell)

    return jax.lax.map(one, odds)


def _forward(odds: Array, log_depth: Array, entries: Entries) -> tuple[Array, tuple]:
    return hits_at(odds, log_depth, entries), (odds, log_depth, entries)


def _backward(residuals: tuple, cotangent: Array) -> tuple[Array, Array, None]:
    odds, log_depth, entries = residuals
    depth = padded(log_depth)

    def by_cell(component: tuple[Array, Array]) -> Array:
        odds, weight = component
        of_gene = padded(odds)

        def of_rows(genes: Array, cells: Array, count: Array) -> Array:
            shares = jax.nn.sigmoid(of_gene[genes] + log_depth[cells][:, None])
            return weight[cells] * (count * shares).sum(axis=1)

        return for_each_list(of_rows, entries.genes_of_cell, entries.counts_of_cell)

    def by_gene(component: tuple[Array, Array]) -> Array:
        odds, weight = component
        of_cell = padded(weight)

        def of_rows(cells: Array, genes: Array, count: Array) -> Array:
            shares = jax.nn.sigmoid(odds[genes][:, None] + depth[cells])
            return (of_cell[cells] * count * shares).sum(axis=1)

        return for_each_list(of_rows, entries.cells_of_gene, entries.counts_of_gene)

    slope_depth = jax.lax.map(by_cell, (odds, cotangent)).sum(axis=0)
    return jax.lax.map(by_gene, (odds, cotangent)), slope_depth, None


sum_hits.defvjp(_forward, _backward)


def hits_of_batch(
    odds: Float[Array, "components genes"], log_depth: Float[Array, " cells"], batch: CellBatch
) -> Float[Array, "components cells"]:
    """The same of cells that were cut out."""

    def one(odds: Array) -> Array:
        hits = jax.nn.softplus(padded(odds)[batch.gene] + log_depth[:, None])
        return (batch.value * hits).sum(axis=1)

    return jax.lax.map(one, odds)
