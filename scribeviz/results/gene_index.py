"""Which genes an index means: a name, names, a mask, a slice, an integer or integers."""

import operator
from collections.abc import Sequence

import numpy as np

from scribeviz.data.gene_lookup import GeneLookup

type GeneIndex = int | slice | str | Sequence[str] | Sequence[int] | np.ndarray


def gene_columns(
    genes: np.ndarray, index: GeneIndex, gene_ids: np.ndarray | None = None
) -> np.ndarray:
    """Positions of the genes that ``index`` means; a name may be an id, whatever its version.

    Raises
    ------
    KeyError
        If there is no gene of that name, or if it may be several.
    IndexError
        If a mask has another length, or a position is out of range.
    """
    if isinstance(index, str):
        return _named(genes, [index], gene_ids)
    if isinstance(index, slice):
        return np.arange(len(genes))[index]
    given = np.atleast_1d(np.asarray(index))
    if given.dtype.kind in "OUT":
        return _named(genes, given.tolist(), gene_ids)
    if given.dtype == bool:
        if given.shape != genes.shape:
            raise IndexError(
                f"a mask of {given.size} entries cannot select from {len(genes)} genes."
            )
        return np.flatnonzero(given)
    return np.arange(len(genes))[[operator.index(i) for i in given]]


def chosen_ids(gene_ids: np.ndarray | None, columns: np.ndarray) -> np.ndarray | None:
    """The ids of some genes, where there are ids."""
    return None if gene_ids is None else gene_ids[columns]


def ids_arrays(gene_ids: np.ndarray | None) -> dict[str, np.ndarray]:
    """The ids as they are written to a file."""
    return {} if gene_ids is None else {"gene_ids": gene_ids}


def _named(genes: np.ndarray, names: list[str], gene_ids: np.ndarray | None) -> np.ndarray:
    lookup = GeneLookup(genes, gene_ids)
    where = f"a fit of {len(genes):,} genes"
    return np.asarray([lookup.position(str(name), where) for name in names])
