"""Dirichlet distributions of expression shares, by the reference's names."""

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, PRNGKeyArray

from scribeviz.criticism.dirichlet import fit_dirichlet
from scribeviz.results.drawn import key_or_default


def sample_dirichlet_from_parameters(
    parameter_samples: Any, n_samples_dirichlet: int = 1, rng_key: PRNGKeyArray | None = None
) -> Array:
    """Draw shares from a Dirichlet for each row of concentrations.

    Parameters
    ----------
    parameter_samples
        Concentrations, shape ``(draws, variables)``.
    n_samples_dirichlet
        Draws per row.
    rng_key
        A JAX key; ``PRNGKey(42)`` when left out.

    Returns
    -------
    jax.Array
        ``(draws, variables)``, or ``(draws, variables, n_samples_dirichlet)`` for several.

    Examples
    --------
    >>> import numpy as np
    >>> from scribeviz import stats
    >>> stats.sample_dirichlet_from_parameters(np.ones((10, 3)), n_samples_dirichlet=4).shape
    (10, 3, 4)
    """
    key = key_or_default(rng_key)
    drawn = dist.Dirichlet(jnp.asarray(parameter_samples)).sample(key, (n_samples_dirichlet,))
    return drawn[0] if n_samples_dirichlet == 1 else jnp.moveaxis(drawn, 0, -1)


def fit_dirichlet_mle(
    samples: Any, max_iter: int = 1000, tol: float = 1e-7, sample_axis: int = 0
) -> Array:
    """Concentrations of the likeliest Dirichlet.

    Parameters
    ----------
    samples
        Shares, shape ``(draws, variables)``.
    max_iter, tol
        Accepted; the root is found to the last digits.
    sample_axis
        Where the draws are; 1 for ``(variables, draws)``.

    Returns
    -------
    jax.Array
        Shape ``(variables,)``.

    Examples
    --------
    >>> import numpy as np
    >>> from scribeviz import stats
    >>> shares = np.random.default_rng(0).dirichlet([1.0, 2.0, 5.0], size=5_000)
    >>> stats.fit_dirichlet_mle(shares).round(1).tolist()
    [1.0, 2.0, 5.0]
    """
    del max_iter, tol
    return jnp.asarray(fit_dirichlet(samples, axis=sample_axis))


def fit_dirichlet_minka(
    samples: Any, max_iter: int = 1000, tol: float = 1e-7, sample_axis: int = 0
) -> Array:
    """The same as :func:`fit_dirichlet_mle`: both ask for the maximum of one likelihood.

    Parameters
    ----------
    samples, max_iter, tol, sample_axis
        As for :func:`fit_dirichlet_mle`.

    Examples
    --------
    >>> import numpy as np
    >>> from scribeviz import stats
    >>> shares = np.random.default_rng(0).dirichlet([1.0, 2.0, 5.0], size=5_000)
    >>> stats.fit_dirichlet_minka(shares).shape
    (3,)
    """
    return fit_dirichlet_mle(samples, max_iter, tol, sample_axis)
