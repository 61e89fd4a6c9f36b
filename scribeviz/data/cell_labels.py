"""Columns of ``obs`` that cells can be chosen by, such as calls of doublets and of hashtags."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from scribeviz.data.counts import Counts
from scribeviz.data.remembered import once_per_counts

MISSING = "(missing)"
_MOST_VALUES = 50

# Scrublet, scDblFinder, DoubletFinder, Solo; Seurat's and scanpy's hashing, MULTI-seq, demuxlet.
_CALLS = re.compile(
    r"predicted_doublets?$|(?:is_)?doublets?$|scdblfinder[._]class|df\.classifications|solo"
    r"|hash_classification|hto_classification\.global|multi_id$|multi_classification\.global"
    r"|demuxlet_cls|demuxlet\.|hashsolo|classification$",
    re.IGNORECASE,
)
_NOT_ONE_CELL = re.compile(
    r"doublet|multiplet|negative|ambiguous|unassigned|unmapped|(?:dbl|amb|neg)(?:$|-)",
    re.IGNORECASE,
)
_DOUBLETS = re.compile(r"doublet|multiplet", re.IGNORECASE)


class LabelColumn(NamedTuple):
    """A column with few values.

    Attributes
    ----------
    name
        Of the column.
    cells
        Per value, as text, how many cells have it.
    is_call
        Whether it says which barcodes are one cell.
    usual
        The values to keep: without doublets and the like where ``is_call``, else all.
    """

    name: str
    cells: Mapping[str, int]
    is_call: bool
    usual: tuple[str, ...]


@once_per_counts
def label_columns(counts: Counts) -> Mapping[str, LabelColumn]:
    """The columns that cells can be chosen by, calls of doublets and hashtags first."""
    found = {
        str(name): _described(str(name), *_coded(values))
        for name, values in counts.obs.items()
        if _may_label(str(name), values)
    }
    few = {name: column for name, column in found.items() if 1 < len(column.cells) <= _MOST_VALUES}
    return dict(sorted(few.items(), key=lambda item: not item[1].is_call))


def labels_of(counts: Counts, name: str) -> np.ndarray:
    """The values of a column as text, one per cell; the first where two share the name."""
    position = [str(column) for column in counts.obs.columns].index(name)
    codes, texts = _coded(counts.obs.iloc[:, position])
    return np.array(texts, dtype=object)[codes]


def _may_label(name: str, values: pd.Series) -> bool:
    dtype = values.dtype
    # Calls are kept as 0 and 1, too.
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype):
        return _CALLS.match(name) is not None
    return not pd.api.types.is_datetime64_any_dtype(dtype)


def _coded(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Which text each cell has, and the texts; the last stands for code -1, nothing."""
    if values.dtype == object:
        values = values.where(values.isna(), values.astype(str))
    codes, distinct = pd.factorize(values)
    return codes, [*map(_text, distinct), MISSING]


def _described(name: str, codes: np.ndarray, texts: list[str]) -> LabelColumn:
    if len(texts) > _MOST_VALUES + 1:
        return LabelColumn(name, {}, is_call=False, usual=())
    sizes = np.bincount(codes % len(texts), minlength=len(texts))
    cells = {text: int(size) for text, size in sorted(zip(texts, sizes, strict=True)) if size}
    usual = tuple(cells)
    if _CALLS.match(name) or any(map(_DOUBLETS.match, cells)):
        usual = tuple(value for value in cells if not _is_unwanted(name, value)) or usual
    return LabelColumn(name, cells, len(usual) < len(cells), usual)


def _is_unwanted(name: str, value: str) -> bool:
    if value in {"True", "1"}:
        return _DOUBLETS.search(name) is not None
    return _NOT_ONE_CELL.match(value) is not None


def _text(value: object) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)  # type: ignore[call-overload]
