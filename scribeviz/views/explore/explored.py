"""A finished run with everything that its pictures need, read once for all sessions."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scribeviz.criticism.assignments import assigned
from scribeviz.criticism.critique import Critique
from scribeviz.data.cells import LATENT, embed, embed_places
from scribeviz.data.counts import Counts
from scribeviz.data.held import held_counts
from scribeviz.fitting.kinds import ChosenModel, has_latent_space, known_kind_of
from scribeviz.runs.folder import RunFolder

if TYPE_CHECKING:
    from scribeviz.models.gene_priors import GenePriors
    from scribeviz.networks.unusual import Unusual

_DRAWS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Explored:
    """A run that has ended, with everything that its pictures need."""

    run_id: str  # empty of a result that Python handed over
    path: Path | None  # of the run's folder
    label: str  # the model in short
    name: str  # the same, with the data
    fingerprint: str  # of all counts that were given
    model: ChosenModel
    counts: Counts
    critique: Critique
    left_out_genes: np.ndarray
    results: Any = None  # where it is in memory

    @property
    def has_latent_space(self) -> bool:
        """Whether the model gives each cell a place of its own."""
        return has_latent_space(self.model)

    @property
    def has_priors(self) -> bool:
        """Whether the priors of its parameters are known."""
        kind = known_kind_of(self.model)
        return kind is not None and kind.has_priors

    @property
    def components(self) -> np.ndarray:
        """Likeliest component of every cell, from 0."""
        return assigned(self.critique.probabilities)


def load_explored(path: Path) -> Explored:
    """Read a finished run; the last eight stay in memory, for all sessions."""
    return _read_explored(path, RunFolder(path).critique_path.stat().st_mtime_ns)


def place_cells(explored: Explored, place: str) -> np.ndarray:
    """Where an embedding that came with the data, or one computed here, places the cells."""
    embeddings = explored.counts.embeddings
    return embeddings[place] if place in embeddings else _embedded(explored, place)


@lru_cache(maxsize=4)
def fitted_results(explored: Explored) -> Any:
    """What was found."""
    if explored.path is None:
        return explored.results
    return RunFolder(explored.path).results


@lru_cache(maxsize=4)
def posterior_draws(explored: Explored) -> dict[str, np.ndarray]:
    """Draws of every site of a built-in model, with a leading axis of draws."""
    if not explored.has_priors:
        return {}
    results = fitted_results(explored)
    n_draws = _DRAWS if results.diverging is None else min(_DRAWS, results.diverging.size)
    return results.get_posterior_samples(n_samples=n_draws, store_samples=False)


def learned_prior(explored: Explored) -> tuple[pd.DataFrame, "GenePriors"] | None:
    """Mean and dispersion of every gene, and the prior that they share.

    None where no such prior was learned, or genes have several means.
    """
    if not explored.has_priors or explored.model.is_mixture:
        return None
    results = fitted_results(explored)
    if results.gene_priors is None:
        return None
    point = results.get_map()
    genes = explored.critique.genes[["gene", "misfit", "problem"]]
    return genes.assign(mean=point["mu"], dispersion=point["r"]), results.gene_priors


@lru_cache(maxsize=4)
def unusual_cells(explored: Explored) -> "Unusual":
    """What an autoencoder finds unusual in the data of a run; takes seconds."""
    from scribeviz.networks.unusual import find_unusual  # flax takes a second to import

    return find_unusual(explored.counts)


@lru_cache(maxsize=8)
def _embedded(explored: Explored, place: str) -> np.ndarray:
    if place == LATENT:
        results: Any = fitted_results(explored)
        return embed_places(results.get_latent_representation(explored.counts))
    return embed(explored.counts, place)


@lru_cache(maxsize=2)
def _of_genes(counts: Counts, index: bytes) -> Counts:
    """The same counts for all runs of the same data: all leave out the genes without counts."""
    return counts.select_genes(np.frombuffer(index, dtype=np.intp))


@lru_cache(maxsize=8)
def _read_explored(path: Path, _written: int) -> Explored:
    # A run that goes on after a stop writes its results anew: the time of writing tells them apart.
    run = RunFolder(path)
    counts, critique = held_counts(run.spec.fingerprint) or run.counts, run.critique
    if counts.name != run.spec.data_name:  # held under another name
        counts = replace(counts, name=run.spec.data_name)
    # By hashes: NumPy's sets of names take a second per thousand genes.
    is_fitted = pd.Index(counts.genes).isin(critique.genes["gene"])
    fitted = counts if is_fitted.all() else _of_genes(counts, np.flatnonzero(is_fitted).tobytes())
    return Explored(
        run_id=run.id,
        path=path,
        label=run.spec.label,
        fingerprint=run.spec.fingerprint,
        name=f"{run.spec.described} on {run.spec.data_name}",
        model=run.spec.model,
        counts=fitted,
        critique=critique,
        left_out_genes=np.sort(counts.genes[~is_fitted]),
    )
