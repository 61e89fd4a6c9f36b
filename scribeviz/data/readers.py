"""Open files of counts.  To add a format: write its reader, add one entry to ``FORMATS``.

A reader takes a path and gives an AnnData with cells in rows, or raises a
:class:`~scribeviz.data.counts.CountsError` that a user can act on.  What the user should know about
the reading itself it leaves under ``READING_NOTES``, from where it ends in the notes of the counts.
"""

import csv
import gzip
import json
import os
import re
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import h5py
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp

from scribeviz.data.checks import (
    READING_NOTES,
    Orientation,
    check_counts,
    check_matrix,
    names_say,
    sparse_rows,
)
from scribeviz.data.counts import Counts, CountsError

if TYPE_CHECKING:
    from anndata import AnnData

# What readers of other packages raise when a file is not as they expect.
_READER_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One kind of file (or folder) that holds counts.

    Attributes
    ----------
    key
        Name in code.
    label
        Name on screen.
    suffixes
        How names of such files end, lower case.
    is_folder
        Whether it is a folder rather than a file.
    recognise
        Whether an existing path is of this kind, without reading its content.
    read
        Path to AnnData with cells in rows.
    """

    key: str
    label: str
    suffixes: tuple[str, ...]
    is_folder: bool
    recognise: Callable[[Path], bool]
    read: Callable[[Path], "AnnData"]


def as_counts(data: Any, layer: str | None = None, name: str | None = None) -> Counts:
    """Make checked counts of whatever holds them.

    Parameters
    ----------
    data
        Counts, an AnnData, the path of a file or folder, or a matrix with cells in rows: a SciPy
        sparse matrix, a NumPy array, or a DataFrame (index: cells, columns: genes).
    layer
        Which matrix of an AnnData or a file; ``None`` for ``X``.
    name
        What to call the data; by default the file's name, else ``"counts"``.

    Raises
    ------
    CountsError
        If ``data`` is none of these, or does not hold counts.

    Examples
    --------
    >>> as_counts(np.array([[0, 2], [1, 0]])).matrix.sum()
    np.int64(3)
    """
    if isinstance(data, str | Path):
        path = Path(data).expanduser()
        return check_counts(open_file(path), layer, name=name or path.name)
    if isinstance(data, Counts | pd.DataFrame | np.ndarray) or sp.issparse(data):
        if layer not in {None, "X"}:
            raise CountsError(f"layer={layer!r} was asked for, but a bare matrix has no layers.")
        return _bare_counts(data, name)
    from anndata import AnnData

    if isinstance(data, AnnData):
        return check_counts(data, layer, name=name or "counts")
    raise CountsError(
        f"counts cannot be read from a {type(data).__name__}; pass an AnnData, a path, "
        "a SciPy sparse matrix, a NumPy array or a pandas DataFrame."
    )


def read(path: str | Path, layer: str | None = None) -> Counts:
    """Open a file or folder and check the counts in it.

    Raises
    ------
    CountsError
        As :func:`open_file` and :func:`~scribeviz.data.checks.check_counts`.
    """
    return check_counts(open_file(path), layer, name=Path(path).name)


def open_file(path: str | Path) -> "AnnData":
    """Open a file or folder of any known format, without checking what it holds.

    Parameters
    ----------
    path
        A file, or a 10x or Zarr folder.  It must be trusted to lie where it may be read: see
        :func:`scribeviz.data.folder.resolve` for names that come from outside.

    Returns
    -------
    AnnData
        Rows are cells.  ``uns[READING_NOTES]`` holds what should be known about the reading.

    Raises
    ------
    CountsError
        If there is no such file, or its format is unknown, or it is empty, cut short or not what
        its name says.
    """
    path = Path(path)
    try:
        with _without_warnings():
            return _format_to_read(path).read(path)
    except CountsError:
        raise
    except PermissionError as error:
        raise CountsError(f"{path.name} may not be read: permission was denied.") from error
    except MemoryError as error:
        raise CountsError(f"{path.name} does not fit into the memory of this machine.") from error
    except _READER_ERRORS as error:
        raise CountsError(
            f"{path.name} cannot be read: it is damaged, or of another kind than its name says "
            f"({_first_line(error, path)})."
        ) from error


def format_of(path: Path) -> Format | None:
    """Tell the format of an existing path from its name (a folder: from the names in it)."""
    is_folder = path.is_dir()
    for entry in FORMATS.values():
        if entry.is_folder == is_folder and entry.recognise(path):
            return entry
    return None


def known_suffixes(*, folders: bool = True) -> tuple[str, ...]:
    """How the names of readable files end; with ``folders``, those of folders too."""
    return tuple(
        suffix
        for entry in FORMATS.values()
        if folders or not entry.is_folder
        for suffix in entry.suffixes
    )


def _format_to_read(path: Path) -> Format:
    if not path.exists():
        raise CountsError(f"{path.name} does not exist; check the name and the folder.")
    known = format_of(path)
    if known is None:
        raise CountsError(_unknown_format(path))
    if path.is_file() and path.stat().st_size == 0:
        raise CountsError(f"{path.name} is empty (0 bytes); copy or download it again.")
    return known


def _bare_counts(data: Any, name: str | None) -> Counts:
    if isinstance(data, Counts):
        return data if name is None else replace(data, name=name)
    called = name or "counts"
    if data.ndim != 2:
        raise CountsError(f"{called} has shape {data.shape}; it must be (n_cells, n_genes).")
    if isinstance(data, pd.DataFrame):
        matrix = _frame_values(data, called)
        obs, var = pd.DataFrame(index=data.index), pd.DataFrame(index=data.columns)
    else:
        matrix = data
        n_cells, n_genes = data.shape
        obs = pd.DataFrame(index=_numbered("cell", n_cells))
        var = pd.DataFrame(index=_numbered("gene", n_genes))
    return check_matrix(matrix, var=var, obs=obs, name=called)


def _numbered(kind: str, number: int) -> pd.Index:
    return pd.Index([f"{kind} {i + 1}" for i in range(number)], dtype=object)


def _frame_values(frame: pd.DataFrame, name: str) -> Any:
    for column, dtype in zip(frame.columns, frame.dtypes, strict=True):
        if not pd.api.types.is_numeric_dtype(dtype):
            value = next((v for v in frame[column] if not isinstance(v, int | float)), None)
            raise CountsError(
                f"{name}: column {column!r} holds {value!r}, which is not a number; "
                "leave out columns that are not genes, or make them the index."
            )
    if frame.shape[1] and all(isinstance(dtype, pd.SparseDtype) for dtype in frame.dtypes):
        return sp.coo_array(frame.sparse.to_coo())  # type: ignore[attr-defined]
    if all(isinstance(dtype, np.dtype) for dtype in frame.dtypes):
        return frame.to_numpy()
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep quiet about old encodings, repeated names and the insides of the packages that read.

    What a user should know of these is in the notes of the counts.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _unknown_format(path: Path) -> str:
    if path.is_dir():
        return (
            f"the folder {path.name} holds no counts: a 10x folder has matrix.mtx, barcodes.tsv "
            "and features.tsv (or genes.tsv), a Zarr folder ends in .zarr."
        )
    if path.name.lower().endswith((".mtx", ".mtx.gz")):
        return f"{path.name} has no names of genes and cells in it; choose the folder it lies in."
    endings = ", ".join(known_suffixes())
    return f"{path.name} is of no known format; names must end in {endings}."


def _first_line(error: BaseException, path: Path) -> str:
    """Give the start of what another package said, without the server's folders."""
    text = str(error).replace(f"{path.parent}{os.sep}", "").strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def _ends_in(*suffixes: str) -> Callable[[Path], bool]:
    return lambda path: path.name.lower().endswith(suffixes)


# --- AnnData: .h5ad and .zarr ---------------------------------------------------------------------


def _read_h5ad(path: Path) -> "AnnData":
    import anndata

    with _hdf5(path) as file:
        if not _holds_anndata(file):
            raise CountsError(
                f"{path.name} is HDF5 but holds no AnnData (no cells 'obs' and genes 'var'); if it "
                "is a matrix of Cell Ranger, let its name end in .h5, if it is a loom, in .loom."
            )
    return anndata.read_h5ad(path)


def _read_zarr(path: Path) -> "AnnData":
    import anndata

    metadata = list(_zarr_metadata(path))
    if not metadata:
        raise CountsError(f"{path.name} is no Zarr store: it has neither zarr.json nor .zgroup.")
    if any(_unpickles(content) for content in metadata):
        raise CountsError(
            f"{path.name} holds pickled objects, which could run any program when opened; "
            "write it again with anndata's write_zarr."
        )
    inside = {child.name for child in path.iterdir()}
    if not {"obs", "var"} <= inside:
        raise CountsError(
            f"{path.name} is a Zarr store but holds no AnnData (no cells 'obs' and genes 'var'); "
            "write it with anndata's write_zarr."
        )
    return anndata.read_zarr(path)


def _zarr_metadata(path: Path) -> Iterator[Any]:
    for folder, _, names in os.walk(path):
        for name in {"zarr.json", ".zgroup", ".zarray", ".zmetadata"} & set(names):
            yield json.loads((Path(folder) / name).read_text(encoding="utf-8"))


def _unpickles(node: Any, *, codec: bool = False) -> bool:
    """Whether Zarr metadata name a codec that unpickles what it reads."""
    if isinstance(node, Mapping):
        codecs = {"filters", "compressor", "codecs", "compressors"}
        return any(_unpickles(value, codec=codec or key in codecs) for key, value in node.items())
    if isinstance(node, list):
        return any(_unpickles(value, codec=codec) for value in node)
    return codec and isinstance(node, str) and "pickle" in node.lower()


# --- HDF5 -----------------------------------------------------------------------------------------


@contextmanager
def _hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file that is whole and keeps to itself."""
    if not h5py.is_hdf5(path):
        raise CountsError(
            f"{path.name} is not an HDF5 file, whatever its name says; "
            "it may be a web page or a compressed file: download or unpack it again."
        )
    try:
        file = h5py.File(path, "r")
    except PermissionError:
        raise
    except OSError as error:
        raise CountsError(
            f"{path.name} is cut short or damaged; copy or download it again."
        ) from error
    with file:
        _refuse_links_to_other_files(file, path)
        yield file


def _refuse_links_to_other_files(file: h5py.File, path: Path) -> None:
    # HDF5 can point at any file of this machine; an upload must not read those.
    def leaves_by_link(_: bytes | str, link: Any) -> bool | None:
        return True if isinstance(link, h5py.ExternalLink) else None

    def leaves_by_storage(_: str, item: h5py.Group | h5py.Dataset) -> bool | None:
        stored_elsewhere = isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)
        return True if stored_elsewhere else None

    if file.visititems_links(leaves_by_link) or file.visititems(leaves_by_storage):
        raise CountsError(f"{path.name} points at other files; write it anew as a file of its own.")


def _holds_anndata(file: h5py.File) -> bool:
    return file.attrs.get("encoding-type") == "anndata" or {"obs", "var"} <= set(file)


def _texts(dataset: h5py.Dataset) -> np.ndarray:
    """Read names, however HDF5 holds them."""
    values = dataset[...]
    if values.dtype.kind not in "OSU":
        return values.astype(str).astype(object)
    decoded = [v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in values]
    return np.array(decoded, dtype=object)


# --- 10x: .h5 -------------------------------------------------------------------------------------

_MATRIX_PARTS = ("barcodes", "data", "indices", "indptr", "shape")


def _read_10x_h5(path: Path) -> "AnnData":
    import scanpy

    with _hdf5(path) as file:
        if _holds_anndata(file):
            return _read_h5ad(path)
        _check_10x_h5(file, path)
    return _genes_only(scanpy.read_10x_h5(path, gex_only=False))


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
    return _with_note(kept, f"{n_left:,} {were} left out: {', '.join(others)}.")


def _with_note(adata: "AnnData", note: str) -> "AnnData":
    adata.uns[READING_NOTES] = [*adata.uns.get(READING_NOTES, []), note]
    return adata


# --- 10x: a folder --------------------------------------------------------------------------------

_TENX_FILE = re.compile(
    r"(?P<prefix>.*?)(?P<part>matrix\.mtx|barcodes\.tsv|(?:features|genes)\.tsv)(?:\.gz)?"
)


def _is_10x_folder(path: Path) -> bool:
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


def _read_10x_folder(path: Path) -> "AnnData":
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
    except _READER_ERRORS as error:
        raise CountsError(
            f"{path.name}/{matrix_file.name} is damaged or cut short ({_first_line(error, path)}); "
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
    except _READER_ERRORS as error:
        raise CountsError(
            f"{path.parent.name}/{path.name} is not a table of names ({_first_line(error, path)}); "
            "copy or download it again."
        ) from error


# --- loom -----------------------------------------------------------------------------------------

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


def _read_loom(path: Path) -> "AnnData":
    # By hand: anndata's reader is deprecated, and the format is six lines of HDF5.
    from anndata import AnnData

    with _hdf5(path) as file:
        missing = {"matrix", "row_attrs", "col_attrs"} - set(file)
        if missing:
            raise CountsError(
                f"{path.name} is HDF5 but no loom file ({min(missing)!r} is missing); "
                "if it is an AnnData, let its name end in .h5ad."
            )
        n_genes, n_cells = file["matrix"].shape
        layers = file.get("layers", {})
        return AnnData(
            sp.csr_matrix(sparse_rows(file["matrix"]).T),
            var=_loom_frame(file["row_attrs"], _LOOM_GENE_NAMES, n_genes),
            obs=_loom_frame(file["col_attrs"], _LOOM_CELL_NAMES, n_cells),
            layers={key: sp.csr_matrix(sparse_rows(item).T) for key, item in layers.items()},
        )


def _loom_frame(group: h5py.Group, names: Iterable[str], length: int) -> pd.DataFrame:
    columns = {
        key: _texts(item) if item.dtype.kind in "OSU" else item[...]
        for key, item in group.items()
        if isinstance(item, h5py.Dataset) and item.shape == (length,)
    }
    frame = pd.DataFrame(columns, index=pd.RangeIndex(length).astype(str))
    index = next((name for name in names if name in columns), None)
    return frame if index is None else frame.set_index(index)


# --- CSV and TSV ----------------------------------------------------------------------------------

_VALUES_PER_BLOCK = 4_000_000
_SEPARATORS = (",", "\t", ";", " ")
_INDEX_LABEL = re.compile(
    r"(?:unnamed: 0|index|x|id|names?|row\.?names?|cells?|genes?|barcodes?|features?|symbols?)"
    r"|(?:cell|gene|feature)s?[ _.-]?(?:ids?|names?|symbols?|barcodes?)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How a text table is written: what parts its fields, and where its names are."""

    file: str
    separator: str
    header: tuple[str, ...]
    columns: tuple[str, ...]
    has_row_names: bool

    @property
    def width(self) -> int:
        return len(self.columns) + self.has_row_names


def _read_table(path: Path) -> "AnnData":
    """Read a text table of counts, cells in rows or in columns.

    The first line names the columns; the first column names the rows, unless it holds numbers
    under a name of its own.  :func:`~scribeviz.data.checks.names_say` tells cells from genes; where
    the names say nothing, rows are taken as cells, as everywhere in Python.
    """
    from anndata import AnnData

    matrix, rows, columns = _parse_table(path)
    found = names_say(rows or (), columns)
    if found is Orientation.GENES_IN_ROWS:
        matrix = sp.csr_array(matrix.T)
    n_cells, n_genes = matrix.shape
    cells, genes = (columns, rows) if found is Orientation.GENES_IN_ROWS else (rows, columns)
    adata = AnnData(
        sp.csr_matrix(matrix),
        obs=pd.DataFrame(index=cells or _numbered("cell", n_cells)),
        var=pd.DataFrame(index=genes or _numbered("gene", n_genes)),
    )
    return _with_note(adata, _TABLE_NOTES[found])


_TABLE_NOTES = {
    Orientation.CELLS_IN_ROWS: "Rows were read as cells and columns as genes, by their names.",
    Orientation.GENES_IN_ROWS: "Rows were read as genes and columns as cells, by their names.",
    Orientation.UNKNOWN: (
        "Rows were read as cells and columns as genes, since the names do not say which is which; "
        "if that is wrong, transpose the table and open it again."
    ),
}


def _parse_table(path: Path) -> tuple[sp.csr_array, list[str], list[str]]:
    """The numbers, the names of the rows (empty where there are none) and of the columns."""
    with _open_text(path) as file:
        lines = _numbered_lines(file, path)
        top = list(islice(lines, 2))
        layout = _layout(top, path)
        lines = chain(top[1:], lines)
        blocks: list[sp.csr_array] = []
        rows: list[str] = []
        step = max(1, _VALUES_PER_BLOCK // layout.width)
        while block := list(islice(lines, step)):
            values, names = _parse_block(block, layout)
            blocks.append(sp.csr_array(values))
            rows += names
    return sp.vstack(blocks, format="csr"), rows, list(layout.columns)


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    compressed = path.name.lower().endswith(".gz")
    opener: Callable[..., Any] = gzip.open if compressed else open
    with opener(path, "rt", encoding="utf-8-sig", errors="replace", newline=None) as file:
        yield file


def _numbered_lines(file: TextIO, path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their number from 1, without blank ones and the comments at the top."""
    at_top = True
    try:
        for number, line in enumerate(file, start=1):
            if at_top and "\0" in line:
                raise CountsError(
                    f"{path.name} is not plain text; save it as comma-separated values (UTF-8)."
                )
            if line.isspace() or (at_top and line.startswith("#")):
                continue
            at_top = False
            yield number, line.rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CountsError(
            f"{path.name} is not a whole .gz file; copy or download it again."
        ) from error


def _layout(top: list[tuple[int, str]], path: Path) -> _Layout:
    """Tell the layout from the first two lines."""
    if len(top) < 2:
        raise CountsError(
            f"{path.name} has fewer than two lines; it needs one of names and one per row."
        )
    (_, first), (number, second) = top
    separator = max(_SEPARATORS, key=first.count)
    if separator not in first + second:
        raise CountsError(
            f"{path.name} has a single column; part the fields by comma, tab, semicolon or blank."
        )
    header, row = _fields(first, separator), _fields(second, separator)
    if len(row) not in {len(header), len(header) + 1}:
        raise CountsError(_ragged(path.name, number, len(row), len(header)))
    shorter = len(row) == len(header) + 1  # R leaves out the name above the names
    named = shorter or not header[0] or bool(_INDEX_LABEL.fullmatch(header[0]))
    named = named or not _is_number(row[0])
    columns = header[1:] if named and not shorter else header
    numbers = [str(i) for i in range(len(columns) + 1)]
    if all(map(_is_number, columns)) and columns not in (numbers[:-1], numbers[1:]):
        raise CountsError(
            f"the first line of {path.name} holds numbers; "
            "put a line above it that names the columns (genes or cells)."
        )
    return _Layout(
        file=path.name,
        separator=separator,
        header=tuple(header),
        columns=tuple(columns),
        has_row_names=named,
    )


def _parse_block(block: list[tuple[int, str]], layout: _Layout) -> tuple[np.ndarray, list[str]]:
    """Numbers and row names of some lines; float64, shape ``(n_lines, n_columns)``."""
    names: list[str] = []

    def keep_name(text: str) -> float:
        names.append(text.strip())
        return 0.0

    try:
        values = np.loadtxt(
            [line for _, line in block],
            delimiter=layout.separator,
            quotechar='"',
            comments=None,
            ndmin=2,
            converters={0: keep_name} if layout.has_row_names else None,
        )
    except ValueError as error:
        raise CountsError(_what_is_wrong(block, layout) or f"{layout.file}: {error}.") from error
    if values.shape[1] != layout.width:
        raise CountsError(_what_is_wrong(block, layout))
    return values[:, int(layout.has_row_names) :], names


def _what_is_wrong(block: list[tuple[int, str]], layout: _Layout) -> str:
    """Read slowly, to name the first line, row and column that cannot be read; empty if all can."""
    for number, line in block:
        fields = _fields(line, layout.separator)
        if tuple(fields) == layout.header:
            return (
                f"line {number:,} of {layout.file} repeats the first line, as if two tables were "
                "joined; keep one table per file."
            )
        if len(fields) != layout.width:
            return _ragged(layout.file, number, len(fields), layout.width)
        values = fields[1:] if layout.has_row_names else fields
        for column, text in zip(layout.columns, values, strict=True):
            if not _is_number(text):
                row = f"row {fields[0]!r}" if layout.has_row_names else f"line {number:,}"
                what = f"the text {text!r}" if text else "nothing"
                return (
                    f"{layout.file} holds {what} in {row}, column {column!r}, where a count should "
                    "be; keep only counts beside the names, and write 0 for none."
                )
    return ""


def _ragged(file: str, line: int, found: int, wanted: int) -> str:
    return (
        f"line {line:,} of {file} has {found:,} fields where {wanted:,} are expected; "
        "every line must have as many as the first."
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python reads 1_000, tables do not


def _fields(line: str, separator: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([line], delimiter=separator))]


_TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")

FORMATS: Mapping[str, Format] = {
    entry.key: entry
    for entry in (
        Format(
            key="h5ad",
            label="AnnData (.h5ad)",
            suffixes=(".h5ad",),
            is_folder=False,
            recognise=_ends_in(".h5ad"),
            read=_read_h5ad,
        ),
        Format(
            key="10x_h5",
            label="10x matrix (.h5)",
            suffixes=(".h5",),
            is_folder=False,
            recognise=_ends_in(".h5"),
            read=_read_10x_h5,
        ),
        Format(
            key="10x_folder",
            label="10x folder (matrix.mtx)",
            suffixes=(),
            is_folder=True,
            recognise=_is_10x_folder,
            read=_read_10x_folder,
        ),
        Format(
            key="loom",
            label="loom (.loom)",
            suffixes=(".loom",),
            is_folder=False,
            recognise=_ends_in(".loom"),
            read=_read_loom,
        ),
        Format(
            key="zarr",
            label="AnnData (.zarr)",
            suffixes=(".zarr",),
            is_folder=True,
            recognise=_ends_in(".zarr"),
            read=_read_zarr,
        ),
        Format(
            key="table",
            label="text table (.csv, .tsv, .txt)",
            suffixes=_TABLE_SUFFIXES,
            is_folder=False,
            recognise=_ends_in(*_TABLE_SUFFIXES),
            read=_read_table,
        ),
    )
}
