"""Cells in minibatches: splits that are made once, and dense blocks that are made when needed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from scribeviz._cards import shown_by_fields

_EVALUATED_AT_ONCE = 512  # cells


@jax.tree_util.register_dataclass
@shown_by_fields
@dataclass(frozen=True, slots=True)
class CountBatch:
    """Some cells.

    Attributes
    ----------
    x
        Counts, as floats.
    library
        Total counts of each cell; at least 1.
    covariate
        Level of the batch covariate, from 0.
    """

    x: Float[Array, "cells genes"]
    library: Float[Array, "cells 1"]
    covariate: Int[Array, " cells"]

    def with_library(self, library: Any) -> "CountBatch":
        """The same cells with other expected totals."""
        return replace(self, library=library)


@shown_by_fields
@dataclass(frozen=True, slots=True)
class Split:
    """Positions of cells that are trained on, that say when to stop, and that are kept for last."""

    train: Int[np.ndarray, " train"]
    validation: Int[np.ndarray, " validation"]
    test: Int[np.ndarray, " test"]


def split_cells(
    n_cells: int,
    *,
    validation: float,
    test: float = 0.0,
    seed: int = 0,
    labels: np.ndarray | None = None,
) -> Split:
    """Divide cells at random; no cell is in two parts.

    Parameters
    ----------
    n_cells
        How many.
    validation, test
        Shares: of the cells to be tested, and of those left to be validated.
    seed
        The same seed gives the same split.
    labels
        Keep each part's shares of these alike.

    Raises
    ------
    ValueError
        If nothing would be left to train on.

    Examples
    --------
    >>> import scribeviz
    >>> split = scribeviz.split_cells(100, validation=0.1, test=0.2, seed=1)
    >>> split.train.size, split.validation.size, split.test.size
    (72, 8, 20)
    """
    rng = np.random.default_rng(seed)
    kinds = np.zeros(n_cells, int) if labels is None else np.unique(labels, return_inverse=True)[1]
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for kind in range(kinds.max(initial=0) + 1):
        shuffled = rng.permutation(np.flatnonzero(kinds == kind))
        n_test = round(test * shuffled.size)
        n_validation = round(validation * (shuffled.size - n_test))
        parts["test"].append(shuffled[:n_test])
        parts["validation"].append(shuffled[n_test : n_test + n_validation])
        parts["train"].append(shuffled[n_test + n_validation :])
    positions = {name: np.sort(np.concatenate(some)) for name, some in parts.items()}
    if positions["train"].size == 0:
        raise ValueError(
            f"of {n_cells:,} cells, {validation:.0%} for validation and {test:.0%} for testing "
            "leave none to train on."
        )
    return Split(**positions)


@runtime_checkable
class Batches(Protocol):
    """Custom data: whatever yields minibatches.

    A minibatch is any pytree of arrays with a leading axis of cells, such as a pair (x, y).
    """

    def setup(self) -> None:
        """Prepare; called once, before the first batch.  Splits are made here, once."""

    def train_batches(self) -> Iterator[Any]:
        """The minibatches of one epoch; called anew for each."""

    def val_batches(self) -> Iterator[Any]:
        """The minibatches that say when to stop."""

    def test_batches(self) -> Iterator[Any]:
        """The minibatches that are kept for last."""


def shuffled(
    cells: Int[np.ndarray, " cells"], batch_size: int, rng: np.random.Generator
) -> Iterator[Int[np.ndarray, " batch"]]:
    """Positions batch by batch, all of one size; what is left over has its turn another time."""
    size = min(batch_size, cells.size)
    order = rng.permutation(cells)
    for start in range(0, cells.size - size + 1, size):
        yield order[start : start + size]


def in_order(
    cells: Int[np.ndarray, " cells"], at_once: int = _EVALUATED_AT_ONCE
) -> Iterator[Int[np.ndarray, " batch"]]:
    """Positions in blocks of about the same size."""
    if cells.size:
        yield from np.array_split(cells, -(-cells.size // at_once))


@shown_by_fields
@dataclass(frozen=True, slots=True)
class Blocks:
    """Cells in blocks, each made dense when it is asked for; can be gone through again."""

    data: "CountBatches"
    cells: Int[np.ndarray, " cells"]

    def __iter__(self) -> Iterator[CountBatch]:
        return map(self.data.at, in_order(self.cells))


class CountBatches:
    """Minibatches of a sparse count matrix; only a block at a time is made dense.

    Parameters
    ----------
    matrix
        Counts, ``(cells, genes)``.
    split
        Which cells are for what.
    batch_size
        Cells per training step.
    seed
        Of the order, which differs from epoch to epoch.
    covariate
        Level of the batch covariate of each cell; 0 for all when left out.
    first_epoch
        Where to go on.
    """

    def __init__(
        self,
        matrix: sp.csr_array,
        split: Split,
        batch_size: int,
        seed: int = 0,
        covariate: Int[np.ndarray, " cells"] | None = None,
        first_epoch: int = 0,
    ) -> None:
        self.matrix, self.split, self.batch_size = matrix, split, batch_size
        n_cells = matrix.shape[0]
        self.covariate = np.zeros(n_cells, np.int32) if covariate is None else covariate
        self._seed, self._epoch = seed, first_epoch

    def setup(self) -> None:
        """Nothing to do: the split is given."""

    def at(self, cells: Int[np.ndarray, " batch"]) -> CountBatch:
        """These cells, made dense."""
        x = self.matrix[cells].toarray().astype(np.float32)
        return CountBatch(
            x=x,
            library=np.maximum(x.sum(axis=1, keepdims=True), 1),
            covariate=self.covariate[cells].astype(np.int32),
        )

    def all_cells(self) -> Blocks:
        """Every cell, whatever it is for."""
        return Blocks(self, np.arange(self.matrix.shape[0]))

    def train_batches(self) -> Iterator[CountBatch]:
        """The training cells, shuffled anew in each epoch."""
        rng = np.random.default_rng((self._seed, self._epoch))
        self._epoch += 1
        yield from map(self.at, shuffled(self.split.train, self.batch_size, rng))

    def val_batches(self) -> Iterator[CountBatch]:
        """The validation cells."""
        yield from map(self.at, in_order(self.split.validation))

    def test_batches(self) -> Iterator[CountBatch]:
        """The test cells."""
        yield from map(self.at, in_order(self.split.test))
