r"""Weighted scores of every cell or gene under negative binomial counts.

With odds of success :math:`\eta_c`, :math:`h_c = \ln\sigma(\eta_c)` and
:math:`t_c = \ln\sigma(-\eta_c)`, a count has log-probability

.. math:: f_g(t_c) + [x > 0] \left( \ln\frac{\Gamma(r_g + x)}{\Gamma(r_g)\, x!} + x h_c
          + \ln\sigma(r_g t_c - a_g) \right)

where :math:`f_g(t) = r_g t` and the last term is missing, unless zeros are inflated
(:mod:`scribeviz.models.zeros`).  Summed with weights over genes (of each cell) or over cells (of
each gene), the first term is a closed form or an interpolation, and the rest needs the non-zeros
only.  With :math:`\bar h` the mean over cells and :math:`x h_c = x \bar h + x (h_c - \bar h)`, all
of it but what differs between cells is the same wherever a gene shows the same count: it is
computed once per distinct (gene, count) pair, with :math:`\ln x!` subtracted there and then, since
in float32 the difference of two large sums would cost a digit.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from scribeviz.models.lists import for_each_list, sum_over_lists
from scribeviz.models.nb_log_prob import log_odds_of_cells
from scribeviz.models.parameterizations import Values
from scribeviz.models.score_tables import Nonzeros, ScoreTable, padded
from scribeviz.models.special import log_rising
from scribeviz.models.zeros import cell_nodes, log_zero

_FLOAT64_SHIFT = 10  # from r + 14 on, the first term left out of Stirling's series is 4e-14


def score(
    natural: Values, table: ScoreTable, *, by_cell: bool
) -> Float[Array, "components scored"]:
    """Weighted log-probability of every cell or gene, under each component."""
    zeros = _zeros_of_cells if by_cell else _zeros_of_genes
    beyond_pairs = _beyond_pairs_of_cells if by_cell else _beyond_pairs_of_genes

    def one(component: _Component) -> Array:
        per_pair = _per_pair(component, table)[None, :]
        # Nothing is differentiated here, so that the transposed lists do not matter.
        total = sum_over_lists(per_pair, table.pairs, table.pairs)[0] + zeros(component, table)
        if table.nonzeros is None:
            return total
        return total + beyond_pairs(component, table.weight, table.nonzeros)

    components = _Component(natural["log_r"], natural.get("gate_logit"), log_odds_of_cells(natural))
    return jax.lax.map(one, components)


class _Component(NamedTuple):
    """One component of a draw; ``gate`` is None unless zeros are inflated.

    ``eta``, the log odds of success, has one entry where all cells are alike.
    """

    log_r: Float[Array, " genes"]
    gate: Float[Array, " genes"] | None
    eta: Float[Array, " cells"]

    @property
    def hit(self) -> Float[Array, " cells"]:
        """Log-probability of success."""
        return jax.nn.log_sigmoid(self.eta)

    @property
    def miss(self) -> Float[Array, " cells"]:
        """Log-probability of failure, t."""
        return jax.nn.log_sigmoid(-self.eta)


def _per_pair(component: _Component, table: ScoreTable) -> Float[Array, " pairs"]:
    """What a gene's count changes in the log-probability of its zero, at the mean of ``hit``."""
    r = jnp.exp(component.log_r)
    changed = (
        log_rising_to_rounding(r[table.pair_gene], table.pair_count) - table.pair_log_factorial
    )
    changed += table.pair_count * component.hit.mean()
    if component.gate is not None and table.nonzeros is None:
        changed += jax.nn.log_sigmoid(r * component.miss - component.gate)[table.pair_gene]
    return changed * table.pair_weight


def log_rising_to_rounding(r: Array, n: ArrayLike) -> Array:
    """As :func:`log_rising`, whose series ends where float32 does, to float64 rounding."""
    if r.dtype == jnp.float32:
        return log_rising(r, n)
    shifted = sum(jnp.log1p(n / (r + i)) for i in range(_FLOAT64_SHIFT))
    return log_rising(r + _FLOAT64_SHIFT, n) - shifted


def _zeros_of_cells(component: _Component, table: ScoreTable) -> Float[Array, " cells"]:
    """What every cell would have without any count."""
    log_r, gate, _ = component
    t = jnp.broadcast_to(component.miss, table.n_scored.shape)
    if gate is None:
        return (table.weight * jnp.exp(log_r)).sum() * t
    if table.nonzeros is None:
        zero = (table.weight * log_zero(log_r, gate, component.miss)).sum()
        return jnp.broadcast_to(zero, t.shape)
    nodes = cell_nodes(t)
    at_nodes = log_zero(log_r[:, None], gate[:, None], nodes.t[None, :])
    return nodes.at_cells(jnp.matmul(table.weight, at_nodes))


def _zeros_of_genes(component: _Component, table: ScoreTable) -> Float[Array, " genes"]:
    """What every gene would have without any count."""
    log_r, gate, _ = component
    t = jnp.broadcast_to(component.miss, table.weight.shape)
    if gate is None:
        return jnp.exp(log_r) * (table.weight * t).sum()
    if table.nonzeros is None:
        return table.weight.sum() * log_zero(log_r, gate, component.miss)
    nodes = cell_nodes(t)
    at_nodes = log_zero(log_r[:, None], gate[:, None], nodes.t[None, :])
    return at_nodes @ nodes.weights(jnp.asarray(table.weight))


def _beyond_pairs_of_cells(
    component: _Component, weight: ArrayLike, nonzeros: Nonzeros
) -> Float[Array, " cells"]:
    """What differs between cells that show the same count, summed over the genes of each cell."""
    r, weights = padded(jnp.exp(component.log_r)), padded(weight)
    gates = None if component.gate is None else padded(component.gate)
    hit, miss = component.hit - component.hit.mean(), component.miss

    def of_rows(genes: Array, cells: Array, count: Array) -> Array:
        total = hit[cells] * (weights[genes] * count).sum(axis=1)
        if gates is None:
            return total
        kept = jax.nn.log_sigmoid(r[genes] * miss[cells][:, None] - gates[genes])
        return total + (weights[genes] * kept).sum(axis=1)

    return for_each_list(of_rows, nonzeros.lists, nonzeros.counts)


def _beyond_pairs_of_genes(
    component: _Component, weight: ArrayLike, nonzeros: Nonzeros
) -> Float[Array, " genes"]:
    """What differs between cells that show the same count, summed over the cells of each gene."""
    r, gate = jnp.exp(component.log_r), component.gate
    weights, miss = padded(weight), padded(component.miss)
    hit = padded(component.hit - component.hit.mean())

    def of_rows(cells: Array, genes: Array, count: Array) -> Array:
        changed = count * hit[cells]
        if gate is not None:
            changed += jax.nn.log_sigmoid(r[genes][:, None] * miss[cells] - gate[genes][:, None])
        return (weights[cells] * changed).sum(axis=1)

    return for_each_list(of_rows, nonzeros.lists, nonzeros.counts)
