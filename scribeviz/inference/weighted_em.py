r"""Mixtures by weighted tables: variational EM, as a stream of complete checkpoints.

The posterior is taken as :math:`q(z)\,q(w)\,\prod_g q(\mu_g, r_g)`: the components of cells, the
weights, and everything of a gene.  Given responsibilities :math:`R_{ck} = q(z_c = k)`, the best
:math:`q(\mu_g, r_g)` is the exact posterior of the gene on tables to which every cell adds its
share (:mod:`scribeviz.inference.component_quadrature`), that of the weights a Dirichlet
distribution, and the bound on the log evidence of the counts

.. math:: \sum_g \ln Z_g(R) + \ln\frac{B(\alpha + N)}{B(\alpha)} - \sum_{ck} R_{ck} \ln R_{ck},
          \quad N_k = \sum_c R_{ck}

Given these, :math:`R_{ck} \propto \exp(\mathrm{E}\ln w_k + \mathrm{E}\ln p(x_c \mid k))`.  Each
of the two steps raises the bound (Bishop 2006, Pattern Recognition and Machine Learning, 10.2).  A
sweep visits the non-zeros twice, however many components there are.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.special import digamma, entr, gammaln, softmax

from scribeviz._cards import shown_by_fields
from scribeviz._settings import check_settings, document_settings, setting
from scribeviz.data.component_tables import CellsByDepth
from scribeviz.inference.component_moments import Moments, log_likelihood, moments_of
from scribeviz.inference.component_quadrature import ComponentRegion, first_region
from scribeviz.inference.shared_priors import (
    Learned,
    better_priors,
    log_density_of_priors,
    log_density_of_spread,
    spread_of,
)
from scribeviz.models.component_priors import ComponentPriors

FIRST_BETWEEN = 0.7
"""Spread of ln(mean) between components, before anything is learned; one gene's worth is known."""

_OVERSHOOT = 1.5  # EM of a spread creeps; steps up to twice as long still rise


@document_settings
@dataclass(frozen=True, slots=True, kw_only=True)
class EMConfig:
    """When to end, and where to begin; every number is a control of the app.

    Examples
    --------
    >>> import scribeviz
    >>> scribeviz.EMConfig(n_starts=3).n_sweeps
    100
    """

    n_sweeps: int = setting(
        100,
        label="At most",
        doc="Sweeps over all genes and cells; it ends by itself when one no longer makes the data "
        "more probable.",
        unit="sweeps",
        bounds=(1, 10_000),
    )
    tolerance: float = setting(
        1e-6,
        label="Tolerance",
        doc="Relative rise of the bound below which a sweep counts as the last.",
        bounds=(0.0, 1.0),
    )
    n_starts: int = setting(
        1,
        label="Starts",
        doc="The first begins with a clustering of the cells by all variable genes, every further "
        "one by a random half of them; the best after a few sweeps goes on.",
        bounds=(1, 50),
    )
    labels: str = setting(
        "",
        label="Known labels",
        doc="A column of obs with what is known of some or all cells, such as their types; each "
        "label gets a component. Empty: nothing is known.",
    )
    label_strength: float = setting(
        5.0,
        label="Strength of labels",
        doc="A label is outweighed by counts that speak against it by more.",
        unit="nats",
        bounds=(0.0, 1e6),
    )
    seed: int = setting(
        0, label="Seed", doc="The same seed gives the same fit.", bounds=(0, 2**31 - 1)
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def n_steps(self) -> int:
        """Sweeps at most."""
        return self.n_sweeps


@shown_by_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class EMCheckpoint:
    """The fit so far, complete in itself.

    Attributes
    ----------
    step, n_steps
        Sweeps done, and the most that will be done.
    losses
        Minus the bound on the log evidence after each, in nats.
    settled
        Whether the last sweep gained no more.
    steps_per_second
        Speed of the last sweep.
    responsibilities
        Share of every cell in every component, as the last sweep found them.
    priors
        Shared by the genes, as the last sweep found them.
    region
        Where the posteriors of genes lie.
    """

    step: int
    n_steps: int
    losses: Float[np.ndarray, " steps"]
    settled: bool
    steps_per_second: float
    responsibilities: Float[np.ndarray, "cells components"]
    priors: dict[str, np.ndarray]
    region: dict[str, np.ndarray]

    @property
    def fraction(self) -> float:
        """Share of the most sweeps that will be done."""
        return self.step / self.n_steps


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """What is fitted, and what it is fitted to.

    Attributes
    ----------
    cells
        The data.
    concentration
        Of the Dirichlet prior of the weights.
    learned
        Which priors of genes are learned.
    log_odds
        Log-probability of what is known of every cell beforehand, were it of each component; None
        for nothing.
    constant
        What the tables leave out of the log-probability of the data, in nats.
    """

    cells: CellsByDepth
    concentration: float
    learned: Learned
    log_odds: Float[np.ndarray, "cells components"] | None = None
    constant: float = 0.0

    def bound(
        self, moments: Moments, priors: ComponentPriors, r: Float[np.ndarray, "cells components"]
    ) -> float:
        """The bound on the log evidence at responsibilities ``r``, in nats."""
        sizes, k = r.sum(axis=0), r.shape[1]
        before = np.full(k, self.concentration)
        weights = _log_beta(before + sizes) - _log_beta(before)
        total = moments.log_evidence + weights + entr(r).sum() + self.constant
        if self.log_odds is not None:
            total += (r * self.log_odds).sum()
        total += log_density_of_priors(priors.genes, self.learned)
        if self.learned.mean:
            total += log_density_of_spread(priors.between, FIRST_BETWEEN)
        return float(total)

    def responsibilities(
        self, moments: Moments, sizes: Float[np.ndarray, " components"]
    ) -> Float[np.ndarray, "cells components"]:
        """The best shares of cells, given the posteriors of genes and the sizes of components."""
        return np.asarray(softmax(self.log_shares(moments, sizes), axis=1))

    def log_shares(
        self, moments: Moments, sizes: Float[np.ndarray, " components"]
    ) -> Float[np.ndarray, "cells components"]:
        """Their logarithms, up to a number for each cell."""
        logits = log_likelihood(self.cells, moments)
        logits += digamma(self.concentration + sizes)
        if self.log_odds is not None:
            logits += self.log_odds
        return logits

    def better_priors(self, moments: Moments, priors: ComponentPriors) -> ComponentPriors:
        """Priors under which the genes are more probable."""
        genes, _ = better_priors(moments.summary, priors.genes, self.learned)
        between = priors.between
        if self.learned.mean:
            n_means = moments.of_counts.shape[0] * moments.of_counts.shape[1]
            best = spread_of(moments.squares, n_means, FIRST_BETWEEN)
            between *= (best / between) ** _OVERSHOOT
        return replace(priors, genes=genes, between=between)


def em_checkpoints(
    mixture: Mixture,
    config: EMConfig,
    priors: ComponentPriors,
    responsibilities: Float[np.ndarray, "cells components"] | None,
    *,
    start: EMCheckpoint | None = None,
) -> Iterator[EMCheckpoint]:
    """Fit a mixture.

    Parameters
    ----------
    mixture
        What is fitted.
    config
        When to end.
    priors, responsibilities
        Where it starts, unless from a checkpoint; priors that are not learned stay.
    start
        A checkpoint of the same fit, to go on from.
    """
    region, losses = None, np.zeros(0)
    if start is not None:
        priors, responsibilities = ComponentPriors.from_arrays(start.priors), start.responsibilities
        region, losses = ComponentRegion.from_arrays(start.region), start.losses
    if responsibilities is None:
        raise ValueError("a mixture starts from responsibilities or from a checkpoint.")
    while losses.size < config.n_sweeps:
        began = time.perf_counter()
        tables = mixture.cells.tables(responsibilities)
        if region is None:
            region = first_region(tables, priors)
        moments = moments_of(tables, priors, region, mixture.cells)
        losses = np.append(losses, -mixture.bound(moments, priors, responsibilities))
        responsibilities = mixture.responsibilities(moments, responsibilities.sum(axis=0))
        priors = mixture.better_priors(moments, priors)
        gain = losses[-2] - losses[-1] if losses.size > 1 else np.inf
        settled = bool(gain < config.tolerance * abs(losses[-1]))
        yield EMCheckpoint(
            step=losses.size,
            n_steps=config.n_sweeps,
            losses=losses,
            settled=settled,
            steps_per_second=1 / (time.perf_counter() - began),
            responsibilities=responsibilities,
            priors=priors.arrays,
            region=region.arrays,
        )
        if settled:
            return


def _log_beta(concentration: np.ndarray) -> float:
    return float(gammaln(concentration).sum() - gammaln(concentration.sum()))
