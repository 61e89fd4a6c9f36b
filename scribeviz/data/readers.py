"""Open files of counts.  To add a format: write its reader, add one entry to ``FORMATS``.

A reader takes a path and gives an AnnData with cells in rows, or raises a
:class:`~scribeviz.data.counts.CountsError` that a user can act on.  What the user should know about
the reading itself it leaves under ``READING_NOTES``, from where it ends in the notes of the counts.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scribeviz.data.anndata_files import read_h5ad, read_zarr
from scribeviz.data.archives import GZIP_SUFFIXES, TAR_SUFFIXES, ZIP_SUFFIXES, unpacked
from scribeviz.data.checks import check_counts, check_matrix
from scribeviz.data.counts import Counts, CountsError, CountsWarning
from scribeviz.data.long_tables import long_frame
from scribeviz.data.loom import read_loom
from scribeviz.data.matrix_folders import is_matrix_folder, read_matrix_folder
from scribeviz.data.mudata_files import read_h5mu
from scribeviz.data.names import numbered_names
from scribeviz.data.outer_folders import data_set_in
from scribeviz.data.reading import damage_in_words, with_note
from scribeviz.data.tenx import read_10x_h5
from scribeviz.data.text_files import read_text
from scribeviz.data.values import Rounding

if TYPE_CHECKING:
    from anndata import AnnData

# Warnings point at the line of the user's own that brought the data.
_OURS = (str(Path(__file__).parents[1]),)
_MOST_WRAPPINGS = 4  # archives in archives, and what is in them


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
        Whether an existing path is of this kind, without reading its content; left out where its
        name says so.
    read
        Path to AnnData with cells in rows; left out for what is to be unpacked first.
    rank
        Where a folder holds several, those of the lowest rank are meant.
    """

    key: str
    label: str
    suffixes: tuple[str, ...] = ()
    is_folder: bool = False
    recognise: Callable[[Path], bool] | None = None
    read: Callable[[Path], "AnnData"] | None = None
    rank: int = 0

    def fits(self, path: Path) -> bool:
        """Whether an existing path of its sort, file or folder, is of this kind."""
        if self.recognise is not None:
            return self.recognise(path)
        return path.name.lower().endswith(self.suffixes)


@runtime_checkable
class _ArrayLike(Protocol):
    """What NumPy can read, such as the arrays of JAX."""

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray: ...


def as_counts(
    data: Any,
    layer: str | None = None,
    name: str | None = None,
    *,
    rounding: Rounding | None = None,
) -> Counts:
    """Make checked counts of whatever holds them.

    Parameters
    ----------
    data
        Counts, an AnnData, the path of a file or folder, or a matrix with cells in rows: a SciPy
        sparse matrix, a NumPy or JAX array, or a DataFrame (index: cells, columns: genes).
    layer
        Which matrix of an AnnData or a file; ``None`` for ``X``.
    name
        What to call the data; by default the file's name, else ``"counts"``.
    rounding
        What to do with fractions of corrected counts: ``"stochastic"`` rounds up with the
        probability of the fraction (the same every time), ``"nearest"`` to the nearest whole
        number, None refuses them.

    Raises
    ------
    CountsError
        If ``data`` is none of these, or does not hold counts.

    Warns
    -----
    CountsWarning
        For what was accepted but should be known: each note of the counts.

    Examples
    --------
    >>> as_counts(np.array([[0, 2], [1, 0]])).matrix.sum()
    np.int64(3)
    """
    if isinstance(data, Counts):
        if layer not in {None, "X"}:
            raise CountsError(f"layer={layer!r} was asked for, but counts have no layers.")
        return data if name is None else replace(data, name=name)
    counts = _checked(data, layer, name, rounding)
    for note in counts.notes:
        warnings.warn(note, CountsWarning, skip_file_prefixes=_OURS)
    return counts


def _checked(data: Any, layer: str | None, name: str | None, rounding: Rounding | None) -> Counts:
    if isinstance(data, str | Path):
        path = _local(data)
        with damage_in_words(path):
            counts = check_counts(open_file(path), layer, name=name or path.name, rounding=rounding)
        # Runs keep this and pages show it: of a path from the root, only the end.
        shown = path.name if Path(data).is_absolute() else str(data)
        return replace(counts, read_by=reading_code(shown, layer, rounding))
    if isinstance(data, pd.DataFrame | np.ndarray) or sp.issparse(data):
        if layer not in {None, "X"}:
            raise CountsError(f"layer={layer!r} was asked for, but a bare matrix has no layers.")
        long = long_frame(data, name or "counts") if isinstance(data, pd.DataFrame) else None
        if long is not None:
            return check_counts(long, name=name or "counts", rounding=rounding)
        return _bare_counts(data, name, rounding)
    from anndata import AnnData

    if isinstance(data, AnnData):
        return check_counts(data, layer, name=name or "counts", rounding=rounding)
    if isinstance(data, _ArrayLike):
        return _checked(np.asarray(data), layer, name, rounding)
    raise CountsError(
        f"counts cannot be read from a {type(data).__name__}; pass an AnnData, a path, "
        "a SciPy sparse matrix, a NumPy array or a pandas DataFrame."
    )


def read(path: str | Path, layer: str | None = None, *, rounding: Rounding | None = None) -> Counts:
    """Open a file or folder and check the counts in it; as :func:`as_counts` of a path.

    Parameters
    ----------
    path
        A file or folder of any format in ``FORMATS``; ``~`` is the user's folder.
    layer
        Which matrix of the file; ``None`` for ``X``.
    rounding
        What to do with fractions, as for :func:`as_counts`.

    Returns
    -------
    Counts
        Cells in rows, genes in columns.

    Raises
    ------
    CountsError
        If there is no such file, it is damaged or of no known format, or holds no counts.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> import scribeviz
    >>> cells = pd.Index(["cell 1", "cell 2"], name="cell")
    >>> table = pd.DataFrame({"CD3D": [0, 2], "LYZ": [7, 1]}, index=cells)
    >>> with TemporaryDirectory() as folder:
    ...     table.to_csv(Path(folder) / "cells.csv")
    ...     counts = scribeviz.read(Path(folder) / "cells.csv")
    >>> counts.gene("LYZ").tolist()
    [7, 1]
    """
    return as_counts(Path(_local(path)), layer, rounding=rounding)


def reading_code(name: str, layer: str | None, rounding: Rounding | None) -> str:
    """The Python that reads a file; what is as usual is left out.

    Examples
    --------
    >>> reading_code("cells.h5ad", "counts", None)
    "scribeviz.read('cells.h5ad', layer='counts')"
    """
    chosen = "" if layer in {None, "X"} else f", layer={layer!r}"
    chosen += "" if rounding is None else f", rounding={rounding!r}"
    return f"scribeviz.read({name!r}{chosen})"


def _local(path: str | Path) -> Path:
    """A path of this machine; ``~`` is the user's folder."""
    if "://" in str(path):
        raise CountsError(
            f"{path} is an address on a network; download the file and give its path."
        )
    return Path(path).expanduser()


def open_file(path: str | Path) -> "AnnData":
    """Open a file or folder of any known format, without checking what it holds.

    Parameters
    ----------
    path
        A file, packed or not, or a folder that is or holds one data set.  It must be trusted to
        lie where it may be read: see
        :func:`scribeviz.data.data_folder.resolve` for names that come from outside.

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
    path = _local(path)
    notes: list[str] = []
    is_packed = False
    with damage_in_words(path), _without_warnings(), ExitStack() as places:
        for _ in range(_MOST_WRAPPINGS):
            path = _data_set(path, notes, "unpack it and choose" if is_packed else "choose")
            file_format = _format_to_read(path)
            if file_format.read is not None:
                adata = file_format.read(path)
                break
            path, note = places.enter_context(unpacked(path))
            notes.append(note)
            is_packed = True
        else:
            raise CountsError(
                f"{path.name} is an archive in {_MOST_WRAPPINGS - 1} others; unpack it yourself."
            )
    for note in notes:
        adata = with_note(adata, note)
    return adata


def _data_set(path: Path, notes: list[str], advice: str) -> Path:
    """What is to be read: the path, or the only data set in the folder that it is."""
    if not path.is_dir() or format_of(path) is not None:
        return path

    def rank(inner: Path) -> int | None:
        inner_format = format_of(inner)
        return None if inner_format is None else inner_format.rank

    within = data_set_in(path, rank, f"{advice} one of them")
    if within is None:
        return path
    notes.append(within[1])
    return within[0]


def format_of(path: Path) -> Format | None:
    """Tell the format of an existing path from its name (a folder: from the names in it)."""
    is_folder = path.is_dir()
    for entry in FORMATS.values():
        if entry.is_folder == is_folder and entry.fits(path):
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
    file_format = format_of(path)
    if file_format is None:
        raise CountsError(_unknown_format(path))
    if path.is_file() and path.stat().st_size == 0:
        raise CountsError(f"{path.name} is empty (0 bytes); copy or download it again.")
    return file_format


def _bare_counts(data: Any, name: str | None, rounding: Rounding | None) -> Counts:
    called = name or "counts"
    if data.ndim != 2:
        raise CountsError(f"{called} has shape {data.shape}; it must be (n_cells, n_genes).")
    if isinstance(data, pd.DataFrame):
        matrix = _frame_values(data, called)
        obs, var = pd.DataFrame(index=data.index), pd.DataFrame(index=data.columns)
    else:
        matrix = data
        n_cells, n_genes = data.shape
        obs = pd.DataFrame(index=numbered_names("cell", n_cells))
        var = pd.DataFrame(index=numbered_names("gene", n_genes))
    return check_matrix(matrix, var=var, obs=obs, name=called, rounding=rounding)


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


_FROM_R = " Write it from R as .h5ad (anndataR, zellkonverter) or as a folder of a matrix."
_WAYS_ON = {
    **dict.fromkeys((".rds", ".rdata", ".rda", ".h5seurat"), _FROM_R),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), " Save the sheet as CSV."),
    **dict.fromkeys((".rar", ".7z"), " Unpack it."),
}


def _unknown_format(path: Path) -> str:
    if path.is_dir():
        if any(path.rglob("quants_mat.gz")):
            return (
                f"{path.name} holds counts in alevin's binary format; run it with --dumpMtx, or "
                "alevin-fry, which write text."
            )
        return (
            f"the folder {path.name} holds no counts: a 10x folder has matrix.mtx, barcodes.tsv "
            "and features.tsv (or genes.tsv), one of kallisto, alevin-fry or Parse the files that "
            "these write, and a Zarr folder ends in .zarr."
        )
    if path.name.lower().endswith((".mtx", ".mtx.gz")):
        return f"{path.name} has no names of genes and cells in it; choose the folder it lies in."
    endings = ", ".join(known_suffixes())
    advice = next((way for end, way in _WAYS_ON.items() if path.name.lower().endswith(end)), "")
    return f"{path.name} is of no known format; names must end in {endings}.{advice}"


FORMATS: Mapping[str, Format] = {
    entry.key: entry
    for entry in (
        Format(
            key="h5ad",
            label="AnnData (.h5ad)",
            suffixes=(".h5ad",),
            read=read_h5ad,
        ),
        Format(
            key="h5mu",
            label="MuData (.h5mu)",
            suffixes=(".h5mu",),
            read=read_h5mu,
        ),
        Format(
            key="10x_h5",
            label="10x matrix (.h5)",
            suffixes=(".h5",),
            read=read_10x_h5,
        ),
        Format(
            key="10x_folder",
            label="folder of a matrix (.mtx)",
            is_folder=True,
            recognise=is_matrix_folder,
            read=read_matrix_folder,
        ),
        Format(
            key="loom",
            label="loom (.loom)",
            suffixes=(".loom",),
            read=read_loom,
        ),
        Format(
            key="zarr",
            label="AnnData (.zarr)",
            suffixes=(".zarr",),
            is_folder=True,
            read=read_zarr,
        ),
        Format(
            key="table",
            label="text table (.csv, .tsv, .txt)",
            suffixes=(".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".st", ".st.gz"),
            read=read_text,
            rank=1,
        ),
        Format(
            key="archive",
            label="archive (.zip, .tar, .gz)",
            suffixes=(*ZIP_SUFFIXES, *TAR_SUFFIXES, *GZIP_SUFFIXES),
            rank=2,
        ),
    )
}
