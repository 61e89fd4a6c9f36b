"""One gene's counts against what the fitted model predicts."""

import holoviews as hv
import numpy as np
from jaxtyping import Float, Int

from scribeviz.plots.theme import OBSERVED, PREDICTED, look

_FLOOR = 0.5  # cells; where bars begin on a logarithmic axis


def ppc_histogram(
    edges: Int[np.ndarray, " bars+1"],
    observed: Int[np.ndarray, " bars"],
    bands: Float[np.ndarray, "5 bars"],
    *,
    log: bool,
) -> hv.Overlay:
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
    """
    floor = _FLOOR if log else 0.0
    low90, low50, median, high50, high90 = np.maximum(bands, floor)
    left, right = edges[:-1] - 0.5, edges[1:] - 0.5
    seen = np.maximum(observed, floor)
    base = np.full(seen.shape, floor)
    names = ["x0", "y0", "x1", "y1"]
    bars = hv.Rectangles((left, base, right, seen, observed), names, ["cells"], label="observed")
    inset = 0.12 * (right - left)
    a, b = left + inset, right - inset
    outer = hv.Rectangles((a, low90, b, high90), names, label="predicted, 90 %")
    inner = hv.Rectangles((a, low50, b, high50), names, label="predicted, 50 %")
    middle = hv.Segments((a, median, b, median), names, label="predicted median")
    top = 1.08 * max(seen.max(initial=1), high90.max(initial=1))
    return hv.Overlay(
        [
            bars.opts(color=OBSERVED, alpha=0.55, line_color="white", line_width=0.5),
            outer.opts(color=PREDICTED, alpha=0.25, line_alpha=0),
            inner.opts(color=PREDICTED, alpha=0.45, line_alpha=0),
            middle.opts(color=PREDICTED, line_width=2.5),
        ]
    ).opts(
        **look(
            height=400,
            logy=log,
            framewise=True,
            xlim=(left[0], right[-1]),
            ylim=(floor, top * (1.5 if log else 1)),
            xlabel="counts (UMIs) of the gene in a cell",
            ylabel="cells",
            legend_position="top_right",
        )
    )
