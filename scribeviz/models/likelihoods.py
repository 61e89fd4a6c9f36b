r"""The count distributions.  To add one: one entry in ``LIKELIHOODS``.

All follow NumPyro's ``NegativeBinomialProbs``: the mean is :math:`r p / (1 - p)`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array

from scribeviz.data.tables import CellRows, SurvivalTable
from scribeviz.models import negative_binomial as nb
from scribeviz.models.parameterizations import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """One count distribution, with its exact forms over tables.

    Attributes
    ----------
    key
        Name in specs, files and URLs.
    label, use_when, formula
        What the user reads: its name, when to choose it, and its formula.
    has_gate
        Whether each gene has a probability of dropping out.
    has_capture
        Whether each cell has a capture probability.
    log_prob_table
        ``(SurvivalTable, natural) -> ()``: all cells at once, in nats.
    log_prob_cells
        ``(CellRows or CellBatch, natural) -> (components, cells)``, in nats.
    dense
        ``(log_r, log_odds, gate_logit) -> Distribution`` of single counts: what the fast forms
        must equal.
    log_pmf, mean, draw
        The same in NumPy, for predictive checks and simulation.
    source
        Where the formula comes from.

    Notes
    -----
    ``natural`` is explained in :mod:`scribeviz.models.negative_binomial`.
    """

    key: str
    label: str
    use_when: str
    formula: str
    has_gate: bool
    has_capture: bool
    log_prob_table: Callable[[SurvivalTable, Values], Array] = nb.log_prob_table
    log_prob_cells: Callable[[CellRows | nb.CellBatch, Values], Array] = nb.log_prob_cells
    dense: Callable[..., dist.Distribution] = nb.dense
    log_pmf: Callable[[np.ndarray, Mapping[str, np.ndarray]], np.ndarray] = nb.log_pmf
    mean: Callable[[Mapping[str, np.ndarray]], np.ndarray] = nb.mean
    draw: Callable[[np.random.Generator, Mapping[str, np.ndarray]], np.ndarray] = nb.draw
    source: str


LIKELIHOODS: Mapping[str, Likelihood] = {
    entry.key: entry
    for entry in (
        Likelihood(
            key="nbdm",
            label="Negative binomial",
            use_when="Start here: counts that scatter more than Poisson, all cells alike.",
            formula="count ~ NB(r of the gene, p), with mean r p / (1 - p)",
            has_gate=False,
            has_capture=False,
            source="Gruen, Kester & van Oudenaarden 2014, Nat. Methods 11, 637",
        ),
        Likelihood(
            key="zinb",
            label="Zero-inflated negative binomial",
            use_when="When genes show more zeros than a negative binomial of the same mean: "
            "protocols without UMIs, or genes that only some of the cells express.",
            formula="count = 0 with probability gate of the gene, else ~ NB(r of the gene, p)",
            has_gate=True,
            has_capture=False,
            source="Risso et al. 2018, Nat. Commun. 9, 284",
        ),
        Likelihood(
            key="nbvcp",
            label="Negative binomial with capture",
            use_when="When cells were sequenced to different depths, and for every mixture: each "
            "cell gets its own capture probability, so that depth is not taken for cell type.",
            formula="count ~ NB(r of the gene, p of the cell), p of the cell = p ν / (1 - p (1 - ν)"
            "), ν the capture probability",
            has_gate=False,
            has_capture=True,
            source="Breda, Zavolan & van Nimwegen 2021, Nat. Biotechnol. 39, 1008; Tang et al. "
            "2020, Bioinformatics 36, 1174",
        ),
        Likelihood(
            key="zinbvcp",
            label="Zero-inflated with capture",
            use_when="When depth differs between cells and zeros are still too many; slower, since "
            "then every zero of every cell has a probability of its own.",
            formula="count = 0 with probability gate of the gene, else ~ NB(r of the gene, p of "
            "the cell)",
            has_gate=True,
            has_capture=True,
            source="Tang et al. 2020, Bioinformatics 36, 1174",
        ),
    )
}
