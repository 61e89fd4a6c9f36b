"""Which cells and genes of a data set take part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from scribeviz.data.cell_labels import labels_of
from scribeviz.data.cell_qc import cell_qc
from scribeviz.data.counts import Counts, CountsError

_WIDTH = 88  # of a line of code


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFilter:
    """Keep some cells, and the genes that are seen in enough of them; by default everything.

    Attributes
    ----------
    min_counts, max_counts
        Counts per cell, both ends kept; None: no bound.
    min_genes, max_genes
        Genes seen per cell, likewise.
    max_mt_share
        The largest share of a cell's counts, from 0 to 1, that mitochondrial genes may have.
    min_cells
        Genes are kept that are seen in at least this many of the kept cells.
    obs_column, obs_values
        Cells are kept whose value in this column of ``obs``, as text, is among these.

    Examples
    --------
    >>> few = CellFilter(min_counts=500, max_mt_share=0.1)
    >>> few.described
    'at least 500 counts, at most 10% of them mitochondrial'
    >>> few.as_dict()
    {'min_counts': 500, 'max_mt_share': 0.1}
    """

    min_counts: int = 0
    max_counts: int | None = None
    min_genes: int = 0
    max_genes: int | None = None
    max_mt_share: float = 1.0
    min_cells: int = 0
    obs_column: str | None = None
    obs_values: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.obs_values, str):
            raise ValueError(  # noqa: TRY004  like all that is wrong with a filter
                f"obs_values={self.obs_values!r} is one text; give a list of the values to keep."
            )
        object.__setattr__(self, "obs_values", tuple(map(str, self.obs_values)))
        for name in ("min_counts", "max_counts", "min_genes", "max_genes", "min_cells"):
            value = getattr(self, name)
            if value is not None and not _is_whole(value):
                raise ValueError(f"{name}={value!r} must be a whole number of at least 0.")
            # NumPy's numbers would be told as np.int64(3) in code, and not at all in JSON.
            object.__setattr__(self, name, None if value is None else int(value))
        for what in ("counts", "genes"):
            low, high = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if high is not None and low > high:
                raise ValueError(
                    f"min_{what}={low:,} is above max_{what}={high:,}: no cell can have both."
                )
        share = self.max_mt_share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ValueError(
                f"max_mt_share={share!r} must be a share from 0 to 1; 0.1 stands for 10%."
            )
        object.__setattr__(self, "max_mt_share", float(share))
        if self.obs_values and self.obs_column is None:
            raise ValueError("obs_values were given without obs_column, the column they are in.")
        if self.obs_column is not None and not self.obs_values:
            raise ValueError(
                f"obs_column={self.obs_column!r} needs obs_values, at least one value to keep."
            )

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is left out."""
        return not self.as_dict()

    def kept_cells(self, counts: Counts) -> Bool[np.ndarray, " cells"]:
        """Which cells are kept.

        Raises
        ------
        CountsError
            If ``obs`` has no such column, or no mitochondrial gene is recognised.
        """
        qc = cell_qc(counts)
        kept = _within(qc.counts, self.min_counts, self.max_counts)
        kept &= _within(qc.genes, self.min_genes, self.max_genes)
        if self.max_mt_share < 1:
            if qc.mt_share is None:
                raise CountsError(
                    f"no gene of {counts.name} is recognised as mitochondrial (by a symbol that "
                    "begins with MT-, an id of Ensembl, or a column of var such as 'mt'), so that "
                    "cells cannot be chosen by max_mt_share."
                )
            kept &= qc.mt_share <= self.max_mt_share
        if self.obs_column is not None:
            if self.obs_column not in map(str, counts.obs.columns):
                raise CountsError(
                    f"{counts.name} has no column {self.obs_column!r} in obs; it has "
                    f"{', '.join(map(str, counts.obs.columns)) or 'none'}."
                )
            kept &= pd.Series(labels_of(counts, self.obs_column)).isin(self.obs_values).to_numpy()
        return kept

    def kept_genes(
        self, counts: Counts, cells: Bool[np.ndarray, " cells"]
    ) -> Bool[np.ndarray, " genes"]:
        """Which genes are seen in enough of these cells."""
        if not self.min_cells:
            return np.ones(counts.n_genes, dtype=bool)
        entries = np.repeat(cells, np.diff(counts.matrix.indptr))
        seen = np.bincount(counts.matrix.indices[entries], minlength=counts.n_genes)
        return seen >= self.min_cells

    def apply(self, counts: Counts) -> Counts:
        """The counts of the kept cells and genes, with a note of how many these are.

        Raises
        ------
        CountsError
            If nothing is kept, or as :meth:`kept_cells`.
        """
        if self.keeps_all:
            return counts
        cells = self.kept_cells(counts)
        genes = self.kept_genes(counts, cells)
        if not cells.any() or not genes.any():
            what = "genes" if cells.any() else "cells"
            raise CountsError(
                f"no {what} of {counts.name} would be kept ({self.described}); widen the filter."
            )
        some = counts.select_cells(np.flatnonzero(cells)).select_genes(np.flatnonzero(genes))
        kept = some_of(some.n_cells, counts.n_cells, "cells")
        kept += f" and {some_of(some.n_genes, counts.n_genes, 'genes')}"
        note = f"Filtered: {kept} were kept ({self.described})."
        return replace(
            some,
            notes=(*counts.notes, note),
            read_by=f"{self.code}.apply({counts.read_by})" if counts.read_by else "",
            filters=(*counts.filters, self.as_dict()),
        )

    @property
    def described(self) -> str:
        """What is kept, in words."""
        parts = [
            _range(self.min_counts, self.max_counts, "counts"),
            _range(self.min_genes, self.max_genes, "genes"),
        ]
        if self.max_mt_share < 1:
            counts = "of them" if parts[0] and not parts[1] else "of the counts"
            parts.append(f"at most {100 * self.max_mt_share:.3g}% {counts} mitochondrial")
        if self.obs_column is not None:
            parts.append(f"{self.obs_column} is {' or '.join(self.obs_values)}")
        if self.min_cells:
            parts.append(f"genes seen in at least {self.min_cells:,} cells")
        return ", ".join(filter(None, parts)) or "everything"

    @property
    def code(self) -> str:
        """The Python that makes this filter, on one line or a line per argument."""
        arguments = [f"{name}={value!r}" for name, value in self.as_dict().items()]
        short = f"scribeviz.CellFilter({', '.join(arguments)})"
        if len(short) <= _WIDTH:
            return short
        return f"scribeviz.CellFilter(\n{''.join(f'    {each},\n' for each in arguments)})"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able content: what is not as usual."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {f.name: content[f.name] for f in fields(self) if content[f.name] != f.default}
        return changed | ({"obs_values": list(self.obs_values)} if self.obs_values else {})

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "CellFilter":
        """Read what :meth:`as_dict` gave.

        Raises
        ------
        ValueError
            If there is something else in it.
        """
        known = {f.name for f in fields(cls)}
        if unknown := [name for name in content if name not in known]:
            raise ValueError(f"a filter of cells has no {' and no '.join(map(repr, unknown))}.")
        return cls(**content)


def some_of(some: int, every: int, what: str) -> str:
    """How many of how many, in words.

    Examples
    --------
    >>> some_of(2_638, 2_700, "cells"), some_of(2_700, 2_700, "cells")
    ('2,638 of 2,700 cells', 'all 2,700 cells')
    """
    return f"all {every:,} {what}" if some == every else f"{some:,} of {every:,} {what}"


def _is_whole(value: object) -> bool:
    is_number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return is_number and int(value) >= 0  # type: ignore[call-overload]


def _within(values: np.ndarray, low: int, high: int | None) -> Bool[np.ndarray, " cells"]:
    return (values >= low) if high is None else (values >= low) & (values <= high)


def _range(low: int, high: int | None, what: str) -> str:
    if high is None:
        return f"at least {low:,} {what}" if low else ""
    return f"{low:,} to {high:,} {what}" if low else f"at most {high:,} {what}"
