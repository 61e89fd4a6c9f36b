"""Tell cells from empty droplets by the number of their counts."""

import numpy as np
from jaxtyping import Float

from scribeviz.data.counts import Counts
from scribeviz.data.remembered import once_per_counts

_FEWEST_BARCODES = 100
_MOST_IN_AN_EMPTY = 100  # counts; DropletUtils takes droplets with no more for empty, too
_AROUND = 3.0  # the steepest place is looked for this factor to either side
_STEP, _PLACES = 1.35, 121


def knee(totals: Float[np.ndarray, " barcodes"]) -> int:
    """The number of counts that divides cells from empty droplets; cells have at least so many.

    Parameters
    ----------
    totals
        Counts per barcode, in any order; at least one must be positive.

    Notes
    -----
    Barcodes are ranked by their counts, and both put on logarithmic scales: the curve bends at the
    end of the cells, falls, and bends again where the empty droplets begin.  Where it falls most
    steeply is the inflection point of DropletUtils [1]_.  The bend above it, farthest from a chord,
    would cost a third of the cells whose depths scatter log-normally by half.

    The curve has other steep places, such as its end.  So only those within a factor of three of
    Cell Ranger's cut are looked at: a tenth of the 99th percentile of the cells [1]_ [2]_, where
    the number of cells is the one that this very cut gives.

    References
    ----------
    .. [1] Lun et al. (2019), Genome Biol. 20, 63.
    .. [2] Zheng et al. (2017), Nat. Commun. 8, 14049.
    """
    rising = np.sort(totals[totals > 0])
    cut = _tenth_of_the_top(rising)
    places = np.geomspace(max(cut / _AROUND, 1.0), cut * _AROUND, _PLACES)
    above, below = (
        rising.size - np.searchsorted(rising, places * step) for step in (_STEP, 1 / _STEP)
    )
    # How much the logarithm of the rank grows over a fixed fall of the curve: least where steepest.
    growth = np.log(np.maximum(below, 1)) - np.log(np.maximum(above, 1))
    steepest = places[growth <= growth.min() + 1e-12]
    return max(int(np.ceil(steepest[len(steepest) // 2])), 1)


def _tenth_of_the_top(rising: Float[np.ndarray, " barcodes"]) -> float:
    # From few cells upwards: from above, the empty droplets would be another solution.
    cells, last = min(_FEWEST_BARCODES, rising.size), 0
    cut = 1.0
    while cells > last:
        last = cells
        cut = rising[-1 - cells // 100] / 10
        cells = rising.size - int(np.searchsorted(rising, cut))
    return float(cut)


@once_per_counts
def knee_of(counts: Counts) -> int:
    """:func:`knee` of all cells."""
    return knee(counts.cell_totals) if counts.matrix.nnz else 1


@once_per_counts
def looks_unfiltered(counts: Counts) -> bool:
    """Whether most of the cells must be empty droplets: few counts, far below the knee."""
    if counts.n_cells < _FEWEST_BARCODES:
        return False
    middle = float(np.median(counts.cell_totals))
    return middle <= _MOST_IN_AN_EMPTY and middle < knee_of(counts) / _AROUND


def above_knee(counts: Counts) -> int:
    """How many cells have at least as many counts as the knee."""
    return int((counts.cell_totals >= knee_of(counts)).sum())


def empty_droplets(counts: Counts) -> str:
    """A sentence for data that hold mostly empty droplets; empty for others."""
    if not looks_unfiltered(counts):
        return ""
    few = counts.n_cells - above_knee(counts)
    return (
        f"{few:,} of the {counts.n_cells:,} barcodes of {counts.name} look like empty droplets: "
        f"they lie below the knee at {knee_of(counts):,} counts, most of them far below. "
        "A model would be fitted to what floats between the cells."
    )
