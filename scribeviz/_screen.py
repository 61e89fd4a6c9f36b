"""Where Python is run from, and the one way up: what objects of the library open on the screen."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

_VIEWS = "scribeviz.views.notebook.single_views"


def on_screen(view: str) -> Callable[..., Any]:
    """What makes a view, by its name; Panel is imported for it, and not before."""
    return getattr(import_module(_VIEWS), view)


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def is_interactive() -> bool:
    """Whether somebody types at this Python, in a notebook or at a prompt."""
    return is_notebook() or hasattr(sys, "ps1") or bool(sys.flags.interactive)
