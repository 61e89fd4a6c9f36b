"""Some cells cut out of the non-zeros, inside a compiled step."""

import jax.numpy as jnp
from jaxtyping import Array, Int32

from scribeviz.data.tables import CellBatch, SparseRows


def cut_out(rows: SparseRows, cells: Int32[Array, " batch"], n_genes: int) -> CellBatch:
    """Cut some cells out of the non-zeros."""
    inside = rows.column < rows.length[cells][:, None]
    where = jnp.where(inside, rows.start[cells][:, None] + rows.column, 0)
    return CellBatch(
        gene=jnp.where(inside, rows.gene[where], n_genes),
        value=jnp.where(inside, rows.value[where], 0.0),
        cell_total=rows.cell_total[cells],
        log_factorials=rows.log_factorials[cells],
        log_depth=None if rows.log_depth is None else rows.log_depth[cells],
    )
