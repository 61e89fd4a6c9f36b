"""The matrices of an AnnData that may hold its counts, and which of them does."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.sparse as sp

from scribeviz.data.structure import as_csr
from scribeviz.data.values import why_not_counts

if TYPE_CHECKING:
    from anndata import AnnData

_CALLED_COUNTS = re.compile(r"(?:.*[_. ])?(?:counts?|raw|umis?|X)(?:[_. ].*)?", re.IGNORECASE)
# The parts that velocity tools split the molecules of a cell into.
_MATURE, _NASCENT, _AMBIGUOUS = ("spliced", "mature"), ("unspliced", "nascent"), ("ambiguous",)
_CORRECTED = re.compile(
    r".*(?:corrected|denois|soup|decont|cellbender|norm|log|scale).*", re.IGNORECASE
)
_SUM_SIGN = " + "


def matrices(adata: "AnnData") -> dict[str, Callable[[], Any]]:
    """What gives every matrix of ``adata``, by the name that users choose it with.

    Where velocity layers are parts of one count, their sum is offered as well.
    """
    sources: dict[str, Callable[[], Any]] = {"X": lambda: adata.X}
    if adata.raw is not None:
        raw = adata.raw
        sources["raw"] = lambda: raw.X
    layers = cast("Mapping[str | None, Any]", adata.layers)
    # anndata 0.13 lists X itself as the layer None.
    for key in filter(None, layers):
        sources.setdefault(key, lambda key=key: layers[key])  # type: ignore[misc]
    if parts := list(_velocity_parts(layers)):
        sources[_SUM_SIGN.join(parts)] = lambda: _summed(parts, layers)
    return sources


def count_sources(adata: "AnnData") -> dict[str, str]:
    """Say for ``X``, ``raw`` and every layer what keeps it from being counts.

    Returns
    -------
    dict
        One phrase per matrix, such as ``"holds fractions (looks log-normalised)"``; empty where the
        matrix holds counts.  The keys are what ``layer`` may be.
    """
    return {key: _why_not(read()) for key, read in matrices(adata).items()}


def better_source(adata: "AnnData", refused: str) -> str | None:
    """The matrix that likeliest holds all counts, where ``refused`` does not; None without one."""
    good = {
        key: total
        for key, read in matrices(adata).items()
        if key != refused and _SUM_SIGN not in key
        for total in [_total(read())]
        if total > 0
    }
    ranked = sorted(good, key=lambda key: (_rank(key), -good[key]))
    return ranked[0] if ranked and ranked[0] not in _AMBIGUOUS else None


def sum_of(adata: "AnnData", part: str) -> str | None:
    """The sum that ``part`` belongs to, by its name; None if to none."""
    sums = [key for key in matrices(adata) if _SUM_SIGN in key]
    return next((key for key in sums if part in key.split(_SUM_SIGN)), None)


def called(where: str) -> str:
    """A matrix in words."""
    return where if where in {"X", "raw"} else f"layer {where!r}"


def _velocity_parts(layers: Mapping[str | None, Any]) -> Iterator[str]:
    for mature, nascent in zip(_MATURE, _NASCENT, strict=True):
        if mature in layers and nascent in layers:
            yield from (key for key in (mature, nascent, *_AMBIGUOUS) if key in layers)
            return


def _summed(parts: list[str], layers: Mapping[str | None, Any]) -> Any:
    first, *others = (as_csr(layers[key], called(key)) for key in parts)
    for other in others:
        first = first + other
    return first


def _rank(key: str) -> int:
    lower = key.lower()
    if lower in _AMBIGUOUS:
        return 5
    if lower in _NASCENT:
        return 4
    if lower in _MATURE:
        return 2
    if _CORRECTED.fullmatch(key):
        return 3
    return 0 if _CALLED_COUNTS.fullmatch(key) else 1


def _why_not(matrix: Any) -> str:
    if matrix is None:
        return "is empty"
    if np.dtype(matrix.dtype).kind not in "biuf":
        return "holds text"
    return why_not_counts(_values(matrix))


def _total(matrix: Any) -> float:
    """Sum of a matrix that holds counts; 0 of another."""
    if matrix is None or np.dtype(matrix.dtype).kind not in "biuf":
        return 0.0
    values = _values(matrix)  # once: of a file or of Dask, that is to read it all
    return 0.0 if why_not_counts(values) else float(values.sum(dtype=np.float64))


def _values(matrix: Any) -> np.ndarray:
    """All values that are not zero, and perhaps some that are."""
    if sp.issparse(matrix) and matrix.format in {"csr", "csc", "coo"}:
        return np.asarray(matrix.data)
    if isinstance(matrix, np.ndarray) and matrix.dtype.itemsize > 2:
        return np.ravel(matrix, order="K")
    return as_csr(matrix).data
