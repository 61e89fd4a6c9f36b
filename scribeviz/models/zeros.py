r"""What zeros contribute when some of them are dropouts.

With :math:`a` the log odds of the gate and :math:`t = \ln(1 - \hat p)`, a zero has log-probability

.. math:: f(t) = \ln(\pi + (1-\pi) e^{r t}),

and a count above zero differs from ":math:`f` plus the rest of the negative binomial" by
:math:`\ln\sigma(r t - a)`.  Without capture t is one number and both are closed sums.  With
capture t differs from cell to cell:  the first is then summed over all cells by interpolation in
:math:`u = \ln(-t)`, where f is smooth whatever r is, and the second over the non-zeros only.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scribeviz.data.tables import Entries, PaddedLists
from scribeviz.models.lists import for_each_list

# In u, f has its poles at least arg(a + i pi) off the axis whatever r is: the error falls like
# 2.3**-48 for depths within a factor of 30, and is 2e-5 of f for a factor of a million.
_NODES = 48
_NARROWEST = 1e-3


def log_zero(
    log_r: Float[Array, "..."], gate_logit: Float[Array, "..."], t: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Log-probability of a zero under a zero-inflated negative binomial, f(t)."""
    dropout = jax.nn.log_sigmoid(gate_logit)
    expressed = jax.nn.log_sigmoid(-gate_logit)
    return jnp.logaddexp(dropout, expressed + jnp.exp(log_r) * t)


class CellNodes(NamedTuple):
    """Chebyshev nodes that stand for all cells; not to be differentiated.

    Attributes
    ----------
    place
        The nodes, in what cells differ in.
    share
        What each node counts for each cell (Lagrange's polynomials).
    """

    place: Float[Array, " nodes"]
    share: Float[Array, "nodes cells"]

    @property
    def t(self) -> Float[Array, " nodes"]:
        """The nodes of cells that differ in ln(-t)."""
        return -jnp.exp(self.place)

    def weights(self, of_cells: Float[Array, " cells"]) -> Float[Array, " nodes"]:
        """What each node counts in a weighted sum over all cells."""
        return self.share @ of_cells

    def at_cells(self, at_nodes: Float[Array, " nodes"]) -> Float[Array, " cells"]:
        """A function that is known at the nodes, at every cell."""
        return at_nodes @ self.share


def cell_nodes(t: Float[Array, " cells"]) -> CellNodes:
    """Nodes for t = ln(1 - success probability) of every cell, negative."""
    return nodes_over(jnp.log(-t))


def nodes_over(u: Float[Array, " cells"]) -> CellNodes:
    """Nodes for any number that cells differ in."""
    low, high = u.min(), u.max()
    middle, half = (low + high) / 2, jnp.maximum((high - low) / 2, _NARROWEST)
    angle = np.pi * (np.arange(_NODES) + 0.5) / _NODES
    basis = np.cos(np.arange(_NODES)[:, None] * angle) * 2 / _NODES
    basis[0] /= 2
    return CellNodes(
        place=middle + half * jnp.asarray(np.cos(angle), u.dtype),
        share=jnp.asarray(basis.T, u.dtype) @ _chebyshev((u - middle) / half),
    )


def _chebyshev(x: Float[Array, " cells"]) -> Float[Array, "nodes cells"]:
    """Chebyshev polynomials by recurrence."""
    terms = [jnp.ones_like(x), x]
    for _ in range(_NODES - 2):
        terms.append(2 * x * terms[-1] - terms[-2])
    return jnp.stack(terms)


@jax.custom_vjp
def sum_log_zero(
    log_r: Float[Array, " genes"], gate_logit: Float[Array, " genes"], t: Float[Array, " cells"]
) -> Float[Array, " cells"]:
    r"""Sum over genes of :math:`f_g(t_c)`, the log-probability of a cell without any count.

    The slope in t is interpolated by itself: to differentiate the interpolating polynomial would
    cost three digits in float32.
    """
    return _log_zero_forward(log_r, gate_logit, t)[0]


def _log_zero_forward(log_r: Array, gate_logit: Array, t: Array) -> tuple[Array, tuple]:
    nodes = cell_nodes(t)
    value, pull = jax.vjp(lambda r, a: _over_genes(r, a, nodes.t), log_r, gate_logit)
    # With respect to u, in which the nodes are equally good everywhere.
    steep = jnp.exp(log_r)[:, None] * nodes.t[None, :]
    slope = (steep * jax.nn.sigmoid(steep - gate_logit[:, None])).sum(axis=0)
    return nodes.at_cells(value), (pull, nodes, nodes.at_cells(slope) / t)


def _log_zero_backward(residuals: tuple, cotangent: Array) -> tuple[Array, Array, Array]:
    pull, nodes, slope = residuals
    return (*pull(nodes.weights(cotangent)), slope * cotangent)


def _over_genes(log_r: Array, gate_logit: Array, t: Array) -> Float[Array, " nodes"]:
    return log_zero(log_r[:, None], gate_logit[:, None], t[None, :]).sum(axis=0)


sum_log_zero.defvjp(_log_zero_forward, _log_zero_backward)


@jax.custom_vjp
def sum_log_sigmoid(
    r: Float[Array, "components genes"],
    gate_logit: Float[Array, "components genes"],
    t: Float[Array, "components cells"],
    entries: Entries,
) -> Float[Array, "components cells"]:
    r"""Sum of :math:`\ln\sigma(r_g t_c - a_g)` over the genes that each cell shows.

    Rows of cells for the value and for the slope in t, rows of genes for the slopes in r and a:
    nothing is ever scattered.
    """
    return _forward(r, gate_logit, t, entries)[0]


def _forward(r: Array, a: Array, t: Array, entries: Entries) -> tuple[Array, tuple]:
    def one(component: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        return _by_cell(*component, entries.genes_of_cell)

    value, slope_t = jax.lax.map(one, (r, a, t))
    return value, (r, a, t, slope_t, entries)


def _backward(residuals: tuple, cotangent: Array) -> tuple[Array, Array, Array, None]:
    r, a, t, slope_t, entries = residuals

    def one(component: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
        return _by_gene(*component, entries.cells_of_gene)

    slope_r, slope_a = jax.lax.map(one, (r, a, t, cotangent))
    return slope_r, slope_a, slope_t * cotangent, None


sum_log_sigmoid.defvjp(_forward, _backward)


def _by_cell(r: Array, a: Array, t: Array, lists: PaddedLists) -> tuple[Array, Array]:
    # A padded member adds ln sigma(+large) = 0.
    r, a = _append(r, 0.0), _append(a, -1e30)

    def of_rows(genes: Array, cells: Array) -> tuple[Array, Array]:
        of_gene = r[genes]
        z = of_gene * t[cells][:, None] - a[genes]
        return jax.nn.log_sigmoid(z).sum(axis=1), (of_gene * jax.nn.sigmoid(-z)).sum(axis=1)

    return for_each_list(of_rows, lists)


def _by_gene(
    r: Array, a: Array, t: Array, weight: Array, lists: PaddedLists
) -> tuple[Array, Array]:
    t, weight = _append(t, 0.0), _append(weight, 0.0)

    def of_rows(cells: Array, genes: Array) -> tuple[Array, Array]:
        of_cell = t[cells]
        z = r[genes][:, None] * of_cell - a[genes][:, None]
        share = weight[cells] * jax.nn.sigmoid(-z)
        return (share * of_cell).sum(axis=1), -share.sum(axis=1)

    return for_each_list(of_rows, lists)


def _append(values: Array, last: float) -> Array:
    return jnp.append(values, jnp.asarray(last, values.dtype))
