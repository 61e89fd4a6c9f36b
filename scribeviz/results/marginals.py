"""Marginal distributions of a guide, for NumPyro and for SciPy, and their modes."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from scribeviz.models.builder import CountModel
from scribeviz.models.guide import MeanField
from scribeviz.models.parameterizations import Site


def check_backend(backend: str) -> None:
    """Raise ``ValueError`` if there is no such backend."""
    if backend not in {"numpyro", "scipy"}:
        raise ValueError(f"backend={backend!r} is neither 'numpyro' nor 'scipy'.")


def distributions(
    model: CountModel, params: Mapping[str, Any], backend: str, *, split: bool
) -> dict[str, Any]:
    """Marginal of every site's values.

    Parameters
    ----------
    model, params
        A model, and the parameters of its guide.
    backend
        ``"numpyro"`` or ``"scipy"``.
    split
        Nested lists of single distributions (a Dirichlet stays whole).

    Raises
    ------
    ValueError
        If there is no such backend.
    """
    check_backend(backend)
    marginals = {}
    for site in model.spec.sites:
        family, arrays = model.marginal(site, params)
        values: list[Any] = list(jnp.broadcast_arrays(*arrays))
        if backend == "scipy":
            values = [np.asarray(value, np.float64) for value in values]
        marginals[site.key] = _made(family, values, backend, split=split)
    return marginals


def mode(model: CountModel, params: Mapping[str, Any], site: Site) -> tuple[np.ndarray, np.ndarray]:
    """Mode of a site's marginal, NaN where there is none, and its mean."""
    family, arrays = model.marginal(site, params)
    return np.asarray(family.mode(*arrays)), np.asarray(family.mean(*arrays))


def _made(family: MeanField, arrays: list[Any], backend: str, *, split: bool) -> Any:
    if split and arrays[0].ndim > family.is_vector:
        parts = zip(*arrays, strict=True)
        return [_made(family, list(part), backend, split=True) for part in parts]
    return (family.make if backend == "numpyro" else family.scipy)(*arrays)
