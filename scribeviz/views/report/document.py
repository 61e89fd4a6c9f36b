"""A report as data, and its page: one HTML file that needs no other and runs no script."""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files

import holoviews as hv
from jinja2 import Environment, StrictUndefined, Template

from scribeviz import __version__
from scribeviz.plots.figures import INK, FigureFile, Legend, figure_bytes

_FILE = FigureFile(kind="svg", width=12, height=7.6, font_size=8.5)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_NAMED = re.compile(r' id="([^"]*)"')
_REFERRED = re.compile(r'(href="#|url\(#)([^")]+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture with its caption.

    Attributes
    ----------
    title, caption
        What it is, and how to read it.
    picture
        Of :mod:`scribeviz.plots`.
    legend
        Label, colour and opacity of each part, where it has no legend of its own.
    """

    title: str
    caption: str
    picture: hv.core.Dimensioned
    legend: Legend = ()

    @property
    def svg(self) -> str:
        """The picture within a page, whose colour its text and axes have, light or dark."""
        drawn = self.file(_FILE).decode()
        svg = _METADATA.sub("", drawn[drawn.index("<svg") :]).replace(INK, "currentColor")
        return _with_names_of_its_own(svg)

    def file(self, file: FigureFile) -> bytes:
        """The picture as a file of its own."""
        return figure_bytes(self.picture, file, legend=self.legend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of texts.

    Attributes
    ----------
    columns
        Headings, with units.
    rows
        As long as ``columns`` each.
    texts
        Columns of words, which begin at the left; numbers end at the right.
    caption
        How to read it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Sequence[str] = ()
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a report; what it does not have is left out."""

    key: str
    title: str
    sentences: Sequence[str] = ()
    warnings: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a report says.

    Attributes
    ----------
    title, lead
        What it is about.
    figures
        The few numbers that one looks for first, by name.
    sections
        In their order.
    """

    title: str
    lead: str
    figures: Mapping[str, str]
    sections: Sequence[Section]

    @property
    def pictures(self) -> list[Picture]:
        """All of them, in their order."""
        return [picture for section in self.sections for picture in section.pictures]

    @property
    def html(self) -> str:
        """The whole file."""
        now = datetime.now().astimezone()
        return _template().render(report=self, version=__version__, made=f"{now:%d %B %Y, %H:%M}")


def titled(
    picture: hv.core.Dimensioned, title: str, caption: str = "", *, legend: Legend = ()
) -> Picture:
    """A picture of a report."""
    return Picture(title=title, caption=caption, picture=picture, legend=legend)


def _with_names_of_its_own(svg: str) -> str:
    """The same picture; names within it are those of no other picture of a page."""
    prefix = f"p{zlib.crc32(svg.encode()):x}"
    referred = {name for _, name in _REFERRED.findall(svg)}

    def name(match: re.Match[str]) -> str:
        return f' id="{prefix}-{match[1]}"' if match[1] in referred else ""

    return _REFERRED.sub(rf"\g<1>{prefix}-\2", _NAMED.sub(name, svg))


@cache
def _template() -> Template:
    text = files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(text)
