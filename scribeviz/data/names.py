"""Names of cells and genes: which are which, symbols and ids, repeats and what spreadsheets did."""

import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum

import numpy as np
import pandas as pd

# Where tools keep a gene's symbol when its name is an id, and its id when its name is a symbol.
_SYMBOL_COLUMNS = (
    "gene_symbols",
    "gene_symbol",
    "genesymbol",
    "symbol",
    "symbols",
    "feature_name",
    "gene_name",
    "gene_names",
    "genename",
    "gene_short_name",
    "hgnc_symbol",
    "hugo_symbol",
    "external_gene_name",
    "original_gene_symbols",
    "gene",
    "name",
    "features",
    "_index",  # of SeuratDisk, where there is nothing else in var
)
_ID_COLUMNS = (
    "gene_ids",
    "gene_id",
    "geneid",
    "ensembl_ids",
    "ensembl_id",
    "ensembl_gene_id",
    "ensemblid",
    "ensembl",
    "feature_id",
    "accession",
    "id",
)

_GENE_ID = re.compile(
    r"(?:(?:\w+_+)?ENS[A-Z]{0,6}G\d{6,}|FBgn\d{7}|WBGene\d{8}|AT[1-5MC]G\d{5})(?:\.\d+)?",
    re.IGNORECASE,
)
_ID_VERSION = re.compile(r"(ENS[A-Z]{0,6}G\d{6,})\.\d+", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.0)?")
_BARCODE = re.compile(r"(?:^|[^A-Za-z])[ACGTN]{10,}(?:$|[^A-Za-z])")
_NUMBERED_CELL = re.compile(r"(?:cell|spot|well|sample|barcode)s?[ _.-]?\d+", re.IGNORECASE)
# Genes that nearly every whole-transcriptome table of man or mouse names.
_KNOWN_GENE = re.compile(
    r"MT-\w+|RP[LS]P?\d+\w{0,3}|(?:gene|feature)[ _.-]?\d+"
    r"|ACTB|GAPDH|B2M|MALAT1|EEF1A1|TMSB4X|TMSB10|FTH1|FTL|CD3[DEG]|CD4|CD8[AB]|CD14|CD19|CD74|LYZ2?|NKG7|MS4A1|PTPRC|TP53|TRP53|MYC|XIST|HPRT1?"
    r"|VIM|EPCAM|GFAP|NANOG|POU5F1|SOX2|KRT\d+|COL1A[12]",
    re.IGNORECASE,
)
# Of names in lower case: several times quicker than to ignore the case.
_GENE = re.compile(rf"{_GENE_ID.pattern}|{_KNOWN_GENE.pattern}".lower())
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
# SEPT2, MARCH1, DEC1 and the like, as a spreadsheet shows them.
_DATE = re.compile(
    rf"\d{{1,2}}[-/. ](?:{_MONTHS})(?:[-/. ]\d{{2,4}})?|(?:{_MONTHS})[-/. ]\d{{1,2}}"
    r"|(?:19|20)\d\d[-/]\d\d?[-/]\d\d?(?: 00:00:00)?",
    re.IGNORECASE,
)


class Orientation(Enum):
    """What the names say about which way a table lies."""

    CELLS_IN_ROWS = "rows are cells"
    GENES_IN_ROWS = "rows are genes"
    UNKNOWN = "the names do not say"


def names_say(rows: Iterable[str], columns: Iterable[str]) -> Orientation:
    """Tell from the names alone which way a table lies.

    Cells are recognised by barcodes (ten or more of A, C, G, T) and numbered names (``cell 1``),
    genes by their ids (Ensembl, FlyBase, WormBase, TAIR), by mitochondrial and ribosomal symbols
    and by a few dozen well-known ones.  The way with the larger share of recognised names wins.

    Examples
    --------
    >>> names_say(["AAACCTGAGAAACCAT-1"], ["ACTB", "MT-CO1"]).value
    'rows are cells'
    >>> names_say(["ENSG00000075624"], ["AAACCTGAGAAACCAT-1"]).value
    'rows are genes'
    >>> names_say(["a"], ["b"]).value
    'the names do not say'
    """
    row_names, column_names = list(rows), list(columns)
    cells, genes = _share(row_names, is_cell), _share(row_names, is_gene)
    if cells == 1 and genes == 0 and not all(map(is_cell, column_names)):
        return Orientation.CELLS_IN_ROWS  # the usual case, without a look at every gene
    cells += _share(column_names, is_gene)
    genes += _share(column_names, is_cell)
    if cells == genes:
        return Orientation.UNKNOWN
    return Orientation.CELLS_IN_ROWS if cells > genes else Orientation.GENES_IN_ROWS


def is_gene(name: str) -> bool:
    """Whether a name is an id of a gene or a symbol that everybody knows."""
    return _GENE.fullmatch(name.lower()) is not None


def is_cell(name: str) -> bool:
    """Whether a name is a barcode or a numbered cell."""
    return _BARCODE.search(name) is not None or _NUMBERED_CELL.fullmatch(name) is not None


def without_version(gene_id: str) -> str:
    """An Ensembl id without the number of its version.

    Examples
    --------
    >>> without_version("ENSG00000141510.18"), without_version("AC092143.1")
    ('ENSG00000141510', 'AC092143.1')
    """
    match = _ID_VERSION.fullmatch(gene_id)
    return match[1] if match else gene_id


def numbered_names(kind: str, number: int) -> pd.Index:
    """Names for what came without: ``cell 1``, ``cell 2`` and so on."""
    return pd.Index([f"{kind} {i + 1}" for i in range(number)], dtype=object)


def unique_names(names: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Number the repeats: the first ``A`` stays, the next is ``A-1``.

    Returns
    -------
    tuple
        The unique names, and the names that occurred more than once.

    Examples
    --------
    >>> unique_names(np.array(["A", "B", "A", "A-1"], dtype=object))
    (array(['A', 'B', 'A-2', 'A-1'], dtype=object), ['A'])
    """
    index = pd.Index(names, dtype=object)
    repeats = index.duplicated()
    if not repeats.any():
        return names, []
    unique = names.copy()
    taken = set(names)
    count: dict[str, int] = {}
    for position in np.flatnonzero(repeats):
        base = names[position]
        number = count.get(base, 0) + 1
        while f"{base}-{number}" in taken:
            number += 1
        count[base] = number
        unique[position] = f"{base}-{number}"
        taken.add(unique[position])
    return unique, list(count)


def stripped_names(index: pd.Index) -> list[str]:
    """The names as text, without blanks around them; quick, for there may be 700,000."""
    return list(map(str.strip, map(str, index.to_numpy(dtype=object))))


def index_names(frame: pd.DataFrame) -> np.ndarray:
    """The names in the index as text, without quotes that stand around all of them."""
    names = stripped_names(frame.index)
    for quote in "\"'":
        if names and all(len(n) > 1 and n[0] == n[-1] == quote for n in names):
            names = [name[1:-1] for name in names]
    return np.array(names, dtype=object)


def gene_names(var: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Names, ids and notes; symbols serve as names where the index holds ids or numbers.

    Parameters
    ----------
    var
        What is known about the genes; the index holds names, ids or numbers.

    Returns
    -------
    tuple
        Unique names; ids, or the names again; sentences that the user should read.
    """
    index = index_names(var)
    notes = []
    ids: np.ndarray | None
    names: np.ndarray | None
    if _share(index, _GENE_ID.fullmatch) > 0.5:
        ids, names = index, _column(var, _SYMBOL_COLUMNS, gaps=index)
    elif _share(index, _NUMBER.fullmatch) > 0.5:
        ids, names = _column(var, _ID_COLUMNS, gaps=index), _column(var, _SYMBOL_COLUMNS, index)
        ids = index if ids is None else ids
        names = ids if names is None and ids is not index else names
    else:
        ids, names = _column(var, _ID_COLUMNS, gaps=index), index
    if names is not None and names is not index:
        notes.append("Genes are shown by their symbols; their ids are kept beside them.")
    genes, repeated = unique_names(index if names is None else names)
    notes += repeat_notes("gene", repeated) + _date_notes(genes)
    return genes, genes if ids is None else ids, notes


def orientation_notes(cells: np.ndarray, genes: np.ndarray) -> list[str]:
    """Say so if rows look like genes and columns like cells."""
    if names_say(cells, genes) is not Orientation.GENES_IN_ROWS:
        return []
    note = (
        "Rows look like genes and columns like cells, as if the matrix lay the wrong way; "
        "rows were taken as cells. If that is wrong, transpose the data and open them again."
    )
    return [note]


def repeat_notes(kind: str, repeated: list[str]) -> list[str]:
    """Say which names came more than once."""
    if not repeated:
        return []
    names = f"{len(repeated):,} {kind} name{'' if len(repeated) == 1 else 's'}"
    return [f"{names} came more than once (first: {repeated[0]!r}); the repeats were numbered."]


def _date_notes(genes: np.ndarray) -> list[str]:
    dates = list(filter(_DATE.fullmatch, genes))
    if not dates:
        return []
    were = "gene name looks" if len(dates) == 1 else "gene names look"
    note = (
        f"{len(dates):,} {were} like dates (first: {dates[0]!r}): a spreadsheet makes them of "
        "names such as MARCH1 and SEPT2; take the names from before it."
    )
    return [note]


def _column(var: pd.DataFrame, candidates: Iterable[str], gaps: np.ndarray) -> np.ndarray | None:
    """The first of ``candidates`` that ``var`` has as text, gaps filled; ``None`` without any."""
    columns = {str(key).lower(): i for i, key in reversed(list(enumerate(var.columns)))}
    for key in candidates:
        if key not in columns:
            continue
        values = var.iloc[:, columns[key]]
        if pd.api.types.is_numeric_dtype(values.dtype):
            continue
        text = np.array(list(map(str, values.to_numpy(dtype=object))), dtype=object)
        return np.where(values.isna().to_numpy() | (text == ""), gaps, text)
    return None


def _share(names: Sequence[str] | np.ndarray, test: Callable[[str], object]) -> float:
    return len(list(filter(test, names))) / max(1, len(names))
