"""Colours and common looks.  Okabe and Ito's colours: told apart by colour-blind eyes too."""

from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh
from bokeh.models import DataRange1d

hv.Store.set_current_backend("bokeh")

OBSERVED = "#6b7280"
PREDICTED = "#0072b2"
ACCENT = "#d55e00"
COMPONENTS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#b8a500",
    "#6b7280",
)

HEIGHT = 340


def component_color(index: int) -> str:
    """Colour of a component, counted from 0; repeats after eight."""
    return COMPONENTS[index % len(COMPONENTS)]


def look(**more: Any) -> dict[str, Any]:
    """HoloViews options that every figure shares, and ``more``."""
    hooks: list[Any] = [_quiet, *more.get("hooks", [])]
    common = {
        "responsive": True,
        "height": HEIGHT,
        "fontsize": {"labels": "11px", "xticks": "10px", "yticks": "10px", "legend": "10px"},
        "default_tools": ["pan", "box_zoom", "wheel_zoom", "save", "reset"],
        "active_tools": [],
        "toolbar": "right",
        "shared_axes": False,  # axes of equal names would follow each other otherwise
    }
    return common | more | {"hooks": hooks}


def follow_data(plot: Any, _element: Any) -> None:
    """Let the axes follow new data in the browser until somebody zooms; a reset follows again.

    To be used with ``apply_ranges=False``: HoloViews would set the ranges at every update.
    """
    figure = plot.state
    if not isinstance(figure.x_range, DataRange1d):
        figure.x_range = DataRange1d(range_padding=0.02)
        figure.y_range = DataRange1d(range_padding=0.05)


def _quiet(plot: Any, _element: Any) -> None:
    figure = plot.state
    figure.toolbar.logo = None
    figure.toolbar.autohide = True
    figure.outline_line_color = None
    for grid in figure.grid:
        grid.grid_line_alpha = 0.35
