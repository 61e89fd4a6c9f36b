"""Mean counts of the genes in groups of cells: what start values are made of."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from scribeviz.data.counts import Counts


class GroupedCounts(NamedTuple):
    """A data set whose cells fall into groups, one per component.

    Attributes
    ----------
    groups
        The counts of each group.
    depths
        Relative depths of its cells.
    totals
        Total counts of every gene, group by group.
    means
        Mean count of every gene in a cell of depth 1.  A gene that a group never shows still has
        one: half a cell's worth of the overall mean.
    """

    groups: list[Counts]
    depths: list[Float[np.ndarray, " cells"]]
    totals: Float[np.ndarray, "groups genes"]
    means: Float[np.ndarray, "groups genes"]


def grouped(
    counts: Counts,
    group_of_cell: Int[np.ndarray, " cells"],
    n_groups: int,
    depth: Float[np.ndarray, " cells"],
) -> GroupedCounts:
    """Part the cells of these relative depths."""
    members = [np.flatnonzero(group_of_cell == group) for group in range(n_groups)]
    groups = [counts.select_cells(cells) for cells in members]
    depths = [depth[cells] for cells in members]
    totals = np.stack([group.gene_totals for group in groups])
    overall = totals.sum(axis=0) / counts.n_cells
    exposure = np.array([each.sum() for each in depths])[:, None]
    return GroupedCounts(groups, depths, totals, (totals + 0.5 * overall) / (exposure + 0.5))
