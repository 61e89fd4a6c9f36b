"""A batch covariate: a column of obs whose effect on expression a decoder takes out."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int

from scribeviz.data.counts import CountsError

_MISSING = "(none)"


@dataclass(frozen=True, kw_only=True, eq=False)
class Covariate:
    """A batch covariate: which column of ``obs``, and its levels in the order of their codes."""

    column: str
    levels: tuple[str, ...]

    def codes(self, obs: pd.DataFrame) -> Int[np.ndarray, " cells"]:
        """The level of each cell.

        Raises
        ------
        CountsError
            If the column is not there, or a cell has another level.
        """
        if self.column not in obs:
            raise CountsError(
                f"the model takes out the effect of obs column {self.column!r}, which these data "
                f"lack; they have {', '.join(map(repr, map(str, obs.columns))) or 'none'}."
            )
        values = _texts(obs, self.column)
        codes = pd.Index(self.levels).get_indexer(pd.Index(values))
        if (codes < 0).any():
            strange = values[codes < 0].iloc[0]
            raise CountsError(
                f"obs column {self.column!r} has {strange!r}, which the model was not trained "
                f"on; it knows {', '.join(map(repr, self.levels))}."
            )
        return codes.astype(np.int32)

    @classmethod
    def of(cls, column: str, obs: pd.DataFrame) -> "Covariate":
        """The levels that a column has."""
        if column not in obs:
            return cls(column=column, levels=())
        return cls(column=column, levels=tuple(sorted(_texts(obs, column).unique())))


def _texts(obs: pd.DataFrame, column: str) -> pd.Series:
    values = obs[column]
    return values.astype(object).where(values.notna(), _MISSING).astype(str)
