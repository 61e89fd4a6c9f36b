"""The border: an AnnData or a bare matrix comes in, checked counts go out.

Everything behind it may trust a :class:`~scribeviz.data.counts.Counts`: this is the one place that
looks for values that are not counts, and the same rules hold whatever the format.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from scribeviz.data.counts import Counts, CountsError
from scribeviz.data.embeddings import embeddings
from scribeviz.data.features import gene_features
from scribeviz.data.gene_annotation import gene_aliases, marked_mitochondrial
from scribeviz.data.names import (
    gene_names,
    index_names,
    orientation_notes,
    repeat_notes,
    unique_names,
)
from scribeviz.data.set_aside import Table, set_aside
from scribeviz.data.sources import better_source, called, matrices, sum_of
from scribeviz.data.structure import as_csr
from scribeviz.data.values import Rounding, at, whole

if TYPE_CHECKING:
    from anndata import AnnData

# Under this key of `AnnData.uns` a reader leaves the sentences that belong into `Counts.notes`.
READING_NOTES = "scribeviz_reading_notes"


def check_counts(
    adata: "AnnData", layer: str | None = None, *, name: str, rounding: Rounding | None = None
) -> Counts:
    """Take the raw counts out of an AnnData, or say why they are none.

    Parameters
    ----------
    adata
        Rows are cells.  Sparse, dense, backed or of Dask; left as it is.
    layer
        Which matrix: ``None`` or ``"X"`` for ``X``, ``"raw"`` for ``raw``, else a layer.
    name
        What to call the data, on screen and in errors.
    rounding
        What to do with fractions: :func:`scribeviz.data.values.whole`.

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
    sources = matrices(adata)
    if where not in sources:
        places = ", ".join(repr(key) for key in sources)
        missing = "no raw counts (adata.raw)" if where == "raw" else f"no layer {where!r}"
        raise CountsError(f"{name} has {missing}; choose one of {places}.")
    kept_raw = where == "raw" and adata.raw is not None
    try:
        return check_matrix(
            sources[where](),
            var=cast("pd.DataFrame", adata.raw.var if kept_raw else adata.var),
            obs=cast("pd.DataFrame", adata.obs),
            name=name,
            where=where,
            notes=_reading_notes(adata),
            obsm=adata.obsm,
            rounding=rounding,
        )
    except CountsError as error:
        better = None if 0 in adata.shape else better_source(adata, where)
        if better is None:
            raise
        raise CountsError(
            f"{error} {_advice(adata, better)}", use_layer=better, can_round=error.can_round
        ) from error


def check_matrix(  # noqa: PLR0913  all by name
    matrix: Any,
    *,
    var: pd.DataFrame,
    obs: pd.DataFrame,
    name: str,
    where: str | None = None,
    notes: Iterable[str] = (),
    obsm: Mapping[str, Any] | None = None,
    rounding: Rounding | None = None,
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
        AnnData's; the first two columns of coordinates are kept, to draw the cells.
    rounding
        What to do with fractions: :func:`scribeviz.data.values.whole`.

    Raises
    ------
    CountsError
        As :func:`check_counts`, and if the names do not match the matrix.
    """
    subject = name if where is None else f"{name}: {called(where)}"
    if matrix is None:
        raise CountsError(f"{subject} is empty: there is no matrix in it.")
    _check_shape(matrix, var, obs, subject)
    numbers = _numbers(matrix)
    if numbers is None:
        raise CountsError(f"{subject} holds {_first_text(matrix, var, obs)}; pass numbers only.")
    table = Table(matrix=as_csr(numbers, subject), obs=obs, var=var)
    table, aside_notes = set_aside(table)
    is_gene, feature_notes = gene_features(table.var, index_names(table.var), subject)
    obs, var, matrix = table.obs, table.var, table.matrix
    if not is_gene.all():
        var, matrix = var[is_gene], matrix[:, np.flatnonzero(is_gene)]
    counts, value_notes = whole(matrix, rounding, var=var, obs=obs, subject=subject)
    genes, gene_ids, gene_notes = gene_names(var)
    cells, repeated_cells = unique_names(index_names(obs))
    return Counts(
        matrix=counts,
        genes=genes,
        gene_ids=gene_ids,
        cells=cells,
        obs=obs.set_axis(pd.Index(cells, dtype=object), axis=0),
        name=name,
        notes=(
            *notes,
            *orientation_notes(cells, index_names(var)),
            *aside_notes,
            *feature_notes,
            *value_notes,
            *gene_notes,
            *repeat_notes("cell", repeated_cells),
            *_empty_notes(counts),
        ),
        embeddings=_kept_embeddings(obsm or {}, len(cells)),
        aliases=gene_aliases(var),
        mitochondrial=marked_mitochondrial(var),
    )


def _kept_embeddings(obsm: Mapping[str, Any], n_cells: int) -> dict[str, np.ndarray]:
    # Rows that are no cells are gone by now, and with them what belonged to them.
    return {name: xy for name, xy in embeddings(obsm).items() if len(xy) == n_cells}


def _advice(adata: "AnnData", better: str) -> str:
    advice = f"{called(better)} of the same data holds counts: choose that"
    total = sum_of(adata, better)
    if total is not None:
        advice += f", or {called(total)}, the sum of its parts, for all molecules"
    return f"{advice[0].upper()}{advice[1:]}."


def _reading_notes(adata: "AnnData") -> tuple[str, ...]:
    return tuple(str(note) for note in np.ravel(adata.uns.get(READING_NOTES, ())))


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


def _numbers(matrix: Any) -> Any:
    """The matrix where it holds numbers, also as Python objects; None where it does not."""
    kind = np.dtype(matrix.dtype).kind
    if kind == "O" and isinstance(matrix, np.ndarray):
        are_numbers = all(isinstance(value, int | float | np.number) for value in matrix.flat)
        return matrix.astype(np.float64) if are_numbers else None
    return matrix if kind in "biuf" else None


def _first_text(matrix: Any, var: pd.DataFrame, obs: pd.DataFrame) -> str:
    """Describe the first entry that is not a number."""
    dense = (
        np.asarray(matrix) if isinstance(matrix, np.ndarray | h5py.Dataset) else np.empty((0, 0))
    )
    for cell, gene in np.ndindex(dense.shape):
        value = dense[cell, gene]
        if isinstance(value, str | bytes):
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            return f"text (first: {text!r} for {at(cell, gene, var, obs)})"
    return f"values of type {matrix.dtype} instead of numbers"


def _empty_notes(matrix: sp.csr_array) -> list[str]:
    n_cells, n_genes = matrix.shape
    silent_genes = int((np.bincount(matrix.indices, minlength=n_genes) == 0).sum())
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
