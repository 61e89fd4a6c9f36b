r"""The count distributions.  To add one: write its functions, add one entry to ``LIKELIHOODS``.

All follow NumPyro's ``NegativeBinomialProbs``: the mean is :math:`r p / (1 - p)`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from scipy.special import gammaln

from scribeviz.data.tables import CellRows, SurvivalTable
from scribeviz.models.parameterizations import Values
from scribeviz.models.special import log_rising, sum_over_lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """One count distribution, with its exact forms over tables.

    ``natural`` below is a mapping from the names in ``needs`` to arrays: per gene with shape
    ``(..., genes)``, shared ones without that axis.

    Attributes
    ----------
    key
        Name in specs, files and URLs.
    label, use_when, formula
        What the user reads: its name, when to choose it, and its formula.
    needs
        Names of the natural parameters.
    log_prob_table
        ``(SurvivalTable, natural) -> ()``: all cells at once, in nats.
    log_prob_cells
        ``(CellRows, natural with a leading component axis) -> (components, cells)``, in nats.
    dense
        ``natural -> Distribution`` over the counts of one cell: what the fast forms must equal.
    log_pmf
        ``(counts, natural) -> `` NumPy array, broadcast, float64: for predictive checks.
    mean
        ``natural -> `` NumPy array: the expected count.
    draw
        ``(generator, natural) -> `` NumPy array of counts, broadcast: for simulation.
    source
        Where the formula comes from.
    """

    key: str
    label: str
    use_when: str
    formula: str
    needs: tuple[str, ...]
    log_prob_table: Callable[[SurvivalTable, Values], Array]
    log_prob_cells: Callable[[CellRows, Values], Array]
    dense: Callable[[Values], dist.Distribution]
    log_pmf: Callable[[np.ndarray, Mapping[str, np.ndarray]], np.ndarray]
    mean: Callable[[Mapping[str, np.ndarray]], np.ndarray]
    draw: Callable[[np.random.Generator, Mapping[str, np.ndarray]], np.ndarray]
    source: str


def nbdm_log_prob_table(table: SurvivalTable, natural: Values) -> Float[Array, ""]:
    r"""Negative binomial counts of all cells, from the survival table alone.

    .. math:: \ell = \sum_{g,j} S_g(j) \ln(r_g + j) + C \sum_g r_g \ln(1-p) + T \ln p
              - \sum_{c,g} \ln x_{gc}!
    """
    p, r = natural["p"], natural["r"]
    rising = sum(
        (
            (jnp.log(r[group.gene][:, None] + group.step) * group.weight).sum()
            for group in table.steps
        ),
        start=jnp.zeros((), r.dtype),
    )
    start = r[table.stretch_gene] + table.stretch_start
    rising += (table.stretch_weight * log_rising(start, table.stretch_length)).sum()
    # Gene by gene before the sum: hits and misses nearly cancel, and float32 keeps more that way.
    rest = table.gene_total * jnp.log(p) + table.n_cells * r * jnp.log1p(-p)
    return rising + rest.sum() - table.log_factorials


def nbdm_log_prob_cells(rows: CellRows, natural: Values) -> Float[Array, "components cells"]:
    """Negative binomial counts cell by cell: an all-zero cell, plus what its non-zeros change."""
    p, r = natural["p"], natural["r"]
    rising = log_rising(r[:, rows.pair_gene], rows.pair_count[None, :])
    nonzero = sum_over_lists(rising, rows.pairs_of_cell, rows.cells_of_pair)
    all_zero = r.sum(axis=-1) * jnp.log1p(-p)
    hits = rows.cell_total[None, :] * jnp.log(p)[:, None]
    return nonzero + all_zero[:, None] + hits - rows.log_factorials[None, :]


def nbdm_log_pmf(counts: np.ndarray, natural: Mapping[str, np.ndarray]) -> np.ndarray:
    """Negative binomial log-probability in float64."""
    p, r = natural["p"], natural["r"]
    rising = gammaln(counts + r) - gammaln(r) - gammaln(counts + 1.0)
    return rising + r * np.log1p(-p) + counts * np.log(p)


LIKELIHOODS: Mapping[str, Likelihood] = {
    entry.key: entry
    for entry in (
        Likelihood(
            key="nbdm",
            label="Negative binomial",
            use_when="Start here: counts that scatter more than Poisson, all cells alike.",
            formula="count ~ NB(r of the gene, p), with mean r p / (1 - p)",
            needs=("p", "r"),
            log_prob_table=nbdm_log_prob_table,
            log_prob_cells=nbdm_log_prob_cells,
            dense=lambda natural: dist.NegativeBinomialProbs(natural["r"], natural["p"]),
            log_pmf=nbdm_log_pmf,
            mean=lambda natural: natural["r"] * natural["p"] / (1 - natural["p"]),
            draw=lambda rng, natural: rng.negative_binomial(natural["r"], 1 - natural["p"]),
            source="Gruen, Kester & van Oudenaarden 2014, Nat. Methods 11, 637",
        ),
    )
}
