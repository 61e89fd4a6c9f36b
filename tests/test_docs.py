"""The documentation's pages: every public name has one, links lead somewhere, and code runs.

Blocks of ``python`` are run, page by page in one namespace; blocks of ``py`` show what takes
minutes.  To build the pages is another check: ``sphinx-build -W docs docs/_build/html``.
"""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

import scribeviz

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
COPIED = {"changelog.md", "glossary.md"}  # by conf.py, when the pages are built
PAGES = sorted(
    page for page in (*DOCS.glob("*.md"), *DOCS.glob("guide/*.md")) if page.name not in COPIED
)
RUN = ["tour", "guide/choose", "guide/criticise", "guide/compare", "guide/own_model"]


def documented():
    """The things that have a page, by name."""
    names = re.findall(r"^   (scribeviz\.[\w.]+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert len(set(names)) == len(names)
    return {name: imported(name) for name in names}


def imported(name):
    home, _, last = name.rpartition(".")
    return getattr(importlib.import_module(home), last)


def public():
    for name in scribeviz.__all__:
        thing = getattr(scribeviz, name)
        if isinstance(thing, ModuleType):
            yield from ((f"{name}.{part}", getattr(thing, part)) for part in thing.__all__)
        elif name != "__version__":
            yield name, thing


def test_every_public_name_is_in_the_api_pages():
    pages = list(documented().values())
    missing = [name for name, thing in public() if not any(thing is one for one in pages)]
    assert missing == []


def test_what_is_documented_says_what_it_is():
    assert [name for name, thing in documented().items() if not thing.__doc__] == []


def test_public_things_show_their_use():
    shown = [(name, thing.__doc__) for name, thing in public() if not name.startswith("plots.")]
    assert [name for name, text in shown if "Examples\n" not in text] == []


def test_links_between_files_lead_somewhere():
    broken = [
        f"{page.name}: {target}"
        for page in (*PAGES, ROOT / "README.md", ROOT / "CHANGELOG.md")
        for target in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_page_can_be_reached():
    listed = "\n".join(page.read_text() for page in PAGES)
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", listed, re.MULTILINE | re.DOTALL)
    entries = {line.strip() for tree in trees for line in tree.splitlines()}
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in PAGES} - {"index"}
    assert pages - entries == set()


@pytest.mark.slow
@pytest.mark.parametrize("document", RUN)
def test_the_code_of_a_page_runs(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (DOCS / f"{document}.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    names = {"__name__": document}
    for block in blocks:
        exec(compile(block, f"{document}.md", "exec"), names)  # noqa: S102
