"""The matrix of a 10x .h5 file, of either version."""

from typing import TYPE_CHECKING

import h5py
import pandas as pd
import scipy.sparse as sp

from scribeviz.data.hdf5 import texts

if TYPE_CHECKING:
    from anndata import AnnData


def read_matrix(file: h5py.File) -> "AnnData":
    """Read the one matrix in a file whose parts are known to be there.

    Not with scanpy: importing it takes longer than most files, and it trusts every index.

    Raises
    ------
    ValueError
        If indices or pointers lead out of the matrix.
    """
    from anndata import AnnData

    group = next(item for item in file.values() if "barcodes" in item)
    features = _features_of_version_3(group) if "features" in group else _genes_of_version_2(group)
    n_genes, n_cells = (int(number) for number in group["shape"][...])
    parts = (group[name][...] for name in ("data", "indices", "indptr"))
    matrix = sp.csr_matrix(tuple(parts), shape=(n_cells, n_genes))
    matrix.check_format(full_check=True)
    return AnnData(matrix, obs=pd.DataFrame(index=texts(group["barcodes"])), var=features)


def _features_of_version_3(group: h5py.Group) -> pd.DataFrame:
    features = group["features"]
    ids = features["gene_id" if "gene_id" in features else "id"]  # of probes, id is the probe's
    columns = {"gene_ids": texts(ids), "feature_types": texts(features["feature_type"])}
    return pd.DataFrame(columns, index=texts(features["name"]))


def _genes_of_version_2(group: h5py.Group) -> pd.DataFrame:
    return pd.DataFrame({"gene_ids": texts(group["genes"])}, index=texts(group["gene_names"]))
