"""Probabilistic models of single-cell counts: pick, fit, watch and criticise them."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Imported at first use: JAX, AnnData and Panel take seconds, and no one needs all of them.
_HOME = {
    "Counts": "scribeviz.data.counts",
    "CountsError": "scribeviz.data.counts",
    "CountsWarning": "scribeviz.data.counts",
    "CellFilter": "scribeviz.data.cell_filter",
    "demo": "scribeviz.data.examples",
    "as_counts": "scribeviz.data.readers",
    "read": "scribeviz.data.readers",
    "ModelSpec": "scribeviz.models.spec",
    "Prior": "scribeviz.models.priors",
    "simulate": "scribeviz.models.simulation",
    "SVIConfig": "scribeviz.inference.svi",
    "NUTSConfig": "scribeviz.inference.nuts",
    "ExactConfig": "scribeviz.inference.exact",
    "EMConfig": "scribeviz.inference.weighted_em",
    "SamplerWarning": "scribeviz.inference.chains",
    "ScribeSVIResults": "scribeviz.results.variational",
    "ScribeMCMCResults": "scribeviz.results.sampled",
    "ExactResults": "scribeviz.results.exact_results",
    "MixtureResults": "scribeviz.results.mixture_results",
    "CellVAE": "scribeviz.networks.cellvae",
    "TrainingConfig": "scribeviz.networks.cellvae",
    "CellVAEResults": "scribeviz.results.network_results",
    "NetworkModel": "scribeviz.models.custom.network_model",
    "CustomModel": "scribeviz.models.custom.model",
    "load_models": "scribeviz.models.custom.registry",
    "registered_model": "scribeviz.models.custom.registry",
    "VAE": "scribeviz.networks.vae",
    "ProbabilisticModule": "scribeviz.networks.probabilistic",
    "UnitScale": "scribeviz.networks.arrays",
    "split_cells": "scribeviz.networks.batches",
    "Results": "scribeviz.results.protocol",
    "NotOfferedError": "scribeviz._offered",
    "CustomResults": "scribeviz.results.custom_results",
    "register_model": "scribeviz.models.custom.registry",
    "Abnormality": "scribeviz.networks.abnormality",
    "Classifier": "scribeviz.networks.classifier",
    "ModelConfig": "scribeviz.reference.run",
    "fit": "scribeviz.fitting.fit",
    "compare": "scribeviz.criticism.comparison",
    "cross_validate": "scribeviz.fitting.validation",
    "held_out": "scribeviz.fitting.validation",
    "check_posterior": "scribeviz.fitting.validation",
    "compare_posteriors": "scribeviz.fitting.validation",
    "submit": "scribeviz.runs.run",
    "Run": "scribeviz.runs.run",
    "Dashboard": "scribeviz.views.notebook.dashboard",
    "launch": "scribeviz.views.notebook.launch",
    "report": "scribeviz.views.report.writing",
    "run_scribe": "scribeviz.reference.run",
    "rerun_scribe": "scribeviz.reference.run",
}

# Sub-packages: pictures, and what the reference has by these names.
_ROOMS = ("mcmc", "plots", "results", "stats", "svi", "utils", "viz")

__all__ = [*_HOME, *_ROOMS, "__version__"]  # noqa: PLE0604  every name is text


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"scribeviz.{name}")
    if name not in _HOME:
        raise AttributeError(f"scribeviz has no {name!r}; it has {', '.join(_HOME)}.")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
