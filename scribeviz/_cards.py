"""What an object says of itself: two lines of text, and a small card in a notebook."""

import html
import textwrap
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Protocol

_WIDTH = 100  # characters of a line of text
_MOST_FACTS, _MOST_NOTES = 12, 3
_LONGEST = 200  # characters of a fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is worth knowing of an object at a glance.

    Attributes
    ----------
    title
        What it is: in most cases the name of its class.
    summary
        The rest of the first line.
    facts
        By name; values are short.
    notes
        Sentences that its user should read.
    next_step
        Python that goes on from here.
    """

    title: str
    summary: str
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    next_step: str = ""

    @property
    def text(self) -> str:
        """Two lines."""
        facts = " · ".join(f"{name}: {value}" for name, value in self.facts.items())
        first = _cut(f"{self.title}: {self.summary}" if self.summary else self.title)
        return f"{first}\n  {_cut(facts)}" if facts else first

    @property
    def html(self) -> str:
        """A card in the colours of the page it is on, light or dark; names are escaped."""
        head = f"<div><b>{_escaped(self.title)}</b> {_escaped(self.summary)}</div>"
        notes = list(self.notes[:_MOST_NOTES])
        if more := len(self.notes) - len(notes):
            notes.append(f"And {more} more: see .notes.")
        said = "".join(f'<div style="{_NOTE}">{_escaped(note)}</div>' for note in notes)
        step = f"<code>{_escaped(self.next_step)}</code>" if self.next_step else ""
        last = f'<div style="margin-top:6px">{step}</div>' if step else ""
        return f'<div style="{_FRAME}">{head}{_table(self.facts)}{said}{last}</div>'


_BREAK = "overflow-wrap:anywhere"
_FRAME = (
    "border:1px solid rgba(128,128,128,.4);border-radius:8px;padding:10px 14px;max-width:680px;"
    f"line-height:1.4;{_BREAK}"
)
_TABLE = "margin:6px 0 0;border:0;font:inherit;color:inherit"
_NAME = "text-align:left;opacity:.7;padding:1px 14px 1px 0;vertical-align:top;white-space:nowrap"
_VALUE = f"text-align:left;padding:1px 0;{_BREAK}"
_NOTE = "margin-top:4px;opacity:.8"


def _table(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f'<tr style="background:none"><td style="{_NAME}">{_escaped(name)}</td>'
        f'<td style="{_VALUE}">{_escaped(value)}</td></tr>'
        for name, value in list(facts.items())[:_MOST_FACTS]
    )
    return f'<table style="{_TABLE}">{rows}</table>' if rows else ""


class _Dataclass(Protocol):
    __dataclass_fields__: Mapping[str, Any]


def shown_as[C](make: Callable[[Any], Card]) -> Callable[[type[C]], type[C]]:
    """Have the objects of a class show themselves by the card that ``make`` gives.

    To be put above ``@dataclass``, whose own ``__repr__`` would print whole arrays.
    """

    def decorate(cls: type[C]) -> type[C]:
        type.__setattr__(cls, "__repr__", lambda self: make(self).text)
        type.__setattr__(cls, "_repr_html_", lambda self: make(self).html)
        return cls

    return decorate


def fields_card(thing: _Dataclass) -> Card:
    """A dataclass by its fields: numbers and words as they are, of arrays type and shape."""
    assert is_dataclass(thing)  # noqa: S101
    facts = {f.name: in_short(getattr(thing, f.name)) for f in fields(thing) if f.repr}
    return Card(title=type(thing).__name__, summary="", facts=facts)


shown_by_fields = shown_as(fields_card)
"""Class decorator: the card is :func:`fields_card`."""


def in_short(value: Any) -> str:
    """A value in a few characters; its type and shape where it holds more.

    Examples
    --------
    >>> import numpy as np
    >>> in_short(np.zeros((3, 2))), in_short({"r": 1}), in_short(2.0), in_short(None)
    ('float64 (3, 2)', 'dict of 1', '2', 'None')
    """
    match value:
        case float():
            return f"{value:.6g}"
        case None | bool() | int() | str():
            return str(value)[:_LONGEST]
    shape = getattr(value, "shape", None)
    if shape:  # those of arrays without axes are empty: numbers
        return f"{getattr(value, 'dtype', type(value).__name__)} {tuple(shape)}"
    if hasattr(value, "_repr_html_"):  # has a card of its own
        return type(value).__name__
    if isinstance(value, Sized):
        return f"{type(value).__name__} of {len(value):,}"
    return textwrap.shorten(repr(value), _LONGEST, placeholder=" …")


def _cut(text: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain if len(plain) <= _WIDTH else f"{plain[: _WIDTH - 2]} …"


def _escaped(text: str) -> str:
    return html.escape(text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …")
