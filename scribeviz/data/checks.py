"""The border: an AnnData or a bare matrix comes in, checked counts go out.

Everything behind it may trust a :class:`~scribeviz.data.counts.Counts`: this is the one place that
looks for values that are not counts.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from scribeviz.data.counts import Counts, CountsError

if TYPE_CHECKING:
    from anndata import AnnData

# Under this key of `AnnData.uns` a reader leaves the sentences that belong into `Counts.notes`.
READING_NOTES = "scribeviz_reading_notes"

_LARGEST = np.iinfo(np.int32).max
_BLOCK_BYTES = 64 * 2**20
# ln(1 + 10^6) is 14: no logarithm of normalised counts is larger than this.
_LARGEST_LOGARITHM = 20

# Where tools keep a gene's symbol when its name is an id, and its id when its name is a symbol.
_SYMBOL_COLUMNS = (
    "gene_symbols",
    "gene_symbol",
    "symbol",
    "Symbol",
    "SYMBOL",
    "feature_name",
    "gene_name",
    "gene_names",
    "gene_short_name",
    "hgnc_symbol",
    "Gene",
    "name",
)
_ID_COLUMNS = (
    "gene_ids",
    "gene_id",
    "ensembl_ids",
    "ensembl_id",
    "ensembl_gene_id",
    "ensembl",
    "feature_id",
    "Accession",
    "id",
)

_GENE_ID = re.compile(
    r"(?:ENS[A-Z]{0,6}G\d{6,}|FBgn\d{7}|WBGene\d{8}|AT[1-5MC]G\d{5})(?:\.\d+)?", re.IGNORECASE
)
_BARCODE = re.compile(r"(?:^|[^A-Za-z])[ACGTN]{10,}(?:$|[^A-Za-z])")
_NUMBERED_CELL = re.compile(r"(?:cell|spot|well|sample|barcode)s?[ _.-]?\d+", re.IGNORECASE)
# Genes that nearly every whole-transcriptome table of man or mouse names.
_KNOWN_GENE = re.compile(
    r"MT-\w+|RP[LS]P?\d+\w{0,3}|(?:gene|feature)[ _.-]?\d+"
    r"|ACTB|GAPDH|B2M|MALAT1|EEF1A1|TMSB4X|TMSB10|FTH1|FTL|CD3[DEG]|CD4|CD8[AB]|CD14|CD19|CD74|LYZ2?|NKG7|MS4A1|PTPRC|TP53|TRP53|MYC|XIST|HPRT1?"
    r"|VIM|EPCAM|GFAP|NANOG|POU5F1|SOX2|KRT\d+|COL1A[12]",
    re.IGNORECASE,
)


class Orientation(Enum):
    """What the names say about which way a table lies."""

    CELLS_IN_ROWS = "rows are cells"
    GENES_IN_ROWS = "rows are genes"
    UNKNOWN = "the names do not say"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """One way in which values are not counts.

    ``found`` marks the offending values; ``likely`` says from the smallest and the largest value
    what the matrix may be instead.
    """

    phrase: str
    found: Callable[[np.ndarray], np.ndarray]
    likely: Callable[[float, float], str]


def check_counts(adata: "AnnData", layer: str | None = None, *, name: str) -> Counts:
    """Take the raw counts out of an AnnData, or say why they are none.

    Parameters
    ----------
    adata
        Rows are cells.  Sparse, dense or backed; left as it is.
    layer
        Which matrix: ``None`` or ``"X"`` for ``X``, ``"raw"`` for ``raw``, else a layer.
    name
        What to call the data, on screen and in errors.

    Returns
    -------
    Counts
        With a copy of the counts; its ``notes`` say what was accepted but should be known.

    Raises
    ------
    CountsError
        If there is no such layer, no cell or no gene, or if the matrix holds text, nothing but
        zeros, or a negative, fractional, infinite or missing value, or one above ``2**31 - 1``.
        Where another matrix of the same AnnData holds counts, ``use_layer`` names it.
    """
    where = layer or "X"
    sources = _sources(adata)
    if where not in sources:
        places = ", ".join(repr(key) for key in sources)
        missing = "no raw counts (adata.raw)" if where == "raw" else f"no layer {where!r}"
        raise CountsError(f"{name} has {missing}; choose one of {places}.")
    kept_raw = where == "raw" and adata.raw is not None
    try:
        return check_matrix(
            sources[where],
            var=cast("pd.DataFrame", adata.raw.var if kept_raw else adata.var),
            obs=cast("pd.DataFrame", adata.obs),
            name=name,
            where=where,
            notes=_reading_notes(adata),
            obsm=adata.obsm,
        )
    except CountsError as error:
        better = None if 0 in adata.shape else _better_source(adata, where)
        if better is None:
            raise
        advice = f"{_called(better)} of the same data holds counts: choose that."
        raise CountsError(f"{error} {advice[0].upper()}{advice[1:]}", use_layer=better) from error


def check_matrix(
    matrix: Any,
    *,
    var: pd.DataFrame,
    obs: pd.DataFrame,
    name: str,
    where: str | None = None,
    notes: Iterable[str] = (),
    obsm: Mapping[str, Any] | None = None,
) -> Counts:
    """Check a matrix whose rows are cells; :func:`check_counts` without the AnnData around it.

    Parameters
    ----------
    matrix
        Shape ``(n_cells, n_genes)``; sparse, dense, or an HDF5 dataset.  Never made dense.
    var, obs
        What is known about genes and cells; the index holds the names.
    name
        What to call the data.
    where
        Which part of the data this is (``"X"``, a layer), for errors; left out for a bare matrix.
    notes
        Sentences to put in front of this function's own.
    obsm
        AnnData's; the first two columns of each are kept, to draw the cells.

    Raises
    ------
    CountsError
        As :func:`check_counts`, and if the names do not match the matrix.
    """
    subject = name if where is None else f"{name}: {_called(where)}"
    if matrix is None:
        raise CountsError(f"{subject} is empty: there is no matrix in it.")
    _check_shape(matrix, var, obs, subject)
    if not _is_numeric(matrix):
        raise CountsError(f"{subject} holds {_first_text(matrix, var, obs)}; pass numbers only.")
    counts = as_csr(matrix)
    _check_values(counts, var, obs, subject)
    genes, gene_ids, gene_notes = _gene_names(var)
    cells, repeated_cells = unique_names(_index_names(obs))
    whole = sp.csr_array(
        (counts.data.astype(np.int32), counts.indices, counts.indptr), shape=counts.shape
    )
    return Counts(
        matrix=whole,
        genes=genes,
        gene_ids=gene_ids,
        cells=cells,
        obs=obs.set_axis(pd.Index(cells, dtype=object), axis=0),
        name=name,
        notes=(
            *notes,
            *_orientation_notes(obs, var),
            *gene_notes,
            *_repeat_notes("cell", repeated_cells),
            *_empty_notes(whole),
        ),
        embeddings=_embeddings(obsm or {}),
    )


def _embeddings(obsm: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """First two dimensions of whatever can be drawn."""
    embeddings = {}
    for name, places in obsm.items():
        values = places if isinstance(places, np.ndarray) else getattr(places, "values", None)
        if not isinstance(values, np.ndarray) or values.ndim != 2 or values.shape[1] < 2:
            continue
        if values.dtype.kind in "iuf" and np.isfinite(values[:, :2]).all():
            embeddings[str(name)] = values[:, :2].astype(np.float32)
    return embeddings


def count_sources(adata: "AnnData") -> dict[str, str]:
    """Say for ``X``, ``raw`` and every layer what keeps it from being counts.

    Returns
    -------
    dict
        One phrase per matrix, such as ``"holds fractions (looks log-normalised)"``; empty where the
        matrix holds counts.  The keys are what :func:`check_counts` takes as ``layer``.
    """
    return {key: _why_not_counts(matrix) for key, matrix in _sources(adata).items()}


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
    cells = _share(row_names, _is_cell) + _share(column_names, _is_gene)
    genes = _share(row_names, _is_gene) + _share(column_names, _is_cell)
    if cells == genes:
        return Orientation.UNKNOWN
    return Orientation.CELLS_IN_ROWS if cells > genes else Orientation.GENES_IN_ROWS


def as_csr(matrix: Any) -> sp.csr_array:
    """Copy any numeric matrix into a CSR array without duplicates or stored zeros.

    The dtype stays.  Dense data (arrays, HDF5 datasets) are read in blocks of rows, so that no
    second dense copy is ever held.

    Examples
    --------
    >>> as_csr(np.array([[0, 2], [1, 0]])).data.tolist()
    [2, 1]
    """
    if isinstance(matrix, np.ndarray | h5py.Dataset):
        blocks = [sp.csr_array(block) for block in _row_blocks(matrix)]
        return sp.vstack(blocks, format="csr") if len(blocks) > 1 else blocks[0]
    rows = sp.csr_array(_in_memory(matrix), copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows


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


def numbered_names(kind: str, number: int) -> pd.Index:
    """Names for what came without: ``cell 1``, ``cell 2`` and so on."""
    return pd.Index([f"{kind} {i + 1}" for i in range(number)], dtype=object)


def _sources(adata: "AnnData") -> dict[str, Any]:
    """Every matrix of ``adata`` by the name that users choose it with."""
    sources = {"X": adata.X}
    if adata.raw is not None:
        sources["raw"] = adata.raw.X
    layers = cast("Mapping[str | None, Any]", adata.layers)
    # anndata 0.13 lists X itself as the layer None.
    for key in filter(None, layers):
        sources.setdefault(key, layers[key])
    return sources


def _called(where: str) -> str:
    return where if where in {"X", "raw"} else f"layer {where!r}"


def _better_source(adata: "AnnData", refused: str) -> str | None:
    sources = _sources(adata)
    others = [key for key in sources if key != refused]
    # A layer that calls itself counts is likelier to be all of them than one of spliced reads.
    others.sort(key=lambda key: ("count" not in key.lower(), key not in {"raw", "X"}))
    return next((key for key in others if not _why_not_counts(sources[key])), None)


def _reading_notes(adata: "AnnData") -> tuple[str, ...]:
    return tuple(str(note) for note in np.ravel(adata.uns.get(READING_NOTES, ())))


def _in_memory(matrix: Any) -> Any:
    if sp.issparse(matrix):
        return matrix
    from anndata.abc import CSCDataset, CSRDataset

    return matrix.to_memory() if isinstance(matrix, CSRDataset | CSCDataset) else np.asarray(matrix)


def _row_blocks(matrix: np.ndarray | h5py.Dataset) -> Iterator[np.ndarray]:
    n_rows, n_columns = matrix.shape
    step = max(1, _BLOCK_BYTES // max(1, n_columns * matrix.dtype.itemsize))
    for start in range(0, max(n_rows, 1), step):
        yield matrix[start : start + step]


def _check_shape(matrix: Any, var: pd.DataFrame, obs: pd.DataFrame, subject: str) -> None:
    n_cells, n_genes = matrix.shape
    if n_cells == 0 or n_genes == 0:
        raise CountsError(
            f"{subject} has {n_cells:,} cells and {n_genes:,} genes; "
            "at least one cell and one gene are needed."
        )
    if (n_cells, n_genes) != (len(obs), len(var)):
        raise CountsError(
            f"{subject} has {n_cells:,} rows and {n_genes:,} columns, but there are "
            f"{len(obs):,} cell names and {len(var):,} gene names; rows must be cells."
        )


def _is_numeric(matrix: Any) -> bool:
    return np.dtype(matrix.dtype).kind in "biuf"


def _first_text(matrix: Any, var: pd.DataFrame, obs: pd.DataFrame) -> str:
    """Describe the first entry that is not a number."""
    dense = (
        np.asarray(matrix) if isinstance(matrix, np.ndarray | h5py.Dataset) else np.empty((0, 0))
    )
    for cell, gene in np.ndindex(dense.shape):
        value = dense[cell, gene]
        if isinstance(value, str | bytes):
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            return f"text (first: {text!r} for {_at(cell, gene, var, obs)})"
    return f"values of type {matrix.dtype} instead of numbers"


def _at(cell: int, gene: int, var: pd.DataFrame, obs: pd.DataFrame) -> str:
    return f"gene {str(var.index[gene])!r} in cell {str(obs.index[cell])!r}"


def _check_values(counts: sp.csr_array, var: pd.DataFrame, obs: pd.DataFrame, subject: str) -> None:
    if not counts.nnz:
        raise CountsError(f"{subject} holds nothing but zeros; there is nothing to fit.")
    fault = _fault_of(counts.data)
    if fault is None:
        return
    first = int(np.argmax(fault.found(counts.data)))
    cell = int(np.searchsorted(counts.indptr, first, side="right")) - 1
    place = _at(cell, int(counts.indices[first]), var, obs)
    likely = fault.likely(*_range(counts.data))
    raise CountsError(
        f"{subject} holds {fault.phrase} (first: {counts.data[first]:.6g} for {place}), "
        f"so it is not raw counts; it {likely}. "
        "Raw counts are needed: whole numbers of molecules (UMIs), 0 and up."
    )


def _why_not_counts(matrix: Any) -> str:
    if matrix is None:
        return "is empty"
    if not _is_numeric(matrix):
        return "holds text"
    if sp.issparse(matrix):
        values = matrix.data
    else:
        loaded = matrix if isinstance(matrix, np.ndarray) else as_csr(matrix).data
        values = np.ravel(loaded, order="K")
    if not values.any():
        return "holds nothing but zeros"
    fault = _fault_of(values)
    return "" if fault is None else f"holds {fault.phrase} ({fault.likely(*_range(values))})"


def _fault_of(values: np.ndarray) -> _Fault | None:
    if _all_counts(values):
        return None
    return next(fault for fault in _FAULTS if fault.found(values).any())


def _all_counts(values: np.ndarray) -> bool:
    """One pass in small blocks that ends at the first value that is not a count."""
    step = 2**20
    for start in range(0, values.size, step):
        block = values[start : start + step]
        good = (block >= 0) & (block <= _LARGEST)
        if block.dtype.kind == "f":
            good &= block == np.rint(block)
        if not good.all():
            return False
    return True


def _range(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return float(finite.min(initial=0)), float(finite.max(initial=0))


def _likely_fractions(low: float, high: float) -> str:
    if low >= 0 and high < _LARGEST_LOGARITHM:
        return f"looks log-normalised (largest value {high:.3g})"
    return f"looks normalised or corrected (largest value {high:.6g})"


# In the order in which they are looked for: the more telling fault first.
_FAULTS = (
    _Fault(
        phrase="values that are missing or infinite",
        found=lambda values: ~np.isfinite(values),
        likely=lambda *_: "has to be repaired first: put the count in, or 0 where nothing was seen",
    ),
    _Fault(
        phrase="negative values",
        found=lambda values: values < 0,
        likely=lambda low, high: f"looks scaled or centred (values from {low:.3g} to {high:.3g})",
    ),
    _Fault(
        phrase="fractions",
        found=lambda values: values != np.rint(values),
        likely=_likely_fractions,
    ),
    _Fault(
        phrase=f"values above {_LARGEST:,}",
        found=lambda values: values > _LARGEST,
        likely=lambda *_: "may hold ids or intensities, which no count of molecules reaches",
    ),
)


def _index_names(frame: pd.DataFrame) -> np.ndarray:
    return np.array([str(name) for name in frame.index], dtype=object)


def gene_names(var: pd.DataFrame) -> np.ndarray:
    """What the genes of an AnnData are called once its counts are read: unique, symbols if any."""
    return _gene_names(var)[0]


def _gene_names(var: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Names, ids and notes; symbols serve as names where the index holds ids."""
    index = _index_names(var)
    notes = []
    ids: np.ndarray | None
    names: np.ndarray | None
    if _share(index, _is_gene_id) > 0.5:
        ids, names = index, _column(var, _SYMBOL_COLUMNS, gaps=index)
        if names is not None:
            notes.append("Genes are shown by their symbols; their ids are kept beside them.")
    else:
        ids, names = _column(var, _ID_COLUMNS, gaps=index), index
    genes, repeated = unique_names(index if names is None else names)
    notes += _repeat_notes("gene", repeated)
    return genes, genes if ids is None else ids, notes


def _column(var: pd.DataFrame, candidates: Iterable[str], *, gaps: np.ndarray) -> np.ndarray | None:
    """The first of ``candidates`` that ``var`` has as text, gaps filled; ``None`` without any."""
    for key in candidates:
        if key in var.columns and not pd.api.types.is_numeric_dtype(var[key].dtype):
            values = var[key].astype(object)
            missing = values.isna().to_numpy() | (values == "").to_numpy(dtype=bool)
            text = np.array([str(value) for value in values], dtype=object)
            return np.where(missing, gaps, text)
    return None


def _share(names: Iterable[str], test: Callable[[str], bool]) -> float:
    passes = [test(name) for name in names]
    return sum(passes) / max(1, len(passes))


def _is_gene_id(name: str) -> bool:
    return _GENE_ID.fullmatch(name) is not None


def _is_gene(name: str) -> bool:
    return _is_gene_id(name) or _KNOWN_GENE.fullmatch(name) is not None


def _is_cell(name: str) -> bool:
    return _BARCODE.search(name) is not None or _NUMBERED_CELL.fullmatch(name) is not None


def _orientation_notes(obs: pd.DataFrame, var: pd.DataFrame) -> list[str]:
    if names_say(_index_names(obs), _index_names(var)) is not Orientation.GENES_IN_ROWS:
        return []
    note = (
        "Rows look like genes and columns like cells, as if the matrix lay the wrong way; "
        "rows were taken as cells. If that is wrong, transpose the data and open them again."
    )
    return [note]


def _repeat_notes(kind: str, repeated: list[str]) -> list[str]:
    if not repeated:
        return []
    names = _number(len(repeated), f"{kind} name")
    first = repeated[0]
    return [f"{names} came more than once (first: {first!r}); the repeats were numbered."]


def _empty_notes(matrix: sp.csr_array) -> list[str]:
    n_cells, n_genes = matrix.shape
    silent_genes = n_genes - np.unique(matrix.indices).size
    silent_cells = int((np.diff(matrix.indptr) == 0).sum())
    notes = []
    if silent_genes:
        notes.append(
            f"{silent_genes:,} of {_number(n_genes, 'gene')} have no counts: "
            "left out of the fit, kept in the results."
        )
    if silent_cells:
        notes.append(
            f"{silent_cells:,} of {_number(n_cells, 'cell')} have no counts: "
            "they stay in, but tell little; filtered data would leave them out."
        )
    return notes


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
