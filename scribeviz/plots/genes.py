"""All genes at once: how scatter and zeros go with the mean, in the data and in the model."""

from collections.abc import Callable
from functools import partial

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.models import HoverTool

from scribeviz.plots.theme import ACCENT, OBSERVED, PREDICTED, look

LEGEND = (
    ("observed", OBSERVED, 0.55),
    ("observed, not as expected", ACCENT, 0.8),
    ("predicted, median gene of that mean", PREDICTED, 0.9),
    ("nine of ten genes", PREDICTED, 0.25),
)
"""Label, colour and opacity, for a legend beside the pictures."""

_SMALLEST_VARIANCE = 1e-6  # a gene that never varies has to be somewhere on a logarithmic axis
_MARGIN = 1.3  # beyond the outermost of a logarithmic axis
_TRACE, _FEWEST = 300, 5  # points of the predicted curve, and genes behind each


def mean_variance(genes: pd.DataFrame) -> tuple[hv.Points, hv.Overlay]:
    """Variance against mean, both logarithmic.

    Parameters
    ----------
    genes
        From :func:`scribeviz.criticism.misfit.gene_table`.

    Returns
    -------
    tuple
        The observed genes, whose taps can be listened to, and the whole picture.
    """
    shown = genes.assign(height=genes["variance"].clip(lower=_SMALLEST_VARIANCE))
    curve = _trace(genes["predicted_mean"], genes["predicted_variance"])
    return _picture(shown, curve, "variance of its counts", logy=True)


def mean_zeros(genes: pd.DataFrame) -> tuple[hv.Points, hv.Overlay]:
    """Share of cells without the gene against its mean; see :func:`mean_variance`."""
    shown = genes.assign(height=genes["zeros"])
    curve = _trace(genes["predicted_mean"], genes["predicted_zeros"])
    return _picture(shown, curve, "share of cells without it", logy=False)


def mean_dispersion(
    genes: pd.DataFrame, expected: Callable[[np.ndarray], np.ndarray]
) -> tuple[hv.Points, hv.Overlay]:
    """Dispersion r against mean, both logarithmic; see :func:`mean_variance`.

    Parameters
    ----------
    genes
        ``gene``, ``misfit`` and ``problem``; ``mean`` and ``dispersion`` as estimated.
    expected
        Means to 5 %, 50 % and 95 % points of the dispersions that are expected there.
    """
    shown = genes.assign(height=genes["dispersion"])
    means = np.geomspace(np.percentile(shown["mean"], 0.1), shown["mean"].max(), _TRACE)
    low, middle, high = expected(means)
    curve = pd.DataFrame({"mean": means, "low": low, "height": middle, "high": high})
    return _picture(shown, curve, "dispersion r (less scatter upwards)", logy=True)


def coverage(genes: pd.DataFrame) -> hv.Overlay:
    """Nominal against true coverage of central intervals: on average, and in nine of ten genes.

    Parameters
    ----------
    genes
        From :func:`scribeviz.criticism.misfit.gene_table`.
    """
    inner = {
        (high - low) / 100: genes[f"pit{high}"] - genes[f"pit{low}"]
        for low, high in ((40, 60), (30, 70), (20, 80), (10, 90))
    }
    of_genes = inner | {0.5: genes["cover50"], 0.9: genes["cover90"]}
    levels = sorted(of_genes)
    low, middle, high = (
        np.array([f(of_genes[level]) for level in levels])
        for f in (partial(np.percentile, q=5), np.mean, partial(np.percentile, q=95))
    )
    band = hv.Area((levels, low, high), "nominal", ["low", "high"])
    line = hv.Curve((levels, middle), "nominal", "true")
    points = hv.Scatter((levels, middle), "nominal", "true")
    right = hv.Curve(([0, 1], [0, 1]), "nominal", "true")
    return hv.Overlay(
        [
            band.opts(color=OBSERVED, alpha=0.25, line_color=None),
            right.opts(color=PREDICTED, line_dash="dashed", line_width=1.5),
            line.opts(color=OBSERVED, line_width=2),
            points.opts(color=OBSERVED, size=6, tools=["hover"]),
        ]
    ).opts(
        **look(
            height=300,
            xlim=(0, 1),
            ylim=(0, 1.02),
            xlabel="nominal share of counts within the interval",
            ylabel="true share",
        )
    )


def _picture(
    genes: pd.DataFrame, curve: pd.DataFrame, ylabel: str, *, logy: bool
) -> tuple[hv.Points, hv.Overlay]:
    off = (genes["problem"] != "as expected").to_numpy()
    shown = genes[["gene", "mean", "height", "misfit", "problem"]].assign(
        color=np.where(off, ACCENT, OBSERVED), size=np.where(off, 5, 3)
    )
    tooltip = {"gene": "@gene", "misfit": "@misfit{0.0 %}", "problem": "@problem"}
    points = hv.Points(shown, ["mean", "height"], ["gene", "misfit", "problem", "color", "size"])
    points = points.opts(
        color="color",
        size="size",
        alpha=0.55,
        line_color=None,
        nonselection_alpha=0.3,
        tools=["tap", "lasso_select", "box_select", HoverTool(tooltips=list(tooltip.items()))],
    )
    line = hv.Curve(curve, "mean", "height").opts(color=PREDICTED, line_width=2)
    band = hv.Area(curve, "mean", ["low", "high"]).opts(
        color=PREDICTED, alpha=0.25, line_color=None
    )
    overlay = (points * band * line).opts(
        **look(
            logx=True,
            logy=logy,
            # An area's own range begins at zero, where no logarithmic axis can.
            ylim=_positive_range(shown["height"], curve) if logy else (-0.02, 1.02),
            height=320,
            xlabel="mean count of the gene",
            ylabel=ylabel,
            backend_opts={"plot.output_backend": "webgl"},
        )
    )
    return points, overlay


def _positive_range(heights: pd.Series, curve: pd.DataFrame) -> tuple[float, float]:
    values = np.concatenate([heights, curve["low"], curve["high"]])
    values = values[np.isfinite(values) & (values > 0)]
    return float(values.min()) / _MARGIN, float(values.max()) * _MARGIN


def _trace(mean: pd.Series, height: pd.Series) -> pd.DataFrame:
    """Median of the predictions among genes of about the same mean, and where nine of ten lie."""
    order = np.argsort(mean.to_numpy())
    parts = np.array_split(order, min(_TRACE, max(order.size // _FEWEST, 1)))
    low, middle, high = np.transpose(
        [np.percentile(height.to_numpy()[part], (5, 50, 95)) for part in parts]
    )
    places = [float(np.median(mean.to_numpy()[part])) for part in parts]
    return pd.DataFrame({"mean": places, "height": middle, "low": low, "high": high})
