"""Exact posteriors of genes and the priors that they share, as a stream of complete checkpoints.

A sweep computes the posterior of every gene by quadrature
(:mod:`scribeviz.inference.gene_quadrature`), then better shared priors from all of them
(:mod:`scribeviz.inference.shared_priors`).  It ends when a sweep no longer makes the data more
probable.  Sweeps cost the same however many cells there are.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from scribeviz._cards import shown_by_fields
from scribeviz._settings import check_settings, document_settings, setting
from scribeviz.data.counts import Counts
from scribeviz.data.gene_tables import GeneTables, gene_tables
from scribeviz.inference.gene_quadrature import N_DISPERSIONS, Region, first_region, quadrature
from scribeviz.inference.shared_priors import (
    Learned,
    Summary,
    better_priors,
    log_density_of_priors,
    shared_priors_of,
)
from scribeviz.models.depth import Depth
from scribeviz.models.gene_priors import GenePriors
from scribeviz.models.spec import ModelSpec

_SOME_GENES = 500
_PARTS = 4  # of a sweep: so often a checkpoint is yielded


@document_settings
@dataclass(frozen=True, slots=True, kw_only=True)
class ExactConfig:
    """When to end; every number is a control of the app.

    Examples
    --------
    >>> import scribeviz
    >>> scribeviz.ExactConfig(n_sweeps=10).tolerance
    1.0
    """

    n_sweeps: int = setting(
        30,
        label="At most",
        doc="Sweeps over all genes; it ends by itself when one no longer makes the data more "
        "probable.",
        unit="sweeps",
        bounds=(1, 1_000),
    )
    tolerance: float = setting(
        1.0,
        label="Tolerance",
        doc="Gain in log evidence below which a sweep counts as the last.",
        unit="nats",
        bounds=(0.0, 1e6),
    )
    seed: int = setting(
        0, label="Seed", doc="Of the draws that genes are checked with.", bounds=(0, 2**31 - 1)
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def n_steps(self) -> int:
        """Quarters of sweeps at most."""
        return _PARTS * self.n_sweeps


@shown_by_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class ExactCheckpoint:
    """The fit so far, complete in itself.

    Attributes
    ----------
    step, n_steps
        Quarters of sweeps done, and the most that will be done.
    losses
        Negative log evidence after each, in nats; of genes still to come, as it was before.
    settled
        Whether the last sweep gained no more.
    steps_per_second
        Speed of the last sweep.
    priors
        Shared by the genes, in the sweep that goes on.
    low, high, log_mean
        Where the posteriors lie (:class:`Region`), at its beginning.
    sweep_losses
        The losses up to its beginning: a stream that is resumed repeats the sweep.
    evidence
        Of every gene, at its beginning.
    """

    step: int
    n_steps: int
    losses: Float[np.ndarray, " steps"]
    settled: bool
    steps_per_second: float
    priors: dict[str, np.ndarray]
    low: Float[np.ndarray, " genes"]
    high: Float[np.ndarray, " genes"]
    log_mean: Float[np.ndarray, "genes dispersions"]
    sweep_losses: Float[np.ndarray, " steps"]
    evidence: Float[np.ndarray, " genes"]

    @property
    def fraction(self) -> float:
        """Share of the most sweeps that will be done."""
        return self.step / self.n_steps

    @property
    def region(self) -> Region:
        """Where the posteriors lie."""
        return Region(self.low.copy(), self.high.copy(), self.log_mean.copy())


def exact_checkpoints(
    tables: GeneTables,
    config: ExactConfig,
    priors: GenePriors,
    learned: Learned,
    *,
    constant: float = 0.0,
    start: ExactCheckpoint | None = None,
) -> Iterator[ExactCheckpoint]:
    """Compute all posteriors and learn the shared priors.

    Parameters
    ----------
    tables
        The data.
    config
        When to end.
    priors
        Where the shared priors start; those that are not learned stay.
    learned
        Which are learned.
    constant
        What the tables leave out of the log-probability of the data, in nats.
    start
        A checkpoint of the same fit, to go on from.
    """
    if start is None:
        region, evidence = first_region(tables, priors)
        losses = np.zeros(0)
    else:
        priors, region = GenePriors.from_arrays(start.priors), start.region
        losses, evidence = start.sweep_losses, start.evidence
    n_steps = config.n_steps
    marks = np.linspace(0, tables.n_genes, _PARTS + 1)[1:]
    while losses.size < n_steps:
        began, before, done = time.perf_counter(), evidence, 0
        now = at_start = ExactCheckpoint(
            step=losses.size,
            n_steps=n_steps,
            losses=losses,
            settled=False,
            steps_per_second=0.0,
            priors=priors.arrays,
            low=region.low.copy(),
            high=region.high.copy(),
            log_mean=region.log_mean.copy(),
            sweep_losses=losses,
            evidence=before,
        )
        summary = Summary.empty(tables.n_genes, N_DISPERSIONS)
        evidence = before.copy()
        given = constant + log_density_of_priors(priors, learned)
        for genes, nodes in quadrature(tables, priors, region):
            summary.put(genes, nodes)
            evidence[genes] = nodes.log_evidence
            while done < _PARTS and genes.stop >= marks[done]:
                done += 1
                losses = np.append(losses, -(evidence.sum() + given))
                speed = done / (time.perf_counter() - began)
                now = replace(at_start, step=losses.size, losses=losses, steps_per_second=speed)
                if done < _PARTS:
                    yield now
        better, gain = better_priors(summary, priors, learned)
        settled = bool(gain < config.tolerance)
        yield replace(now, settled=settled)
        if settled:
            return
        priors = better


def settling(checkpoint: ExactCheckpoint, config: ExactConfig) -> float:
    """About how much of a fit is done, by the rule that ends it, from 0 to 1.

    It ends when a sweep gains less than the tolerance: how far the gain has come there from that of
    the first sweeps, on a log scale.
    """
    if checkpoint.settled:
        return 1.0
    falls = -np.diff(checkpoint.losses[_PARTS - 1 :: _PARTS])
    if falls.size < 2 or config.tolerance <= 0:
        return checkpoint.fraction
    first, now = (max(float(fall), config.tolerance) for fall in (falls[0], falls[-1]))
    came = 1 - math.log(now / config.tolerance) / max(math.log(first / config.tolerance), 1.0)
    return max(min(came, 1.0), checkpoint.fraction)


def tables_of(counts: Counts, spec: ModelSpec) -> GeneTables:
    """The tables of all genes, each cell of its depth."""
    return gene_tables(counts, np.log(Depth.of_cells(counts, spec.depth_column).relative))


def learn_from_some(counts: Counts, spec: ModelSpec) -> GenePriors:
    """About the priors that would be learned, from some of the genes: in less than a second."""
    tables = tables_of(counts.seen_genes(), spec)
    if tables.n_genes > _SOME_GENES:
        chosen = np.random.default_rng(0).choice(tables.n_genes, _SOME_GENES, replace=False)
        tables = tables.select(np.sort(chosen))
    return learn_priors(tables, *shared_priors_of(spec, tables))


def learn_priors(tables: GeneTables, priors: GenePriors, learned: Learned) -> GenePriors:
    """The shared priors alone, as learned from all genes of ``tables``."""
    *_, last = exact_checkpoints(tables, ExactConfig(), priors, learned)
    return GenePriors.from_arrays(last.priors)
