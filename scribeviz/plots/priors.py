"""The density of a prior."""

import holoviews as hv
import numpy as np
from jaxtyping import Float

from scribeviz.plots.theme import PREDICTED, look


def prior_density(
    values: Float[np.ndarray, " points"],
    density: Float[np.ndarray, " points"],
    *,
    label: str,
    log_axis: bool,
) -> hv.Area:
    """Draw a density over the values of a parameter.

    Parameters
    ----------
    values, density
        The curve; with ``log_axis`` the density is per unit of ln(value).
    label
        What the parameter is called.
    log_axis
        Whether the values are drawn on a logarithmic axis.
    """
    return hv.Area((values, density), "value", "density").opts(
        **look(
            color=PREDICTED,
            alpha=0.3,
            line_color=PREDICTED,
            line_width=2,
            height=180,
            logx=log_axis,
            xlabel=label,
            ylabel="density",
            yaxis="bare",
            ylim=(0, None),
            framewise=True,
            toolbar=None,
        )
    )
