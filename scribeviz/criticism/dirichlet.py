r"""Dirichlet distributions fitted to draws of shares, many at once.

The likelihood depends on the draws through their mean logarithms :math:`\bar\ell_k` alone, and is
largest where :math:`\psi(\alpha_k) = \psi(s) + \bar\ell_k` with :math:`s = \sum_k \alpha_k`
(Minka [1]_, section 1).  His fixed point puts a guess of s in on the right and reads the next one
off on the left, slowly when s is large.  But s is a single number: here the same equation,

.. math:: H(\ln s) = \ln \sum_k \psi^{-1}(\psi(s) + \bar\ell_k) - \ln s = 0,

is solved for it by Newton's method between bounds.  H is positive below its only root and negative
above: at a root its slope has the sign of the Hessian of a concave function.

.. [1] Minka (2000, revised 2012), Estimating a Dirichlet distribution.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import digamma, zeta

# Draws that do not differ want an infinite total; with this one a share of 1/2 has a standard
# deviation of 5e-6, and float64 still tells it from its neighbours.
LARGEST_TOTAL = 1e10
_SMALLEST_TOTAL = 1e-8
_STEPS = 60
_NEWTON_STEPS = 5
_TOLERANCE = 1e-12
_ROUNDING = 1e-14  # of H


def fit_dirichlet(
    samples: Float[np.ndarray, "... shares"], axis: int = 0
) -> Float[np.ndarray, "*batch shares"]:
    """Concentrations of the Dirichlet that draws of shares are likeliest under.

    Parameters
    ----------
    samples
        Draws along ``axis``, shares along the last of the other axes; along what is left, every
        position is fitted by itself.  Shares are divided by their sum first.
    axis
        Where the draws are.

    Returns
    -------
    numpy.ndarray
        Shape of ``samples`` without ``axis``, float64.  Their sum is about 1e10 at most, which
        stands for draws that do not differ.

    Raises
    ------
    ValueError
        If a share is negative or not finite, all shares of a draw are 0, or there are not at least
        one draw and two shares.

    Notes
    -----
    A share of 0 has no logarithm, and counts as the smallest normal number of its type: 1e-38 in
    float32, 2e-308 in float64.  Where concentrations are below 0.02, float32 draws come out as 0 so
    often that this shows; :func:`fit_dirichlet_logs` has no such floor.

    Examples
    --------
    >>> draws = np.random.default_rng(0).dirichlet([1.0, 2.0, 5.0], size=20_000)
    >>> fit_dirichlet(draws).round(1).tolist()
    [1.0, 2.0, 5.0]
    """
    given = np.asarray(samples)
    if given.dtype not in (np.float32, np.float64):
        given = given.astype(np.float64)
    draws = np.moveaxis(given, axis, 0)
    if given.ndim < 2 or draws.shape[0] == 0:
        raise ValueError(f"samples of shape {given.shape} should be draws of shares.")
    return fit_dirichlet_logs(_mean_logs(draws))


def fit_dirichlet_logs(
    mean_logs: Float[np.ndarray, "*batch shares"],
) -> Float[np.ndarray, "*batch shares"]:
    """Concentrations of the likeliest Dirichlet, from the mean logarithms of the shares.

    These are all that :func:`fit_dirichlet` needs of the draws; shares may be too small for any
    floating-point number.

    Parameters
    ----------
    mean_logs
        Mean over draws of the logarithms of shares that sum to one; finite.
    """
    logs = np.asarray(mean_logs, np.float64)
    if logs.ndim < 1 or logs.shape[-1] < 2:
        raise ValueError(f"a Dirichlet needs two shares or more; got shape {logs.shape}.")
    if not np.isfinite(logs).all():
        raise ValueError("mean_logs holds values that are not finite.")
    rows = logs.reshape(-1, logs.shape[-1])
    return _concentrations(_log_totals(rows), rows).reshape(logs.shape)


def _mean_logs(draws: np.ndarray) -> Float[np.ndarray, "*batch shares"]:
    """One draw at a time: nothing of the size of all draws is made."""
    floor = np.finfo(draws.dtype).tiny
    total = np.zeros(draws.shape[1:])
    for draw in draws:
        sums = draw.sum(axis=-1, keepdims=True, dtype=np.float64)
        if not (np.isfinite(sums).all() and (draw >= 0).all() and (sums > 0).all()):
            raise ValueError("samples holds shares that are negative, not finite, or all 0.")
        total += np.log(np.maximum(draw, floor).astype(np.float64)) - np.log(sums)
    return total / len(draws)


def _log_totals(logs: Float[np.ndarray, "rows shares"]) -> Float[np.ndarray, " rows"]:
    """Root of H in every row: Newton's method, and halving where that would leave the bounds."""
    low = np.full(len(logs), np.log(_SMALLEST_TOTAL))
    high = np.full(len(logs), np.log(LARGEST_TOTAL))
    log_total = np.clip(_first_log_totals(logs), low, high)
    left = np.arange(len(logs))
    for _ in range(_STEPS):
        here, (value, slope) = log_total[left], _mismatch(log_total[left], logs[left])
        low[left] = np.where(value > 0, here, low[left])
        high[left] = np.where(value > 0, high[left], here)
        there = here + _newton_step(value, slope)
        inside = (there > low[left]) & (there < high[left])
        there = np.where(inside, there, (low[left] + high[left]) / 2)
        settled = np.abs(value) < _ROUNDING
        log_total[left] = np.where(settled, here, there)
        left = left[~settled & (np.abs(there - here) > _TOLERANCE)]
        if left.size == 0:
            break
    return log_total


def _first_log_totals(logs: np.ndarray) -> Float[np.ndarray, " rows"]:
    """The root to first order in 1/s: exp of the mean logarithms then falls short of one by it."""
    short = np.maximum(-np.expm1(_logsumexp(logs)), np.finfo(float).tiny)
    return np.log((logs.shape[1] - 1) / 2) - np.log(short)


def _newton_step(value: np.ndarray, slope: np.ndarray) -> np.ndarray:
    # In 1/s, in which H is straight for large s; never to less than a tenth of it.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(slope < 0, value / -slope, np.inf)
    return -np.log1p(-np.minimum(ratio, 0.9))


def _mismatch(
    log_total: Float[np.ndarray, " rows"], logs: Float[np.ndarray, "rows shares"]
) -> tuple[np.ndarray, np.ndarray]:
    """H and its slope in ln s."""
    total = np.exp(log_total)
    alpha = _concentrations(log_total, logs)
    summed = alpha.sum(axis=1)
    slope = total * _trigamma(total) * (1 / _trigamma(alpha)).sum(axis=1) / summed - 1
    return np.log(summed) - log_total, slope


def _concentrations(
    log_total: Float[np.ndarray, " rows"], logs: Float[np.ndarray, "rows shares"]
) -> Float[np.ndarray, "rows shares"]:
    return _inverse_digamma(digamma(np.exp(log_total))[:, None] + logs)


def _inverse_digamma(y: np.ndarray) -> np.ndarray:
    """Minka's start and Newton steps (appendix C): five give 14 digits."""
    large = np.exp(np.maximum(y, -2.22)) + 0.5
    x = np.where(y >= -2.22, large, -1 / (np.minimum(y, -2.22) - digamma(1.0)))
    for _ in range(_NEWTON_STEPS):
        x -= (digamma(x) - y) / _trigamma(x)
    return x


def _trigamma(x: np.ndarray) -> np.ndarray:
    return zeta(2, x)


def _logsumexp(logs: np.ndarray) -> Float[np.ndarray, " rows"]:
    largest = logs.max(axis=1)
    return largest + np.log(np.exp(logs - largest[:, None]).sum(axis=1))
