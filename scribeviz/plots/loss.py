"""The loss of a fit, while it runs and after."""

from typing import Any

import holoviews as hv
import numpy as np
from bokeh.models import NumeralTickFormatter
from jaxtyping import Float, Int

from scribeviz.plots.theme import ACCENT, OBSERVED, PREDICTED, follow_data, look

_MOST_POINTS = 800
_SMOOTHING = 25  # points
_FEWEST_SMOOTHED = 200  # of fewer steps each is shown as it is

LEGEND = (("each step", OBSERVED, 0.45), ("smoothed", ACCENT, 1.0))
"""Label, colour and opacity of each curve, for a legend beside the picture."""

VALIDATION_LEGEND = (*LEGEND, ("not trained on", PREDICTED, 1.0))
"""The same where some cells are not trained on."""


def thinned_loss(
    losses: Float[np.ndarray, " steps"],
    first: int = 0,
    validation: tuple[Int[np.ndarray, " epochs"], Float[np.ndarray, " epochs"]] | None = None,
) -> dict[str, Float[np.ndarray, " points"]]:
    """Reduce a loss history to at most 800 points.

    Parameters
    ----------
    losses
        Loss of every step, in nats.
    first
        Leave out the steps before this one.
    validation
        Steps after which cells that are not trained on were scored, and their loss.

    Returns
    -------
    dict
        ``step``, ``loss`` (of that step) and ``smooth`` (mean over the steps around it); with
        validation also ``validated`` and ``validation``.
    """
    thinned = _thinned(losses, first)
    if validation is None:
        return thinned
    after, loss = validation
    return thinned | {"validated": after[after > first], "validation": loss[after > first]}


def _thinned(
    losses: Float[np.ndarray, " steps"], first: int
) -> dict[str, Float[np.ndarray, " points"]]:
    steps = np.arange(first, losses.size)
    if steps.size == 0:
        return {"step": steps, "loss": losses[first:], "smooth": losses[first:]}
    stride = -(-steps.size // _MOST_POINTS)
    # Counted from the end, so that the newest step is always shown.
    shown = steps[::-1][::stride][::-1]
    # Centred, and narrower towards both ends: a mean of earlier steps only would lag behind.
    widest = _SMOOTHING * stride // 2 if steps.size >= _FEWEST_SMOOTHED else 0
    half = np.minimum.reduce([np.full(shown.shape, widest), shown - first, losses.size - 1 - shown])
    running = np.concatenate([[0.0], np.cumsum(losses, dtype=np.float64)])
    smooth = (running[shown + half + 1] - running[shown - half]) / (2 * half + 1)
    return {"step": shown + 1, "loss": losses[shown], "smooth": smooth}


def loss_curve(
    data: dict[str, np.ndarray], *, log: bool = False, unit: str = "steps", **options: Any
) -> hv.Overlay:
    """Draw a loss.

    Parameters
    ----------
    data
        From :func:`thinned_loss`.
    log
        Draw both axes logarithmic; for losses above 0.
    unit
        What is counted along the horizontal axis.
    **options
        Of HoloViews, such as ``show_legend=False`` where a legend stands beside it.
    """
    raw = hv.Curve((data["step"], data["loss"]), "step", "loss", label="each step")
    smooth = hv.Curve((data["step"], data["smooth"]), "step", "loss", label="smoothed")
    shown = [
        raw.opts(color=OBSERVED, alpha=0.45, line_width=1, apply_ranges=False),
        smooth.opts(color=ACCENT, line_width=2, tools=["hover"], apply_ranges=False),
    ]
    if "validated" in data:
        dots = hv.Scatter(
            (data["validated"], data["validation"]), "step", "validation", label="not trained on"
        )
        shown.append(dots.opts(color=PREDICTED, size=5, tools=["hover"], apply_ranges=False))
    return hv.Overlay(shown).opts(
        **look(
            xlabel=unit,
            ylabel="loss (nats)",
            xformatter=NumeralTickFormatter(format="0,0"),
            yformatter=NumeralTickFormatter(format="0,0.[00]"),
            logx=log,
            logy=log,
            legend_position="top_right",
            hooks=[follow_data],
            **options,
        )
    )
