"""A filter of cells and genes as the address says it.

For example ``counts:500-20000,genes:200-,mt:-0.1,seen:3,obs:predicted_doublet=False``.
"""

from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote

from scribeviz.data.cell_filter import CellFilter


def filter_as_text(kept: CellFilter) -> str:
    """Write a filter for the address; empty if it keeps everything."""
    parts = []
    for what in ("counts", "genes"):
        low, high = getattr(kept, f"min_{what}"), getattr(kept, f"max_{what}")
        if low or high is not None:
            parts.append(f"{what}:{low or ''}-{'' if high is None else high}")
    if kept.max_mt_share < 1:
        # Never 1e-05, whose sign would be taken for the one between two bounds.
        parts.append(f"mt:-{Decimal(repr(kept.max_mt_share)):f}")
    if kept.min_cells:
        parts.append(f"seen:{kept.min_cells}")
    if kept.obs_column is not None:
        values = "/".join(_quoted(value) for value in kept.obs_values)
        parts.append(f"obs:{_quoted(kept.obs_column)}={values}")
    return ",".join(parts)


def filter_from_text(text: str) -> CellFilter:
    """Read what :func:`filter_as_text` wrote.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    said: dict[str, Any] = {}
    for part in text.split(","):
        what, separator, value = part.partition(":")
        read = _READERS.get(what)
        if read is None or not separator:
            raise ValueError(f"{part!r} is no part of a filter.")
        found = read(value)
        if found.keys() & said.keys():
            raise ValueError(f"{what} is given twice.")
        said |= found
    return CellFilter(**said)


def _range(what: str, value: str) -> dict[str, Any]:
    low, separator, high = value.partition("-")
    if not separator:
        raise ValueError(f"{what} needs two bounds with a hyphen between, one of which may lack.")
    said: dict[str, Any] = {f"min_{what}": _whole(low)} if low else {}
    return said | ({f"max_{what}": _whole(high)} if high else {})


def _share(value: str) -> dict[str, Any]:
    try:
        return {"max_mt_share": float(value.removeprefix("-"))}
    except ValueError as error:
        raise ValueError(f"{value!r} is no share.") from error


def _labels(value: str) -> dict[str, Any]:
    column, _, values = value.partition("=")
    kept = [_unquoted(one) for one in values.split("/")] if values else []
    return {"obs_column": _unquoted(column), "obs_values": kept}


def _whole(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{digits!r} is no whole number.")
    return int(digits)


_EMPTY = "%00"  # of a label without text: nothing between two strokes could be anything


def _quoted(text: str) -> str:
    return quote(text, safe=" ") or _EMPTY


def _unquoted(text: str) -> str:
    return "" if text == _EMPTY else unquote(text)


_READERS = {
    "counts": lambda value: _range("counts", value),
    "genes": lambda value: _range("genes", value),
    "mt": _share,
    "seen": lambda value: {"min_cells": _whole(value)},
    "obs": _labels,
}
