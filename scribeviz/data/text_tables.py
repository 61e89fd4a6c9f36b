"""Read a text table of counts, however it is parted, named and turned."""

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scribeviz.data.counts import CountsError
from scribeviz.data.names import Orientation, names_say, numbered_names
from scribeviz.data.reading import with_note

if TYPE_CHECKING:
    from anndata import AnnData

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


def read_table(path: Path) -> "AnnData":
    """Read a text table of counts, cells in rows or in columns.

    The first line names the columns; the first column names the rows, unless it holds numbers
    under a name of its own.  :func:`~scribeviz.data.checks.names_say` tells cells from genes; where
    the names say nothing, rows are taken as cells, as everywhere in Python.
    """
    from anndata import AnnData

    matrix, rows, columns = _parse_table(path)
    cells_in_rows = names_say(rows or (), columns)
    if cells_in_rows is Orientation.GENES_IN_ROWS:
        matrix = sp.csr_array(matrix.T)
    n_cells, n_genes = matrix.shape
    cells, genes = (
        (columns, rows) if cells_in_rows is Orientation.GENES_IN_ROWS else (rows, columns)
    )
    adata = AnnData(
        sp.csr_matrix(matrix),
        obs=pd.DataFrame(index=cells or numbered_names("cell", n_cells)),
        var=pd.DataFrame(index=genes or numbered_names("gene", n_genes)),
    )
    return with_note(adata, _TABLE_NOTES[cells_in_rows])


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


def _ragged(file: str, line: int, width: int, wanted: int) -> str:
    return (
        f"line {line:,} of {file} has {width:,} fields where {wanted:,} are expected; "
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
