"""Read a loom file: HDF5 with genes in rows, and names that go by many names."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import pandas as pd
import scipy.sparse as sp

from scribeviz.data.counts import CountsError
from scribeviz.data.hdf5 import open_hdf5, texts
from scribeviz.data.structure import as_csr

if TYPE_CHECKING:
    from anndata import AnnData

_LOOM_CELL_NAMES = (
    "CellID",
    "cell_id",
    "obs_names",
    "barcode",
    "barcodes",
    "Barcode",
    "cell_names",
)
_LOOM_GENE_NAMES = ("Gene", "gene_name", "gene_names", "var_names", "gene_symbols", "Accession")


def read_loom(path: Path) -> "AnnData":
    """Read a ``.loom`` file, its layers included."""
    # By hand: anndata's reader is deprecated, and the format is six lines of HDF5.
    from anndata import AnnData

    with open_hdf5(path) as file:
        missing = {"matrix", "row_attrs", "col_attrs"} - set(file)
        if missing:
            raise CountsError(
                f"{path.name} is HDF5 but no loom file ({min(missing)!r} is missing); "
                "if it is an AnnData, let its name end in .h5ad."
            )
        n_genes, n_cells = file["matrix"].shape
        layers = file.get("layers", {})
        return AnnData(
            sp.csr_matrix(as_csr(file["matrix"]).T),
            var=_loom_frame(file["row_attrs"], _LOOM_GENE_NAMES, n_genes),
            obs=_loom_frame(file["col_attrs"], _LOOM_CELL_NAMES, n_cells),
            layers={key: sp.csr_matrix(as_csr(item).T) for key, item in layers.items()},
        )


def _loom_frame(group: h5py.Group, names: Iterable[str], length: int) -> pd.DataFrame:
    columns = {
        key: texts(item) if item.dtype.kind in "OSU" else item[...]
        for key, item in group.items()
        if isinstance(item, h5py.Dataset) and item.shape == (length,)
    }
    frame = pd.DataFrame(columns, index=pd.RangeIndex(length).astype(str))
    index = next((name for name in names if name in columns), None)
    return frame if index is None else frame.set_index(index)
