r"""What is known of the cells beforehand, as a column of labels that may be wrong or missing.

A label is taken for a reading of the cell's component that errs: with L labels and a strength s,

.. math:: p(\text{label} \mid z = k) = \frac{e^{s [k = \text{label}]}}{e^s + L - 1},

the same for all labels where a component stands for none.  A label that is missing says nothing;
counts that speak against a label by more than s nats outweigh it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from scribeviz._cards import shown_by_fields
from scribeviz.data.counts import Counts, CountsError


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class KnownLabels:
    """Labels of cells.

    Attributes
    ----------
    names
        Of the labels; the first components stand for them.
    of_cell
        Which label each cell has, from 0; -1 for none.
    """

    names: tuple[str, ...]
    of_cell: Int[np.ndarray, " cells"]

    @classmethod
    def of_counts(cls, counts: Counts, column: str) -> "KnownLabels":
        """Read a column of ``obs``.

        Raises
        ------
        CountsError
            If there is no such column, or it labels no cell.
        """
        columns = list(counts.obs.columns)
        if column not in columns:
            raise CountsError(
                f"{counts.name} has no column {column!r} in obs to take labels from; "
                f"it has {', '.join(map(repr, columns)) or 'none'}."
            )
        labels = pd.Categorical(counts.obs.iloc[:, columns.index(column)])
        labels = labels.remove_unused_categories()
        if not labels.categories.size:
            raise CountsError(f"obs[{column!r}] labels no cell; choose another column.")
        return cls(tuple(map(str, labels.categories)), np.asarray(labels.codes, np.int64))

    def check(self, n_components: int) -> None:
        """Raise unless every label can have a component."""
        if len(self.names) > n_components:
            raise ValueError(
                f"there are {len(self.names)} labels and {n_components} components; set "
                f"n_components to {len(self.names)} or more, or merge labels."
            )

    def log_odds(self, n_components: int, strength: float) -> Float[np.ndarray, "cells components"]:
        """Log-probability of each cell's label in every component; 0 where there is none."""
        n_labels = len(self.names)
        match = np.full((n_labels, n_components), -np.log(n_labels))
        match[:, :n_labels] = strength * np.eye(n_labels)
        match[:, :n_labels] -= strength + np.log1p((n_labels - 1) * np.exp(-strength))
        return np.where((self.of_cell >= 0)[:, None], match[self.of_cell], 0.0)

    def start(
        self, groups: Int[np.ndarray, " cells"], n_components: int
    ) -> Int[np.ndarray, " cells"]:
        """Groups of cells as components: labelled cells follow their labels.

        Each label takes the group that shares most cells with it, so that the others of that group
        go along.
        """
        together = np.zeros((n_components, n_components))
        known = self.of_cell >= 0
        np.add.at(together, (self.of_cell[known], groups[known]), 1.0)
        label, group = linear_sum_assignment(together, maximize=True)
        component_of = np.empty(n_components, np.int64)
        component_of[group] = label
        return np.where(known, self.of_cell, component_of[groups])
