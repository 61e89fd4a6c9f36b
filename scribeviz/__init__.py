"""Probabilistic models of single-cell counts: pick, fit, watch and criticise them."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Imported at first use: JAX, AnnData and Panel take seconds, and no one needs all of them.
_HOME = {
    "Counts": "scribeviz.data.counts",
    "CountsError": "scribeviz.data.counts",
    "demo": "scribeviz.data.examples",
    "read": "scribeviz.data.readers",
    "ModelSpec": "scribeviz.models.spec",
    "Prior": "scribeviz.models.priors",
    "simulate": "scribeviz.models.simulation",
    "SVIConfig": "scribeviz.inference.svi",
    "NUTSConfig": "scribeviz.inference.nuts",
    "ScribeSVIResults": "scribeviz.svi",
    "ScribeMCMCResults": "scribeviz.mcmc",
    "CellVAE": "scribeviz.networks.spec",
    "TrainingConfig": "scribeviz.networks.spec",
    "CellVAEResults": "scribeviz.vae",
    "NetworkModel": "scribeviz.models.network_model",
    "CustomModel": "scribeviz.models.custom",
    "CustomResults": "scribeviz.custom",
    "register_model": "scribeviz.models.custom_registry",
    "Abnormality": "scribeviz.networks.abnormality",
    "Classifier": "scribeviz.networks.classifier",
    "ModelConfig": "scribeviz.scribe",
    "fit": "scribeviz.fitting",
    "compare": "scribeviz.criticism.loo",
    "held_out": "scribeviz.validation",
    "check_posterior": "scribeviz.validation",
    "compare_posteriors": "scribeviz.validation",
    "run_scribe": "scribeviz.scribe",
    "rerun_scribe": "scribeviz.scribe",
}

__all__ = [*_HOME, "__version__"]  # noqa: PLE0604  every name is text


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"scribeviz has no {name!r}; it has {', '.join(_HOME)}.")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
