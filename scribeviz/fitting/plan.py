"""A fit about to be done, whatever is fitted and however."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scribeviz._cards import shown_by_fields
from scribeviz._screen import is_interactive
from scribeviz.criticism.critique import Critique
from scribeviz.data.counts import Counts
from scribeviz.fitting.progress import progress as show_progress
from scribeviz.inference.chains import SamplerWarning
from scribeviz.inference.exact import ExactCheckpoint
from scribeviz.inference.nuts import NUTSCheckpoint
from scribeviz.inference.programs import keep_on_disk
from scribeviz.inference.svi import Checkpoint, SVIConfig
from scribeviz.inference.weighted_em import EMCheckpoint
from scribeviz.networks.checkpoint import TrainingCheckpoint
from scribeviz.results.protocol import Results

# A warning names the line of the caller.
_OURS = (str(Path(__file__).parents[1]),)

type AnyCheckpoint = (
    Checkpoint | NUTSCheckpoint | ExactCheckpoint | EMCheckpoint | TrainingCheckpoint
)


@shown_by_fields
@dataclass(frozen=True, slots=True)
class Fit[C: AnyCheckpoint](ABC):
    """A fit about to be done: the counts that take part, their model and their tables."""

    counts: Counts
    left_out_genes: np.ndarray
    model: Any  # what has ``model`` and ``guide``
    tables: Any

    @property
    @abstractmethod
    def n_steps(self) -> int:
        """The most steps that will be done."""

    @abstractmethod
    def checkpoints(self, start: C | None = None) -> Iterator[C]:
        """Fit, a checkpoint at a time; go on from ``start`` when it is given."""

    @abstractmethod
    def results(self, checkpoint: C) -> Results:
        """The result that ``checkpoint`` stands for."""

    def progress(self, checkpoint: C) -> float:
        """About how much of the fit is done, from 0 to 1."""
        return checkpoint.fraction

    def preview(self, checkpoint: C) -> Critique | None:
        """Every gene judged by the means of the posterior so far; None where means take long."""
        del checkpoint
        return None

    def problem(self, results: Any) -> str:
        """Why what came out cannot be used, and what to do; empty where it can."""
        del results
        return ""

    def losses(self, checkpoint: C) -> np.ndarray:
        """The loss of all cells at every step so far, in nats."""
        return checkpoint.losses

    def validation(self, checkpoint: C) -> tuple[np.ndarray, np.ndarray]:
        """Steps at which cells were validated, and their loss as that of all cells; mostly none."""
        del checkpoint
        return np.zeros(0, int), np.zeros(0, np.float32)


def batch_size_of(config: SVIConfig, counts: Counts) -> int | None:
    """Cells per step, or None for all of them."""
    if config.batch_size > counts.n_cells:
        raise ValueError(
            f"batch_size={config.batch_size:,} is more than the {counts.n_cells:,} cells of "
            f"{counts.name}; leave it out to use all of them in every step."
        )
    return config.batch_size if 0 < config.batch_size < counts.n_cells else None


def run(prepared: Fit[Any], *, progress: bool = True) -> Results:
    """Fit to the end.

    Where somebody types at this Python, an interrupt (Ctrl-C, the kernel's stop button) ends the
    fit, and gives what it has.

    Warns
    -----
    SamplerWarning
        If the chains of a sampler did not move.
    UserWarning
        If it was interrupted.
    """
    keep_on_disk()
    last = None
    try:
        with show_progress(prepared.n_steps, shown=progress) as report:
            for checkpoint in prepared.checkpoints():
                report(checkpoint, prepared.losses(checkpoint))
                last = checkpoint
    except KeyboardInterrupt:
        if last is None or not is_interactive():
            raise
        interrupted = f"The fit was interrupted after {last.step:,} steps; it is as far as it came."
        warnings.warn(interrupted, UserWarning, skip_file_prefixes=_OURS)
    assert last is not None  # noqa: S101  n_steps is at least 1
    results = prepared.results(last)
    if problem := prepared.problem(results):
        warnings.warn(problem, SamplerWarning, skip_file_prefixes=_OURS)
    return results
