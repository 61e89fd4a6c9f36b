"""Whether a module of the user's own has the names that results look for, before it is run.

The scvi-tools guide calls things otherwise (``qz_m``, the sites ``latent`` and ``obs``); a module
that was copied from there gets a sentence with the names that are needed here.
"""

import inspect
from collections.abc import Iterable, Mapping

import jax
from flax import nnx
from numpyro import handlers

from scribeviz.networks.batches import CountBatch
from scribeviz.networks.probabilistic import COUNTS, PLACE, ProbabilisticModule
from scribeviz.networks.vae import VAE, Amortized

type _Arguments = Mapping[str, tuple[str, ...]]

_EXPLICIT: _Arguments = {
    "inference": ("batch", "key"),
    "generative": ("batch", "inferred"),
    "loss": ("batch", "inferred", "counts"),
}
_PROBABILISTIC: _Arguments = {"model": ("batch",), "guide": ("batch",)}
_INFERRED = ("mean", "variance", "z")


def name_problem(module: Amortized, batch: CountBatch) -> str | None:
    """What a module calls otherwise than results do, in a sentence; None if nothing.

    Parameters
    ----------
    module
        A subclass of ``VAE`` or ``ProbabilisticModule``; it is left as it is.
    batch
        Made-up cells; nothing is computed with them.
    """
    if isinstance(module, VAE):
        return _takes_otherwise(module, _EXPLICIT) or _inferred_otherwise(module, batch)
    if isinstance(module, ProbabilisticModule):
        return _takes_otherwise(module, _PROBABILISTIC) or _sampled_otherwise(module, batch)
    return None


def _takes_otherwise(module: Amortized, methods: _Arguments) -> str | None:
    for name, needed in methods.items():
        takes = inspect.signature(getattr(module, name))
        try:
            takes.bind(*needed)
        except TypeError:
            return (
                f"{name}({', '.join(takes.parameters)}) has to be {name}({', '.join(needed)}); "
                "batch.x are the counts, and batch.library the totals of the cells."
            )
    return None


def _inferred_otherwise(module: VAE, batch: CountBatch) -> str | None:
    inferred = nnx.eval_shape(
        lambda module: module.inference(batch, jax.random.key(0)), nnx.clone(module)
    )
    if isinstance(inferred, Mapping) and set(_INFERRED) <= set(inferred):
        return None
    gives = _listed(inferred) if isinstance(inferred, Mapping) else f"a {type(inferred).__name__}"
    return (
        f"inference returns {gives}; it has to return a dict with {_listed(_INFERRED)}: "
        "mean and variance of the variational posterior of each cell's place, and a draw from it."
    )


def _sampled_otherwise(module: ProbabilisticModule, batch: CountBatch) -> str | None:
    sites: dict[str, list[str]] = {}

    def traced(module: ProbabilisticModule) -> None:
        key = jax.random.key(0)
        for name in ("guide", "model"):
            seeded = handlers.seed(getattr(module, name), key)
            trace = handlers.trace(seeded).get_trace(batch)
            sites[name] = [site for site, made in trace.items() if made["type"] == "sample"]

    nnx.eval_shape(traced, nnx.clone(module))
    needed = {"guide": (PLACE,), "model": (PLACE, COUNTS)}
    for name, names in needed.items():
        if not set(names) <= set(sites[name]):
            return (
                f"its {name} samples {_listed(sites[name])}; the sites have to be called "
                f"{PLACE!r} (the place of each cell, in model and guide) and {COUNTS!r} (its "
                "counts, in the model)."
            )
    return None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "nothing"
