"""Colours and common looks.  Okabe and Ito's colours: told apart by colour-blind eyes too."""

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh
from bokeh.models import DataRange1d, SaveTool

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


def shortened(name: str, length: int = 24) -> str:
    """A name as it is written on an axis: a long one without its middle.

    Its ends tell names of one file apart.

    Examples
    --------
    >>> shortened("CD3E"), shortened("GSE123456_sample_of_a_patient_rep1", 16)
    ('CD3E', 'GSE12345…nt_rep1')
    """
    if len(name) <= length:
        return name
    end = length // 2 - 1
    return f"{name[: length - end - 1]}…{name[-end:]}"


def distinct(names: Sequence[str], length: int = 24) -> dict[str, str]:
    """Every name, and how it is written on an axis; those that would look alike are numbered."""
    written: dict[str, str] = {}
    for name in dict.fromkeys(names):
        short = shortened(name, length)
        alike = sum(shortened(other, length) == short for other in written)
        written[name] = f"{short} ({alike + 1})" if alike else short
    return written


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
    for tool in figure.select(SaveTool):
        tool.filename = "scribeviz"
