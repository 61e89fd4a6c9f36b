"""Functions that JAX lacks in a form that keeps their precision in float32."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, ArrayLike, Float

# Below this, ln Γ is shifted up by ln(r (r+1) … (r+SHIFT-1)) before Stirling's series is used.
_SHIFT = 4


@jax.custom_jvp
def log_rising(r: Float[Array, "..."], n: Float[ArrayLike, "..."]) -> Float[Array, "..."]:
    r"""Logarithm of the rising factorial, :math:`\ln\Gamma(r + n) - \ln\Gamma(r)`.

    The difference of two ``gammaln`` loses all digits in float32 once r is large; here the large
    parts are cancelled on paper.  Good to a few float32 roundings for r from 1e-6 to 1e7.

    Parameters
    ----------
    r
        Positive.
    n
        Whole numbers >= 0.

    Notes
    -----
    With :math:`a = r + 4`, the four shifted factors are
    :math:`\prod_{i<4} (r+i) / (r+n+i)`, and Stirling's series (DLMF 5.11.1) gives

    .. math:: \ln\frac{\Gamma(a+n)}{\Gamma(a)} = (a - \tfrac12)\,\mathrm{log1p}\frac{n}{a}
              + n (\ln(a+n) - 1) + s(a+n) - s(a).
    """
    a = r + _SHIFT
    # The first factor alone may be huge; one logarithm does for the others.
    others = jnp.ones_like(a)
    for i in range(1, _SHIFT):
        others *= (r + n + i) / (r + i)
    shifted = -jnp.log1p(n / r) - jnp.log(others)
    series = (a - 0.5) * jnp.log1p(n / a) + n * (jnp.log(a + n) - 1.0)
    return series + _stirling_tail(a + n) - _stirling_tail(a) + shifted


def log_rising_slope(r: Float[Array, "..."], n: Float[ArrayLike, "..."]) -> Float[Array, "..."]:
    r"""Derivative of :func:`log_rising` by ``r``, :math:`\psi(r + n) - \psi(r)`."""
    a = r + _SHIFT
    # n / (r + i) first: the product of two tiny numbers is 0 in float32.
    shifted = sum(n / (r + i) / (r + n + i) for i in range(_SHIFT))
    return jnp.log1p(n / a) + _digamma_tail(a + n) - _digamma_tail(a) + shifted


@log_rising.defjvp
def _log_rising_jvp(
    primals: tuple[Array, ArrayLike], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    # Only by r: n counts.
    return log_rising(*primals), log_rising_slope(*primals) * tangents[0]


def _digamma_tail(a: Float[Array, "..."]) -> Float[Array, "..."]:
    b = 1.0 / (a * a)
    return -0.5 / a - b * (1 / 12 - b * (1 / 120 - b / 252))


def _digamma_less(x: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    """``ψ(x) - ψ(y)`` of positive numbers."""
    a, b = x + _SHIFT, y + _SHIFT
    shifted = sum(1.0 / (y + i) - 1.0 / (x + i) for i in range(_SHIFT))
    return jnp.log(a / b) + _digamma_tail(a) - _digamma_tail(b) + shifted


def _stirling_tail(a: Float[Array, "..."]) -> Float[Array, "..."]:
    b = 1.0 / (a * a)
    return (1 / 12 - b * (1 / 360 - b * (1 / 1260 - b / 1680))) / a


def _trigamma(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Of positive numbers."""
    a = x + _SHIFT
    b = 1.0 / (a * a)
    tail = (1.0 + 0.5 / a + b * (1 / 6 - b * (1 / 30 - b * (1 / 42 - b / 30)))) / a
    return sum(1.0 / (x + i) ** 2 for i in range(_SHIFT)) + tail


@jax.custom_jvp
def dirichlet_divergence(
    p: Float[Array, "*shape n"], q: Float[Array, "*shape n"]
) -> Float[Array, "*shape"]:
    r"""Kullback-Leibler divergence of a Dirichlet from another, by their concentrations.

    That of two betas is the one for their pairs of shapes.  Good to a few float32 roundings of the
    total of ``q``, a prior, however large ``p``, a posterior, is.

    Notes
    -----
    With :math:`D(a) = \ln\Gamma(q) - \ln\Gamma(p) - \psi(p) (q - p)` of each concentration, it is
    the sum of all :math:`D` less that of the totals.  Stirling's series (DLMF 5.11.1) at
    :math:`P = p + 4`, :math:`Q = q + 4` leaves

    .. math:: (Q - \tfrac12) \ln\frac{Q}{P} + \frac{Q - P}{2P} - (Q - P) + s(Q) - s(P) -
              s'(P) (Q - P) + \sum_{i<4} \frac{q - p}{p + i} - \ln\frac{q + i}{p + i};

    the terms :math:`Q - P`, beside which the others vanish in float32, cancel in the sum.  It takes
    no function of JAX's but the logarithm: the general ones, in value and slope, took half of the
    time in which a model with betas compiles.
    """
    return _bregman(p, q).sum(-1) - _bregman(p.sum(-1), q.sum(-1))


@partial(dirichlet_divergence.defjvp, symbolic_zeros=True)
def _dirichlet_divergence_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    p, q = primals
    p_dot, q_dot = tangents
    divergence = dirichlet_divergence(p, q)
    slope = jnp.zeros_like(divergence)
    less = p - q
    if not isinstance(p_dot, SymbolicZero):
        of_total = _trigamma(p.sum(-1, keepdims=True)) * less.sum(-1, keepdims=True)
        # Else the compiler repeats all of this in each kernel that uses it.
        by_p = jax.lax.optimization_barrier(_trigamma(p) * less - of_total)
        slope += (by_p * p_dot).sum(-1)
    if not isinstance(q_dot, SymbolicZero):
        of_total = _digamma_less(q.sum(-1, keepdims=True), p.sum(-1, keepdims=True))
        by_q = _digamma_less(q, p) - of_total
        slope += (by_q * q_dot).sum(-1)
    return divergence, slope


def _bregman(p: Float[Array, "..."], q: Float[Array, "..."]) -> Float[Array, "..."]:
    """Of ``ln Γ``, plus ``q - p``."""
    a, b = p + _SHIFT, q + _SHIFT
    by = q - p
    shifted = sum(by / (p + i) - jnp.log((q + i) / (p + i)) for i in range(_SHIFT))
    series = (b - 0.5) * jnp.log(b / a) + 0.5 * by / a
    slope = _digamma_tail(a) + 0.5 / a  # of the tail
    return series + _stirling_tail(b) - _stirling_tail(a) - slope * by + shifted
