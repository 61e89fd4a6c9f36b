"""Any numeric matrix as CSR, its structure checked before anything indexes with it."""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import h5py
import numpy as np
import scipy.sparse as sp

from scribeviz.data.counts import CountsError

_BLOCK_BYTES = 64 * 2**20


@runtime_checkable
class _DaskArray(Protocol):
    """An array of Dask, which is imported by those who bring one; its blocks may be sparse."""

    dask: Any
    chunks: tuple[tuple[float, ...], ...]  # NaN where not known before it is computed

    def compute(self) -> Any: ...


def as_csr(matrix: Any, subject: str = "the matrix") -> sp.csr_array:
    """Copy any numeric matrix into a CSR array without duplicates or stored zeros.

    The dtype stays where SciPy has it; masked values become NaN.  Dense data (arrays, HDF5
    datasets) are read in blocks of rows, so that no second dense copy is ever held.

    Parameters
    ----------
    matrix
        Sparse, dense, an HDF5 dataset, a sparse matrix of a backed AnnData, or a Dask array.
    subject
        What to call it in errors.

    Raises
    ------
    CountsError
        If the parts of a sparse matrix do not fit together.

    Examples
    --------
    >>> as_csr(np.array([[0, 2], [1, 0]])).data.tolist()
    [2, 1]
    """
    if isinstance(matrix, np.ndarray | h5py.Dataset):
        blocks = [sp.csr_array(_supported(block)) for block in _row_blocks(matrix)]
        return sp.vstack(blocks, format="csr") if len(blocks) > 1 else blocks[0]
    if isinstance(matrix, _DaskArray):
        parts = [as_csr(part.compute(), subject) for part in _dask_rows(matrix)]
        return sp.vstack(parts, format="csr") if len(parts) > 1 else parts[0]
    loaded = in_memory(matrix)
    if not sp.issparse(loaded):
        return as_csr(loaded, subject)
    check_structure(loaded, subject)
    rows = sp.csr_array(loaded.tocsr(), copy=True)
    check_structure(rows, subject)
    rows.data = _supported(rows.data)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows


def in_memory(matrix: Any) -> Any:
    """A matrix whose values are in memory: sparse where it was sparse, else an array."""
    if sp.issparse(matrix) or isinstance(matrix, np.ndarray):
        return matrix
    from anndata.abc import CSCDataset, CSRDataset

    if isinstance(matrix, CSRDataset | CSCDataset):
        return matrix.to_memory()
    if isinstance(matrix, _DaskArray):
        return in_memory(matrix.compute())
    return np.asarray(matrix)


def check_structure(matrix: Any, subject: str) -> None:
    """Raise :class:`CountsError` unless the parts of a sparse matrix fit together.

    What SciPy and anndata accept unseen (indices outside the matrix, falling row pointers) ends the
    process when it is used.
    """
    if matrix.format in {"csr", "csc"}:
        fault = _fault_of_compressed(matrix)
    elif matrix.format == "bsr":
        fault = _fault_of_blocks(matrix)
    elif matrix.format == "coo":
        fault = next(filter(None, map(_fault_of_indices, matrix.coords, matrix.shape)), "")
    else:  # SciPy checks these when they are made
        fault = ""
    if fault:
        raise CountsError(
            f"{subject} is no whole sparse matrix: {fault}. It is damaged, or was written with "
            "indices that count from 1 or overflow; write it again."
        )


def _fault_of_compressed(matrix: Any) -> str:
    n_major, n_minor = matrix.shape if matrix.format == "csr" else matrix.shape[::-1]
    starts, indices = np.asarray(matrix.indptr), np.asarray(matrix.indices)
    if starts.shape != (n_major + 1,) or indices.ndim != 1:
        return f"it has {starts.size:,} row starts where {n_major + 1:,} are expected"
    if indices.shape != np.shape(matrix.data):
        return f"it has {indices.size:,} indices and {np.size(matrix.data):,} values"
    if starts[0] != 0 or (np.diff(starts) < 0).any():
        return "its row starts do not rise from 0"
    if starts[-1] != indices.size:
        return f"its rows end at value {starts[-1]:,} of {indices.size:,}"
    return _fault_of_indices(indices, n_minor)


def _fault_of_blocks(matrix: Any) -> str:
    try:
        matrix.copy().check_format(full_check=True)
    except ValueError as error:
        return str(error).rstrip(".")
    return ""


def _fault_of_indices(indices: np.ndarray, size: int) -> str:
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        outside = indices[(indices < 0) | (indices >= size)][0]
        return f"an index is {outside:,}, outside of 0 to {size - 1:,}"
    return ""


def _supported(values: np.ndarray) -> np.ndarray:
    """Values of a type that SciPy's sparse matrices and the checks of values have."""
    if isinstance(values, np.ma.MaskedArray):
        missing = np.ma.getmaskarray(values)
        values = np.where(missing, np.nan, values.data) if missing.any() else values.data
    if values.dtype.kind == "f" and values.dtype.itemsize not in {4, 8}:
        return values.astype(np.float32 if values.dtype.itemsize == 2 else np.float64)
    return values.astype(np.int8) if values.dtype.kind == "b" else values


def _dask_rows(matrix: Any) -> Iterator[Any]:
    """A Dask array in its own blocks of rows, so that each is made once and none together."""
    heights = matrix.chunks[0]
    if not all(isinstance(height, int) for height in heights):  # not known before it is computed
        yield matrix
        return
    start = 0
    for height in heights:
        yield matrix[start : start + height]
        start += height


def _row_blocks(matrix: np.ndarray | h5py.Dataset) -> Iterator[np.ndarray]:
    n_rows, n_columns = matrix.shape
    step = max(1, _BLOCK_BYTES // max(1, n_columns * matrix.dtype.itemsize))
    for start in range(0, max(n_rows, 1), step):
        yield matrix[start : start + step]
