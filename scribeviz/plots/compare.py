"""Models side by side: which genes prefer which, and how their losses fell."""

from collections.abc import Iterable, Mapping
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.models import HoverTool, NumeralTickFormatter
from jaxtyping import Float

from scribeviz.plots.cell_map import MOST_POINTS
from scribeviz.plots.theme import ACCENT, OBSERVED, PREDICTED, component_color, look

_DECADES = 10.0 ** np.arange(7)
_MOST_POINTS = 400
_SMOOTHING = 0.02  # of the steps


def gene_differences(genes: pd.DataFrame, first: str, second: str) -> hv.Points:
    """Draw how much better the first model predicts each gene than the second.

    Parameters
    ----------
    genes
        ``gene``, ``mean`` count and ``difference`` in elpd, in nats, first less second.
    first, second
        Names of the models.
    """
    shown = genes.assign(
        height=_squeezed(genes["difference"]),
        color=np.where(genes["difference"] > 0, PREDICTED, ACCENT),
    )
    most = float(np.abs(genes["difference"]).max()) if len(genes) else 1.0
    marks = [0.0, *(d for d in _DECADES if d <= max(most, 1.0))]
    signed = sorted({sign * mark for mark in marks for sign in (1, -1)})
    ticks = [(float(_squeezed(mark)), f"{mark:+,.0f}" if mark else "0") for mark in signed]
    return hv.Points(shown, ["mean", "height"], ["gene", "difference", "color"]).opts(
        **look(
            color="color",
            size=5,
            alpha=0.55,
            logx=True,
            height=420,
            yticks=ticks,
            tools=["tap", _hover()],
            backend_opts={"plot.output_backend": "webgl"},
            selection_alpha=1.0,
            nonselection_alpha=0.35,
            xlabel="mean count of the gene",
            ylabel=f"nats in favour of {second}  |  of {first}",
        )
    )


def losses_legend(names: Iterable[str]) -> list[tuple[str, str, float]]:
    """Label, colour and opacity of each run of :func:`losses_beside`, for a legend beside it."""
    return [(name, component_color(i), 1.0) for i, name in enumerate(names)]


def losses_beside(losses: Mapping[str, Float[np.ndarray, " steps"]], **options: Any) -> hv.Overlay:
    """Smoothed losses of several runs, each with its name; the axis shows where they end.

    Parameters
    ----------
    losses
        Of every step, by the name of the run.
    **options
        Of HoloViews, such as ``show_legend=False`` where :func:`losses_legend` stands beside it.
    """
    curves, ends = [], []
    for (name, color, _), values in zip(losses_legend(losses), losses.values(), strict=True):
        smooth, steps = _smoothed(values)
        ends.append(smooth[smooth.size // 4 :])
        curves.append(
            hv.Curve((steps, smooth), "step", "loss", label=name).opts(color=color, line_width=2)
        )
    reached = np.concatenate(ends)
    margin = 0.05 * max(float(np.ptp(reached)), 1.0)
    return hv.Overlay(curves).opts(
        **look(
            ylim=(float(reached.min()) - margin, float(reached.max()) + margin),
            xlabel="step",
            ylabel="loss (nats)",
            xformatter=NumeralTickFormatter(format="0,0"),
            yformatter=NumeralTickFormatter(format="0,0"),
            legend_position="top",
            legend_opts={"orientation": "horizontal", "background_fill_alpha": 0.0},
            **options,
        )
    )


def entropies_beside(
    entropies: tuple[Float[np.ndarray, " cells"], Float[np.ndarray, " cells"]],
    names: tuple[str, str],
) -> hv.Points | hv.DynamicMap:
    """How undecided two mixtures are about each cell; of very many, how many cells lie where."""
    points = hv.Points(entropies, ["first", "second"])
    labels = {
        f"{axis}label": f"entropy under {name} (nats)"
        for axis, name in zip("xy", names, strict=True)
    }
    if entropies[0].size <= MOST_POINTS:
        return points.opts(**look(color=OBSERVED, size=4, alpha=0.5, **labels))
    # Imported here: it brings numba, which takes seconds and few data sets need.
    from holoviews.operation.datashader import dynspread, rasterize

    image = dynspread(rasterize(points))
    return image.opts(
        hv.opts.Image(**look(cmap="blues", cnorm="log", colorbar=True, clabel="cells", **labels))
    )


def _squeezed(nats: pd.Series | float) -> np.ndarray:
    """Nearly linear below 1 nat, logarithmic above: differences span five orders of magnitude."""
    return np.arcsinh(np.asarray(nats)) / np.log(10)


def _smoothed(
    values: Float[np.ndarray, " steps"],
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    width = max(int(values.size * _SMOOTHING), 1)
    running = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    ends = np.unique(np.linspace(width, values.size, _MOST_POINTS).astype(int))
    return (running[ends] - running[ends - width]) / width, ends.astype(float)


def _hover() -> HoverTool:
    shown = {"gene": "@gene", "mean": "@mean{0.000}", "difference": "@difference{+0.0} nats"}
    return HoverTool(tooltips=list(shown.items()))
