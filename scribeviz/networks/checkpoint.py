"""Training as it stands after an epoch.  No flax here: whoever reads runs reads this too."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from scribeviz._cards import shown_by_fields


@shown_by_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCheckpoint:
    """Training so far, complete in itself.  The last one of a stream is the result.

    Attributes
    ----------
    step, n_steps
        Steps done, and the most that will be done.
    epoch
        Epochs done.
    losses
        Training loss of every step so far.
    validation
        Validation loss after every epoch so far; empty without validation cells.
    history
        Every metric that the module gave, averaged over each epoch.
    best_epoch
        The epoch whose parameters are kept, from 1.
    params, memory
        Parameters and running means of the best epoch.
    settled
        Whether training ended because the validation loss no longer fell.
    steps_per_second
        Speed of the last epoch.
    fall, waited
        How often the learning rate has fallen, and epochs since it fell or the loss improved.
    state
        What the stream needs to go on from here.
    """

    step: int
    n_steps: int
    epoch: int
    losses: Float32[np.ndarray, " steps"]
    validation: Float32[np.ndarray, " epochs"]
    history: Mapping[str, Float32[np.ndarray, " epochs"]]
    best_epoch: int
    params: tuple[np.ndarray, ...]
    memory: tuple[np.ndarray, ...]
    settled: bool
    steps_per_second: float
    fall: int
    waited: int
    state: tuple[np.ndarray, ...]

    @property
    def fraction(self) -> float:
        """Share of the most steps that will be done."""
        return self.step / self.n_steps
