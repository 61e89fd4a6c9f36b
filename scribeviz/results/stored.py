"""What the files of all results share: named groups of arrays, and tables of cells and genes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def grouped(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays under names that begin with ``prefix/``."""
    return {f"{prefix}/{name}": value for name, value in arrays.items()}


def group(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with ``prefix/``, without it."""
    start = f"{prefix}/"
    return {n.removeprefix(start): v for n, v in arrays.items() if n.startswith(start)}


def check_format(meta: Mapping[str, Any], newest: int, path: str | Path) -> None:
    """Raise ``ValueError`` if a file was written by a newer version."""
    if meta["format"] > newest:
        raise ValueError(
            f"{Path(path).name} was written by a newer version of scribeviz (format "
            f"{meta['format']}; this one reads up to {newest}): update scribeviz."
        )


def frame_arrays(prefix: str, frame: pd.DataFrame | None) -> dict[str, np.ndarray]:
    """A table as arrays of a file; text and categories as codes, without pickle."""
    if frame is None:
        return {}
    arrays = {"index": frame.index.astype(str).to_numpy(object)}
    for i, column in enumerate(frame.columns):  # by position: two may share a name
        values = frame.iloc[:, i]
        dtype: Any = values.dtype
        arrays[f"{i}/name"] = np.asarray([str(column)], object)
        if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
            arrays[f"{i}/values"] = values.to_numpy()
            continue
        is_category = isinstance(dtype, pd.CategoricalDtype)
        coded = values if is_category else values.astype("category")
        arrays[f"{i}/codes"] = coded.cat.codes.to_numpy()
        arrays[f"{i}/categories"] = coded.cat.categories.astype(str).to_numpy(object)
        arrays[f"{i}/kind"] = np.asarray([is_category, bool(is_category and dtype.ordered)])
    return grouped(prefix, arrays)


def frame_from(arrays: Mapping[str, np.ndarray], prefix: str) -> pd.DataFrame | None:
    """Read what :func:`frame_arrays` gave; None if there was no table."""
    parts = group(arrays, prefix)
    if not parts:
        return None
    columns: list[pd.Series] = []
    names: list[str] = []
    while f"{len(names)}/name" in parts:
        column = group(parts, str(len(names)))
        names.append(str(column["name"][0]))
        columns.append(pd.Series(_values(column), index=parts["index"]))
    frame = pd.DataFrame(index=parts["index"])
    if columns:
        frame = pd.concat(columns, axis=1)
        frame.columns = pd.Index(names)
    return frame


def _values(column: Mapping[str, np.ndarray]) -> Any:
    if "values" in column:
        return column["values"]
    is_category, ordered = map(bool, column["kind"])
    dtype = pd.CategoricalDtype(list(column["categories"]), ordered=ordered)
    coded: Any = pd.Categorical.from_codes(column["codes"].tolist(), dtype=dtype)
    return coded if is_category else coded.astype(object)
