"""A fit about to be done, whatever is fitted and however."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from scribeviz.data.counts import Counts
from scribeviz.inference.nuts import NUTSCheckpoint
from scribeviz.inference.svi import Checkpoint
from scribeviz.networks.checkpoint import TrainingCheckpoint

type AnyCheckpoint = Checkpoint | NUTSCheckpoint | TrainingCheckpoint


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
    def results(self, checkpoint: C) -> Any:
        """The result that ``checkpoint`` stands for."""

    def losses(self, checkpoint: C) -> np.ndarray:
        """The loss of all cells at every step so far, in nats."""
        return checkpoint.losses

    def validation(self, checkpoint: C) -> tuple[np.ndarray, np.ndarray]:
        """Steps at which cells were validated, and their loss as that of all cells; mostly none."""
        del checkpoint
        return np.zeros(0, int), np.zeros(0, np.float32)
