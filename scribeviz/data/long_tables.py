"""Read a long table: one row per gene and cell, such as ``umi_tools count`` writes.

It has three columns, in any order and with a header or not: genes, cells, counts.  More columns
are kept beside the counts where they say something of each cell or of each gene.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scribeviz.data.counts import CountsError
from scribeviz.data.names import Orientation, names_say
from scribeviz.data.reading import with_note
from scribeviz.data.text_lines import (
    SEPARATORS,
    decoded,
    fields_of,
    is_number,
    numbered_lines,
    open_text,
)

if TYPE_CHECKING:
    from anndata import AnnData

_LOOKED_AT = 200  # lines that tell whether names come again
_FEWEST, _MOST = 3, 20  # columns
_SEVERAL = 2
_NO_HEADER = ("column 1", "column 2", "column 3")

_GENE_LABEL = re.compile(
    r"(?:ensembl[ _.-]?|hgnc[ _.-]?)?(?:genes?|features?|symbols?|targets?)"
    r"(?:[ _.-]?(?:ids?|index|idx|names?|symbols?|labels?))?",
    re.IGNORECASE,
)
_CELL_LABEL = re.compile(
    r"(?:cells?|barcodes?|cb|spots?|beads?|nucle(?:us|i))"
    r"(?:[ _.-]?(?:ids?|index|idx|names?|barcodes?|labels?|no|number))?",
    re.IGNORECASE,
)
_COUNT_LABEL = re.compile(
    r"(?:(?:raw|adjusted|rsec|dbec|n|mid|read|umi|transcript)[ _.-]?)*"
    r"(?:counts?|umis?|reads?|molecules?|transcripts?)|n|x|freq|values?|expression",
    re.IGNORECASE,
)
# Of several counts of the same, the ones to take: BD Rhapsody's corrected ones, then molecules.
_RATHER = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r".*dbec.*(?:molecule|umi).*",
        r".*(?:rsec|adjusted).*(?:molecule|umi).*",
        r".*(?:umi|mid|molecule).*",
        r".*",
    )
)
# Names of cells may begin anew in each of these.
_OF_SEVERAL_CELLS = re.compile(
    r"(?:sample|batch|library|lane|plate|well|fov|slide|donor|patient|replicate|run|dataset)s?"
    r"(?:[ _.-]?(?:ids?|index|names?|no|number))?",
    re.IGNORECASE,
)
_ROW_NAMES = ("", "unnamed: 0", "index", "row")


@dataclass(frozen=True, slots=True)
class _Roles:
    """Which column holds what, by position."""

    gene: int
    cell: int
    count: int
    why: str
    row_names: tuple[int, ...] = ()


def read_long_table(path: Path) -> "AnnData | None":
    """Read a long table of counts; None if the file holds another kind of table.

    Raises
    ------
    CountsError
        If it is long, but genes, cells and counts cannot be told apart, or a row is no whole one.
    """
    with open_text(path) as file:
        lines = numbered_lines(file, path)
        top = list(islice(lines, _SEVERAL))
        separator = _separator([line for _, line in top])
        if len(top) < _SEVERAL or not separator:
            return None
        top += islice(lines, _LOOKED_AT)
    first_line = top[0][0]
    rows = [fields_of(line, separator) for _, line in top]
    if len(rows[0]) == len(rows[1]) - 1:  # R leaves out the name above the names of rows
        rows[0].insert(0, "")
    if len(set(map(len, rows))) != 1:
        return None
    has_header = not any(map(is_number, rows[0]))
    names = rows[0] if has_header else list(_NO_HEADER)
    sample = rows[1:] if has_header else rows
    if len(names) != len(sample[0]):
        return None  # without a header, more than three columns may mean anything
    roles = _roles(names, sample, path.name)
    if roles is None:
        return None
    skipped = first_line if has_header else first_line - 1
    with open_text(path) as file:
        frame = _frame(file, path, names, separator, skipped, roles)
    return _anndata(frame, names, roles, path.name)


def long_frame(frame: pd.DataFrame, name: str) -> "AnnData | None":
    """Counts of a long DataFrame; None if it is another kind of table."""
    names = [str(column) for column in frame.columns]
    if not _FEWEST <= len(names) <= _MOST or not len(frame):
        return None
    sample = [[str(value) for value in row] for row in frame.head(_LOOKED_AT).to_numpy(object)]
    roles = _roles(names, sample, name)
    if roles is None:
        return None
    plain = pd.DataFrame(
        {
            i: pd.to_numeric(frame.iloc[:, i], errors="coerce")
            if i == roles.count
            else frame.iloc[:, i].astype(str)
            for i in range(len(names))
        }
    )
    return _anndata(plain.reset_index(drop=True), names, roles, name)


def _separator(lines: Sequence[str]) -> str:
    """What parts these lines into as many fields, three to a score; empty if nothing does."""
    for separator in SEPARATORS:
        first, *others = (len(fields_of(line, separator)) for line in lines)
        if _FEWEST <= first <= _MOST and set(others) <= {first, first + 1}:
            return separator
    return ""


def _roles(names: Sequence[str], sample: Sequence[Sequence[str]], file: str) -> _Roles | None:
    """Tell genes, cells and counts apart: by the header, else by what the columns hold."""
    columns = [*zip(*sample, strict=True)]
    row_names = [
        i for i, name in enumerate(names) if name.lower() in _ROW_NAMES and _is_running(columns[i])
    ]
    places = [i for i in range(len(names)) if i not in row_names]
    numeric = [i for i in places if all(map(is_number, columns[i]))]
    genes, cells = _labelled(names, _GENE_LABEL), _labelled(names, _CELL_LABEL)
    # A word among them is a fault that is named later.
    counts = [i for i in _labelled(names, _COUNT_LABEL) if 2 * _n_numbers(columns[i]) > len(sample)]
    if genes and cells and counts:
        gene = max(genes, key=lambda i: len(set(columns[i])))  # ids rather than symbols
        count = _only_count(names, counts, file)
        return _Roles(gene, cells[0], count, "by their names", tuple(row_names))
    _check_it_has_cells_and_counts(names, columns, (genes, cells, counts), file)
    if len(places) != _FEWEST or len(numeric) != 1:
        return None
    one, other = (i for i in places if i != numeric[0])
    # A table of cells and one gene has a row per cell; here both come again and again.
    is_wide = one == 0 and not _repeats(columns[0]) and not _GENE_LABEL.fullmatch(names[1])
    if is_wide or not (_repeats(columns[one]) or _repeats(columns[other])):
        return None
    gene, cell, why = one, other, "by their names"
    if genes == [other] or cells == [one]:
        gene, cell = other, one
    elif genes != [one] and cells != [other]:
        gene, cell = _by_what_they_hold((one, other), names, columns, file)
        why = "by what they hold"
    return _Roles(gene, cell, numeric[0], why, tuple(row_names))


def _only_count(names: Sequence[str], counts: Sequence[int], file: str) -> int:
    """Of several columns of counts the one to take."""
    for rather in _RATHER:
        some = [i for i in counts if rather.fullmatch(names[i])]
        if len(some) == 1:
            return some[0]
        if some:
            break
    raise CountsError(
        f"{file} is a long table with several columns of counts "
        f"({', '.join(repr(names[i]) for i in counts)}); keep the one that is meant."
    )


def _check_it_has_cells_and_counts(
    names: Sequence[str],
    columns: Sequence[Sequence[str]],
    labelled: tuple[Sequence[int], Sequence[int], Sequence[int]],
    file: str,
) -> None:
    """Refuse long tables of something else: molecules one by one, or positions without cells."""
    genes, cells, counts = labelled
    lower = [name.lower() for name in names]
    if genes and _repeats(columns[genes[0]]):
        if counts and {"x", "y"} <= set(lower):
            raise CountsError(
                f"{file} counts genes at positions (columns 'x' and 'y') and names no cells; "
                "assign the positions to cells or to larger bins first, and name these in a column "
                "'cell'."
            )
        if cells and _repeats(columns[cells[0]]):
            raise CountsError(
                f"{file} lists molecules one by one ({names[genes[0]]!r}, {names[cells[0]]!r}) and "
                "has no column of counts; count them per gene and cell, without those that are of "
                "low quality or of no cell, or open the matrix that lies beside it."
            )


def _by_what_they_hold(
    two: tuple[int, int], names: Sequence[str], columns: Sequence[Sequence[str]], file: str
) -> tuple[int, int]:
    """Which of two columns names the genes, and which the cells."""
    one, other = two
    says = names_say(set(columns[one]), set(columns[other]))
    if says is Orientation.UNKNOWN:
        raise CountsError(
            f"{file} looks like a long table (gene, cell, count in each row), but which of its "
            f"columns {names[one]!r} and {names[other]!r} names the genes cannot be told; put a "
            "first line there with the names gene, cell and count."
        )
    return (one, other) if says is Orientation.GENES_IN_ROWS else (other, one)


def _labelled(names: Sequence[str], label: re.Pattern[str]) -> list[int]:
    return [i for i, name in enumerate(names) if label.fullmatch(name.strip())]


def _n_numbers(column: Sequence[str]) -> int:
    return sum(map(is_number, column))


def _is_running(column: Sequence[str]) -> bool:
    """0, 1, 2 … or 1, 2, 3 …: the numbers of the rows."""
    return any([*column] == [*map(str, range(i, len(column) + i))] for i in (0, 1))


def _repeats(column: Sequence[str]) -> bool:
    return len(set(column)) < len(column)


def _frame(
    file: TextIO,
    path: Path,
    names: Sequence[str],
    separator: str,
    skipped: int,
    roles: _Roles,
) -> pd.DataFrame:
    """All rows, columns by position; names as text, counts as numbers."""
    try:
        frame = pd.read_csv(
            file,
            sep=separator,
            header=None,
            names=list(range(len(names))),
            skiprows=skipped,
            dtype=object,
            keep_default_na=False,
            skipinitialspace=True,
            encoding_errors="surrogateescape",
        )
    except pd.errors.ParserError as error:
        raise CountsError(
            f"{path.name} has a line of more than {len(names)} fields ({error}); every row of a "
            "long table has as many as the first."
        ) from error
    lacking = np.flatnonzero((frame.isna() | (frame == "")).any(axis=1))
    if lacking.size:
        raise CountsError(
            f"row {lacking[0] + 1:,} of {path.name} has an empty field, or fewer than "
            f"{len(names)}; every row of a long table has as many as the first."
        )
    codes, texts = pd.factorize(frame[roles.count])
    wrong = next((i for i, text in enumerate(texts) if not is_number(text)), None)
    if wrong is not None:
        row = int(np.flatnonzero(codes == wrong)[0]) + 1
        raise CountsError(
            f"{path.name} holds the text {texts[wrong]!r} in row {row:,}, column "
            f"{names[roles.count]!r}, where a count should be; write 0 for none."
        )
    frame[roles.count] = np.array([float(text) for text in texts])[codes]
    return frame


def _anndata(frame: pd.DataFrame, names: Sequence[str], roles: _Roles, file: str) -> "AnnData":
    from anndata import AnnData

    gene_codes, genes = _coded(frame[roles.gene])
    cell_codes, cells = _coded(frame[roles.cell])
    obs, var = pd.DataFrame(index=pd.Index(cells)), pd.DataFrame(index=pd.Index(genes))
    taken = {roles.gene, roles.cell, roles.count, *roles.row_names}
    others = [i for i in range(len(names)) if i not in taken]
    left_out = []
    for i in others:
        for about, codes in ((obs, cell_codes), (var, gene_codes)):
            values = _one_each(frame[i], codes, len(about))
            if values is not None:
                about[names[i]] = values
                break
        else:
            _check_it_tells_nothing_apart(frame[i], names[i], file)
            left_out.append(names[i])
    values = frame[roles.count].to_numpy(np.float64)
    matrix = sp.coo_array((values, (cell_codes, gene_codes)), shape=(len(cells), len(genes)))
    pairs = cell_codes.astype(np.int64) * len(genes) + gene_codes
    n_repeats = pairs.size - np.unique(pairs).size
    adata = AnnData(sp.csr_matrix(matrix.tocsr()), obs=obs, var=var)
    role_names = [names[i] for i in (roles.gene, roles.cell, roles.count)]
    note = (
        "The table is long: genes, cells and counts were taken from the columns "
        f"{role_names[0]!r}, {role_names[1]!r} and {role_names[2]!r}, {roles.why}; what it does "
        "not list counts as 0."
    )
    adata = with_note(adata, note)
    if n_repeats:
        rows = "row repeats" if n_repeats == 1 else "rows repeat"
        note = f"{n_repeats:,} {rows} a gene and a cell of another row; their counts were added up."
        adata = with_note(adata, note)
    if left_out:
        adata = with_note(adata, f"Left out of the table: {', '.join(map(repr, left_out))}.")
    return adata


def _coded(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Codes and distinct names, in the order in which these come first."""
    codes, distinct = pd.factorize(column)
    texts = (str(name).strip() for name in distinct)
    return codes, np.array([decoded(text) for text in texts], dtype=object)


def _one_each(column: pd.Series, codes: np.ndarray, number: int) -> np.ndarray | None:
    """What a column says of each cell (or gene); None if it says several things of one."""
    what, distinct = pd.factorize(column)
    of_each = np.full(number, -1)
    of_each[codes] = what
    if (of_each[codes] != what).any():
        return None
    texts = [decoded(str(value)) for value in distinct]
    values = np.array(texts, dtype=object)[of_each]
    return values.astype(float) if all(map(is_number, texts)) else values


def _check_it_tells_nothing_apart(column: pd.Series, name: str, file: str) -> None:
    """Raise if the same name may be of several cells: it is a number beside the count otherwise."""
    is_number_beside = all(is_number(str(value)) for value in column.unique())
    if not is_number_beside or _OF_SEVERAL_CELLS.fullmatch(name):
        raise CountsError(
            f"{file} is a long table whose column {name!r} differs within a cell and within a "
            "gene, so that a cell's name may be that of several; join it to the names of the "
            "cells, or keep genes, cells and counts only."
        )
