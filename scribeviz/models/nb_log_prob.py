r"""The exact engine: negative binomial counts of whole data sets, from their tables.

All likelihoods of the family share one form.  With odds of success that may differ from cell to
cell, :math:`\eta_c = \ln(\nu_c / \varphi)`, and :math:`t_c = \ln(1-\hat p_c) = \ln\sigma(-\eta_c)`,

.. math:: \ell = \sum_{g,j} S_g(j) \ln(r_g + j) + \sum_{c,g} f_g(t_c) + \sum_{x_{gc} > 0} h_{gc}
          + \sum_c T_c \ln \hat p_c - \sum_{c,g} \ln x_{gc}!

where an all-zero cell gives :math:`f_g(t) = r_g t` and a non-zero adds nothing (:math:`h = 0`),
unless zeros are inflated (:mod:`scribeviz.models.zeros`).

``natural`` is a mapping of arrays: ``log_r`` (components, genes), ``log_odds`` (components), and
where the likelihood has them ``gate_logit`` (components, genes) and ``log_depth`` (cells).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scribeviz.data.tables import CellBatch, CellRows, SurvivalTable
from scribeviz.models.likelihood import log_depth_of
from scribeviz.models.lists import at_pairs, sum_over_lists, with_genes
from scribeviz.models.parameterizations import Values
from scribeviz.models.special import log_rising
from scribeviz.models.zeros import log_zero, sum_log_sigmoid, sum_log_zero


def log_odds_of_cells(natural: Values) -> Float[Array, "components cells"]:
    """Log odds of success; of one column where all cells are alike."""
    return natural["log_odds"][:, None] + log_depth_of(natural)[None, :]


def log_prob_table(table: SurvivalTable, natural: Values) -> Float[Array, ""]:
    """Log-probability of all counts under one component, in nats."""
    eta = log_odds_of_cells(natural)[0]
    single = {name: natural[name][0] for name in ("log_r", "gate_logit") if name in natural}
    r = jnp.exp(single["log_r"])
    rising = jnp.zeros((), r.dtype)
    for of_gene, (step, weight) in with_genes(r, table.genes_of_steps, table.steps):
        rising += (jnp.log(of_gene + step) * weight).sum()
    for of_gene, stretch in with_genes(r, table.genes_of_stretches, table.stretches):
        long = log_rising(of_gene + stretch.start, stretch.length)
        rising += (long * stretch.weight).sum()
    hit = _mean_hit(table, jax.nn.log_sigmoid(eta))
    by_gene, further = _zeros_of_table(table, single, jax.nn.log_sigmoid(-eta))
    # Gene by gene before the sum: hits and misses nearly cancel, and float32 keeps more that way.
    return rising + (table.gene_total * hit + by_gene).sum() + further - table.log_factorials


def _mean_hit(table: SurvivalTable, hits: Array) -> Array:
    """What one count gives, averaged over all counts."""
    if hits.shape[0] == 1:
        return hits
    total = jnp.maximum(jnp.sum(table.cell_total), 1)
    return jnp.sum(table.cell_total * hits) / total


def _zeros_of_table(
    table: SurvivalTable, single: Values, t: Array
) -> tuple[Float[Array, " genes"], Float[Array, ""]]:
    """What zeros give and non-zeros change in it: by gene, and a part that is summed already."""
    log_r, nothing = single["log_r"], jnp.zeros((), t.dtype)
    all_alike = t.shape[0] == 1
    if "gate_logit" not in single:
        return jnp.exp(log_r) * (t[0] * table.n_cells if all_alike else t.sum()), nothing
    gate = single["gate_logit"]
    if all_alike:
        changed = table.cells_with_gene * jax.nn.log_sigmoid(jnp.exp(log_r) * t - gate)
        return table.n_cells * log_zero(log_r, gate, t) + changed, nothing
    by_cell = sum_log_sigmoid(jnp.exp(log_r)[None], gate[None], t[None], table.entries)[0]
    return jnp.zeros_like(log_r), (sum_log_zero(log_r, gate, t) + by_cell).sum()


def log_prob_cells(rows: CellRows | CellBatch, natural: Values) -> Float[Array, "components cells"]:
    """Log-probability of each cell under each component, in nats."""
    eta = log_odds_of_cells(natural)
    t = jax.nn.log_sigmoid(-eta)
    hits = rows.cell_total[None, :] * jax.nn.log_sigmoid(eta)
    nonzero = _nonzeros_by_cell(rows, natural, t)
    return nonzero + _zeros_by_cell(natural, t) + hits - rows.log_factorials[None, :]


def _zeros_by_cell(natural: Values, t: Array) -> Float[Array, "components cells"]:
    """What an all-zero cell gives; of one column where all cells are alike."""
    log_r = natural["log_r"]
    if "gate_logit" not in natural:
        return jnp.exp(log_r).sum(axis=1)[:, None] * t
    gate = natural["gate_logit"]
    if t.shape[1] == 1:
        return log_zero(log_r, gate, t).sum(axis=1)[:, None]
    return jax.lax.map(lambda component: sum_log_zero(*component), (log_r, gate, t))


def _nonzeros_by_cell(
    rows: CellRows | CellBatch, natural: Values, t: Array
) -> Float[Array, "components cells"]:
    """What its non-zeros change in an all-zero cell."""
    if isinstance(rows, CellBatch):
        return _nonzeros_of_batch(rows, natural, t)
    log_r, gate = natural["log_r"], natural.get("gate_logit")
    r = jnp.exp(log_r)
    of_pair = at_pairs(r, rows.pair_gene, rows.pairs_of_gene)
    per_pair = log_rising(of_pair, rows.pair_count[None, :])
    if gate is not None and t.shape[1] == 1:
        kept = jax.nn.log_sigmoid(r * t - gate)
        per_pair += at_pairs(kept, rows.pair_gene, rows.pairs_of_gene)
    total = sum_over_lists(per_pair, rows.pairs_of_cell, rows.cells_of_pair)
    if gate is not None and t.shape[1] > 1:
        total += sum_log_sigmoid(r, gate, t, rows.entries)
    return total


def _nonzeros_of_batch(
    batch: CellBatch, natural: Values, t: Array
) -> Float[Array, "components cells"]:
    def one(component: tuple[Array, Array | None, Array]) -> Array:
        log_r, gate, t = component
        r = jnp.append(jnp.exp(log_r), jnp.ones((), log_r.dtype))[batch.gene]
        total = log_rising(r, batch.value)
        if gate is not None:
            a = jnp.append(gate, jnp.asarray(-1e30, gate.dtype))[batch.gene]
            total += jax.nn.log_sigmoid(r * t[:, None] - a)
        return total.sum(axis=1)

    t = jnp.broadcast_to(t, (t.shape[0], batch.gene.shape[0]))
    return jax.lax.map(one, (natural["log_r"], natural.get("gate_logit"), t))
