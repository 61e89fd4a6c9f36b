"""The reference's names of small helpers."""

from scribeviz.reference.helpers import git_root, numpyro_to_scipy, use_cpu
from scribeviz.reference.offered import only

__all__ = ["git_root", "numpyro_to_scipy", "use_cpu"]

__getattr__ = only(__name__, __all__)
