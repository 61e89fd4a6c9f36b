"""Read what 10x Genomics' Cell Ranger writes: a folder of three files, or one .h5."""

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import pandas as pd
import scipy.io
import scipy.sparse as sp

from scribeviz.data.anndata_files import read_h5ad
from scribeviz.data.counts import CountsError
from scribeviz.data.hdf5 import holds_anndata, open_hdf5
from scribeviz.data.reading import READER_ERRORS, first_line, with_note
from scribeviz.data.tenx_hdf5 import read_matrix

if TYPE_CHECKING:
    from anndata import AnnData

_MATRIX_PARTS = ("barcodes", "data", "indices", "indptr", "shape")
_TENX_FILE = re.compile(
    r"(?P<prefix>.*?)(?P<part>matrix\.mtx|barcodes\.tsv|(?:features|genes)\.tsv)(?:\.gz)?"
)


def read_10x_h5(path: Path) -> "AnnData":
    """Read a matrix that Cell Ranger wrote as HDF5, of version 2 or later."""
    with open_hdf5(path) as file:
        if holds_anndata(file):
            return read_h5ad(path)
        _check_10x_h5(file, path)
        return _genes_only(read_matrix(file))


def _check_10x_h5(file: h5py.File, path: Path) -> None:
    if "matrix" in file:  # Cell Ranger 3 and later
        group, names = "matrix", "features/name"
        parts: tuple[str, ...] = (
            *_MATRIX_PARTS,
            names,
            "features/id",
            "features/feature_type",
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
    _check_numbers(path, (n_genes, n_cells), n_names=n_names, n_barcodes=n_barcodes)


def is_10x_folder(path: Path) -> bool:
    """Whether a folder holds any of the three files of a 10x matrix."""
    return bool(_tenx_files(path))


def _tenx_files(path: Path) -> dict[tuple[str, str], Path]:
    """The files of a 10x folder, by what stands before the usual name, and the usual name."""
    try:
        files = sorted(child for child in path.iterdir() if child.is_file())
    except OSError:
        return {}
    found = {}
    for file in files:
        match = _TENX_FILE.fullmatch(file.name)
        if match and not file.name.startswith("."):
            found[match["prefix"], match["part"]] = file
    return found


def read_10x_folder(path: Path) -> "AnnData":
    """Read a folder of matrix, barcodes and features, each plain or compressed."""
    # Not scanpy's reader: it wants all or none compressed, and three columns of features.
    from anndata import AnnData

    matrix_file, barcodes_file, features_file = _tenx_parts(path)
    barcodes = _tenx_column_file(barcodes_file)
    features = _tenx_column_file(features_file)
    try:
        shape = scipy.io.mminfo(matrix_file)[:2]
        _check_numbers(path, shape, n_names=len(features), n_barcodes=len(barcodes))
        matrix = sp.coo_array(scipy.io.mmread(matrix_file))
    except CountsError:
        raise
    except READER_ERRORS as error:
        raise CountsError(
            f"{path.name}/{matrix_file.name} is damaged or cut short ({first_line(error, path)}); "
            "copy or download it again."
        ) from error
    ids = features[0].to_numpy(dtype=object)
    var = pd.DataFrame(index=features[1].to_numpy(dtype=object) if 1 in features else ids)
    var["gene_ids"] = ids
    if 2 in features:
        var["feature_types"] = features[2].to_numpy(dtype=object)
    obs = pd.DataFrame(index=barcodes[0].to_numpy(dtype=object))
    return _genes_only(AnnData(sp.csr_matrix(matrix.T), obs=obs, var=var))


def _tenx_parts(path: Path) -> tuple[Path, Path, Path]:
    """Find matrix, barcodes and features; say which is missing."""
    files = _tenx_files(path)
    prefixes = sorted({prefix for prefix, _ in files})
    if len(prefixes) > 1:
        starts = ", ".join(map(repr, prefixes))
        raise CountsError(
            f"the folder {path.name} holds several 10x matrices (names start with {starts}); "
            "put the three files of each into a folder of its own."
        )
    prefix = prefixes[0]
    features = files.get((prefix, "features.tsv"), files.get((prefix, "genes.tsv")))
    wanted = {
        "matrix.mtx": files.get((prefix, "matrix.mtx")),
        "barcodes.tsv": files.get((prefix, "barcodes.tsv")),
        "features.tsv (or genes.tsv)": features,
    }
    for label, file in wanted.items():
        if file is None:
            raise CountsError(
                f"the 10x folder {path.name} has no {prefix}{label}, plain or .gz; put it there."
            )
        if file.stat().st_size == 0:
            raise CountsError(f"{path.name}/{file.name} is empty (0 bytes); copy it again.")
    matrix, barcodes, features = (file for file in wanted.values() if file is not None)
    return matrix, barcodes, features


def _tenx_column_file(path: Path) -> pd.DataFrame:
    try:
        # Names such as NA and nan are names here; quotes are part of them.
        return pd.read_csv(
            path, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE
        )
    except READER_ERRORS as error:
        raise CountsError(
            f"{path.parent.name}/{path.name} is not a table of names ({first_line(error, path)}); "
            "copy or download it again."
        ) from error


def _check_numbers(path: Path, shape: tuple[int, int], *, n_names: int, n_barcodes: int) -> None:
    n_genes, n_cells = shape
    for kind, in_matrix, named in (("genes", n_genes, n_names), ("cells", n_cells, n_barcodes)):
        if in_matrix != named:
            raise CountsError(
                f"{path.name}: the matrix has {in_matrix:,} {kind}, but {named:,} are named; "
                "matrix, features and barcodes must come from the same run."
            )


def _genes_only(adata: "AnnData") -> "AnnData":
    """Leave out antibodies, guides and the like: their counts follow other laws."""
    if "feature_types" not in adata.var:
        return adata
    is_gene = (adata.var["feature_types"] == "Gene Expression").to_numpy()
    if is_gene.all() or not is_gene.any():
        return adata
    others = sorted(set(adata.var["feature_types"][~is_gene].astype(str)))
    kept = adata[:, is_gene].copy()
    n_left = int((~is_gene).sum())
    were = "feature that is no gene was" if n_left == 1 else "features that are no genes were"
    return with_note(kept, f"{n_left:,} {were} left out: {', '.join(others)}.")
