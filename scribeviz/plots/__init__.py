"""Pictures as HoloViews elements: numbers in, an element out; no Panel, no state, no data files."""

from importlib import import_module
from typing import Any

# Imported at first use: HoloViews takes seconds.
_HOME = {
    "FigureFile": "figures",
    "cells_map": "cell_map",
    "component_heatmap": "mixtures",
    "component_sizes": "mixtures",
    "coverage": "genes",
    "cross_heatmap": "mixtures",
    "entropies_beside": "compare",
    "entropy_histogram": "mixtures",
    "error_heatmaps": "reconstructions",
    "error_map": "reconstructions",
    "figure_bytes": "figures",
    "gene_differences": "compare",
    "library_histogram": "ppc",
    "log_histogram": "matrix",
    "loss_curve": "loss",
    "losses_beside": "compare",
    "mean_dispersion": "genes",
    "mean_variance": "genes",
    "mean_zeros": "genes",
    "ppc_cumulative": "ppc",
    "ppc_histogram": "ppc",
    "prior_and_posteriors": "densities",
    "prior_density": "densities",
    "residual_histogram": "ppc",
    "rootogram": "ppc",
    "thinned_loss": "loss",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"scribeviz.plots has no {name!r}; it has {', '.join(_HOME)}.")
    return getattr(import_module(f"scribeviz.plots.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
