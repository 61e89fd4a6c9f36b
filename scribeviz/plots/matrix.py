"""A count matrix at a glance."""

import holoviews as hv
import numpy as np
from jaxtyping import Float

from scribeviz.plots.theme import OBSERVED, look


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
            tools=["hover"],
            xlabel=xlabel,
            ylabel=ylabel,
        )
    )
