"""One gene's counts, or all cells' totals, against what the fitted model predicts.

Every picture is one element with a column for the colour of each part: a picture of several
elements takes twice as long to follow a click.
"""

from typing import Any

import holoviews as hv
import numpy as np
from holoviews import dim
from jaxtyping import Float, Int
from scipy.stats import binom

from scribeviz.plots.theme import ACCENT, OBSERVED, PREDICTED, look

_FLOOR = 0.5  # cells; where bars begin on a logarithmic axis
_INSET = 0.12  # of a bar's width: bands are narrower than bars
_THIN = 0.006  # of the height: a line that is drawn as a box
_MOST_MARKS = 5
_COUNTS = "counts (UMIs) of the gene in a cell"

# How parts are drawn: fill, its opacity, the line and its width.
_SEEN = (OBSERVED, 0.55, OBSERVED, 0.0)
_LIGHT = (PREDICTED, 0.25, PREDICTED, 0.0)
_DARK = (PREDICTED, 0.45, PREDICTED, 0.0)
_MEDIAN = (PREDICTED, 1.0, PREDICTED, 2.5)
_SEEN_LINE = (ACCENT, 1.0, ACCENT, 2.5)

LEGEND = (
    ("observed", OBSERVED, 0.55),
    ("predicted, 90 %", PREDICTED, 0.25),
    ("predicted, 50 %", PREDICTED, 0.45),
    ("predicted median", PREDICTED, 1.0),
)
"""Label, colour and opacity of each part of a histogram, for a legend beside the picture."""

CUMULATIVE_LEGEND = (
    ("observed", ACCENT, 1.0),
    ("predicted, 90 %", PREDICTED, 0.25),
    ("predicted, 50 %", PREDICTED, 0.45),
)
"""The same for :func:`ppc_cumulative`."""

ROOTOGRAM_LEGEND = (
    ("observed, hung from the prediction", OBSERVED, 0.55),
    ("where bars should end, 90 %", PREDICTED, 0.25),
    ("predicted median", PREDICTED, 1.0),
)
"""The same for :func:`rootogram`."""

RESIDUALS_LEGEND = (("observed", OBSERVED, 0.55), ("by chance, 90 %", PREDICTED, 0.25))
"""The same for :func:`residual_histogram`."""


def highest(observed: Int[np.ndarray, " bars"], bands: Float[np.ndarray, "5 bars"]) -> float:
    """Where the axis of cells ends, a little above all that is drawn."""
    return 1.08 * float(max(observed.max(initial=1), bands.max(initial=1)))


def ppc_histogram(
    edges: Int[np.ndarray, " bars+1"],
    observed: Int[np.ndarray, " bars"],
    bands: Float[np.ndarray, "5 bars"],
    *,
    log: bool,
    top: float | None = None,
    **options: Any,
) -> hv.Rectangles:
    """Draw observed cells per count, under the bands of replicated data sets.

    Parameters
    ----------
    edges
        Bars span ``edges[i] <= count < edges[i + 1]``.
    observed
        Cells per bar.
    bands
        Predicted cells per bar: 5, 25, 50, 75 and 95 % quantiles.
    log
        Draw the cells on a logarithmic axis.
    top
        Where the axis of cells ends, to be the same in several pictures.
    **options
        Of HoloViews, such as another ``height`` or ``xlabel``.
    """
    floor = _FLOOR if log else 0.0
    left, right = edges[:-1] - 0.5, edges[1:] - 0.5
    if top is None:
        top = highest(observed, bands)
    shown = {
        "height": 400,
        "logy": log,
        "xlim": (left[0], right[-1]),
        "ylim": (floor, top * (1.5 if log else 1)),
        "xlabel": _COUNTS,
        "ylabel": "cells",
    }
    return _boxes(_bars_and_bands((left, right), observed, bands, floor), **(shown | options))


def ppc_cumulative(
    edges: Int[np.ndarray, " bars+1"],
    observed: Int[np.ndarray, " bars"],
    bands: Float[np.ndarray, "5 bars"],
) -> hv.Rectangles:
    """Draw the share of cells with at most so many counts, under the bands of replicates.

    Parameters
    ----------
    edges, observed
        As for :func:`ppc_histogram`.
    bands
        Predicted shares up to the end of each bar: 5, 25, 50, 75 and 95 % quantiles.
    """
    left, right = edges[:-1] - 0.5, edges[1:] - 0.5
    low90, low50, _, high50, high90 = bands
    seen = np.cumsum(observed) / max(observed.sum(), 1)
    # A step stays visible where half of the replicates agree to a hair.
    boxes: _Boxes = [
        (left, low90 - _THIN, right, high90 + _THIN, _LIGHT),
        (left, low50 - _THIN / 2, right, high50 + _THIN / 2, _DARK),
        (left, seen, right, seen, _SEEN_LINE),
    ]
    return _boxes(
        boxes,
        height=400,
        xlim=(left[0], right[-1]),
        ylim=(min(float(low90.min()), float(seen.min())) - 0.03, 1.03),
        xlabel=_COUNTS,
        ylabel="share of cells with at most so many",
    )


def rootogram(
    edges: Int[np.ndarray, " bars+1"],
    observed: Int[np.ndarray, " bars"],
    bands: Float[np.ndarray, "5 bars"],
) -> hv.Rectangles:
    """Hang bars of observed cells from the prediction, as square roots (Tukey 1977).

    Square roots vary alike whatever their size: a bar that ends below the band around 0 has too
    many cells, one that ends above it too few.  Arguments as for :func:`ppc_histogram`.
    """
    left, right = edges[:-1] - 0.5, edges[1:] - 0.5
    low90, _, median, _, high90 = np.sqrt(bands)
    feet = median - np.sqrt(observed)
    gap = 0.02 * (right - left)
    inset = _INSET * (right - left)
    boxes: _Boxes = [
        (left + gap, feet, right - gap, median, _SEEN),
        (left, median - high90, right, median - low90, _LIGHT),
        (left + inset, median, right - inset, median, _MEDIAN),
    ]
    low = min(float(feet.min()), float((median - high90).min()))
    top = float(median.max())
    return _boxes(
        boxes,
        height=400,
        xlim=(left[0], right[-1]),
        ylim=(low - 0.05 * (top - low), top + 0.05 * (top - low)),
        xlabel=_COUNTS,
        ylabel="square root of cells",
    )


def residual_histogram(
    shares: Float[np.ndarray, " tenths"], n_cells: int, **options: Any
) -> hv.Rectangles:
    """Draw randomised quantile residuals: flat where the prediction is right.

    Parameters
    ----------
    shares
        Of the cells, per interval of equal width between 0 and 1.
    n_cells
        How many cells, for the band of what chance does; 0 draws none.
    **options
        Of HoloViews.
    """
    edges = np.linspace(0, 1, shares.size + 1)
    left, right = edges[:-1], edges[1:]
    expected = 1 / shares.size
    boxes: _Boxes = [(left + 0.002, np.zeros(shares.size), right - 0.002, shares, _SEEN)]
    top = 1.1 * max(float(shares.max()), 2 * expected)
    if n_cells:
        low, high = binom.ppf((0.05, 0.95), n_cells, expected) / n_cells
        one = np.ones(1)
        boxes.append((0 * one, low * one, one, high * one, _LIGHT))
    shown = {
        "height": 400,
        "xlim": (0.0, 1.0),
        "ylim": (0.0, top),
        "xlabel": "place within the prediction (1 = highest)",
        "ylabel": "share of cells",
    }
    return _boxes(boxes, **(shown | options))


def library_histogram(
    edges: Float[np.ndarray, " bars+1"],
    observed: Int[np.ndarray, " bars"],
    bands: Float[np.ndarray, "5 bars"],
) -> hv.Rectangles:
    """Draw total counts per cell, observed under predicted; arguments as for a gene's counts."""
    return _boxes(
        _bars_and_bands((edges[:-1], edges[1:]), observed, bands),
        height=300,
        logx=True,
        xticks=_round_numbers(float(edges[0]), float(edges[-1])),
        xlim=(edges[0], edges[-1]),
        ylim=(0.0, highest(observed, bands)),
        xlabel="total counts (UMIs) of a cell",
        ylabel="cells",
    )


def _round_numbers(low: float, high: float) -> list[tuple[float, str]]:
    """Where a logarithmic axis is marked: at 1, 2 and 5 times powers of ten, or fewer of them."""
    powers = 10.0 ** np.arange(np.floor(np.log10(max(low, 1))), np.ceil(np.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        marks = [float(at) for at in np.outer(powers, steps).ravel() if low <= at <= high]
        if len(marks) <= _MOST_MARKS:
            break
    return [(at, f"{at:,.0f}") for at in marks]


type _Boxes = list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[Any, ...]]]
"""Left, lower, right and upper ends of alike boxes, and how they are drawn; backmost first."""


def _bars_and_bands(
    ends: tuple[np.ndarray, np.ndarray], seen: np.ndarray, bands: np.ndarray, floor: float = 0.0
) -> _Boxes:
    left, right = ends
    inset, gap = _INSET * (right - left), 0.02 * (right - left)
    low90, low50, median, high50, high90 = np.maximum(bands, floor)
    seen = np.maximum(seen, floor)
    return [
        (left + gap, np.full(seen.size, floor), right - gap, seen, _SEEN),
        (left + inset, low90, right - inset, high90, _LIGHT),
        (left + inset, low50, right - inset, high50, _DARK),
        (left + inset, median, right - inset, median, _MEDIAN),
    ]


def _boxes(parts: _Boxes, **options: Any) -> hv.Rectangles:
    corners, style = ["x0", "y0", "x1", "y1"], ["fill", "opacity", "edge", "edge_width"]
    columns = {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(corners)}
    for i, name in enumerate(style):
        columns[name] = np.repeat([part[4][i] for part in parts], [part[0].size for part in parts])
    return hv.Rectangles(columns, corners, style).opts(
        **look(
            fill_color=dim("fill"),
            fill_alpha=dim("opacity"),
            line_color=dim("edge"),
            line_width=dim("edge_width"),
            framewise=True,
            **options,
        )
    )
