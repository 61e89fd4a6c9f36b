"""A count matrix at a glance."""

import holoviews as hv
import numpy as np
from jaxtyping import Float

from scribeviz.plots.theme import OBSERVED, look

_MOST_TICKS = 5


def log_histogram(
    values: Float[np.ndarray, " cells"], *, xlabel: str, ylabel: str = "cells"
) -> hv.Histogram:
    """Histogram of positive values on a logarithmic axis; zeros are left out."""
    positive = values[values > 0]
    low, high = (positive.min(), positive.max()) if positive.size else (1.0, 10.0)
    edges = np.geomspace(low / 1.01, high * 1.01, 41)
    cells, _ = np.histogram(positive, edges)
    return hv.Histogram((edges, cells), kdims="value", vdims="cells").opts(
        **look(
            color=OBSERVED,
            line_color="white",
            height=230,
            logx=True,
            xticks=_few_ticks(edges),
            tools=["hover"],
            xlabel=xlabel,
            ylabel=ylabel,
        )
    )


def _few_ticks(edges: Float[np.ndarray, " edges"]) -> list[tuple[float, str]]:
    """Ticks of a logarithmic axis that do not run into each other on a narrow picture."""
    low, high = float(edges[0]), float(edges[-1])
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [power * step for power in powers for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= _MOST_TICKS:
            break
    ticks = ticks or [float(np.sqrt(low * high))]  # about one value, and no round one
    return [(tick, f"{tick:,.3g}" if tick < 1000 else f"{tick:,.0f}") for tick in ticks]
