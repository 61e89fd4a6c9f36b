"""What an autoencoder was given, what it made of it, and what it missed."""

from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
from bokeh.models import CustomJSHover, HoverTool
from jaxtyping import Float, Int

from scribeviz.plots.cell_map import MOST_POINTS, cells_map
from scribeviz.plots.theme import ACCENT, look

MOST_ENTRIES = 1_000_000
"""Beyond so many entries a heat map is an image by datashader, finer where one zooms in."""

_HEIGHT = 420  # pixels
_FOR_NAMES = 130  # pixels
_APART = 14  # pixels between the names of groups
_MOST_NAMES = 40  # genes whose names fit below a heat map
_WIDEST = 0.995  # quantile of the absolute error that gets the full colour


def by_label(labels: pd.Series) -> Int[np.ndarray, " cells"]:
    """Positions of the cells, those of one label together."""
    return np.argsort(pd.Categorical(labels).codes, kind="stable")


def error_heatmaps(
    x: Float[np.ndarray, "cells genes"],
    reconstruction: Float[np.ndarray, "cells genes"],
    *,
    genes: list[str],
    labels: pd.Series,
) -> hv.Layout:
    """Draw input, reconstruction and signed error, cells in the order of their labels.

    Who zooms in one of the three zooms in all.

    Parameters
    ----------
    x, reconstruction
        What the network was given, and what it made of it.
    genes
        Names of the columns.
    labels
        Of each cell; its index holds the names of the cells.
    """
    order = by_label(labels)
    names = {"gene": genes, "cell": list(labels.index[order].astype(str))}
    groups = pd.Categorical(labels)[order]
    given, made = x[order], reconstruction[order]
    missed = given - made
    low, high = min(float(given.min()), 0.0), float(np.quantile(given, _WIDEST))
    top = high if high > low else low + 1
    limit = float(np.quantile(np.abs(missed), _WIDEST)) or 1.0
    values = {"cmap": "magma", "clim": (low, top)}
    errors = {"cmap": "RdBu_r", "clim": (-limit, limit), "colorbar": True}
    borders = _borders(groups)
    drawn = [
        _heatmap(table, title, names, borders, options)
        for table, title, options in (
            (given, "Input", values),
            (made, "Reconstruction", values | {"colorbar": True}),
            (missed, "Error: input less reconstruction", errors),
        )
    ]
    # As wide as the others beside the names of its groups.
    drawn[0] = drawn[0].opts(
        hv.opts.Image(yaxis="left", yticks=_ticks(groups), min_width=260 + _FOR_NAMES)
    )
    drawn[1:] = [
        one.opts(hv.opts.Image(yaxis=None), hv.opts.HLines(yaxis=None)) for one in drawn[1:]
    ]
    return hv.Layout(drawn).cols(3).opts(shared_axes=True, toolbar="right")


def error_map(
    places: Float[np.ndarray, "cells 2"],
    error: pd.Series,
    names: tuple[str, str],
    *,
    n_marked: int = 10,
) -> hv.Overlay | hv.DynamicMap:
    """Draw the cells where an embedding places them, coloured by their error; mark the largest.

    Parameters
    ----------
    places
        Of the cells.
    error
        Mean squared error of each cell; its index holds their names.
    names
        Of the two axes.
    n_marked
        How many cells to mark.
    """
    # The largest errors would leave all others in one colour.
    shown = error.clip(upper=float(error.quantile(_WIDEST)))
    colored = cells_map(places, shown, names)
    most = np.argsort(-error.to_numpy(), kind="stable")[:n_marked]
    table = {
        "x": places[most, 0],
        "y": places[most, 1],
        "cell": error.index[most].astype(str),
        "error": error.to_numpy()[most],
    }
    marked = hv.Points(table, ["x", "y"], ["cell", "error"]).opts(
        color=ACCENT,
        fill_alpha=0.0,
        line_width=2,
        size=11,
        tools=[HoverTool(tooltips=[("cell", "@cell"), ("mean squared error", "@error{0.0000}")])],
    )
    overlay = colored * marked
    if len(places) > MOST_POINTS:
        return overlay
    return overlay.opts(hv.opts.Overlay(**look(height=430)))


def _heatmap(
    table: Float[np.ndarray, "cells genes"],
    title: str,
    names: dict[str, list[str]],
    borders: list[float],
    options: dict[str, Any],
) -> hv.Overlay:
    """One heat map; the first cell is at the top."""
    n_cells, n_genes = table.shape
    bounds = (0, 0, n_genes, n_cells)
    image = hv.Image(table, kdims=["genes", "cells"], vdims=["value"], bounds=bounds)
    looks = look(
        **options,
        colorbar_opts={"width": 8, "padding": 2},
        clabel="",
        height=_HEIGHT,
        min_width=260,
        title=title,
        shared_axes=True,
        tools=[_hover(names)],
        xlabel=f"{n_genes:,} genes",
        ylabel="",
        yaxis="bare",
        **_gene_axis(names["gene"]),
    )
    if table.size > MOST_ENTRIES:
        # Imported here: it brings numba, which takes seconds and few data sets need.
        from holoviews.operation.datashader import rasterize

        image = rasterize(image)
    lines = hv.HLines(borders, kdims=["cells"]).opts(color="#9ca3af", line_width=0.5)
    return image.opts(hv.opts.Image(**looks)) * lines


def _gene_axis(genes: list[str]) -> dict[str, Any]:
    if len(genes) > _MOST_NAMES:
        return {"xaxis": "bottom", "xticks": 0}
    ticks = [(i + 0.5, gene) for i, gene in enumerate(genes)]
    return {"xticks": ticks, "xrotation": 60}


def _borders(groups: pd.Categorical) -> list[float]:
    """Heights between two groups."""
    codes = groups.codes
    return [float(codes.size - i) for i in np.flatnonzero(np.diff(codes)) + 1]


def _ticks(groups: pd.Categorical) -> list[tuple[float, str]]:
    """The name of each group at its middle; of groups too close, the largest has its name."""
    codes, n_cells = groups.codes, len(groups)
    ticks: list[tuple[float, str]] = []
    sizes = np.bincount(codes[codes >= 0], minlength=len(groups.categories))
    for code in np.argsort(sizes)[::-1]:
        if not sizes[code]:
            continue
        middle = n_cells - float(np.flatnonzero(codes == code).mean()) - 0.5
        if all(abs(middle - other) * _HEIGHT / n_cells >= _APART for other, _ in ticks):
            ticks.append((middle, str(groups.categories[code])))
    return ticks


def _hover(names: dict[str, list[str]]) -> HoverTool:
    """Tells the names of the gene and the cell under the pointer."""
    from_left = "Math.floor(special_vars.x)"
    from_top = "names.length - 1 - Math.floor(special_vars.y)"
    formatters: dict[str, Any] = {
        "$x": CustomJSHover(args={"names": names["gene"]}, code=f"return names[{from_left}] ?? ''"),
        "$y": CustomJSHover(args={"names": names["cell"]}, code=f"return names[{from_top}] ?? ''"),
    }
    tooltips = [("gene", "$x{custom}"), ("cell", "$y{custom}"), ("value", "@image{0.000}")]
    return HoverTool(tooltips=tooltips, formatters=formatters)
