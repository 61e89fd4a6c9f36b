"""Read a text table of counts, however it is parted, named and turned."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scribeviz.data.counts import CountsError
from scribeviz.data.names import Orientation, names_say, numbered_names
from scribeviz.data.reading import with_note
from scribeviz.data.set_aside import says_it_is_no_count
from scribeviz.data.text_lines import (
    SEPARATORS,
    decoded,
    fields_of,
    is_mixed,
    is_number,
    numbered_lines,
    open_text,
)

if TYPE_CHECKING:
    from anndata import AnnData

_VALUES_PER_BLOCK = 4_000_000
_LOOKED_AT = 20  # lines that tell the layout
_FEWEST_ROWS = 3  # that tell a column of text from a fault
_MISSING = frozenset(("na", "n/a", "none", "null", "nan"))
_OF_GENES = r"(?:ensembl[ _.-]?|hgnc[ _.-]?|hugo[ _.-]?)?(?:gene|feature|symbol)s?"
_OF_CELLS = r"(?:cell|barcode|spot|sample)s?"
_LABEL = r"(?:[ _.-]?(?:ids?|index|idx|names?|symbols?|barcodes?|labels?))?"
_INDEX_LABEL = re.compile(
    rf"unnamed: 0|index|x|id|names?|row\.?names?|{_OF_CELLS}{_LABEL}|{_OF_GENES}{_LABEL}",
    re.IGNORECASE,
)
_GENES_LABEL = re.compile(_OF_GENES + _LABEL, re.IGNORECASE)
_CELLS_LABEL = re.compile(_OF_CELLS + _LABEL, re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How a text table is written: what parts its fields, and where its names are."""

    file: str
    separator: str
    header: tuple[str, ...]
    columns: tuple[str, ...]
    has_row_names: bool
    texts: tuple[int, ...]

    @property
    def width(self) -> int:
        return len(self.columns) + self.has_row_names

    @property
    def corner(self) -> str:
        """What stands above the names of the rows."""
        above = self.has_row_names and len(self.header) > len(self.columns)
        return self.header[0] if above else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parsed:
    """Numbers of a table with their names, and its columns of text by name."""

    matrix: sp.csr_array
    rows: list[str]
    columns: list[str]
    texts: dict[str, list[str]]
    corner: str
    is_utf8: bool


def read_table(path: Path) -> "AnnData":
    """Read a text table of counts, cells in rows or in columns.

    The first line names the columns; the first column names the rows, unless it holds numbers
    under a name of its own.  :func:`~scribeviz.data.names.names_say` tells cells from genes; where
    the names say nothing, the label above the names of the rows does; where that says nothing
    either, rows are taken as cells, as everywhere in Python.  Columns of text are kept beside the
    counts, in ``obs`` or ``var``.
    """
    from anndata import AnnData

    parsed = _parse_table(path)
    matrix, rows, columns = parsed.matrix, parsed.rows, parsed.columns
    orientation = names_say(rows, columns)
    note = _BY_NAMES[orientation]
    if orientation is Orientation.UNKNOWN:
        orientation, note = _by_corner(parsed.corner)
    turned = orientation is Orientation.GENES_IN_ROWS
    if turned:
        matrix = sp.csr_array(matrix.T)
    n_cells, n_genes = matrix.shape
    cells, genes = (columns, rows) if turned else (rows, columns)
    adata = AnnData(
        sp.csr_matrix(matrix),
        obs=pd.DataFrame(index=cells or numbered_names("cell", n_cells)),
        var=pd.DataFrame(index=genes or numbered_names("gene", n_genes)),
    )
    about: Any = adata.var if turned else adata.obs
    for name, texts in parsed.texts.items():
        about[name] = texts
    notes = _notes(parsed, "gene", "var") if turned else _notes(parsed, "cell", "obs")
    for each in (note, *notes):
        adata = with_note(adata, each)
    return adata


_BY_NAMES = {
    Orientation.CELLS_IN_ROWS: "Rows were read as cells and columns as genes, by their names.",
    Orientation.GENES_IN_ROWS: "Rows were read as genes and columns as cells, by their names.",
    Orientation.UNKNOWN: (
        "Rows were read as cells and columns as genes, since the names do not say which is which; "
        "if that is wrong, transpose the table and open it again."
    ),
}


def _by_corner(corner: str) -> tuple[Orientation, str]:
    """Tell which way a table lies by the label above the names of its rows."""
    if _GENES_LABEL.fullmatch(corner):
        note = f"Rows were read as genes and columns as cells: {corner!r} stands above the rows."
        return Orientation.GENES_IN_ROWS, note
    if _CELLS_LABEL.fullmatch(corner):
        note = f"Rows were read as cells and columns as genes: {corner!r} stands above the rows."
        return Orientation.CELLS_IN_ROWS, note
    return Orientation.UNKNOWN, _BY_NAMES[Orientation.UNKNOWN]


def _notes(parsed: _Parsed, kind: str, place: str) -> list[str]:
    """What should be known of the names of the rows, the columns of text, and the letters."""
    notes = []
    if parsed.corner and all(map(is_number, parsed.rows)):
        notes.append(f"The numbers under {parsed.corner!r} were taken as names of the {kind}s.")
    if parsed.texts:
        named = ", ".join(map(repr, parsed.texts))
        kept = "A column of text was" if len(parsed.texts) == 1 else "Columns of text were"
        notes.append(f"{kept} kept beside the counts, in {place}: {named}.")
    if not parsed.is_utf8:
        notes.append("The table is not UTF-8: its names were read as Latin-1.")
    return notes


def _parse_table(path: Path) -> _Parsed:
    with open_text(path) as file:
        lines = numbered_lines(file, path)
        top = list(islice(lines, _LOOKED_AT))
        layout = _layout(top, path)
        lines = chain(top[1:], lines)
        blocks: list[sp.csr_array] = []
        rows: list[str] = []
        texts: dict[int, list[str]] = {i: [] for i in layout.texts}
        step = max(1, _VALUES_PER_BLOCK // layout.width)
        while block := list(islice(lines, step)):
            values, names = _parse_block(block, layout, texts)
            blocks.append(sp.csr_array(values))
            rows += names
    counted = [i for i in range(len(layout.columns)) if i not in texts]
    if not counted:
        raise CountsError(f"{path.name} holds text only; a table of counts has columns of numbers.")
    matrix = sp.vstack(blocks, format="csr")
    columns = [layout.columns[i] for i in counted]
    is_utf8 = not any(map(is_mixed, (*rows, *layout.columns)))
    return _Parsed(
        matrix=matrix[:, counted] if texts else matrix,
        rows=[decoded(name) for name in rows],
        columns=[decoded(name) for name in columns],
        texts={decoded(layout.columns[i]): [*map(decoded, each)] for i, each in texts.items()},
        corner=layout.corner,
        is_utf8=is_utf8,
    )


def _layout(top: list[tuple[int, str]], path: Path) -> _Layout:
    """Tell the layout from the first lines."""
    if len(top) < 2:
        raise CountsError(
            f"{path.name} has fewer than two lines; it needs one of names and one per row."
        )
    (_, first), (number, second) = top[:2]
    separator = _separator([line for _, line in top], path)
    header, row = fields_of(first, separator), fields_of(second, separator)
    if len(row) not in {len(header), len(header) + 1}:
        raise CountsError(_ragged(path.name, number, len(row), len(header)))
    shorter = len(row) == len(header) + 1  # R leaves out the name above the names
    named = shorter or not header[0] or bool(_INDEX_LABEL.fullmatch(header[0]))
    named = named or not is_number(row[0])
    columns = header[1:] if named and not shorter else header
    numbers = [str(i) for i in range(len(columns) + 1)]
    if all(map(is_number, columns)) and columns not in (numbers[:-1], numbers[1:]):
        raise CountsError(
            f"the first line of {path.name} holds numbers; "
            "put a line above it that names the columns (genes or cells)."
        )
    sample = [fields_of(line, separator)[int(named) :] for _, line in top[1:]]
    return _Layout(
        file=path.name,
        separator=separator,
        header=tuple(header),
        columns=tuple(columns),
        has_row_names=named,
        texts=_text_columns(sample, columns),
    )


def _separator(lines: list[str], path: Path) -> str:
    """What parts the fields: it gives every line as many, and as many as it can."""
    widths = {sep: [len(fields_of(line, sep)) for line in lines] for sep in SEPARATORS}
    fitting = {
        sep: rows[0]
        for sep, (first, *rows) in widths.items()
        if len(set(rows)) == 1 and rows[0] > 1 and rows[0] in {first, first + 1}
    }
    if fitting:
        return max(fitting, key=lambda sep: fitting[sep])
    if max(map(max, widths.values())) < 2:
        raise CountsError(
            f"{path.name} has a single column; part the fields by comma, tab, semicolon or blank."
        )
    return max(SEPARATORS, key=lines[0].count)  # the line that does not fit is named later


def _text_columns(sample: Sequence[Sequence[str]], names: Sequence[str]) -> tuple[int, ...]:
    """Columns of labels: most fields are words.  A single word among counts is a fault."""
    rows = [row for row in sample if len(row) == len(names)]

    def holds_words(i: int) -> bool:
        n_words = sum(_is_word(row[i]) for row in rows)
        enough = _FEWEST_ROWS if not says_it_is_no_count(names[i]) else 1
        return len(rows) >= enough and 2 * n_words > len(rows)

    return tuple(i for i in range(len(names)) if holds_words(i))


def _is_word(text: str) -> bool:
    return not is_number(text) and any(map(str.isalpha, text)) and text.lower() not in _MISSING


def _parse_block(
    block: list[tuple[int, str]], layout: _Layout, texts: dict[int, list[str]]
) -> tuple[np.ndarray, list[str]]:
    """Numbers and row names of some lines; float64, shape ``(n_lines, n_columns)``."""
    names: list[str] = []

    def keeper(kept: list[str]) -> Callable[[str], float]:
        def keep(text: str) -> float:
            kept.append(text.strip())
            return 0.0

        return keep

    first = int(layout.has_row_names)
    converters: dict[int | str, Callable[[str], Any]] = {
        first + i: keeper(kept) for i, kept in texts.items()
    }
    if layout.has_row_names:
        converters[0] = keeper(names)
    try:
        values = np.loadtxt(
            [line for _, line in block],
            delimiter=layout.separator,
            quotechar='"',
            comments=None,
            ndmin=2,
            converters=converters or None,
        )
    except ValueError as error:
        raise CountsError(_what_is_wrong(block, layout) or f"{layout.file}: {error}.") from error
    if values.shape[1] != layout.width:
        raise CountsError(_what_is_wrong(block, layout))
    return values[:, first:], names


def _what_is_wrong(block: list[tuple[int, str]], layout: _Layout) -> str:
    """Read slowly, to name the first line, row and column that cannot be read; empty if all can."""
    for number, line in block:
        fields = fields_of(line, layout.separator)
        if tuple(fields) == layout.header:
            return (
                f"line {number:,} of {layout.file} repeats the first line, as if two tables were "
                "joined; keep one table per file."
            )
        if len(fields) != layout.width:
            return _ragged(layout.file, number, len(fields), layout.width)
        values = fields[1:] if layout.has_row_names else fields
        for i, (column, text) in enumerate(zip(layout.columns, values, strict=True)):
            if i not in layout.texts and not is_number(text):
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
