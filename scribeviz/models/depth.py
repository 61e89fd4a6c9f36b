"""How deeply each cell was sequenced, where that is taken from its total and not inferred."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from scribeviz._cards import shown_by_fields
from scribeviz.data.counts import Counts, CountsError

# The total of a cell that shows nothing: its depth is small, and not nothing.
_LEAST = 0.5


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class Depth:
    """Depths of cells; compared by content, so that a model that has one can be a cache key.

    Attributes
    ----------
    relative
        Depth of each cell over that of a typical one.
    level
        Total counts of a cell of depth 1, or its number in the column that depths come from.
    """

    relative: Float[np.ndarray, " cells"]
    level: float

    @classmethod
    def of_cells(cls, counts: Counts, column: str = "") -> "Depth":
        """Depths of all cells, with a mean of 1: from their totals, or from a column of ``obs``.

        Raises
        ------
        CountsError
            As :func:`depths_in`.
        """
        return cls.of_totals(depths_in(counts, column))

    @classmethod
    def of_totals(cls, totals: Float[np.ndarray, " cells"]) -> "Depth":
        """Depths from total counts, or what stands for them; they have a mean of 1."""
        values = np.asarray(totals, np.float64)
        level = float(values.mean()) or _LEAST
        return cls(_above_nothing(values) / level, level)

    def of(self, counts: Counts, column: str = "") -> "Depth":
        """Depths of other cells, on the same scale."""
        return Depth(_above_nothing(depths_in(counts, column)) / self.level, self.level)

    def at(self, cells: Int[np.ndarray, " chosen"]) -> "Depth":
        """Those of some cells, by position."""
        return Depth(self.relative[cells], self.level)

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


def depths_in(counts: Counts, column: str = "") -> Float[np.ndarray, " cells"]:
    """What the depths of cells follow: their totals, or numbers in a column of ``obs``.

    Raises
    ------
    CountsError
        If there is no such column, or it does not hold a number above 0 for every cell.
    """
    if not column:
        return counts.cell_totals
    if column not in counts.obs.columns:
        raise CountsError(
            f"{counts.name} has no column {column!r} in obs to take depths from; "
            f"it has {', '.join(map(repr, counts.obs.columns)) or 'none'}."
        )
    # Two columns may share a name: the first is meant.
    values = counts.obs.iloc[:, list(counts.obs.columns).index(column)]
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        raise CountsError(
            f"depths are numbers above 0, and obs[{column!r}] holds none; take another column, or "
            "the totals of the cells."
        )
    depths = values.to_numpy(np.float64, na_value=np.nan)
    wrong = np.flatnonzero(~(np.isfinite(depths) & (depths > 0)))
    if wrong.size:
        raise CountsError(
            f"depths are numbers above 0, and obs[{column!r}] holds {depths[wrong[0]]:g} for cell "
            f"{str(counts.cells[wrong[0]])!r}; take another column, or the totals of the cells."
        )
    return depths


def depth_columns(counts: Counts) -> list[str]:
    """Columns of ``obs`` that :func:`depths_in` takes."""
    offered = []
    for column in dict.fromkeys(map(str, counts.obs.columns)):
        try:
            depths_in(counts, column)
        except CountsError:
            continue
        offered.append(column)
    return offered


def _above_nothing(values: Float[np.ndarray, " cells"]) -> Float[np.ndarray, " cells"]:
    return np.where(values > 0, values, _LEAST)
