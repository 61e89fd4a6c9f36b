"""A fit about to be done, whatever is fitted and however."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scribeviz.data.counts import Counts
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

    Warns
    -----
    SamplerWarning
        If the chains of a sampler did not move.
    """
    keep_on_disk()
    last = None
    with progress_bar(prepared, shown=progress) as report:
        for checkpoint in prepared.checkpoints():
            report(checkpoint)
            last = checkpoint
    assert last is not None  # noqa: S101  n_steps is at least 1
    results = prepared.results(last)
    if problem := prepared.problem(results):
        warnings.warn(problem, SamplerWarning, skip_file_prefixes=_OURS)
    return results


@contextmanager
def progress_bar(
    prepared: Fit[Any], *, shown: bool = True
) -> Iterator[Callable[[AnyCheckpoint], None]]:
    """A progress bar on the terminal or in a notebook; gives what to call with each checkpoint."""
    from tqdm.auto import tqdm

    with tqdm(total=prepared.n_steps, unit="step", disable=not shown) as bar:

        def report(checkpoint: AnyCheckpoint) -> None:
            # Settled early: that is the whole of it.
            bar.total = checkpoint.step if checkpoint.settled else checkpoint.n_steps
            losses = prepared.losses(checkpoint)
            bar.set_postfix_str(f"loss {losses[-50:].mean():,.1f}", refresh=False)
            bar.update(checkpoint.step - bar.n)

        yield report
