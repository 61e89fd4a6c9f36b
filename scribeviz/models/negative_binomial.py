r"""Negative binomial counts whose genes share the odds of success: the first SCRIBE's family.

All follow NumPyro's ``NegativeBinomialProbs``: the mean is :math:`r p / (1 - p)`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int

from scribeviz.data.counts import Counts
from scribeviz.data.tables import CellBatch, CellRows, SurvivalTable
from scribeviz.models import nb_log_prob, nb_predictions, nb_scores, nb_start
from scribeviz.models.likelihood import (
    CAPTURE,
    GeneSummary,
    Parameters,
    Start,
    StartSettings,
    log_depth_of,
)
from scribeviz.models.nb_likelihood import NegativeBinomialLikelihood
from scribeviz.models.nb_log_prob import log_odds_of_cells
from scribeviz.models.parameterizations import COMPONENT_SPECIFIC, GATE, SHARED_ODDS, Values
from scribeviz.models.score_tables import ScoreTable

_AXES = {
    "p": (COMPONENT_SPECIFIC,),
    "r": ("components", "genes"),
    "mu": ("components", "genes"),
    "gate": ("components", "genes"),
    "p_capture": ("cells",),
    "p_hat": (COMPONENT_SPECIFIC, "cells"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class NegativeBinomial(NegativeBinomialLikelihood):
    """Negative binomial counts, perhaps with a gate and with capture."""

    @property
    def has_gate(self) -> bool:
        """Whether each gene has a probability of dropping out."""
        return GATE in self.further_sites

    @property
    def zeros_differ(self) -> bool:
        """Whether a gene's zeros have a probability of their own in every cell."""
        return self.has_gate and self.has_capture

    def natural(self, parameterization: str, free: Values) -> dict[str, Array]:
        """``log_odds``, ``log_r``; with a gate ``gate_logit``, with capture ``log_depth``."""
        natural = self.parameterizations[parameterization].natural(free)
        return natural | ({"gate_logit": free["gate"]} if self.has_gate else {})

    def from_natural(self, parameterization: str, natural: Values) -> dict[str, Array]:
        """Free values by quantity."""
        free = self.parameterizations[parameterization].from_natural(natural)
        return free | ({"gate": natural["gate_logit"]} if self.has_gate else {})

    def quantities(self, natural: Values) -> dict[str, Array]:
        """``p``, ``r``, ``mu``; with a gate ``gate``, with capture ``p_capture``, ``p_hat``."""
        log_odds, log_r = natural["log_odds"], natural["log_r"]
        quantities = {
            "p": jax.nn.sigmoid(log_odds),
            "r": jnp.exp(log_r),
            "mu": jnp.exp(log_r + log_odds[:, None]),
        }
        if self.has_gate:
            quantities["gate"] = jax.nn.sigmoid(natural["gate_logit"])
        if self.has_capture:
            quantities["p_capture"] = jnp.exp(natural["log_depth"])
            quantities["p_hat"] = jax.nn.sigmoid(log_odds_of_cells(natural))
        return quantities

    @property
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        """What each quantity is repeated over."""
        return _AXES

    def single_counts(self, natural: Values) -> dict[str, Array]:
        """``r``, ``log_odds`` and, where they are, ``log_depth`` and ``gate``."""
        r = jnp.exp(natural["log_r"])[:, None, :]
        # A prior may put r where only 0 or infinity is left: no count has a probability there.
        limits = jnp.finfo(r.dtype)
        parameters = {
            "r": jnp.clip(r, limits.tiny, limits.max),
            "log_odds": natural["log_odds"][:, None, None],
        }
        if "log_depth" in natural:
            parameters["log_depth"] = natural["log_depth"][None, :, None]
        if self.has_gate:
            parameters["gate"] = jax.nn.sigmoid(natural["gate_logit"])[:, None, :]
        return parameters

    def log_prob_table(self, table: SurvivalTable, natural: Values) -> Float[Array, ""]:
        """Log-probability of all counts under one component, in nats."""
        return nb_log_prob.log_prob_table(table, natural)

    def log_prob_cells(
        self, rows: CellRows | CellBatch, natural: Values
    ) -> Float[Array, "components cells"]:
        """Log-probability of each cell under each component, in nats."""
        return nb_log_prob.log_prob_cells(rows, natural)

    def log_prob_by_depth(
        self, rows: CellRows, natural: Values
    ) -> Callable[[Float[Array, "components cells"]], Float[Array, "components cells"]]:
        """Without a gate only T ln p + R ln(1 - p) depends on depth: the rest is computed once."""
        if self.has_gate:
            return super().log_prob_by_depth(rows, natural)
        r = jnp.exp(natural["log_r"]).sum(axis=1)[:, None]
        total = jnp.asarray(rows.cell_total)

        def varying(log_depth: Array) -> Array:
            eta = natural["log_odds"][:, None] + log_depth
            return total * jax.nn.log_sigmoid(eta) + r * jax.nn.log_sigmoid(-eta)

        rest = self.log_prob_cells(rows, natural) - varying(log_depth_of(natural))
        return lambda log_depth: rest + varying(log_depth)

    def expected_totals(self, natural: Values) -> Float[Array, " components"]:
        """Expected total count of a cell of depth 1."""
        expected = jnp.exp(natural["log_r"] + natural["log_odds"][:, None])
        if self.has_gate:
            expected *= jax.nn.sigmoid(-natural["gate_logit"])
        return expected.sum(axis=1)

    def score(
        self, natural: Values, table: ScoreTable, *, by_cell: bool
    ) -> Float[Array, "components scored"]:
        """Weighted log-probability of every cell or gene, under each component."""
        return nb_scores.score(natural, table, by_cell=by_cell)

    def dense(self, parameters: Values) -> dist.Distribution:
        """NumPyro's own distribution of single counts: what all the fast forms must equal."""
        plain = super().dense(parameters)
        if not self.has_gate:
            return plain
        gate = jnp.broadcast_to(parameters["gate"], plain.batch_shape)
        return dist.ZeroInflatedDistribution(plain, gate=gate)

    def draw(self, rng: np.random.Generator, parameters: Parameters) -> np.ndarray:
        """Draw counts."""
        return nb_predictions.draw(rng, parameters)

    def moments(
        self, parameters: Parameters, groups: Float[np.ndarray, " groups"]
    ) -> tuple[
        Float[np.ndarray, "draws components genes"], Float[np.ndarray, "draws components genes"]
    ]:
        """Mean of the counts and of their squares over cells, which fall into groups."""
        return nb_predictions.moments(parameters, groups)

    def totals(
        self, parameters: Parameters
    ) -> tuple[
        Float[np.ndarray, "draws components groups"], Float[np.ndarray, "draws components groups"]
    ]:
        """Mean and variance of a cell's total."""
        return nb_predictions.totals(parameters)

    def start(
        self, counts: Counts, group_of_cell: Int[np.ndarray, " cells"], settings: StartSettings
    ) -> Start:
        """Where a fit starts."""
        return nb_start.start(
            counts,
            group_of_cell,
            settings,
            has_gate=self.has_gate,
            has_capture=self.has_capture,
        )

    def summary(self, point: Parameters, n_components: int) -> GeneSummary:
        """Mean counts and dispersions of genes, and captures of cells."""
        r, mean = (np.asarray(point[name], float).reshape(n_components, -1) for name in ("r", "mu"))
        cells = {}
        if self.has_gate:
            mean = mean * (1 - np.asarray(point["gate"], float).reshape(n_components, -1))
        if self.has_capture:
            cells["capture"] = np.asarray(point["p_capture"], float)
            mean = mean * cells["capture"].mean()
        return GeneSummary(mean, {"dispersion": r}, cells)

    def concentrations(self, draws: Parameters) -> np.ndarray:
        """Negative binomial counts that share p share out their total by Dirichlet(r)."""
        return draws["r"]


_HEADING = "SCRIBE's models: genes share their odds"

NBDM = NegativeBinomial(
    key="nbdm",
    label="Negative binomial",
    use_when="A first look in seconds: counts scatter more than chance alone makes them, all cells "
    "are alike, and all genes share one variance-to-mean ratio.",
    formula="count ~ NB(r of the gene, p), with mean r p / (1 - p)",
    source="Gruen, Kester & van Oudenaarden 2014, Nat. Methods 11, 637",
    heading=_HEADING,
    parameterizations=SHARED_ODDS,
    oracle="nbinom",
)
ZINB = NegativeBinomial(
    key="zinb",
    label="Zero-inflated negative binomial",
    use_when="When genes show more zeros than a negative binomial of the same mean: "
    "protocols without UMIs, or genes that only some of the cells express.",
    formula="count = 0 with probability gate of the gene, else ~ NB(r of the gene, p)",
    source="Risso et al. 2018, Nat. Commun. 9, 284",
    heading=_HEADING,
    parameterizations=SHARED_ODDS,
    further_sites=(GATE,),
    oracle="nbinom",
)
NBVCP = NegativeBinomial(
    key="nbvcp",
    label="Negative binomial with capture",
    use_when="When cells were sequenced to different depths, and for every mixture: each "
    "cell gets its own capture probability, so that depth is not taken for cell type.",
    formula="count ~ NB(r of the gene, p of the cell), p of the cell = p ν / (1 - p (1 - ν)"
    "), ν the capture probability",
    source="Breda, Zavolan & van Nimwegen 2021, Nat. Biotechnol. 39, 1008; Tang et al. "
    "2020, Bioinformatics 36, 1174",
    heading=_HEADING,
    depth=CAPTURE,
    parameterizations=SHARED_ODDS,
    oracle="nbinom",
)
ZINBVCP = NegativeBinomial(
    key="zinbvcp",
    label="Zero-inflated with capture",
    use_when="When depth differs between cells and zeros are still too many; slower, since "
    "then every zero of every cell has a probability of its own.",
    formula="count = 0 with probability gate of the gene, else ~ NB(r of the gene, p of the cell)",
    source="Tang et al. 2020, Bioinformatics 36, 1174",
    heading=_HEADING,
    depth=CAPTURE,
    parameterizations=SHARED_ODDS,
    further_sites=(GATE,),
    oracle="nbinom",
)
