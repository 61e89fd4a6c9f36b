"""Which genes an index means: a name, names, a mask, a slice, an integer or integers."""

import operator
from collections.abc import Sequence

import numpy as np

type GeneIndex = int | slice | str | Sequence[str] | Sequence[int] | np.ndarray


def gene_columns(genes: np.ndarray, index: GeneIndex) -> np.ndarray:
    """Positions of the genes that ``index`` means.

    Raises
    ------
    KeyError
        If there is no gene of that name.
    IndexError
        If a mask has another length, or a position is out of range.
    """
    if isinstance(index, str):
        return _named(genes, [index])
    if isinstance(index, slice):
        return np.arange(len(genes))[index]
    given = np.atleast_1d(np.asarray(index))
    if given.dtype.kind in "OUT":
        return _named(genes, given.tolist())
    if given.dtype == bool:
        if given.shape != genes.shape:
            raise IndexError(
                f"a mask of {given.size} entries cannot select from {len(genes)} genes."
            )
        return np.flatnonzero(given)
    return np.arange(len(genes))[[operator.index(i) for i in given]]


def _named(genes: np.ndarray, names: list[str]) -> np.ndarray:
    position = {name: i for i, name in enumerate(genes)}
    unknown = [name for name in names if name not in position]
    if unknown:
        raise KeyError(f"{unknown[0]!r} is not among the {len(genes):,} genes that were fitted.")
    return np.asarray([position[name] for name in names])
