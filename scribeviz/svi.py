"""The reference's names of variational inference."""

from scribeviz.reference.engine import SVIInferenceEngine, SVIResultsFactory
from scribeviz.reference.offered import only
from scribeviz.reference.run import ModelConfig, rerun_scribe, run_scribe
from scribeviz.results.custom_results import CustomResults
from scribeviz.results.variational import ScribeSVIResults

__all__ = [
    "CustomResults",
    "ModelConfig",
    "SVIInferenceEngine",
    "SVIResultsFactory",
    "ScribeSVIResults",
    "rerun_scribe",
    "run_scribe",
]

__getattr__ = only(__name__, __all__)
