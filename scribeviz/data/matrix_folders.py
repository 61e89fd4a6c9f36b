"""Read folders of a text matrix and its names: 10x, STARsolo, kallisto, alevin-fry, Parse."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp

from scribeviz.data.counts import CountsError
from scribeviz.data.gzip_files import check_unpacked, open_bytes
from scribeviz.data.matrix_market import read_matrix_market
from scribeviz.data.promises import check_promise
from scribeviz.data.reading import READER_ERRORS, first_line, with_note
from scribeviz.data.tenx import check_numbers
from scribeviz.data.usa_mode import thirds_of

if TYPE_CHECKING:
    from anndata import AnnData

_TENX_FILE = re.compile(
    r"(?P<prefix>.*?)(?P<part>matrix\.mtx|barcodes\.tsv|(?:features|genes)\.tsv)(?:\.gz)?"
)
_MAIN = ""  # the matrix that becomes X


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The files of one data set: matrices by layer, names of genes and cells."""

    matrices: Mapping[str, Path]
    genes: Path
    cells: Path
    cells_in_rows: bool
    symbols: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How one program names these files, any of them perhaps compressed."""

    matrices: Mapping[str, str]
    genes: tuple[str, ...]
    cells: tuple[str, ...]
    cells_in_rows: bool
    symbols: str = ""

    def parts(self, files: Mapping[str, Path]) -> _Parts | None:
        """The parts among ``files`` (by name without .gz); None if some are missing."""
        matrices = {layer: files[name] for name, layer in self.matrices.items() if name in files}
        genes = next((files[name] for name in self.genes if name in files), None)
        cells = next((files[name] for name in self.cells if name in files), None)
        if not matrices or genes is None or cells is None:
            return None
        return _Parts(
            matrices=matrices,
            genes=genes,
            cells=cells,
            cells_in_rows=self.cells_in_rows,
            symbols=files.get(self.symbols),
        )


_KALLISTO = "cells_x_genes"
_LAYOUTS = (
    _Layout(  # kallisto | bustools (kb), plain or with nascent and mature molecules
        matrices={
            f"{_KALLISTO}.mtx": _MAIN,
            f"{_KALLISTO}.total.mtx": _MAIN,
            **{f"{_KALLISTO}.{part}.mtx": part for part in ("mature", "nascent", "ambiguous")},
        },
        genes=(f"{_KALLISTO}.genes.txt",),
        cells=(f"{_KALLISTO}.barcodes.txt",),
        cells_in_rows=True,
        symbols=f"{_KALLISTO}.genes.names.txt",
    ),
    _Layout(  # kb's older splice-aware counts
        matrices={"spliced.mtx": "spliced", "unspliced.mtx": "unspliced"},
        genes=("spliced.genes.txt",),
        cells=("spliced.barcodes.txt",),
        cells_in_rows=True,
    ),
    _Layout(  # alevin-fry
        matrices={"quants_mat.mtx": _MAIN},
        genes=("quants_mat_cols.txt",),
        cells=("quants_mat_rows.txt",),
        cells_in_rows=True,
    ),
    _Layout(  # Parse Biosciences
        matrices={"DGE.mtx": _MAIN, "count_matrix.mtx": _MAIN},
        genes=("all_genes.csv", "genes.csv"),
        cells=("cell_metadata.csv",),
        cells_in_rows=True,
    ),
    _Layout(  # STARsolo with --soloFeatures Velocyto
        matrices={f"{part}.mtx": part for part in ("spliced", "unspliced", "ambiguous")},
        genes=("features.tsv", "genes.tsv"),
        cells=("barcodes.tsv",),
        cells_in_rows=False,
    ),
)


def is_matrix_folder(path: Path) -> bool:
    """Whether a folder holds the files of a matrix, or any of the three of 10x."""
    files = _files(path)
    return bool(_tenx_files(files)) or any(layout.parts(files) for layout in _LAYOUTS)


def read_matrix_folder(path: Path) -> "AnnData":
    """Read a folder of a matrix and the names of its genes and cells, each plain or compressed.

    Shapes tell which way the matrix lies; where it is square, the layout does.
    """
    # Not scanpy's reader: it wants all or none compressed, and three columns of features.
    from anndata import AnnData

    files = _files(path)
    parts = next(filter(None, (layout.parts(files) for layout in _LAYOUTS)), None)
    if parts is None:
        parts = _tenx_parts(path, files)
    var, obs = _gene_table(parts), _cell_table(parts)
    read = {layer: _matrix(path, file) for layer, file in parts.matrices.items()}
    turned = {layer: _cells_in_rows(path, m, parts, obs, var) for layer, m in read.items()}
    matrices = {layer: sp.csr_matrix(matrix) for layer, matrix in turned.items()}
    if thirds := thirds_of(list(var.index)):
        matrices = {part: matrices[_MAIN][:, columns] for part, columns in thirds.items()}
        var = var.iloc[thirds["spliced"]]
    main = matrices.pop(_MAIN, None)
    summed = list(matrices) if main is None else []
    if main is None:
        main = sum(matrices.values(), sp.csr_matrix((len(obs), len(var))))
    adata = AnnData(main, obs=obs, var=var, layers=matrices)
    if summed:
        adata = with_note(adata, f"Counts are the sum of {', '.join(summed)}: all molecules.")
    if not parts.cells_in_rows and any(turned[k].shape == read[k].shape for k in read):
        note = "The matrix lies the other way round (cells x genes), and was read so."
        adata = with_note(adata, note)
    return adata


def _matrix(path: Path, file: Path) -> sp.coo_array:
    try:
        check_unpacked(file)  # SciPy would take a line without end into memory
        n_rows, n_columns, n_values = scipy.io.mminfo(file)[:3]
        check_promise(file, file.name, (n_values,), 16)
        check_promise(file, file.name, (max(n_rows, n_columns),), 8)
        return read_matrix_market(file)
    except CountsError:
        raise
    except READER_ERRORS as error:
        raise CountsError(
            f"{path.name}/{file.name} is damaged or cut short ({first_line(error, path)}); "
            "copy or download it again."
        ) from error


def _cells_in_rows(
    path: Path, matrix: sp.coo_array, parts: _Parts, obs: pd.DataFrame, var: pd.DataFrame
) -> sp.coo_array:
    as_named = (len(obs), len(var))
    fits = {True: matrix.shape == as_named, False: matrix.shape[::-1] == as_named}
    if not fits[True] and not fits[False]:
        shape = matrix.shape[::-1] if parts.cells_in_rows else matrix.shape
        check_numbers(path, shape, n_names=len(var), n_barcodes=len(obs))
    in_rows = parts.cells_in_rows if fits[parts.cells_in_rows] else not parts.cells_in_rows
    return matrix if in_rows else matrix.T


def _gene_table(parts: _Parts) -> pd.DataFrame:
    if parts.genes.name.removesuffix(".gz").endswith(".csv"):
        table = _csv(parts.genes)
        names = next((key for key in ("gene_name", "gene_names") if key in table), table.columns[0])
        return table.set_index(pd.Index(table[names].astype(object)))
    columns = _column_file(parts.genes)
    ids = columns[0]
    symbols = columns[1] if len(columns) > 1 else ids
    if parts.symbols is not None:
        named = _column_file(parts.symbols)[0]
        symbols = named if len(named) == len(ids) else ids
    var = pd.DataFrame({"gene_ids": ids}, index=pd.Index(symbols, dtype=object))
    if len(columns) > 2 and any(columns[2]):
        var["feature_types"] = columns[2]
    return var


def _cell_table(parts: _Parts) -> pd.DataFrame:
    if parts.cells.name.removesuffix(".gz").endswith(".csv"):
        table = _csv(parts.cells)
        return table.set_index(pd.Index(table.iloc[:, 0].astype(str), dtype=object))
    return pd.DataFrame(index=pd.Index(_column_file(parts.cells)[0], dtype=object))


def _csv(path: Path) -> pd.DataFrame:
    try:
        with open_bytes(path) as file:
            return pd.read_csv(file, keep_default_na=False)
    except CountsError:
        raise
    except READER_ERRORS as error:
        raise CountsError(_no_names(path, error)) from error


def _column_file(path: Path) -> list[np.ndarray]:
    """Columns of a file of names; lines may have more or fewer."""
    try:
        with TextIOWrapper(open_bytes(path), "utf-8-sig", "replace", newline="") as file:
            # Names such as NA and nan are names here; quotes are part of them.
            rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row]
    except CountsError:
        raise
    except (*READER_ERRORS, csv.Error) as error:
        raise CountsError(_no_names(path, error)) from error
    width = max(map(len, rows), default=1)
    return [
        np.array([row[i] if i < len(row) else "" for row in rows], dtype=object)
        for i in range(width)
    ]


def _no_names(path: Path, error: BaseException) -> str:
    return (
        f"{path.parent.name}/{path.name} is not a table of names ({first_line(error, path)}); "
        "copy or download it again."
    )


def _files(path: Path) -> dict[str, Path]:
    """The files of a folder by their names without .gz; what is hidden is left out."""
    try:
        files = sorted(child for child in path.iterdir() if child.is_file())
    except OSError:
        return {}
    return {file.name.removesuffix(".gz"): file for file in files if file.name[0] != "."}


def _tenx_files(files: Mapping[str, Path]) -> dict[tuple[str, str], Path]:
    """The files of a 10x folder, by what stands before the usual name, and the usual name."""
    matches = {name: _TENX_FILE.fullmatch(name) for name in files}
    return {(m["prefix"], m["part"]): files[name] for name, m in matches.items() if m}


def _tenx_parts(path: Path, files: Mapping[str, Path]) -> _Parts:
    """Find matrix, barcodes and features; say which is missing."""
    known = _tenx_files(files)
    prefixes = sorted({prefix for prefix, _ in known})
    if len(prefixes) > 1:
        starts = ", ".join(map(repr, prefixes))
        raise CountsError(
            f"the folder {path.name} holds several 10x matrices (names start with {starts}); "
            "put the three files of each into a folder of its own."
        )
    prefix = prefixes[0]
    wanted = {
        "matrix.mtx": known.get((prefix, "matrix.mtx")),
        "barcodes.tsv": known.get((prefix, "barcodes.tsv")),
        "features.tsv (or genes.tsv)": known.get(
            (prefix, "features.tsv"), known.get((prefix, "genes.tsv"))
        ),
    }
    for label, file in wanted.items():
        if file is None:
            raise CountsError(
                f"the 10x folder {path.name} has no {prefix}{label}, plain or .gz; put it there."
            )
        if file.stat().st_size == 0:
            raise CountsError(f"{path.name}/{file.name} is empty (0 bytes); copy it again.")
    matrix, barcodes, features = (file for file in wanted.values() if file is not None)
    return _Parts(matrices={_MAIN: matrix}, genes=features, cells=barcodes, cells_in_rows=False)
