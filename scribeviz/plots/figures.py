"""Pictures on paper: a HoloViews element drawn by Matplotlib, of a chosen size, as a file.

Matplotlib is used by its objects alone.  pyplot, and HoloViews' own Matplotlib backend with it,
opens windows and keeps one state for the whole process: a server draws in threads.
"""

import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
from holoviews.plotting.util import process_cmap

from scribeviz._settings import check_settings, document_settings, setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#22272e"
"""Text and axes."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file that a figure can be: its name, and what keeps a date out of it."""

    label: str
    undated: Mapping[str, None]


KINDS: Mapping[str, Kind] = {
    "pdf": Kind("PDF", {"CreationDate": None}),
    "svg": Kind("SVG", {"Date": None}),
    "png": Kind("PNG", {}),
}
"""By the endings of their names."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of length, and how many of it are an inch."""

    label: str
    per_inch: float


UNITS: Mapping[str, Unit] = {"cm": Unit("cm", 2.54), "in": Unit("inches", 1.0)}

_DPI = 300
_POINTS_PER_INCH = 72
_PIXEL = 0.6  # points of a line that is one pixel wide on the screen
_MOST_VECTORS = 500  # dots; more of them are a bitmap within the figure
_MARK = 0.62  # points across per pixel of a mark
# rcParams are of the whole process.
_DRAWING = threading.Lock()

type Legend = Iterable[tuple[str, str, float]]
"""Label, colour and opacity of each part."""


@document_settings
@dataclass(frozen=True, slots=True, kw_only=True)
class FigureFile:
    """What a figure is like as a file: its kind, its size in print and that of its letters.

    Examples
    --------
    >>> FigureFile(width=6, height=4, unit="in").inches
    (6.0, 4.0)
    """

    kind: str = setting("pdf", label="File", doc="In PDF and SVG text stays text.", choices=KINDS)
    width: float = setting(8.5, label="Width", doc="Of the figure in print.", bounds=(1, 100))
    height: float = setting(6.5, label="Height", doc="Of the figure in print.", bounds=(1, 100))
    unit: str = setting("cm", label="Unit", doc="Of width and height.", choices=UNITS)
    font_size: float = setting(
        8.0, label="Letters", doc="Size of the letters.", unit="pt", bounds=(3, 40)
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def inches(self) -> tuple[float, float]:
        """Width and height."""
        per_inch = UNITS[self.unit].per_inch
        return self.width / per_inch, self.height / per_inch


def figure_bytes(
    picture: hv.core.Dimensioned,
    file: FigureFile | None = None,
    *,
    title: str = "",
    legend: Legend = (),
) -> bytes:
    """Draw a picture for print.

    Parameters
    ----------
    picture
        Any of :mod:`scribeviz.plots`.
    file
        Its kind and size; a PDF as wide as a column of most journals when left out.
    title
        Above it.
    legend
        Label, colour and opacity of each part, where the picture has no legend of its own.

    Examples
    --------
    >>> from scribeviz.plots import component_sizes
    >>> svg = figure_bytes(component_sizes([30, 70]), FigureFile(kind="svg"))
    >>> svg[:5]
    b'<?xml'
    """
    file = file or FigureFile()
    with _on_paper(file):
        figure = _figure(picture, file, title, tuple(legend))
        written, undated = BytesIO(), dict(KINDS[file.kind].undated)
        see_through = file.kind != "png"
        figure.savefig(written, format=file.kind, metadata=undated, transparent=see_through)
    return written.getvalue()


@contextmanager
def _on_paper(file: FigureFile) -> Iterator[None]:
    import matplotlib as mpl

    points = file.font_size
    look: Any = {
        "font.size": points,
        "axes.titlesize": points * 1.1,
        "axes.labelsize": points,
        "xtick.labelsize": points * 0.9,
        "ytick.labelsize": points * 0.9,
        "legend.fontsize": points * 0.9,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "text.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "savefig.dpi": _DPI,
        "svg.fonttype": "none",
        "svg.hashsalt": "scribeviz",
        "pdf.fonttype": 42,  # text that can be edited
        "text.parse_math": False,  # a gene may be called $x$
        "text.usetex": False,
    }
    with _DRAWING, mpl.rc_context(look):
        yield


def _figure(
    picture: hv.core.Dimensioned,
    file: FigureFile,
    title: str,
    legend: Sequence[tuple[str, str, float]],
) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=file.inches, layout="constrained")
    parts = list(picture) if isinstance(picture, hv.Layout) else [picture]
    places = figure.subplots(1, len(parts), squeeze=False)[0]
    for part, axes in zip(parts, places, strict=True):
        legend = [*legend, *_draw(axes, part)]
    if title:
        figure.suptitle(title, fontsize=file.font_size * 1.15)
    if legend:
        _add_legend(figure, legend, file)
    return figure


def _add_legend(
    figure: "Figure", legend: Sequence[tuple[str, str, float]], file: FigureFile
) -> None:
    from matplotlib.patches import Patch

    squares = [Patch(facecolor=color, alpha=opacity, label=text) for text, color, opacity in legend]
    widest = max(len(text) for text, *_ in legend) + 5
    columns = int(file.inches[0] * _POINTS_PER_INCH / (widest * file.font_size * 0.5))
    figure.legend(
        handles=squares,
        loc="outside lower center",
        ncols=max(min(columns, len(squares)), 1),
        frameon=False,
        handlelength=1.0,
        handleheight=1.0,
    )


def _draw(axes: "Axes", picture: Any) -> list[tuple[str, str, float]]:
    """Draw one picture; gives the legend of what has names of its own."""
    shown = picture[()] if isinstance(picture, hv.DynamicMap) else picture
    parts = list(shown) if isinstance(shown, hv.Overlay) else [shown]
    options = _options(parts[0], "plot") | _options(shown, "plot")
    legend: list[tuple[str, str, float]] = []
    for part in parts:
        drawn = part[()] if isinstance(part, hv.DynamicMap) else part
        plain = _options(drawn, "plot") | _options(drawn, "style")
        legend += _DRAWN[type(drawn)](axes, drawn, plain)
    _set_axes(axes, parts[0], options)
    return legend


def _options(element: Any, group: str) -> dict[str, Any]:
    return dict(hv.Store.lookup_options("bokeh", element, group).kwargs)


def _set_axes(axes: "Axes", first: Any, options: Mapping[str, Any]) -> None:
    """Scales, ends, marks and labels of both axes, as the picture has them on the screen."""
    names = [*(str(dimension.label) for dimension in first.dimensions()), "", ""]
    wide, high = _letters(axes)
    for which, name, most in zip("xy", names, (wide, high), strict=False):
        axis = getattr(axes, f"{which}axis")
        if options.get(f"log{which}"):
            getattr(axes, f"set_{which}scale")("log")
        getattr(axes, f"set_{which}lim")(options.get(f"{which}lim", (None, None)))
        axis.set_label_text(textwrap.fill(options.get(f"{which}label", name), most))
        bare = options.get(f"{which}axis", "") in {"bare", None}
        _set_marks(axis, options.get(f"{which}ticks"), bare=bare)
    axes.tick_params(axis="x", labelrotation=options.get("xrotation", 0))
    if title := options.get("title"):
        axes.set_title(textwrap.fill(title, wide))


def _letters(axes: "Axes") -> tuple[int, int]:
    """How many letters fit along the axes; one is about half as wide as high."""
    from matplotlib import rcParams

    points = _POINTS_PER_INCH / axes.figure.dpi
    letter = 0.55 * rcParams["font.size"]
    wide, high = (int(points * side / letter) for side in (axes.bbox.width, axes.bbox.height))
    return max(wide, 8), max(high, 8)


def _set_marks(axis: Any, marks: Any, *, bare: bool) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    axis.set_minor_formatter(NullFormatter())
    if bare or marks == 0:
        axis.set_ticks([])
    elif isinstance(marks, list):
        axis.set_ticks([at for at, _ in marks], [text for _, text in marks])
    elif not isinstance(axis.get_major_locator(), FixedLocator):  # that of names
        axis.set_major_formatter(FuncFormatter(_number))


def _number(value: float, _: object = None) -> str:
    """A number beside an axis, without an exponent where people write none.

    Examples
    --------
    >>> _number(12000.0), _number(0.1), _number(2.0)
    ('12,000', '0.1', '2')
    """
    return f"{value:,.6g}"


def _line(style: Mapping[str, Any]) -> dict[str, Any]:
    dashed = style.get("line_dash", "solid")
    return {
        "color": style.get("color", INK),
        "alpha": style.get("alpha"),
        "linewidth": _PIXEL * style.get("line_width", 1),
        "linestyle": dashed,
    }


def _curve(axes: "Axes", curve: hv.Curve, style: Mapping[str, Any]) -> list:
    axes.plot(curve.dimension_values(0), curve.dimension_values(1), **_line(style))
    named = curve.label and style.get("show_legend", True)
    return [(curve.label, style.get("color", INK), 1.0)] if named else []


def _area(axes: "Axes", area: hv.Area, style: Mapping[str, Any]) -> list:
    ends = [area.dimension_values(i) for i in range(1, len(area.dimensions()))]
    low, high = ends if len(ends) == 2 else (np.zeros_like(ends[0]), ends[0])
    at, alpha = area.dimension_values(0), style.get("alpha", 1.0)
    axes.fill_between(at, low, high, color=style["color"], alpha=alpha, linewidth=0)
    if style.get("line_color") is not None:
        width = _PIXEL * style.get("line_width", 1)
        axes.plot(at, high, color=style["line_color"], linewidth=width)
    return []


def _dots(axes: "Axes", dots: Any, style: Mapping[str, Any]) -> list:
    x, y = dots.dimension_values(0), dots.dimension_values(1)
    columns = {str(dimension) for dimension in dots.dimensions()}
    size, color = style.get("size", 4), style.get("color", INK)
    across = _MARK * (dots.dimension_values(size) if size in columns else np.full(x.size, size))
    drawn: dict[str, Any] = {"c": [color]}
    legend: list = [(dots.label, color, 1.0)] if dots.label else []
    if color in columns:
        values = dots.dimension_values(color)
        cmap = style.get("cmap")
        if isinstance(cmap, dict):
            drawn, legend = {"c": [cmap[v] for v in values]}, [(n, c, 1.0) for n, c in cmap.items()]
        elif values.dtype.kind in "OUS":
            drawn = {"c": list(values)}  # colours
        else:
            drawn = {"c": values, "cmap": _cmap(cmap)}
    hollow = style.get("fill_alpha") == 0
    marks = axes.scatter(
        x,
        y,
        s=across**2,
        alpha=None if hollow else style.get("alpha"),
        linewidths=_PIXEL * style.get("line_width", 1) if hollow else 0,
        rasterized=x.size > _MOST_VECTORS,
        **({"facecolors": "none", "edgecolors": color} if hollow else drawn),
    )
    if "cmap" in drawn:
        _add_colorbar(axes, marks, style)
    return legend


def _boxes(axes: "Axes", boxes: hv.Rectangles, _style: Mapping[str, Any]) -> list:
    """Boxes with columns for how each is drawn, as :mod:`scribeviz.plots.ppc` makes them."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba_array

    x0, y0, x1, y1 = (boxes.dimension_values(i) for i in range(4))
    fill, opacity, edge, width = (
        boxes.dimension_values(name) for name in ("fill", "opacity", "edge", "edge_width")
    )
    corners = np.stack([np.stack([x0, x0, x1, x1], 1), np.stack([y0, y1, y1, y0], 1)], axis=2)
    axes.add_collection(
        PolyCollection(
            list(corners),
            facecolors=to_rgba_array(list(fill), opacity.astype(float)),
            edgecolors=list(edge),
            linewidths=_PIXEL * width.astype(float),
        )
    )
    axes.autoscale_view()
    return []


def _histogram(axes: "Axes", bars: hv.Histogram, style: Mapping[str, Any]) -> list:
    heights, edges = bars.dimension_values(1), np.asarray(bars.edges)
    color = {"color": style["color"], "edgecolor": style.get("line_color"), "linewidth": 0.3}
    axes.bar(edges[:-1], heights, np.diff(edges), align="edge", **color)
    return []


def _bars(axes: "Axes", bars: hv.Bars, style: Mapping[str, Any]) -> list:
    color = style["color"]
    columns = {str(dimension) for dimension in bars.dimensions()}
    colors = list(bars.dimension_values(color)) if color in columns else color
    names = [str(name) for name in bars.dimension_values(0)]
    axes.bar(np.arange(len(names)), bars.dimension_values(1), color=colors)
    axes.set_xticks(np.arange(len(names)), names)
    return []


def _categories(element: Any, axis: int) -> dict[str, int]:
    """Places of the names along an axis, in the order in which they come."""
    return {str(n): i for i, n in enumerate(dict.fromkeys(element.dimension_values(axis, False)))}


def _tiles(axes: "Axes", tiles: hv.HeatMap, style: Mapping[str, Any]) -> list:
    columns, rows = _categories(tiles, 0), _categories(tiles, 1)
    values = np.full((len(rows), len(columns)), np.nan)
    places = [rows[str(y)] for y in tiles.dimension_values(1)]
    values[places, [columns[str(x)] for x in tiles.dimension_values(0)]] = tiles.dimension_values(2)
    low, high = style.get("clim", (None, None))
    edges = np.arange(len(columns) + 1) - 0.5, np.arange(len(rows) + 1) - 0.5
    mesh = axes.pcolormesh(
        *edges,
        values,
        cmap=_cmap(style["cmap"]),
        vmin=low,
        vmax=high,
        edgecolors=style.get("line_color"),
        linewidth=0.5,
    )
    axes.set_xticks(range(len(columns)), list(columns))
    axes.set_yticks(range(len(rows)), list(rows))
    if style.get("colorbar"):
        _add_colorbar(axes, mesh, style)
    return []


def _texts(axes: "Axes", texts: hv.Labels, style: Mapping[str, Any]) -> list:
    """Numbers on a heat map, whose categories they share."""
    columns, rows = _categories(texts, 0), _categories(texts, 1)
    shades = texts.dimension_values(style["text_color"])
    light, (low, high) = _cmap(style["cmap"]), style["clim"]
    written = zip(
        *(texts.dimension_values(i) for i in range(3)), (shades - low) / (high - low), strict=True
    )
    for x, y, text, shade in written:
        at = columns[str(x)], rows[str(y)]
        axes.text(*at, f"{text}", color=light(float(shade)), ha="center", va="center")
    return []


def _image(axes: "Axes", image: hv.Image, style: Mapping[str, Any]) -> list:
    left, low, right, high = image.bounds.lbrt()
    ends = style.get("clim", (None, None))
    # The first row is the lowest, as axes go up.
    shown = axes.imshow(
        image.dimension_values(2, flat=False),
        extent=(left, right, low, high),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=_cmap(style.get("cmap")),
        norm=style.get("cnorm"),
        **({} if ends == (None, None) else {"vmin": ends[0], "vmax": ends[1]}),
    )
    if style.get("colorbar"):
        _add_colorbar(axes, shown, style)
    return []


def _colored_image(axes: "Axes", image: hv.RGB, _style: Mapping[str, Any]) -> list:
    left, low, right, high = image.bounds.lbrt()
    layers = [image.dimension_values(i, flat=False) for i in range(2, len(image.dimensions()))]
    axes.imshow(
        np.dstack(layers).astype(np.uint8),
        extent=(left, right, low, high),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )
    return []


def _lines_across(axes: "Axes", lines: hv.HLines, style: Mapping[str, Any]) -> list:
    for height in lines.dimension_values(0):
        axes.axhline(height, **_line(style))
    return []


def _line_across(axes: "Axes", line: hv.HLine, style: Mapping[str, Any]) -> list:
    axes.axhline(line.data, **_line(style))
    return []


def _cmap(name: Any) -> Any:
    from matplotlib.colors import ListedColormap

    colors = name if isinstance(name, list) else process_cmap(name or "viridis", 256)
    return ListedColormap(colors)


def _add_colorbar(axes: "Axes", drawn: Any, style: Mapping[str, Any]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    bar = axes.figure.colorbar(drawn, ax=axes, fraction=0.05, pad=0.02)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(_number))
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.outline.set_visible(False)
    bar.set_label(style.get("clabel") or "")


type _Drawer = Callable[["Axes", Any, Mapping[str, Any]], list[tuple[str, str, float]]]

# What the pictures are made of; each gives the legend of its parts.
_DRAWN: Mapping[type, _Drawer] = {
    hv.Area: _area,
    hv.Bars: _bars,
    hv.Curve: _curve,
    hv.HLine: _line_across,
    hv.HLines: _lines_across,
    hv.HeatMap: _tiles,
    hv.Histogram: _histogram,
    hv.Image: _image,
    hv.Labels: _texts,
    hv.Points: _dots,
    hv.RGB: _colored_image,
    hv.Rectangles: _boxes,
    hv.Scatter: _dots,
}
