"""Marginal distributions of a guide, for NumPyro and for SciPy, and their modes."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import scipy.stats

from scribeviz.models.builder import CountModel
from scribeviz.models.families import Beta, BetaPrime, LogNormal
from scribeviz.models.guides import guide_of
from scribeviz.models.low_rank import LowRankNormal
from scribeviz.models.parameterizations import Site

# How SciPy says each family.
_SCIPY: Mapping[type, Callable[[Any], Any]] = {
    LogNormal: lambda d: scipy.stats.lognorm(s=_array(d.scale), scale=np.exp(_array(d.loc))),
    dist.Normal: lambda d: scipy.stats.norm(_array(d.loc), _array(d.scale)),
    Beta: lambda d: scipy.stats.beta(_array(d.concentration1), _array(d.concentration0)),
    BetaPrime: lambda d: scipy.stats.betaprime(_array(d.beta), _array(d.alpha)),
    dist.Dirichlet: lambda d: scipy.stats.dirichlet(_array(d.concentration)),
}
_PARAMETERS: Mapping[type, tuple[str, ...]] = {
    LogNormal: ("loc", "scale"),
    dist.Normal: ("loc", "scale"),
    Beta: ("concentration1", "concentration0"),
    BetaPrime: ("alpha", "beta"),
}


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
    if backend not in {"numpyro", "scipy"}:
        raise ValueError(f"backend={backend!r} is neither 'numpyro' nor 'scipy'.")
    speak: Callable[[Any], Any] = (
        (lambda fn: fn) if backend == "numpyro" else (lambda fn: _SCIPY[type(fn)](fn))
    )
    found = {}
    for key, fn in model.posterior(params).items():
        marginal = _marginal(fn)
        parted = _split(marginal) if split else marginal
        found[key] = _map_nested(speak, parted)
    return found


def mode(model: CountModel, params: Mapping[str, Any], site: Site) -> tuple[np.ndarray, np.ndarray]:
    """Mode of a site's marginal, NaN where there is none, and its mean."""
    fn = model.posterior(params)[site.key]
    marginal, family = _marginal(fn), guide_of(site)
    if type(marginal) in _PARAMETERS:
        own = [getattr(marginal, name) for name in _PARAMETERS[type(marginal)]]
    else:
        own = [marginal.concentration]
    return np.asarray(family.mode(*own)), np.asarray(family.mean(*own))


def _marginal(fn: dist.Distribution) -> dist.Distribution:
    """The distribution of single values, whatever they share with others."""
    base = fn.base_dist if isinstance(fn, dist.Independent) else fn
    if not isinstance(base, LowRankNormal):
        return base
    family = LogNormal if base.positive else dist.Normal
    return family(base.loc, base.marginal_spread)


def _split(fn: dist.Distribution) -> Any:
    if type(fn) not in _PARAMETERS or not fn.batch_shape:
        return fn
    names = _PARAMETERS[type(fn)]
    arrays = [jnp.broadcast_to(getattr(fn, name), fn.batch_shape) for name in names]
    return [_split(type(fn)(*(array[i] for array in arrays))) for i in range(fn.batch_shape[0])]


def _map_nested(function: Callable[[Any], Any], tree: Any) -> Any:
    if isinstance(tree, list):
        return [_map_nested(function, branch) for branch in tree]
    return function(tree)


def _array(value: Any) -> np.ndarray:
    return np.asarray(value, np.float64)
