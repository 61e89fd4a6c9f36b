import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.distributions.kl import kl_divergence
from scipy.special import digamma, gammaln

from scribeviz.models.special import dirichlet_divergence, log_rising

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


SIZES = np.float32([1e-3, 0.1, 1, 3.7, 40, 1e3, 1e5, 1e7])


def exact_divergence(p, q):
    """Of Dirichlets: the difference of their log normalizers less its slope."""
    p, q = (np.column_stack([one, one.sum(axis=1)]).astype(float) for one in (p, q))
    terms = gammaln(q) - gammaln(p) - digamma(p) * (q - p)
    return terms[:, :-1].sum(axis=1) - terms[:, -1]


@pytest.mark.parametrize("prior", [(1.0, 1.0), (0.5, 30.0), (2.0, 1e4)])
def test_the_divergence_of_dirichlets_keeps_its_digits(prior):
    p = np.array(list(itertools.product(SIZES, SIZES)))
    q = np.broadcast_to(np.float32(prior), p.shape)
    expected = exact_divergence(p.astype(float), q.astype(float))
    rounding = 2e-6 * max(10.0, sum(prior))
    np.testing.assert_allclose(dirichlet_divergence(p, q), expected, rtol=2e-5, atol=rounding)


def test_slopes_of_the_divergence_are_those_of_numpyros_formula():
    p, q = jnp.array([2.0, 5.5, 0.7]), jnp.array([1.0, 3.0, 9.0])
    with jax.enable_x64(True):
        exact = [jnp.asarray(np.asarray(each), jnp.float64) for each in (p, q)]
        expected = jax.grad(
            lambda p, q: kl_divergence(dist.Dirichlet(p), dist.Dirichlet(q)), argnums=(0, 1)
        )(*exact)
    slopes = jax.grad(dirichlet_divergence, argnums=(0, 1))(p, q)
    np.testing.assert_allclose(slopes, expected, rtol=1e-5)
