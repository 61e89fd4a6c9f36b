"""Small pieces that several pages share.  All text is escaped: files cannot speak HTML."""

import html
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import panel as pn
import param
from bokeh.models import PrintfTickFormatter
from panel import ui
from panel.viewable import Viewable

from scribeviz.views.shared.glossary import explained_html

GAP = 16
PRIMARY = "#0e7fa6"
"""Of buttons, links and the header.  It can be read on white and, as text, on a dark page."""


_BREAK = "overflow-wrap:anywhere"
# Names of files, genes and cells may have hundreds of characters, without a blank.
_LONG_NAME = re.compile(r"(\S{36,}[^\s:;,.])")

_CUT = (
    "display:inline-block;max-width:min(100%,36ch);overflow:hidden;text-overflow:ellipsis;"
    "white-space:nowrap;vertical-align:bottom"
)

_SEVERITIES = {
    "info": (PRIMARY, "i"),
    "success": ("#1b7f4b", "✓"),
    "warning": ("#b45309", "!"),
    "error": ("#b91c1c", "✕"),
    "quiet": ("#808080", "?"),
}

LISTED_AT_ONCE = 200
"""Runs in a list; older ones on demand, since a page carries all that it lists."""

TABLE_LOOK = """
.tabulator .tabulator-row .tabulator-cell:not([style*="display: none"]) {
  display: inline-block !important; text-overflow: ellipsis !important;
}
.tabulator .tabulator-row .tabulator-cell > div { overflow: hidden; text-overflow: ellipsis; }
.tabulator .tabulator-header .tabulator-col .tabulator-col-title {
  text-transform: none !important; letter-spacing: 0 !important;
  font-size: .8rem !important; line-height: 1.25 !important;
}
"""
"""Headings of tables as they are written, as names of models are among them; long names are cut."""

ROWS_CHOOSE = "rows-choose"
"""Class of a table a click on whose rows does something; the browser lends them to the keyboard."""


_UNSAID = 3.0  # seconds, which are said from then on

# Their number is registered by in_browser.py: a style within a part of the page cannot.
_WAITING = """
@keyframes turn { to { transform: rotate(1turn); } }
@keyframes count { from { --seconds: 0; } to { --seconds: 3600; } }
@keyframes appear { to { opacity: 1; } }
@keyframes breathe { 50% { opacity: .45; } }
.turning { display: inline-block; width: 14px; height: 14px; margin-right: 10px;
  vertical-align: -2px; border: 2px solid currentColor; border-right-color: transparent;
  border-radius: 50%; box-sizing: border-box; animation: turn 1s linear infinite; }
.seconds { counter-reset: seconds var(--seconds); opacity: 0;
  animation: count 3600s linear, appear 0s forwards; }
.seconds::after { content: " " counter(seconds) " s"; opacity: .7; }
.place { border-radius: 10px; background: rgba(128, 128, 128, .16);
  animation: breathe 1.6s ease-in-out infinite; }
@media (prefers-reduced-motion: reduce) { .turning, .place { animation: none; } }
"""


def text_html(text: str, *, explain: bool = False) -> str:
    """Plain text as HTML; long names in it are cut where the line is, and whole under the mouse.

    With ``explain`` the words of the field are explained where they stand first.
    """
    parts = []
    for i, part in enumerate(_LONG_NAME.split(text)):
        escaped = html.escape(part)
        if i % 2:
            parts.append(f'<span title="{escaped}" style="{_CUT}">{escaped}</span>')
        else:
            parts.append(explained_html(escaped) if explain else escaped)
    return "".join(parts)


def page(title: str, lead: str | Callable[..., str], *content: Viewable) -> Viewable:
    """A place: its title, one sentence about it, which may be bound, and what is there."""
    head = ui.HTML(
        pn.bind(_head_html, title, lead) if callable(lead) else _head_html(title, lead),
        sizing_mode="stretch_width",
        margin=(0, 0, 12, 0),
    )
    return ui.Column(head, *content, sizing_mode="stretch_width")


def _head_html(title: str, lead: str) -> str:
    return (
        '<div style="display:flex;flex-wrap:wrap;align-items:baseline;gap:0 14px">'
        f'<h1 style="font-size:1.55rem;font-weight:600;margin:0">{text_html(title)}</h1>'
        f'<p style="margin:0;opacity:.75;min-width:0;{_BREAK}">{text_html(lead)}</p></div>'
    )


def card(title: str, *content: Viewable, **options: object) -> ui.Paper:
    """A framed group with a heading."""
    return ui.Paper(
        heading(title),
        *content,
        variant="outlined",
        elevation=0,
        sx={"padding": f"{GAP}px", "borderRadius": "10px"},
        sizing_mode="stretch_width",
        margin=(0, 0, GAP, 0),
        **options,
    )


def while_shown(
    state: param.Parameterized, make: Callable[..., Viewable], *parameters: param.Parameter
) -> Callable[..., Viewable]:
    """A part that follows ``parameters`` as long as what it was made for is ``state.explored``.

    Panel goes on calling what was bound, also when it is on no page any more: without this, parts
    of a run would be drawn of the next.
    """
    explored, last = state.explored, list[Viewable]()

    def of_what_it_was_made_for(*values: object) -> Viewable:
        if not last or state.explored is explored:
            last[:] = [make(*values)]
        return last[0]

    return pn.bind(of_what_it_was_made_for, *parameters)


def download(label: str, filename: str, make: Callable[[], Any]) -> Viewable:
    """A button for a file that is made when it is asked for."""
    return ui.FileDownload(
        callback=make, filename=filename, label=label, variant="text", size="small", margin=0
    )


def heading(text: str) -> ui.HTML:
    """A heading within a page."""
    return ui.HTML(heading_html(text), margin=(0, 0, 10, 0), sizing_mode="stretch_width")


def heading_html(text: str) -> str:
    """A heading within a page, as HTML."""
    style = f"font-size:1.02rem;font-weight:600;margin:0;{_BREAK}"
    return f'<h2 style="{style}">{text_html(text, explain=True)}</h2>'


def words(text: str, *, faint: bool = False) -> ui.HTML:
    """A paragraph of plain text."""
    return ui.HTML(words_html(text, faint=faint), sizing_mode="stretch_width", margin=(0, 0, 8, 0))


def words_html(text: str, *, faint: bool = False) -> str:
    """A paragraph of plain text, as HTML."""
    style = f"margin:0;line-height:1.45;{_BREAK}" + (";opacity:.7;font-size:.9rem" if faint else "")
    return f'<p style="{style}">{text_html(text, explain=True)}</p>'


def folded(content: Any, *, title: str, margin: Any) -> ui.Details:
    """What is looked at by those who open it, under its title."""
    return ui.Details(
        content,
        title=title,
        collapsed=True,
        fully_expanded=True,
        sizing_mode="stretch_width",
        margin=margin,
    )


def empty(text: str) -> Viewable:
    """What stands where nothing is yet: a sentence that says what to do."""
    return ui.HTML(
        '<div style="border:1px dashed rgba(128,128,128,.5);border-radius:10px;padding:36px;'
        f'text-align:center;opacity:.8">{text_html(text)}</div>',
        sizing_mode="stretch_width",
        margin=(0, 0, GAP, 0),
    )


def in_progress(doing: str, *, height: int = 0) -> Viewable:
    """What is going on, in words, for how long, and grey in ``height`` pixels of what will come.

    Nothing while ``doing`` is empty.
    """
    if not doing:
        return ui.Spacer(height=0)
    return ui.HTML(in_progress_html(doing, height=height), sizing_mode="stretch_width", margin=0)


def in_progress_html(doing: str, *, height: int = 0, after: float = 0.0) -> str:
    """What :func:`in_progress` shows, as HTML; the browser counts on from ``after`` seconds."""
    place = place_html(height) if height else ""
    return (
        f"<style>{_WAITING}</style>"
        f'<p role="status" style="margin:0 0 8px;line-height:1.45;{_BREAK}"><span class="turning">'
        f'</span>{text_html(doing)}<span class="seconds" style="animation-delay:{-after:.1f}s,'
        f'{_UNSAID - after:.1f}s"></span></p>{place}'
    )


def place_html(height: int) -> str:
    """Grey where something will be, so many pixels high."""
    look = f"<style>{_WAITING}</style>"
    return f'{look}<div class="place" style="height:{height}px" aria-hidden="true"></div>'


def tiles(entries: dict[str, str]) -> ui.HTML:
    """A row of figures with their names."""
    return ui.HTML(tiles_html(entries), sizing_mode="stretch_width", margin=(4, 0, 8, 0))


def tiles_html(entries: dict[str, str]) -> str:
    """A row of figures with their names, as HTML."""
    cells = "".join(
        '<div style="min-width:90px"><div style="font-size:1.25rem;font-weight:600;'
        f'line-height:1.3">{text_html(value)}</div>'
        f'<div style="opacity:.7;font-size:.85rem">{text_html(name, explain=True)}</div></div>'
        for name, value in entries.items()
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:10px 28px">{cells}</div>'


def numbers_html(columns: list[str], rows: dict[str, list[str]]) -> str:
    """A few numbers as a small table: names of columns, and by name of row its values."""
    faint = "font-weight:400;opacity:.7;font-size:.85rem"
    head = "".join(
        f'<th scope="col" style="{faint};text-align:right">{text_html(name)}</th>'
        for name in columns
    )
    lines = "".join(
        f'<tr><th scope="row" style="{faint};text-align:left">{text_html(name)}</th>'
        + "".join(
            f'<td style="font-weight:600;text-align:right">{text_html(value)}</td>'
            for value in values
        )
        + "</tr>"
        for name, values in rows.items()
    )
    return (
        '<table style="border-spacing:22px 2px;margin:0 -22px"><thead><tr><td></td>'
        f"{head}</tr></thead><tbody>{lines}</tbody></table>"
    )


def legend(entries: Iterable[tuple[str, str, float]]) -> ui.HTML:
    """Coloured squares with what they stand for: label, colour, opacity."""
    squares = "".join(
        f'<span style="display:inline-flex;align-items:center;gap:6px"><span style="width:12px;'
        f'height:12px;background:{color};opacity:{opacity}"></span>{text_html(label)}</span>'
        for label, color, opacity in entries
    )
    return ui.HTML(
        f'<div style="display:flex;flex-wrap:wrap;gap:4px 18px;font-size:.85rem">{squares}</div>',
        sizing_mode="stretch_width",
        margin=(0, 0, 4, 0),
    )


def notice(text: str, severity: str) -> ui.HTML:
    """A sentence that should be read.

    ``severity`` is ``"info"``, ``"success"``, ``"warning"``, ``"error"``, or ``"quiet"`` of what is
    not settled yet.
    """
    color, mark = _SEVERITIES[severity]
    return ui.HTML(
        f'<div role="alert" style="display:flex;gap:10px;border-left:4px solid {color};'
        f'background:{color}14;border-radius:6px;padding:10px 14px;line-height:1.45">'
        f'<span style="color:{color};font-weight:700" aria-hidden="true">{mark}</span>'
        f'<span style="min-width:0;{_BREAK}">{text_html(text, explain=True)}</span></div>',
        sizing_mode="stretch_width",
        margin=(0, 0, 10, 0),
    )


def flexible(share: int, width: int) -> dict[str, str]:
    """Styles of a column that may wrap: its width in pixels, and its share of what is left."""
    return {"flex": f"{share} 1 {width}px", "min-width": "0", "max-width": "100%"}


def wrapping(*columns: ui.Column) -> ui.FlexBox:
    """Columns with :func:`flexible` styles, beneath each other where there is no room."""
    return ui.FlexBox(*columns, gap=f"0 {GAP}px", sizing_mode="stretch_width")


def row(*content: Viewable, width: int = 250) -> ui.FlexBox:
    """Things equally wide beside each other where there is room, else one beneath the other.

    ``width`` is the least of each in pixels.
    """
    return wrapping(*(ui.Column(thing, styles=flexible(1, width)) for thing in content))


def button(
    label: str, icon: str, act: Callable[[Any], Any], *, color: str = "primary", **options: Any
) -> ui.Button:
    """A button that calls ``act``, which may be a coroutine function."""
    made = ui.Button(label=label, icon=icon, color=color, margin=(4, 10, 4, 0), **options)
    made.on_click(act)
    return made


def number_field(
    state: param.Parameterized, name: str, *, step: float | None = None, **options: Any
) -> ui.IntInput | ui.FloatInput:
    """A field for the number ``name`` of ``state``.

    An empty field changes nothing, and a number outside the bounds becomes the nearest within: the
    browser enforces neither.
    """
    parameter = state.param[name]
    low, high = parameter.bounds
    whole = isinstance(parameter, param.Integer)
    kind = ui.IntInput if whole else ui.FloatInput
    # A tolerance of a millionth is 1e-06 on screen: the widget's own format would show 0.
    format_ = {} if whole else {"format": PrintfTickFormatter(format="%g")}
    field = kind(
        label=parameter.label,
        description=parameter.doc or "",
        value=getattr(state, name),
        start=low,
        end=high,
        step=step or (1 if whole else 0.01),
        margin=(4, 0, 8, 0),
        **format_,
        **options,
    )

    def take(event: param.parameterized.Event) -> None:
        if event.new is None:
            return
        within = min(max(event.new, low), high)
        setattr(state, name, within)
        if within != event.new:
            field.value = within

    field.param.watch(take, "value")
    state.param.watch(lambda event: setattr(field, "value", event.new), name)
    return field


def short(number: float) -> str:
    """A number as people write it, to three digits.

    Examples
    --------
    >>> short(0.01234), short(3.14159), short(1234.5)
    ('0.0123', '3.14', '1,234')
    """
    return f"{number:,.0f}" if abs(number) >= 1_000 else f"{number:.3g}"


def when(seconds: float) -> str:
    """A point in time, in seconds since 1970, on the server's clock."""
    return f"{datetime.fromtimestamp(seconds):%d %b %H:%M}"  # noqa: DTZ006


def in_words(seconds: float) -> str:
    """A duration as people say it.

    Examples
    --------
    >>> in_words(0.4), in_words(75), in_words(7300)
    ('less than a second', '1 min 15 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 1:
        return "less than a second"
    minutes, left = divmod(whole, 60)
    if not minutes:
        return f"{left} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s"
