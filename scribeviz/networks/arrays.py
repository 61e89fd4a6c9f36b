"""Features of cells as minibatches, split once, and brought to the range from 0 to 1."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from scribeviz._cards import shown_by_fields
from scribeviz.networks.batches import Batches, Split, in_order, shuffled
from scribeviz.networks.lightning_names import LOADERS, LoaderBatches, has_loaders

type Matrix = np.ndarray | sp.csr_array
type Pair = tuple[np.ndarray, np.ndarray]

AT_ONCE = 2**22
"""Entries of a sparse matrix that are made dense at once: 16 MiB."""


class ArrayBatches:
    """Minibatches (x, y) of a matrix.

    Parameters
    ----------
    x
        Features, ``(cells, features)``; of a sparse matrix only a minibatch is dense at a time.
    y
        What is predicted of each cell: a number each, such as a class from 0; x itself when left
        out.
    split
        Which cells are for what.
    batch_size
        Cells per training step.
    seed
        Of the order of the training cells, which differs from epoch to epoch.

    Raises
    ------
    ValueError
        If a cell is in two parts of the split, or there is no such cell.
    """

    def __init__(
        self,
        x: Matrix,
        y: Int[np.ndarray, " cells"] | None = None,
        *,
        split: Split,
        batch_size: int = 256,
        seed: int = 0,
    ) -> None:
        check_split(split, x.shape[0])
        self.x, self.y, self.split = x, y, split
        self.batch_size, self._seed, self._epoch = batch_size, seed, 0

    def setup(self) -> None:
        """Nothing to do: the split is given."""

    def at(self, cells: Int[np.ndarray, " batch"]) -> Pair:
        """These cells, dense."""
        x = dense(self.x[cells])
        return x, x if self.y is None else self.y[cells]

    def in_order(self, cells: Int[np.ndarray, " some"]) -> Iterator[Pair]:
        """These cells, block by block."""
        yield from map(self.at, in_order(cells, cells_at_once(self.x.shape[1])))

    def train_batches(self) -> Iterator[Pair]:
        """The training cells, shuffled anew in each epoch."""
        rng = np.random.default_rng((self._seed, self._epoch))
        self._epoch += 1
        yield from map(self.at, shuffled(self.split.train, self.batch_size, rng))

    def val_batches(self) -> Iterator[Pair]:
        """The validation cells."""
        yield from self.in_order(self.split.validation)

    def test_batches(self) -> Iterator[Pair]:
        """The test cells."""
        yield from self.in_order(self.split.test)


class SetUpOnce:
    """Data of somebody's own, whose split is made here and never again."""

    def __init__(self, data: Any) -> None:
        if has_loaders(data):
            data = LoaderBatches(data)
        if not isinstance(data, Batches):
            raise TypeError(
                "data of your own have setup, train_batches, val_batches and test_batches; "
                f"{type(data).__name__} has not all of them. Lightning's {', '.join(LOADERS)}, "
                "setup and prepare_data are taken as well."
            )
        data.setup()
        self.train_batches = data.train_batches
        self.val_batches = data.val_batches
        self.test_batches = data.test_batches

    def setup(self) -> None:
        """Nothing to do any more."""


@shown_by_fields
@dataclass(frozen=True, slots=True)
class Survey:
    """What there is to know of minibatches before anything is trained.

    Attributes
    ----------
    first
        One of them.
    n_features
        Columns of x.
    mean
        Of each feature of x.
    low, high
        Smallest and largest value of x.
    """

    first: Pair
    n_features: int
    mean: Float[np.ndarray, " features"]
    low: float
    high: float


def survey(batches: Iterable[Any]) -> Survey:
    """Go through minibatches once.

    Raises
    ------
    TypeError, ValueError
        If there is none, if one is no pair (x, y), or if it holds values that are not finite.
    """
    first: Pair | None = None
    total, n_cells, low, high = np.zeros(1), 0, np.inf, -np.inf
    for batch in batches:
        x, y = _pair(batch)
        first = first or (x, y)
        total = total + x.sum(axis=0, dtype=np.float64)
        n_cells += len(x)
        low, high = min(low, float(x.min())), max(high, float(x.max()))
    if first is None:
        raise ValueError("the data gave no minibatch to train on.")
    if not np.isfinite(total).all():
        raise ValueError("the data hold values that are not finite (NaN or infinite).")
    return Survey(first, first[0].shape[1], total / n_cells, low, high)


@shown_by_fields
@dataclass(frozen=True, slots=True)
class UnitScale:
    """Brings each feature to the range from 0 to 1, as the training cells spread.

    What lies beyond them in other cells becomes 0 or 1: ``MinMaxScaler(clip=True)`` of
    scikit-learn, for sparse matrices too.

    Attributes
    ----------
    low, high
        Smallest and largest value of each feature in the training cells.

    Examples
    --------
    >>> values = np.array([[0.0, 2.0], [4.0, 3.0], [8.0, 9.0]])
    >>> scale = UnitScale.fitted(values, np.array([0, 1]))
    >>> scale(values).tolist()
    [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]
    """

    low: Float[np.ndarray, " features"]
    high: Float[np.ndarray, " features"]

    @classmethod
    def fitted(cls, matrix: Any, cells: Int[np.ndarray, " train"]) -> "UnitScale":
        """Look at the training cells, and at no others."""
        chosen = sp.csc_array(matrix[cells]) if sp.issparse(matrix) else np.asarray(matrix)[cells]
        if not sp.issparse(chosen):
            return cls(chosen.min(axis=0), chosen.max(axis=0))
        return cls(chosen.min(axis=0).toarray().ravel(), chosen.max(axis=0).toarray().ravel())

    def __call__(self, matrix: Any) -> Any:
        """Scale all cells of ``matrix``, which is left as it is; sparse stays sparse.

        Raises
        ------
        ValueError
            If the matrix has other features, or is sparse with values below 0.
        """
        if matrix.shape[1] != self.low.size:
            raise ValueError(
                f"the scale is of {self.low.size:,} features, and the matrix has "
                f"{matrix.shape[1]:,}."
            )
        span = np.where(self.high > self.low, self.high - self.low, 1)
        if not sp.issparse(matrix):
            return np.clip((np.asarray(matrix) - self.low) / span, 0, 1).astype(np.float32)
        if (self.low < 0).any():
            raise ValueError("a sparse matrix with values below 0 would not stay sparse.")
        scaled = sp.csr_array(matrix, dtype=np.float32, copy=True)
        scaled.data = np.clip(
            (scaled.data - self.low[scaled.indices]) / span[scaled.indices], 0, 1
        ).astype(np.float32)
        scaled.eliminate_zeros()
        return scaled


def check_split(split: Split, n_cells: int) -> None:
    """Raise ``ValueError`` if a cell is in two parts, or if there is no such cell."""
    cells = np.concatenate([split.train, split.validation, split.test])
    if cells.size and (cells.min() < 0 or cells.max() >= n_cells):
        raise ValueError(f"the split names cells beyond the {n_cells:,} that there are.")
    twice = cells.size - np.unique(cells).size
    if twice:
        raise ValueError(f"{twice:,} cells are in more than one part of the split.")
    if split.train.size == 0:
        raise ValueError("the split leaves no cells to train on.")


def dense(block: Any) -> Float[np.ndarray, "cells features"]:
    """A block of cells as a dense array of floats."""
    return (block.toarray() if sp.issparse(block) else np.asarray(block)).astype(np.float32)


def cells_at_once(n_features: int) -> int:
    """How many cells have :data:`AT_ONCE` entries."""
    return max(AT_ONCE // max(n_features, 1), 1)


def limits(matrix: Any) -> tuple[float, float]:
    """Smallest and largest value, without making a sparse matrix dense."""
    values = matrix.data if sp.issparse(matrix) else np.asarray(matrix)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if sp.issparse(matrix) and values.size < np.prod(matrix.shape, dtype=float):
        return min(low, 0.0), max(high, 0.0)
    return low, high


def _pair(batch: Any) -> Pair:
    if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
        raise TypeError(f"a minibatch is a pair (x, y); the data gave a {type(batch).__name__}.")
    x, y = (np.asarray(part) for part in batch)
    if x.ndim != 2 or len(x) != len(y):
        raise ValueError(
            "a minibatch is a pair (x, y) of arrays, x of shape (cells, features) and y with as "
            f"many cells; the data gave shapes {x.shape} and {y.shape}."
        )
    return x, y
