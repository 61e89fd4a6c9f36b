"""Cells in two dimensions, coloured by numbers or by groups."""

from typing import Any

import colorcet
import holoviews as hv
import numpy as np
import pandas as pd
from holoviews.element.selection import spatial_select
from jaxtyping import Bool, Float, Int

from scribeviz.plots.theme import COMPONENTS, look

MOST_POINTS = 20_000
"""More cells than this are drawn as an image by datashader."""

_CMAP = "viridis"
_SELECT = ["lasso_select", "box_select"]


def group_colors(groups: list[str]) -> dict[str, str]:
    """A colour per group: eight for colour-blind eyes, beyond them as many as there are."""
    palette = COMPONENTS if len(groups) <= len(COMPONENTS) else colorcet.b_glasbey_category10
    return {group: palette[i % len(palette)] for i, group in enumerate(groups)}


def cells_map(
    places: Float[np.ndarray, "cells 2"],
    colors: pd.Series,
    names: tuple[str, str],
    chosen: Int[np.ndarray, " chosen"] | None = None,
) -> hv.Points | hv.DynamicMap:
    """Draw the cells where an embedding places them.

    Parameters
    ----------
    places
        Of the cells.
    colors
        Per cell a number, or a categorical of groups.
    names
        Of the two axes.
    chosen
        Positions of cells that stand out from the others; all alike when left out.
    """
    grouped = isinstance(colors.dtype, pd.CategoricalDtype)
    table = {"x": places[:, 0], "y": places[:, 1], "told": colors.to_numpy()}
    if grouped:
        table["told"] = colors.astype(str).to_numpy(object)
    shared: dict[str, Any] = {
        "height": 430,
        "xlabel": names[0],
        "ylabel": names[1],
        "xaxis": "bare",
        "yaxis": "bare",
    }
    numbers = {"cmap": _CMAP, "colorbar": True, "clabel": ""}
    if len(places) > MOST_POINTS:
        if chosen is not None:
            table = {name: values[chosen] for name, values in table.items()}
            shared |= _ranges(places)
        return _image(table, grouped=grouped, options=shared, numbers=numbers)
    points = hv.Points(table, ["x", "y"], ["told"]).opts(
        color="told",
        size=float(np.clip(160 / np.sqrt(len(places)), 2, 6)),
        alpha=0.8,
        line_color=None,
        nonselection_alpha=0.08,
        tools=[*_SELECT, "hover"],
        **({} if chosen is None else {"selected": chosen.tolist()}),
        **look(**shared),
    )
    if grouped:
        colored = group_colors([str(group) for group in colors.cat.categories])
        return points.opts(cmap=colored, show_legend=False)
    return points.opts(**numbers)


def _ranges(places: Float[np.ndarray, "cells 2"]) -> dict[str, Any]:
    """Axes of all cells, also where only some are drawn."""
    (left, low), (right, high) = places.min(axis=0), places.max(axis=0)
    return {"xlim": (left, right), "ylim": (low, high)}


def _image(
    table: dict[str, np.ndarray], *, grouped: bool, options: dict[str, Any], numbers: dict[str, Any]
) -> hv.DynamicMap:
    """The same of many cells: what is in a pixel is averaged, or the groups' colours mixed."""
    # Imported here: it brings numba, which takes seconds and few data sets need.
    import datashader
    from holoviews.operation.datashader import datashade, dynspread, rasterize

    frame = pd.DataFrame(table)
    if grouped:
        frame["told"] = frame["told"].astype("category")
        points = hv.Points(frame, ["x", "y"], ["told"])
        colors = group_colors(list(frame["told"].cat.categories))
        image = datashade(points, aggregator=datashader.count_cat("told"), color_key=colors)
        return dynspread(image).opts(hv.opts.RGB(**look(tools=_SELECT, **options)))
    points = hv.Points(frame, ["x", "y"], ["told"])
    image = rasterize(points, aggregator=datashader.mean("told"))
    return dynspread(image).opts(
        hv.opts.Image(**look(tools=[*_SELECT, "hover"], **options, **numbers))
    )


def within(
    places: Float[np.ndarray, "cells 2"], outline: Float[np.ndarray, "corners 2"]
) -> Bool[np.ndarray, " cells"]:
    """Which cells lie within an outline that was drawn around them."""
    # HoloViews asks shapely, which it does not require.
    return np.asarray(spatial_select(places[:, 0], places[:, 1], outline))
