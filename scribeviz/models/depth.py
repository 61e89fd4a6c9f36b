"""How deeply each cell was sequenced, where that is taken from its total and not inferred."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# The total of a cell that shows nothing: its depth is small, and not nothing.
_LEAST = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Depth:
    """Depths of cells; compared by content, so that a model that has one can be a cache key.

    Attributes
    ----------
    relative
        Depth of each cell over that of a typical one.
    level
        Total counts of a cell of depth 1.
    """

    relative: Float[np.ndarray, " cells"]
    level: float

    @classmethod
    def of_totals(cls, totals: Float[np.ndarray, " cells"]) -> "Depth":
        """Depths from total counts; they have a mean of 1."""
        level = float(max(np.mean(totals), _LEAST))
        return cls(_relative(totals, level), level)

    def of(self, totals: Float[np.ndarray, " cells"]) -> "Depth":
        """Depths of other cells, on the same scale."""
        return Depth(_relative(totals, self.level), self.level)

    @property
    def log(self) -> Float[np.ndarray, " cells"]:
        """Log depths, float32."""
        return np.log(self.relative).astype(np.float32)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Depth):
            return NotImplemented
        return self.level == other.level and np.array_equal(self.relative, other.relative)

    def __hash__(self) -> int:
        return hash((self.level, self.relative.tobytes()))


def _relative(totals: Float[np.ndarray, " cells"], level: float) -> Float[np.ndarray, " cells"]:
    return np.maximum(np.asarray(totals, np.float64), _LEAST) / level
