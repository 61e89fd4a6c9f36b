import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import digamma, gammaln

from scribeviz.models.special import log_rising

R = np.float32([1e-6, 1e-3, 0.1, 0.5, 1, 3, 7.9, 40, 1e3, 1e5, 1e7])
N = np.array([0, 1, 2, 3, 7, 40, 1_000, 100_000])
GRID = [array.ravel() for array in np.meshgrid(R, N)]


def exact_sums(term):
    """Sum of ``term(r + j)`` over j < n, from the smallest term on, in float64."""
    r, n = GRID
    return np.array(
        [term(a + np.arange(b)[::-1]).sum() for a, b in zip(r.astype(float), n, strict=True)]
    )


def test_log_rising_is_the_sum_of_logarithms():
    r, n = GRID
    ours = log_rising(jnp.asarray(r), n)
    np.testing.assert_allclose(ours, exact_sums(np.log), rtol=5e-6, atol=3e-7)


def test_log_rising_is_scipys_difference_where_that_is_exact():
    r, n = np.float32([0.3, 2.0, 11.0]), np.arange(0, 60, 7)[:, None]
    expected = gammaln(r.astype(float) + n) - gammaln(r.astype(float))
    ours = log_rising(jnp.broadcast_to(r, (9, 3)), jnp.broadcast_to(n, (9, 3)))
    np.testing.assert_allclose(ours, expected, rtol=2e-6)


def test_log_rising_slope_is_the_difference_of_digammas():
    r, n = GRID
    slope = jax.vmap(jax.grad(log_rising))(jnp.asarray(r), jnp.asarray(n, jnp.float32))
    # SciPy's difference of two digammas loses digits when r is large; the sum does not.
    np.testing.assert_allclose(slope, exact_sums(np.reciprocal), rtol=5e-6)
    small = r < 100
    expected = digamma(r.astype(float) + n) - digamma(r.astype(float))
    np.testing.assert_allclose(slope[small], expected[small], rtol=5e-6)
