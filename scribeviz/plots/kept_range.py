"""Which part of a distribution is kept: a histogram with a shaded range, barcodes by rank."""

from typing import Any

import holoviews as hv
import numpy as np
from jaxtyping import Float

from scribeviz.plots.matrix import log_histogram
from scribeviz.plots.theme import ACCENT, OBSERVED, PREDICTED, look

HEIGHT = 190
_MOST_POINTS = 1_000
# As the page's theme has them, which speaks once: HoloViews sets others at the first move.
_LETTERS = {"labels": "13px", "xticks": "12px", "yticks": "12px"}


def cells_by(values: Float[np.ndarray, " cells"], *, xlabel: str, log_y: bool) -> hv.Histogram:
    """Histogram of a number of each cell; heights on a logarithmic axis where few cells matter."""
    picture = log_histogram(values, xlabel=xlabel)
    return picture.opts(**_shape(picture, log_y=log_y))


def cells_by_share(
    percent: Float[np.ndarray, " cells"], *, xlabel: str, log_y: bool
) -> hv.Histogram:
    """Histogram of a percentage of each cell, from none to the highest."""
    edges = np.linspace(0, max(float(percent.max(initial=0)), 0.1) * 1.01, 41)
    cells, _ = np.histogram(percent, edges)
    picture = hv.Histogram((edges, cells), kdims="value", vdims="cells")
    common = look(
        color=OBSERVED, line_color="white", tools=["hover"], xlabel=xlabel, ylabel="cells"
    )
    return picture.opts(**(common | _shape(picture, log_y=log_y)))


def with_range(picture: hv.Histogram, ends: hv.DynamicMap) -> hv.Overlay:
    """A histogram and, over it, the range of :func:`kept_span` as it moves."""
    return (picture.opts(fontsize=_LETTERS) * ends).opts(shared_axes=False)


def kept_span(low: float, high: float) -> hv.VSpan:
    """The part of the horizontal axis that is kept."""
    return hv.VSpan(low, high).opts(color=PREDICTED, alpha=0.16, line_alpha=0, apply_ranges=False)


def _shape(picture: hv.Histogram, *, log_y: bool) -> dict[str, Any]:
    # Fixed ends: a range that is typed must not move the axes.
    highest = float(picture.dimension_values("cells").max())
    heights = (
        {"logy": True, "ylim": (0.5, 2 * highest)}
        if log_y
        else {"ylim": (0, 1.06 * highest), "yticks": 4}
    )
    ends = float(picture.edges[0]), float(picture.edges[-1])
    return {"height": HEIGHT, "xlim": ends} | heights


def barcodes_by_rank(totals: Float[np.ndarray, " barcodes"], knee: int) -> hv.Overlay:
    """Counts of each barcode against its rank, and the knee: both axes logarithmic."""
    falling = np.sort(totals[totals > 0])[::-1]
    places = np.geomspace(1, falling.size, _MOST_POINTS) - 1
    index = np.unique(np.rint(places).astype(int))
    curve = hv.Curve((index + 1, falling[index]), kdims="rank", vdims="counts")
    line = hv.HLine(knee).opts(color=ACCENT, line_dash="dashed", line_width=2)
    curve = curve.opts(
        **look(
            color=OBSERVED,
            line_width=2.5,
            height=220,
            logx=True,
            logy=True,
            xlabel="barcodes, by their counts",
            ylabel="counts (UMIs)",
        )
    )
    return curve * line
