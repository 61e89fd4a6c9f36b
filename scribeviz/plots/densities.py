"""The density of a prior, and of what the data made of it."""

import holoviews as hv
import numpy as np
from jaxtyping import Float

from scribeviz.plots.theme import OBSERVED, PREDICTED, component_color, look


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
        )
    )


def prior_and_posteriors(
    prior: tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]],
    posteriors: list[tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]],
    *,
    label: str,
    log_axis: bool,
) -> hv.Overlay:
    """Draw a prior behind its posteriors, one per component; arguments as pairs of values, density.

    Posteriors are scaled to one height: how sure they are shows in their width.
    """
    values, density = prior
    top = max(float(density.max()), 1e-300)
    behind = hv.Area((values, density / top), "value", "density").opts(
        color=OBSERVED, alpha=0.25, line_color=OBSERVED
    )
    curves = [
        hv.Area((at, of / of.max()), "value", "density").opts(
            color=color, alpha=0.35, line_color=color, line_width=2
        )
        for (at, of), color in zip(posteriors, _colors(len(posteriors)), strict=True)
    ]
    return hv.Overlay([behind, *curves]).opts(
        **look(
            height=220,
            logx=log_axis,
            xlabel=label,
            ylabel="density",
            yaxis="bare",
            ylim=(0, 1.08),
            framewise=True,
        )
    )


def _colors(n_curves: int) -> list[str]:
    return [PREDICTED] if n_curves == 1 else [component_color(i) for i in range(n_curves)]
