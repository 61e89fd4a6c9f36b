"""Posteriors and predicted counts on Matplotlib axes, by the reference's names.

Matplotlib is imported where it is needed: nothing else here draws with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpyro.distributions as dist

from scribeviz.reference.helpers import numpyro_to_scipy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that the colour-blind can tell apart (Okabe and Ito 2008).
_HUES = {
    "black": (0.0, 0.0, 0.0),
    "blue": (0.0, 0.447, 0.698),
    "green": (0.0, 0.62, 0.451),
    "red": (0.835, 0.369, 0.0),
    "gold": (0.902, 0.624, 0.0),
    "purple": (0.8, 0.475, 0.655),
}
_SHADES = {"dark_": (0.0, 0.3), "": (0.0, 0.0), "light_": (1.0, 0.45), "pale_": (1.0, 0.7)}


def colors() -> dict[str, tuple[float, float, float]]:
    """Red, green and blue by name: ``blue``, with ``dark_``, ``light_`` or ``pale_`` before it.

    Examples
    --------
    >>> from scribeviz import viz
    >>> viz.colors()["blue"]
    (0.0, 0.447, 0.698)
    """
    return {
        f"{shade}{hue}": tuple(part + (towards - part) * share for part in rgb)  # type: ignore[misc]
        for hue, rgb in _HUES.items()
        for shade, (towards, share) in _SHADES.items()
    }


def matplotlib_style() -> None:
    """Plain pictures from here on: a light grid and no frame.

    Examples
    --------
    >>> import matplotlib as mpl
    >>> from scribeviz import viz
    >>> with mpl.rc_context():
    ...     viz.matplotlib_style()
    ...     has_grid = mpl.rcParams["axes.grid"]
    >>> has_grid
    True
    """
    import matplotlib as mpl
    from cycler import cycler

    palette = colors()
    mpl.rcParams.update(
        {
            "axes.axisbelow": True,
            "axes.edgecolor": "none",
            "axes.facecolor": "#eeeeee",
            "axes.grid": True,
            "axes.prop_cycle": cycler(color=[palette[hue] for hue in _HUES if hue != "black"]),
            "grid.color": "white",
            "savefig.bbox": "tight",
            "xtick.bottom": False,
            "ytick.left": False,
        }
    )


def plot_posterior(
    ax: "Axes",
    distribution: Any,
    ground_truth: float | None = None,
    plot_quantiles: tuple[float, float] = (0.001, 0.999),
    n_points: int = 200,
    color: Any = "blue",
    ground_truth_color: Any = "red",
    ground_truth_linestyle: str = "--",
    ground_truth_linewidth: float = 1.5,
    ground_truth_label: str | None = None,
    alpha: float = 0.6,
    label: str | None = None,
    fill_between: bool = True,
    fill_color: Any = "blue",
    fill_alpha: float = 0.2,
    log_scale: bool = False,
) -> None:
    """Draw the density of one value on an axis.

    Parameters
    ----------
    ax
        Where to draw.
    distribution
        Of SciPy or NumPyro, of a single value.
    ground_truth, ground_truth_color, ground_truth_linestyle, ground_truth_linewidth, \
ground_truth_label
        A value to mark with an upright line, and how.
    plot_quantiles
        Between which to draw.
    n_points
        Points of the curve.
    color, alpha, label
        Of the curve.
    fill_between, fill_color, fill_alpha
        Whether to fill the area below it, and how.
    log_scale
        Equal distances for equal ratios.

    Raises
    ------
    ValueError
        If the distribution is of many values.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> import scipy.stats
    >>> from scribeviz import viz
    >>> axis = Figure().subplots()
    >>> viz.plot_posterior(axis, scipy.stats.beta(2, 5), ground_truth=0.3)
    >>> len(axis.lines)
    2
    """
    fn = (
        numpyro_to_scipy(distribution)
        if isinstance(distribution, dist.Distribution)
        else (distribution)
    )
    low, high = _range(fn, plot_quantiles)
    x = (np.geomspace if log_scale else np.linspace)(low, high, n_points)
    density = np.ravel(fn.pdf(x))
    ax.plot(x, density, color=color, alpha=alpha, label=label)
    if fill_between:
        ax.fill_between(x, density, color=fill_color, alpha=fill_alpha)
    if ground_truth is not None:
        ax.axvline(
            ground_truth,
            color=ground_truth_color,
            linestyle=ground_truth_linestyle,
            linewidth=ground_truth_linewidth,
            label=ground_truth_label,
        )
    if log_scale:
        ax.set_xscale("log")


def plot_histogram_credible_regions(
    ax: "Axes",
    hist_results: Mapping[str, Any],
    colors: Sequence[Any] | None = None,
    cmap: Any = None,
    alpha: float | Sequence[float] = 0.2,
    plot_median: bool = True,
    median_color: Any = "black",
    median_alpha: float = 0.2,
    median_linewidth: float = 1.5,
    label_prefix: str = "",
    max_bin: int | None = None,
) -> "Axes":
    """Draw what :func:`~scribeviz.reference.bands.compute_histogram_credible_regions` gave.

    Parameters
    ----------
    ax
        Where to draw.
    hist_results
        The regions.
    colors, cmap
        A colour per region, the largest first, or a colour map to take them from; gray when both
        are left out.
    alpha
        Opacity of the regions, or one for each.
    plot_median, median_color, median_alpha, median_linewidth
        Whether to draw the median, and how.
    label_prefix
        What labels begin with.
    max_bin
        How many bins to draw.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from scribeviz import stats, viz
    >>> axis = Figure().subplots()
    >>> regions = stats.compute_histogram_credible_regions([[0, 1, 1, 2], [0, 0, 1, 1]])
    >>> len(viz.plot_histogram_credible_regions(axis, regions).collections)
    3
    """
    x = hist_results["bin_edges"][:-1][:max_bin]
    for region, look in _layers(hist_results, colors, cmap, alpha, label_prefix):
        ax.fill_between(x, region["lower"][:max_bin], region["upper"][:max_bin], **look)
    if plot_median:
        look = _median_look(median_color, median_alpha, median_linewidth, label_prefix)
        ax.plot(x, _median(hist_results)[:max_bin], **look)
    return ax


def plot_histogram_credible_regions_stairs(
    ax: "Axes",
    hist_results: Mapping[str, Any],
    colors: Sequence[Any] | None = None,
    cmap: Any = None,
    alpha: float | Sequence[float] = 0.2,
    plot_median: bool = True,
    median_color: Any = "black",
    median_alpha: float = 0.2,
    median_linewidth: float = 1.5,
    label_prefix: str = "",
    max_bin: int | None = None,
) -> "Axes":
    """As :func:`plot_histogram_credible_regions`, with a step for each bin.

    Parameters
    ----------
    ax, hist_results, colors, cmap, alpha, plot_median, median_color, median_alpha, \
    median_linewidth, label_prefix, max_bin
        As for :func:`plot_histogram_credible_regions`.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from scribeviz import stats, viz
    >>> axis = Figure().subplots()
    >>> regions = stats.compute_histogram_credible_regions([[0, 1, 1, 2], [0, 0, 1, 1]])
    >>> len(viz.plot_histogram_credible_regions_stairs(axis, regions).patches)
    4
    """
    edges = hist_results["bin_edges"]
    edges = edges if max_bin is None else edges[: max_bin + 1]
    for region, look in _layers(hist_results, colors, cmap, alpha, label_prefix):
        lower, upper = region["lower"][:max_bin], region["upper"][:max_bin]
        ax.stairs(upper, edges, baseline=lower, fill=True, **look)
    if plot_median:
        look = _median_look(median_color, median_alpha, median_linewidth, label_prefix)
        ax.stairs(_median(hist_results)[:max_bin], edges, **look)
    return ax


def plot_ecdf_credible_regions(
    ax: "Axes",
    ecdf_results: Mapping[str, Any],
    colors: Sequence[Any] | None = None,
    cmap: Any = None,
    alpha: float | Sequence[float] = 0.2,
    plot_median: bool = True,
    median_color: Any = "black",
    median_alpha: float = 0.2,
    median_linewidth: float = 1.5,
    label_prefix: str = "",
    drawstyle: str = "steps-post",
    max_bin: int | None = None,
) -> "Axes":
    """Draw what :func:`~scribeviz.reference.bands.compute_ecdf_credible_regions` gave.

    Parameters
    ----------
    ax, colors, cmap, alpha, plot_median, median_color, median_alpha, median_linewidth, \
label_prefix, max_bin
        As for :func:`plot_histogram_credible_regions`.
    ecdf_results
        The regions.
    drawstyle
        ``"steps-post"``, ``"steps-pre"`` or ``"steps-mid"``.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from scribeviz import stats, viz
    >>> axis = Figure().subplots()
    >>> regions = stats.compute_ecdf_credible_regions([[0, 1, 1, 2], [0, 0, 1, 1]])
    >>> len(viz.plot_ecdf_credible_regions(axis, regions).collections)
    3
    """
    if drawstyle not in {"steps-post", "steps-pre", "steps-mid"}:
        raise ValueError(f"drawstyle={drawstyle!r} is none of steps-post, steps-pre, steps-mid.")
    step: Any = drawstyle.removeprefix("steps-")
    x = ecdf_results["bin_edges"][:max_bin]
    for region, look in _layers(ecdf_results, colors, cmap, alpha, label_prefix):
        lower, upper = region["lower"][:max_bin], region["upper"][:max_bin]
        ax.fill_between(x, lower, upper, step=step, **look)
    if plot_median:
        look = _median_look(median_color, median_alpha, median_linewidth, label_prefix)
        ax.plot(x, _median(ecdf_results)[:max_bin], drawstyle=drawstyle, **look)
    return ax


def plot_ecdf_credible_regions_stairs(
    ax: "Axes",
    ecdf_results: Mapping[str, Any],
    colors: Sequence[Any] | None = None,
    cmap: Any = None,
    alpha: float | Sequence[float] = 0.2,
    plot_median: bool = True,
    median_color: Any = "black",
    median_alpha: float = 0.2,
    median_linewidth: float = 1.5,
    label_prefix: str = "",
    max_bin: int | None = None,
) -> "Axes":
    """As :func:`plot_ecdf_credible_regions`, with a step that ends at the next count.

    Parameters
    ----------
    ax, ecdf_results, colors, cmap, alpha, plot_median, median_color, median_alpha, \
    median_linewidth, label_prefix, max_bin
        As for :func:`plot_ecdf_credible_regions`.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from scribeviz import stats, viz
    >>> axis = Figure().subplots()
    >>> regions = stats.compute_ecdf_credible_regions([[0, 1, 1, 2], [0, 0, 1, 1]])
    >>> len(viz.plot_ecdf_credible_regions_stairs(axis, regions).patches)
    4
    """
    points = ecdf_results["bin_edges"]
    steps = {**ecdf_results, "bin_edges": np.append(points, points[-1] + 1)}
    return plot_histogram_credible_regions_stairs(
        ax,
        steps,
        colors,
        cmap,
        alpha,
        plot_median,
        median_color,
        median_alpha,
        median_linewidth,
        label_prefix,
        max_bin,
    )


def _range(fn: Any, quantiles: tuple[float, float]) -> tuple[float, float]:
    if getattr(fn, "ppf", None) is None:
        raise ValueError(
            "the distribution has no quantiles, so it is of many values that depend on each other; "
            "draw the density of one value."
        )
    low, high = (np.ravel(fn.ppf(quantile)) for quantile in quantiles)
    if low.size != 1:
        raise ValueError(
            f"the distribution is of {low.size:,} values; choose one gene (results['CD3D']) and of "
            "a mixture one component (results.get_component(0)), or get_distributions(split=True)."
        )
    return float(low[0]), float(high[0])


def _layers(
    results: Mapping[str, Any],
    colors: Sequence[Any] | None,
    cmap: Any,
    alpha: float | Sequence[float],
    prefix: str,
) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
    """Each region, the largest first, and how it looks."""
    percentages = sorted(results["regions"], reverse=True)
    n_regions = len(percentages)
    if colors is None:
        colors = _shades(cmap, n_regions)
    alphas = alpha if isinstance(alpha, Sequence) else [alpha] * n_regions
    if len(colors) != n_regions or len(alphas) != n_regions:
        raise ValueError(
            f"there are {n_regions} regions, with {len(colors)} colors and {len(alphas)} alphas; "
            "give as many as regions."
        )
    for percentage, color, opacity in zip(percentages, colors, alphas, strict=True):
        look = {"color": color, "alpha": opacity, "label": f"{prefix}{percentage}% CR"}
        yield results["regions"][percentage], look


def _shades(cmap: Any, n_regions: int) -> list[Any]:
    if cmap is None:
        return ["gray"] * n_regions
    import matplotlib as mpl

    of_map = mpl.colormaps[cmap] if isinstance(cmap, str) else cmap
    # The closer to the median the darker.
    return [of_map(0.3 + 0.6 * i / max(n_regions - 1, 1)) for i in range(n_regions)]


def _median(results: Mapping[str, Any]) -> np.ndarray:
    return next(iter(results["regions"].values()))["median"]


def _median_look(color: Any, alpha: float, linewidth: float, prefix: str) -> dict[str, Any]:
    return {"color": color, "alpha": alpha, "linewidth": linewidth, "label": f"{prefix}median"}
