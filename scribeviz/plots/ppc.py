"""One gene's counts against what the fitted model predicts."""

import holoviews as hv
import numpy as np
from holoviews import dim
from jaxtyping import Float, Int

from scribeviz.plots.theme import OBSERVED, PREDICTED, look

_FLOOR = 0.5  # cells; where bars begin on a logarithmic axis
_INSET = 0.12  # of a bar's width: bands are narrower than bars

# What is drawn, backmost first: label, fill, its opacity, and the line.
_LAYERS = (
    ("observed", OBSERVED, 0.55, OBSERVED, 0.0),
    ("predicted, 90 %", PREDICTED, 0.25, PREDICTED, 0.0),
    ("predicted, 50 %", PREDICTED, 0.45, PREDICTED, 0.0),
    ("predicted median", PREDICTED, 1.0, PREDICTED, 2.5),
)

LEGEND = tuple((label, fill, opacity) for label, fill, opacity, *_ in _LAYERS)
"""Label, colour and opacity of each layer, for a legend beside the picture."""


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
) -> hv.Rectangles:
    """Draw observed cells per count, under the bands of replicated data sets.

    All layers are one element: a picture of four takes twice as long to follow a click.

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
    """
    floor = _FLOOR if log else 0.0
    low90, low50, median, high50, high90 = np.maximum(bands, floor)
    left, right = edges[:-1] - 0.5, edges[1:] - 0.5
    seen = np.maximum(observed, floor)
    inset = _INSET * (right - left)
    gap = 0.02 * (right - left)
    n = seen.size
    corners, style = ["x0", "y0", "x1", "y1"], ["fill", "opacity", "edge", "edge_width"]
    columns = {
        "x0": np.concatenate([left + gap, *[left + inset] * 3]),
        "y0": np.concatenate([np.full(n, floor), low90, low50, median]),
        "x1": np.concatenate([right - gap, *[right - inset] * 3]),
        "y1": np.concatenate([seen, high90, high50, median]),
    }
    for i, name in enumerate(style):
        columns[name] = np.repeat([layer[i + 1] for layer in _LAYERS], n)
    if top is None:
        top = highest(observed, bands)
    return hv.Rectangles(columns, corners, style).opts(
        **look(
            fill_color=dim("fill"),
            fill_alpha=dim("opacity"),
            line_color=dim("edge"),
            line_width=dim("edge_width"),
            height=400,
            logy=log,
            framewise=True,
            xlim=(left[0], right[-1]),
            ylim=(floor, top * (1.5 if log else 1)),
            xlabel="counts (UMIs) of the gene in a cell",
            ylabel="cells",
        )
    )
