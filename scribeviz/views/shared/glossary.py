"""The words of the field, each explained in a sentence where it stands."""

import html
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_ENTRY = re.compile(r"^\*\*(.+?)\*\*: (.+)$", re.MULTILINE)


@cache
def glossary() -> Mapping[str, str]:
    """What every word means, by each of its forms."""
    text = files(__package__).joinpath("glossary.md").read_text(encoding="utf-8")
    return {form: meaning for forms, meaning in _ENTRY.findall(text) for form in forms.split(" / ")}


def explained_html(escaped: str) -> str:
    """Text that is escaped already, with every word explained where it stands first."""
    explained: set[str] = set()

    def explain(match: re.Match[str]) -> str:
        word = match.group()
        meaning = _by_lower_case()[word.lower()]
        if meaning in explained:
            return word
        explained.add(meaning)
        return term_html(word, meaning)

    return _words().sub(explain, escaped)


def term_html(word: str, meaning: str) -> str:
    """A word with its meaning, which the page shows under the mouse and by keyboard."""
    look = (
        "font-style:inherit;text-decoration:underline dotted;text-underline-offset:.2em;cursor:help"
    )
    told = html.escape(meaning)
    return (
        f'<dfn tabindex="0" data-meaning="{told}" aria-description="{told}" style="{look}">'
        f"{word}</dfn>"
    )


def titles_html(titles: Mapping[str, str]) -> dict[str, str]:
    """Headings of a table, which takes them as HTML, with their words explained."""
    return {name: explained_html(html.escape(title)) for name, title in titles.items()}


@cache
def _by_lower_case() -> Mapping[str, str]:
    return {form.lower(): meaning for form, meaning in glossary().items()}


@cache
def _words() -> re.Pattern[str]:
    longest_first = sorted(glossary(), key=len, reverse=True)
    forms = "|".join(re.escape(html.escape(form)) for form in longest_first)
    return re.compile(rf"(?<![\w-])(?:{forms})(?![\w-])", re.IGNORECASE)
