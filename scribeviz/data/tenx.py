"""Read a matrix that Cell Ranger wrote as HDF5."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from scribeviz.data.anndata_files import read_h5ad
from scribeviz.data.counts import CountsError
from scribeviz.data.hdf5 import holds_anndata, open_hdf5, texts
from scribeviz.data.structure import check_structure

if TYPE_CHECKING:
    from anndata import AnnData

_MATRIX_PARTS = ("barcodes", "data", "indices", "indptr", "shape")


def read_10x_h5(path: Path) -> "AnnData":
    """Read a matrix that Cell Ranger wrote as HDF5, of version 2 or later."""
    # Not scanpy's reader: it trusts the structure, and takes no index that R wrote as a float.
    from anndata import AnnData

    with open_hdf5(path) as file:
        if holds_anndata(file):
            return read_h5ad(path)
        group = file[_check_10x_h5(file, path)]
        names = group.get("features/name", group.get("gene_names"))
        var = pd.DataFrame(index=texts(names))
        # Of probes, id is the probe's.
        ids = ("features/gene_id", "features/id", "genes")
        var["gene_ids"] = texts(next(group[key] for key in ids if key in group))
        for key in ("feature_type", "genome"):
            if f"features/{key}" in group:
                var[key] = texts(group[f"features/{key}"])
        n_genes, n_cells = (int(number) for number in group["shape"][...])
        parts = [group["data"][...], *(_whole(group[key], path) for key in ("indices", "indptr"))]
        obs = pd.DataFrame(index=texts(group["barcodes"]))
    return AnnData(_from_columns(parts, (n_genes, n_cells), path.name), obs=obs, var=var)


def _whole(dataset: h5py.Dataset, path: Path) -> np.ndarray:
    """Positions as integers, also where R wrote them as floats."""
    values = dataset[...]
    if values.dtype.kind not in "iuf" or (values.dtype.kind == "f" and (values % 1 != 0).any()):
        raise CountsError(
            f"{path.name} is no whole 10x matrix: {dataset.name} holds no positions; export it "
            "again with Cell Ranger."
        )
    return values.astype(np.int64)


def _from_columns(
    parts: Sequence[np.ndarray], shape: tuple[int, int], subject: str
) -> sp.csr_matrix:
    """Cells x genes from the compressed columns of genes x cells."""
    data, indices, starts = parts
    n_genes, n_cells = shape
    try:
        # The columns of the one are the rows of the other.
        matrix = sp.csr_matrix((data, indices, starts), shape=(n_cells, n_genes))
    except ValueError as error:
        raise CountsError(f"{subject} is no whole 10x matrix ({error}); write it again.") from error
    check_structure(matrix, subject)
    return matrix


def _check_10x_h5(file: h5py.File, path: Path) -> str:
    """Name of the group that holds the matrix, once it has all parts."""
    if "matrix" in file:  # Cell Ranger 3 and later
        group, names = "matrix", "features/name"
        parts: tuple[str, ...] = (
            *_MATRIX_PARTS,
            names,
            "features/id",
        )
    else:  # Cell Ranger 2: one group per genome
        genomes = [key for key, item in file.items() if isinstance(item, h5py.Group)]
        genomes = [key for key in genomes if "barcodes" in file[key]]
        if not genomes:
            raise CountsError(
                f"{path.name} is HDF5 but no 10x matrix: it has neither the group 'matrix' of Cell "
                "Ranger 3 nor a genome's group of version 2. Choose filtered_feature_bc_matrix.h5."
            )
        if len(genomes) > 1:
            raise CountsError(
                f"{path.name} holds {len(genomes)} genomes ({', '.join(genomes)}); "
                "write the cells of one species to a file of their own."
            )
        group, names = genomes[0], "gene_names"
        parts = (*_MATRIX_PARTS, names, "genes")
    missing = [part for part in parts if part not in file[group]]
    if missing:
        raise CountsError(
            f"{path.name} is no whole 10x matrix: {group}/{missing[0]} is missing; "
            "export it again with Cell Ranger."
        )
    n_genes, n_cells = (int(number) for number in file[group]["shape"][...])
    n_names, n_barcodes = file[group][names].shape[0], file[group]["barcodes"].shape[0]
    check_numbers(path, (n_genes, n_cells), n_names=n_names, n_barcodes=n_barcodes)
    return group


def check_numbers(path: Path, shape: tuple[int, int], *, n_names: int, n_barcodes: int) -> None:
    """Raise unless a matrix of genes x cells has as many as are named."""
    n_genes, n_cells = shape
    for kind, in_matrix, named in (("genes", n_genes, n_names), ("cells", n_cells, n_barcodes)):
        if in_matrix != named:
            raise CountsError(
                f"{path.name}: the matrix has {in_matrix:,} {kind}, but {named:,} are named; "
                "matrix, features and barcodes must come from the same run."
            )
