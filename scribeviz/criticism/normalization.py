r"""Expression as shares of a cell's molecules: Dirichlet draws with concentrations r.

Negative binomial counts that share p are a total times shares
:math:`\rho \sim \mathrm{Dirichlet}(r_1 \ldots r_G)`, whatever p is: gamma variables of one scale,
divided by their sum.  Of rarely seen genes r is far below 1, and the logarithm of such a variable
is about :math:`-1/r`: beyond any floating-point number, so that all happens in logarithms.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from numpy.typing import DTypeLike
from scipy.special import logsumexp

from scribeviz.criticism.budget import BUDGET_BYTES, check_budget
from scribeviz.criticism.dirichlet import fit_dirichlet_logs

# An r that was rounded to 0 counts as the smallest number of float32.
_SMALLEST = float(np.finfo(np.float32).tiny)


class FittedExpression(NamedTuple):
    """One Dirichlet per component, fitted to normalised expression.

    Attributes
    ----------
    concentrations
        Shape ``(genes,)`` or ``(components, genes)``.
    mean_probabilities
        Its mean, the same shape: shares that sum to one over genes.
    """

    concentrations: Float[np.ndarray, "*components genes"]
    mean_probabilities: Float[np.ndarray, "*components genes"]


def normalized_expression(
    key: PRNGKeyArray | np.random.Generator,
    r: Float[np.ndarray, "draws *components genes"],
    n_samples_dirichlet: int = 1,
    *,
    dtype: DTypeLike = np.float64,
    budget_bytes: int = BUDGET_BYTES,
) -> np.ndarray:
    """Draw expression profiles: shares of genes that sum to one.

    Parameters
    ----------
    key
        The same key gives the same profiles, on every device: NumPy draws them, seeded by it.  A
        NumPy generator is taken as it is.
    r
        Posterior draws of the dispersions.
    n_samples_dirichlet
        Profiles per posterior draw.
    dtype
        Of the result; shares too small for it are 0.
    budget_bytes
        The most that the result may take.

    Returns
    -------
    numpy.ndarray
        Shape of ``r``, with a last axis of profiles unless there is one per draw.

    Raises
    ------
    ValueError
        If ``r`` holds negative or non-finite values, or ``n_samples_dirichlet`` is below 1.
    MemoryBudgetError
        If the profiles would not fit the memory budget.

    Examples
    --------
    >>> profiles = normalized_expression(jax.random.key(0), np.ones((7, 3)), 4)
    >>> profiles.shape, bool(np.allclose(profiles.sum(axis=1), 1))
    ((7, 3, 4), True)
    """
    shape = (*np.shape(r), n_samples_dirichlet)
    check_budget(
        "the normalised profiles",
        shape,
        dtype,
        instead="fewer n_samples_dirichlet, fewer posterior samples or fewer genes",
        budget_bytes=budget_bytes,
    )
    concentrations = _checked(r, n_samples_dirichlet)
    profiles = np.empty(shape, dtype)
    for i, logs in enumerate(_log_profiles(key, concentrations, n_samples_dirichlet)):
        profiles[i] = np.exp(logs)
    return profiles[..., 0] if n_samples_dirichlet == 1 else profiles


def fit_expression(
    key: PRNGKeyArray | np.random.Generator,
    r: Float[np.ndarray, "draws *components genes"],
    n_samples_dirichlet: int = 1,
) -> FittedExpression:
    """Fit one Dirichlet, or one per component, to the profiles of all posterior draws.

    With the same key these are the profiles of :func:`normalized_expression`, but in logarithms and
    one posterior draw at a time: nothing underflows, and nothing large is kept.

    Parameters
    ----------
    key, r, n_samples_dirichlet
        As for :func:`normalized_expression`.

    Raises
    ------
    ValueError
        As there; and if there are no draws, or only one gene.
    """
    concentrations = _checked(r, n_samples_dirichlet)
    if len(concentrations) == 0:
        raise ValueError("r holds no posterior draws.")
    total = np.zeros(concentrations.shape[1:])
    for logs in _log_profiles(key, concentrations, n_samples_dirichlet):
        total += logs.mean(axis=-1)
    fitted = fit_dirichlet_logs(total / len(concentrations))
    return FittedExpression(fitted, fitted / fitted.sum(axis=-1, keepdims=True))


def _log_profiles(
    key: PRNGKeyArray | np.random.Generator, r: np.ndarray, n: int
) -> Iterator[Float[np.ndarray, "*components genes n"]]:
    """Logarithms of shares, one posterior draw after the other."""
    rng = _generator(key)
    for draw in r:
        concentration = draw[..., None]
        shape = (*draw.shape, n)
        # Gamma(r) is Gamma(r + 1) U^(1/r), and -ln U is exponential (Devroye 1986, p. 182).
        logs = np.log(rng.standard_gamma(concentration + 1, shape))
        logs -= rng.standard_exponential(shape) / concentration
        yield logs - logsumexp(logs, axis=-2, keepdims=True)


def _checked(r: np.ndarray, n_samples_dirichlet: int) -> Float[np.ndarray, "draws *any genes"]:
    if n_samples_dirichlet < 1:
        raise ValueError(f"n_samples_dirichlet={n_samples_dirichlet} should be 1 or more.")
    concentrations = np.asarray(r, np.float64)
    if not (np.isfinite(concentrations).all() and (concentrations >= 0).all()):
        raise ValueError("r holds values that are negative or not finite.")
    return np.maximum(concentrations, _SMALLEST)


def _generator(key: PRNGKeyArray | np.random.Generator) -> np.random.Generator:
    if isinstance(key, np.random.Generator):
        return key
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
