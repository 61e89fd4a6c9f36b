"""The best simple ways to score negative binomial counts that all cells share: what to beat.

Both are what a careful user would write by hand; neither needs tables.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma, gammaln

from scribeviz.data.counts import Counts

_ROWS = 90  # cells at a time, so that temporaries stay in the processor's cache


@jax.custom_vjp
def log_rising(r: Any, x: Any) -> Any:
    """ln Γ(r + x) - ln Γ(r), with its slope by hand."""
    return gammaln(r + x) - gammaln(r)


def _forward(r: Any, x: Any) -> tuple[Any, Any]:
    return log_rising(r, x), digamma(r + x) - digamma(r)


def _backward(slope: Any, cotangent: Any) -> tuple[Any, None]:
    return cotangent * slope, None


log_rising.defvjp(_forward, _backward)


def dense_by_hand(counts: Counts) -> tuple[Callable, Any]:
    """Every entry of the matrix, some cells after the other."""
    matrix = counts.matrix.toarray().astype(np.float32)
    n_blocks = -(-counts.n_cells // _ROWS)
    padded = np.pad(matrix, ((0, n_blocks * _ROWS - counts.n_cells), (0, 0)))
    data = jnp.asarray(padded.reshape(n_blocks, _ROWS, -1)), jnp.float32(counts.n_cells)

    def loss(values: Any, data: Any) -> Any:
        blocks, n_cells = data
        r, p = values["r"], values["p"]

        def of_block(block: Any) -> Any:
            return (log_rising(jnp.broadcast_to(r, block.shape), block) + block * jnp.log(p)).sum()

        # A padded cell shows nothing, and nothing rises.
        return -(jax.lax.map(of_block, blocks).sum() + n_cells * r.sum() * jnp.log1p(-p))

    return jax.jit(jax.value_and_grad(loss)), data


def nonzeros_only(counts: Counts) -> tuple[Callable, Any]:
    """The non-zeros one by one, and a closed form for the rest."""
    columns = counts.columns
    gene = np.repeat(np.arange(counts.n_genes), np.diff(columns.indptr))
    data = (
        jnp.asarray(gene, jnp.int32),
        jnp.asarray(columns.data, jnp.float32),
        jnp.float32(counts.n_cells),
    )

    def loss(values: Any, data: Any) -> Any:
        gene, count, n_cells = data
        r, p = values["r"], values["p"]
        rising = log_rising(r.at[gene].get(indices_are_sorted=True), count).sum()
        return -(rising + count.sum() * jnp.log(p) + n_cells * r.sum() * jnp.log1p(-p))

    return jax.jit(jax.value_and_grad(loss)), data
