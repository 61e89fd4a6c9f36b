r"""What a count distribution owns: everything that others need to know about it.

A new one is a subclass of :class:`Likelihood` in a file of its own and one entry in
:data:`scribeviz.models.likelihoods.LIKELIHOODS`.  What it does not implement is refused by name
(:class:`NotOfferedError`) wherever it is asked for.

Three sets of parameters occur, each a mapping of arrays:

free
    Values of the sites, by quantity, where every real number is allowed.
natural
    What the likelihood is computed from, in JAX: per component and gene, component, or cell.
    ``log_depth`` (cells), where cells differ in depth, is among them.
of single counts
    The same in NumPy, to be broadcast over (…, components, cells or groups of cells, genes).  What
    makes cells differ is ``log_depth`` alone, and the mean is proportional to its exponential.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int

from scribeviz._offered import NotOfferedError
from scribeviz.data.counts import Counts
from scribeviz.data.tables import CellBatch, CellRows, SurvivalTable
from scribeviz.models.parameterizations import Parameterization, Site, Values
from scribeviz.models.score_tables import ScoreTable

NO_DEPTH, CAPTURE, GIVEN = "none", "capture", "given"
"""Where the depth of a cell comes from: nowhere, inferred as capture, or taken from its total."""

type Parameters = Mapping[str, np.ndarray]


class Start(NamedTuple):
    """Where a fit starts.

    Attributes
    ----------
    natural
        Natural parameters, ``log_weights`` aside.
    spreads
        Standard deviations on the free scale, by quantity.
    """

    natural: dict[str, np.ndarray]
    spreads: dict[str, np.ndarray]


class GeneSummary(NamedTuple):
    """What AnnData is told of genes and cells.

    Attributes
    ----------
    mean
        Expected count in an average cell, shape ``(components, genes)``.
    genes
        Further columns of ``var`` by name, each of that shape.
    cells
        Columns of ``obs`` by name.
    """

    mean: Float[np.ndarray, "components genes"]
    genes: dict[str, np.ndarray]
    cells: dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Likelihood(ABC):
    """One count distribution, with its exact forms over tables.

    Attributes
    ----------
    key
        Name in specs, files and URLs.
    label, use_when, formula, source
        What the user reads: its name, when to choose it, its formula, and where that comes from.
    heading
        What it is listed under.
    depth
        ``NO_DEPTH``, ``CAPTURE`` (inferred) or ``GIVEN`` (from the cells' totals).
    parameterizations
        By key, the usual one first.
    further_sites
        Sites that do not depend on the parameterization.
    oracle
        Name of SciPy's distribution of single counts; its arguments are
        :meth:`oracle_arguments`.
    """

    key: str
    label: str
    use_when: str
    formula: str
    source: str
    heading: str
    depth: str = NO_DEPTH
    parameterizations: Mapping[str, Parameterization]
    further_sites: tuple[Site, ...] = field(default=())
    oracle: str = ""

    # Which tables it is exact on.

    @property
    def has_capture(self) -> bool:
        """Whether each cell has a capture probability that is inferred."""
        return self.depth == CAPTURE

    @property
    def zeros_differ(self) -> bool:
        """Whether a gene's zeros have a probability of their own in every cell."""
        return False

    @property
    def own_odds(self) -> bool:
        """Whether every gene has odds of its own, which the depth of cells meets one by one."""
        return False

    # Sites and natural parameters.

    def sites(self, parameterization: str) -> tuple[Site, ...]:
        """The parameters that are inferred, without those of the mixture."""
        chosen = self.parameterizations[parameterization]
        capture = (chosen.capture,) if self.has_capture and chosen.capture is not None else ()
        return (*chosen.sites, *self.further_sites, *capture)

    @abstractmethod
    def natural(self, parameterization: str, free: Values) -> dict[str, Array]:
        """Natural parameters from free values by quantity, each with its axis of components."""

    @abstractmethod
    def from_natural(self, parameterization: str, natural: Values) -> dict[str, Array]:
        """Free values by quantity; the inverse of :meth:`natural`."""

    @abstractmethod
    def quantities(self, natural: Values) -> dict[str, Array]:
        """All that follows from the natural parameters, with an axis of components or of cells."""

    @property
    @abstractmethod
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        """What each of :meth:`quantities` is repeated over, as :attr:`Site.axes`."""

    @abstractmethod
    def single_counts(self, natural: Values) -> dict[str, Array]:
        """Parameters of single counts, to be broadcast over (components, cells, genes)."""

    # Scores, in JAX.

    def log_prob_table(self, table: SurvivalTable, natural: Values) -> Float[Array, ""]:
        """Log-probability of all counts under one component, in nats."""
        self._lacks("scores of a whole data set (log_prob_table)")

    def log_prob_cells(
        self, rows: CellRows | CellBatch, natural: Values
    ) -> Float[Array, "components cells"]:
        """Log-probability of each cell under each component, in nats."""
        self._lacks("scores of single cells (log_prob_cells)")

    def log_prob_by_depth(
        self, rows: CellRows, natural: Values
    ) -> Callable[[Float[Array, "components cells"]], Float[Array, "components cells"]]:
        """Give :meth:`log_prob_cells` as a function of log depths.

        An entry may compute once what these do not change.
        """

        def at(log_depth: Array) -> Array:
            def of_component(single: tuple[Values, Array]) -> Array:
                shared, log_depth = single
                one = {name: value[None] for name, value in shared.items()}
                return self.log_prob_cells(rows, one | {"log_depth": log_depth})[0]

            shared = {name: value for name, value in natural.items() if name != "log_depth"}
            return jax.lax.map(of_component, (shared, log_depth))

        return at

    def expected_totals(self, natural: Values) -> Float[Array, " components"]:
        """Expected total count of a cell of depth 1."""
        self._lacks("expected totals of cells (expected_totals)")

    def score(
        self, natural: Values, table: ScoreTable, *, by_cell: bool
    ) -> Float[Array, "components scored"]:
        """Weighted log-probability of every cell or gene, under each component."""
        self._lacks("weighted scores by cell or by gene (score)")

    def dense(self, parameters: Values) -> dist.Distribution:
        """NumPyro's distribution of single counts, from their parameters as arrays of JAX."""
        self._lacks("a distribution of single counts (dense)")

    # Predictions.

    def pmfs(
        self,
        parameters: Mapping[str, Float[Array, "draws components groups genes"]],
        weights: Float[Array, "draws components groups"],
        n_counts: int,
    ) -> Float[Array, "draws genes counts"]:
        """Probability of the counts 0 … ``n_counts - 1``, in JAX and float32."""
        self._lacks("predictive probabilities of many genes (pmfs)")

    def log_pmf(self, counts: np.ndarray, parameters: Parameters) -> np.ndarray:
        """Log-probability of single counts, in the precision of the parameters."""
        self._lacks("predictive probabilities (log_pmf)")

    def mean(self, parameters: Parameters) -> np.ndarray:
        """Expected count."""
        self._lacks("expected counts (mean)")

    def variance(self, parameters: Parameters) -> np.ndarray:
        """Variance of a count."""
        self._lacks("variances of counts (variance)")

    def draw(self, rng: np.random.Generator, parameters: Parameters) -> np.ndarray:
        """Draw counts in NumPy, thirty times faster than JAX on a CPU."""
        self._lacks("replicated data sets (draw)")

    def moments(
        self, parameters: Parameters, groups: Float[np.ndarray, " groups"]
    ) -> tuple[
        Float[np.ndarray, "draws components genes"], Float[np.ndarray, "draws components genes"]
    ]:
        """Mean of the counts and of their squares over cells, which fall into groups."""
        mean = square = 0.0
        for i, share in enumerate(groups):  # one after the other: groups times genes are many
            one = {
                name: value[:, :, i if value.shape[2] > 1 else 0]
                for name, value in parameters.items()
            }
            expected = self.mean(one)
            mean = mean + share * expected
            square = square + share * (self.variance(one) + expected**2)
        return np.asarray(mean), np.asarray(square)

    def totals(
        self, parameters: Parameters
    ) -> tuple[
        Float[np.ndarray, "draws components groups"], Float[np.ndarray, "draws components groups"]
    ]:
        """Mean and variance of a cell's total: sums over genes, which are independent given it."""
        mean = self.mean(parameters).sum(axis=-1)
        return mean, self.variance(parameters).sum(axis=-1)

    def draw_totals(
        self,
        rng: np.random.Generator,
        mean: Float[np.ndarray, " cells"],
        variance: Float[np.ndarray, " cells"],
        log_factor: Float[np.ndarray, " cells"],
    ) -> np.ndarray:
        """Draw total counts of cells with these moments (of a negative binomial).

        ``log_factor`` multiplies their rates: how cells of a group differ.
        """
        odds = np.maximum(variance / mean - 1, 1e-9)  # variance = mean (1 + odds)
        rate = rng.gamma(mean / odds, odds) * np.exp(log_factor)
        return rng.poisson(rate)

    # Starts, results, and the test's oracle.

    def start(
        self, counts: Counts, group_of_cell: Int[np.ndarray, " cells"], settings: "StartSettings"
    ) -> Start:
        """Where a fit starts, from data whose cells fall into a group per component."""
        self._lacks("start values (start)")

    def summary(self, point: Parameters, n_components: int) -> GeneSummary:
        """What AnnData is told, from a point estimate of all quantities."""
        self._lacks("columns for AnnData (summary)")

    def concentrations(self, draws: Parameters) -> np.ndarray:
        """Draws of Dirichlet concentrations that a cell's counts share out its total by."""
        self._lacks("normalised expression profiles (concentrations)")

    def oracle_arguments(self, parameters: Parameters) -> tuple[np.ndarray, ...]:
        """Arguments of SciPy's :attr:`oracle`, from the parameters of single counts."""
        self._lacks("an oracle (oracle_arguments)")

    def _lacks(self, what: str) -> NoReturn:
        raise NotOfferedError(f"the count distribution {self.key!r} offers no {what}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSettings:
    """What start values depend on besides the data.

    Attributes
    ----------
    n_components
        Number of components.
    shared_odds
        Whether all components have the same odds.
    along_odds
        Whether the posterior of the genes follows the odds, or need not.
    mean_capture
        Where the mean of capture starts.
    depth_column
        Of ``obs``, where depths that are given come from; empty for the cells' totals.
    """

    n_components: int
    shared_odds: bool
    along_odds: bool
    mean_capture: float
    depth_column: str = ""


def log_depth_of(natural: Values) -> Float[Array, " cells"]:
    """Log depths of the cells; one zero where all cells are alike."""
    if "log_depth" in natural:
        return natural["log_depth"]
    return jnp.zeros(1)
