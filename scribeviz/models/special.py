"""Two functions that JAX lacks in a form that keeps its precision in float32."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from scribeviz.data.tables import PaddedLists

# Below this, ln Γ is shifted up by ln(r (r+1) … (r+SHIFT-1)) before Stirling's series is used.
_SHIFT = 4


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
    shifted = sum(-jnp.log1p(n / (r + i)) for i in range(_SHIFT))
    series = (a - 0.5) * jnp.log1p(n / a) + n * (jnp.log(a + n) - 1.0)
    return series + _stirling_tail(a + n) - _stirling_tail(a) + shifted


def _stirling_tail(a: Float[Array, "..."]) -> Float[Array, "..."]:
    b = 1.0 / (a * a)
    return (1 / 12 - b * (1 / 360 - b * (1 / 1260 - b / 1680))) / a


@jax.custom_vjp
def sum_over_lists(
    values: Float[Array, "rows size"], lists: PaddedLists, transposed: PaddedLists
) -> Float[Array, "rows lists"]:
    """Sum ``values[:, i]`` over the members i of every list.

    This is a product with a sparse matrix of ones.  Forward and backward both *gather* (each in its
    own order, hence ``transposed``): on a CPU five to ten times faster than a sparse product or
    a scatter.

    Parameters
    ----------
    values
        One row per component.
    lists
        Which columns belong to which list.
    transposed
        Which lists each column belongs to; used by the gradient.
    """
    del transposed
    return jax.lax.map(lambda row: _gather_sums(row, lists), values)


def _gather_sums(values: Float[Array, " size"], lists: PaddedLists) -> Float[Array, " lists"]:
    padded = jnp.append(values, jnp.zeros((), values.dtype))
    sums = [padded[rectangle].sum(axis=1) for rectangle in lists.rectangles]
    return jnp.concatenate(sums)[lists.position]


def _forward(
    values: Array, lists: PaddedLists, transposed: PaddedLists
) -> tuple[Array, tuple[PaddedLists, PaddedLists]]:
    return sum_over_lists(values, lists, transposed), (lists, transposed)


def _backward(residuals: tuple[PaddedLists, PaddedLists], slope: Array) -> tuple[Array, None, None]:
    lists, transposed = residuals
    return sum_over_lists(slope, transposed, lists), None, None


sum_over_lists.defvjp(_forward, _backward)
