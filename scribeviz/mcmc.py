"""The reference's names of sampling."""

from scribeviz.reference.offered import only
from scribeviz.results.sampled import ScribeMCMCResults

__all__ = ["ScribeMCMCResults"]

__getattr__ = only(
    __name__, __all__, "run_scribe(inference_method='mcmc') samples and puts the results together."
)
