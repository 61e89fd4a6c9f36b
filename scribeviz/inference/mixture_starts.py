"""Where a mixture starts: clusterings of the cells that differ, each tried on the variable genes.

A start costs what a few sweeps over some of the genes cost; the one with the best bound goes on, on
all genes.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from scribeviz._cards import shown_by_fields
from scribeviz.data.counts import Counts
from scribeviz.inference.known_labels import KnownLabels
from scribeviz.inference.weighted_em import EMConfig, Mixture, em_checkpoints
from scribeviz.models.component_priors import ComponentPriors
from scribeviz.models.initial import cluster_cells, variable_genes

_N_GENES = 2_000
_SWEEPS = 8
_TOLERANCE = 1e-5


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class MixtureStart:
    """Where a mixture starts.

    Attributes
    ----------
    responsibilities
        Shares of cells in components.
    priors
        Shared by the genes.
    bound
        On the log evidence of the variable genes, in nats; comparable between starts.
    """

    responsibilities: Float[np.ndarray, "cells components"]
    priors: ComponentPriors
    bound: float


def best_start(
    mixture: Mixture,
    counts: Counts,
    k: int,
    priors: ComponentPriors,
    config: EMConfig,
    labels: KnownLabels | None = None,
) -> MixtureStart:
    """Try as many starts as ``config`` says, and return that with the best bound.

    Parameters
    ----------
    mixture
        What will be fitted.
    counts
        Its data.
    k
        Number of components.
    priors
        Shared by the genes, before anything is known of components.
    config
        How many starts, and the seed of the first.
    labels
        What is known of the cells, if anything.
    """
    chosen = np.sort(variable_genes(counts, _N_GENES))
    some = replace(mixture, cells=mixture.cells.of_genes(counts, chosen))

    def groups(i: int) -> np.ndarray:
        clusters = cluster_cells(counts, k, config.seed + i, half=i > 0)
        return clusters if labels is None else labels.start(clusters, k)

    starts = (_tried(some, groups(i), k, priors) for i in range(config.n_starts))
    best = max(starts, key=lambda start: start.bound)
    # The priors of the variable genes are not those of all genes; how components differ is.
    return replace(best, priors=replace(priors, between=best.priors.between))


def _tried(mixture: Mixture, groups: np.ndarray, k: int, priors: ComponentPriors) -> MixtureStart:
    config = EMConfig(n_sweeps=_SWEEPS, tolerance=_TOLERANCE)
    first = np.eye(k)[groups]
    *_, last = em_checkpoints(mixture, config, priors, first)
    after = ComponentPriors.from_arrays(last.priors)
    return MixtureStart(last.responsibilities, after, -float(last.losses[-1]))
