"""Functions that JAX lacks in a form that keeps their precision in float32."""

import jax
import jax.numpy as jnp
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


def _stirling_tail(a: Float[Array, "..."]) -> Float[Array, "..."]:
    b = 1.0 / (a * a)
    return (1 / 12 - b * (1 / 360 - b * (1 / 1260 - b / 1680))) / a
