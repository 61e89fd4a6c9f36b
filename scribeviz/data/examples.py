"""Data to try things on, without a file and without a download."""

import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scribeviz.data.checks import check_matrix
from scribeviz.data.counts import Counts, CountsError

_NAME = "PBMC 68k (example)"
# The 700 cells were normalised to this total before the logarithm was taken.
_NORMALISED_TOTAL = 1e4
_FARTHEST_FROM_WHOLE = 0.1


def demo() -> Counts:
    r"""Raw counts of 700 blood cells and 765 genes, from the example that comes with scanpy.

    Cells are a sample of the 68 thousand peripheral blood mononuclear cells of Zheng et al. [1]_;
    ``obs["bulk_labels"]`` holds ten cell types, by likeness to purified populations.

    Raises
    ------
    CountsError
        If the example of the installed scanpy is no longer the one whose counts come back whole.

    Notes
    -----
    scanpy keeps :math:`\ln(1 + 10^4 x_{gc} / n_c)` in ``raw`` and the cell's total :math:`n_c` in
    ``obs``; that is undone here, and every value must then lie within 0.1 of a whole number.

    References
    ----------
    .. [1] Zheng et al. (2017), Nat. Commun. 8, 14049.

    Examples
    --------
    >>> import scribeviz
    >>> counts = scribeviz.demo()
    >>> counts.n_cells, counts.n_genes
    (700, 765)
    >>> counts.obs["bulk_labels"].nunique()
    10
    """
    with warnings.catch_warnings():
        # Old encodings and the insides of the packages that read them, nothing about the data.
        warnings.simplefilter("ignore")
        import anndata

        adata = anndata.read_h5ad(_example_file())
        logarithms, obs = adata.raw.X, cast("pd.DataFrame", adata.obs)
        genes = pd.DataFrame(index=pd.Index(adata.raw.var_names))
        obsm = dict(adata.obsm)
    totals = obs["n_counts"].to_numpy(dtype=np.float64)
    matrix = whole_counts(sp.csr_array(logarithms, dtype=np.float64), totals)
    note = "Counts were recovered from the normalised example of scanpy, which drops rare genes."
    example = check_matrix(matrix, var=genes, obs=obs, name=_NAME, notes=(note,), obsm=obsm)
    return replace(example, read_by="scribeviz.demo()")


def _example_file() -> Path:
    """The file behind ``scanpy.datasets.pbmc68k_reduced``: importing scanpy would take seconds."""
    scanpy = find_spec("scanpy")
    if scanpy is None or scanpy.origin is None:
        raise CountsError("the example comes with scanpy, which is not installed.")
    return Path(scanpy.origin).parent / "datasets" / "10x_pbmc68k_reduced.h5ad"


def whole_counts(logarithms: sp.csr_array, totals: np.ndarray) -> sp.csr_array:
    """Undo ``log1p`` and the normalisation to ten thousand per cell.

    Parameters
    ----------
    logarithms
        Shape ``(n_cells, n_genes)``, natural logarithms of 1 + normalised counts.
    totals
        Counts per cell before normalisation, shape ``(n_cells,)``.

    Raises
    ------
    CountsError
        If a value is farther than 0.1 from a whole number.
    """
    counts = sp.csr_array(sp.diags_array(totals / _NORMALISED_TOTAL) @ logarithms.expm1())
    distance = np.abs(counts.data - np.rint(counts.data)).max(initial=0)
    if not distance < _FARTHEST_FROM_WHOLE:
        raise CountsError(
            f"the example's counts do not come back whole (off by {distance:.2g}); "
            "this version of scanpy brings other data: use a file of your own."
        )
    counts.data = np.rint(counts.data)
    return counts
