"""Small helpers that notebooks of the first SCRIBE use."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
import scipy.stats

from scribeviz.models.families import BetaPrime


def git_root(current_path: str | Path | None = None) -> str | None:
    """The closest folder above that is a git repository; None if there is none.

    Parameters
    ----------
    current_path
        Where to begin; the working directory when left out.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from scribeviz import utils
    >>> with TemporaryDirectory() as folder:
    ...     (Path(folder) / ".git").mkdir()
    ...     root = utils.git_root(folder)
    >>> root == str(Path(folder).resolve())
    True
    """
    start = Path.cwd() if current_path is None else Path(current_path).resolve()
    roots = (folder for folder in (start, *start.parents) if (folder / ".git").exists())
    return next(map(str, roots), None)


@contextmanager
def use_cpu() -> Iterator[None]:
    """Let JAX compute on the processor inside a ``with`` block, where there is a GPU too.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from scribeviz import utils
    >>> with utils.use_cpu():
    ...     device = next(iter(jnp.zeros(2).devices()))
    >>> device.platform
    'cpu'
    """
    with jax.default_device(jax.devices("cpu")[0]):
        yield


def numpyro_to_scipy(distribution: dist.Distribution) -> Any:
    """The same distribution of SciPy, frozen.

    Parameters
    ----------
    distribution
        Of NumPyro.

    Raises
    ------
    ValueError
        If its family is none of those that are known here; the message has these.

    Examples
    --------
    >>> import numpyro.distributions as dist
    >>> from scribeviz import utils
    >>> float(utils.numpyro_to_scipy(dist.Gamma(2.0, 4.0)).mean())
    0.5
    """
    fn = distribution
    if isinstance(fn, dist.Independent):
        fn = fn.base_dist
    for kind, make in _SCIPY.items():
        if isinstance(fn, kind):
            return make(fn)
    kinds = ", ".join(kind.__name__ for kind in _SCIPY)
    raise ValueError(f"{type(fn).__name__} has no translation to SciPy here; there is: {kinds}.")


def _numbers(value: Any) -> np.ndarray:
    return np.asarray(value, np.float64)


_SCIPY: Mapping[type[dist.Distribution], Callable[[Any], Any]] = {
    dist.Beta: lambda fn: scipy.stats.beta(
        _numbers(fn.concentration1), _numbers(fn.concentration0)
    ),
    BetaPrime: lambda fn: scipy.stats.betaprime(_numbers(fn.beta), _numbers(fn.alpha)),
    dist.Gamma: lambda fn: scipy.stats.gamma(
        _numbers(fn.concentration), scale=1 / _numbers(fn.rate)
    ),
    dist.LogNormal: lambda fn: scipy.stats.lognorm(
        s=_numbers(fn.scale), scale=np.exp(_numbers(fn.loc))
    ),
    dist.Normal: lambda fn: scipy.stats.norm(_numbers(fn.loc), _numbers(fn.scale)),
    dist.Dirichlet: lambda fn: scipy.stats.dirichlet(_numbers(fn.concentration)),
}
