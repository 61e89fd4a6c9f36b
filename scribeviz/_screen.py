"""The one way up: what objects of the library open on the screen, found by name when asked for."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

_VIEWS = {
    "live": "scribeviz.views.notebook.single_views",
    "gene": "scribeviz.views.notebook.single_views",
    "views": "scribeviz.views.notebook.single_views",
    "comparison": "scribeviz.views.notebook.single_views",
}


def on_screen(view: str) -> Callable[..., Any]:
    """What makes a view; Panel is imported for it, and not before."""
    return getattr(import_module(_VIEWS[view]), view)
