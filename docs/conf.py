"""The documentation: ``sphinx-build -W docs docs/_build/html`` with the ``docs`` extra installed.

Sources are Markdown.  Links in them lead to files of the repository, so that they work in any view
of it; what lies outside of ``docs/`` is copied in before the build, and these links follow it.
"""

import os
import re
import shutil
from importlib.metadata import metadata
from pathlib import Path

from sphinx.application import Sphinx

import scribeviz

DOCS = Path(__file__).parent
ROOT = DOCS.parent

# From files of the repository to pages of the site.
BESIDE = {
    "CHANGELOG.md": "changelog.md",
    "notebooks/*.ipynb": "notebooks/",
    "decisions/*.md": "decisions/",
    "scribeviz/views/shared/glossary.md": "glossary.md",
}
_LINK = re.compile(r"\]\((?P<path>(?!\w+:)[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_WORD = re.compile(r"^\*\*(.+?)\*\*: ", re.MULTILINE)

project = "scribeviz"
author = "the authors of scribeviz"
copyright = author
release = version = scribeviz.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.katex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
default_role = "literal"

# Tests run the notebooks, and outputs are not kept.
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_default_options = {
    "members": True,
    "member-order": "groupwise",
    # What comes from these is described where they come from.
    "inherited-members": "Exception,Module,Distribution,Protocol",
}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
# What dataclasses hold is what they are made of: types come with parameters.
napoleon_custom_sections = [("Attributes", "Parameters")]

# As MathML, which browsers draw by themselves: no fonts and no style sheet from elsewhere.
katex_options = 'output: "mathml", throwOnError: false'
katex_css_path = "katex-math.css"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "sphinx_book_theme"
html_title = f"scribeviz {release}"
html_static_path = ["_static"]
html_css_files = ["scribeviz.css"]
html_show_sourcelink = False
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "navbar_persistent": [],  # the search is in the sidebar
}
_urls = dict(url.split(", ", 1) for url in metadata("scribeviz").get_all("Project-URL", []))
if "Source" in _urls:
    html_theme_options |= {"repository_url": _urls["Source"], "use_repository_button": True}


def _pages_beside() -> dict[Path, Path]:
    return {
        file: DOCS / page / (file.name if page.endswith("/") else "")
        for pattern, page in BESIDE.items()
        for file in sorted(ROOT.glob(pattern))
    }


def _copy_pages(*_: object) -> None:
    for page in BESIDE.values():
        if page.endswith("/"):
            shutil.rmtree(DOCS / page, ignore_errors=True)
    for file, page in _pages_beside().items():
        page.parent.mkdir(exist_ok=True)
        shutil.copy2(file, page)


def _follow_links(app: Sphinx, docname: str, source: list[str]) -> None:
    """Lead links between files of the repository to the pages that these have become."""
    pages = _pages_beside()
    page = Path(app.env.doc2path(docname))
    file = next((file for file, copied in pages.items() if copied == page), page)

    def lead(link: re.Match[str]) -> str:
        target = (file.parent / link["path"]).resolve()
        if not target.is_file():
            return link.group()
        path = os.path.relpath(pages.get(target, target), page.parent)
        return f"]({path}{link['anchor'] or ''})"

    source[0] = _LINK.sub(lead, source[0])


def _define_words(_: Sphinx, docname: str, source: list[str]) -> None:
    """Make the dashboard's words a list of definitions."""
    if docname == "glossary":
        source[0] = _WORD.sub(r"\n\1\n: ", source[0])


def setup(app: Sphinx) -> None:
    """Hook in what is copied and where links lead."""
    app.connect("config-inited", _copy_pages)
    app.connect("source-read", _follow_links)
    app.connect("source-read", _define_words)
