"""What fits return."""

from importlib import import_module
from typing import Any

# Imported at first use, like the package's own names.
_HOME = {
    "CellVAEResults": "scribeviz.results.network_results",
    "CustomResults": "scribeviz.results.custom_results",
    "MixtureResults": "scribeviz.results.mixture_results",
    "ScribeMCMCResults": "scribeviz.results.sampled",
    "ScribeSVIResults": "scribeviz.results.variational",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"scribeviz.results has no {name!r}; it has {', '.join(_HOME)}.")
    return getattr(import_module(_HOME[name]), name)
