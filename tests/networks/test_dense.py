"""Entry-by-entry probabilities against SciPy in float64, from the tiniest values to the largest."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from scipy.special import digamma, gammaln

from scribeviz.networks import dense
from scribeviz.networks.dense import by_blocks, log_factorial, nb_log_prob

COUNTS = np.array([0, 1, 2, 3, 7, 40, 900, 60_000], float)
MEANS = np.array([1e-6, 1e-4, 0.02, 1.0, 30.0, 900.0, 5e4])
DISPERSIONS = np.array([1e-6, 1e-3, 0.3, 1.0, 25.0, 3e3, 1e6])


@pytest.fixture
def grid():
    """Every dispersion (a gene) with every mean and count (a cell)."""
    cells = np.array(list(product(MEANS, COUNTS)))
    shape = (len(cells), DISPERSIONS.size)
    mean, counts = (np.broadcast_to(cells[:, [i]], shape) for i in (0, 1))
    return (
        jnp.asarray(np.log(mean), jnp.float32),
        jnp.asarray(np.log(DISPERSIONS), jnp.float32),
        jnp.asarray(counts, jnp.float32),
    )


def exactly(log_mean, log_dispersion, counts):
    """What the float32 parameters mean, in float64."""
    mean, theta = np.exp(np.asarray(log_mean, float)), np.exp(np.asarray(log_dispersion, float))
    return mean, np.broadcast_to(theta, mean.shape), np.asarray(counts, float)


def test_values_are_scipys(grid):
    mean, theta, x = exactly(*grid)
    expected = st.nbinom(theta, theta / (theta + mean)).logpmf(x)
    # Float32 keeps the digits of its largest part: the factorial, or the power of the odds.
    largest = 1 + gammaln(x + 1) + np.abs((x + theta) * np.log(mean / theta))
    np.testing.assert_array_less(np.abs(nb_log_prob(*grid) - expected) / largest, 1e-6)


def test_slopes_are_those_on_paper(grid):
    mean, theta, x = exactly(*grid)
    of_mean = x - (x + theta) * mean / (mean + theta)
    of_theta = theta * (digamma(x + theta) - digamma(theta) - np.log1p(mean / theta)) - of_mean
    first, second = jax.grad(lambda *a: nb_log_prob(*a).sum(), argnums=(0, 1))(*grid)
    scale = 1 + x + mean
    np.testing.assert_array_less(np.abs(first - of_mean) / scale, 1e-5)
    expected = of_theta.sum(axis=0)
    # The sums cancel; digamma differences in float64 lose theta * 1e-16 * ln theta.
    np.testing.assert_allclose(second, expected, atol=1e-5 * np.abs(of_theta).sum(axis=0).max())


def test_curvature_is_that_on_paper(grid):
    """Newton steps take it."""
    mean, theta, x = exactly(*grid)
    slope = jax.grad(lambda m: nb_log_prob(m, *grid[1:]).sum())
    found = jax.jvp(slope, grid[:1], (jnp.ones_like(grid[0]),))[1]
    share = mean / (mean + theta)
    expected = -(x + theta) * share * (1 - share)
    np.testing.assert_array_less(np.abs(found - expected) / (1 + x + theta), 1e-6)


def test_tiny_rates_keep_their_mean():
    """An epsilon of 1e-4 in the logits would make the mean a hundred times a rate of 1e-6."""
    for rate in (1e-6, 1e-4):
        x = jnp.arange(40.0)[None].T
        log_mean = jnp.full_like(x, np.log(rate))
        probability = np.exp(nb_log_prob(log_mean, jnp.zeros(1), x), dtype=float)
        assert (probability * np.asarray(x)).sum() == pytest.approx(rate, rel=1e-3)


def test_factorials():
    x = np.array([0, 1, 2, 3, 5, 12, 170, 1e4, 1e6])
    found = np.asarray(log_factorial(jnp.asarray(x, jnp.float32)))
    np.testing.assert_allclose(found, gammaln(x + 1), rtol=2e-6, atol=1e-6)
    assert found[0] == found[1] == 0


@pytest.mark.parametrize("n_cells", [1, 7, 16, 17, 24, 31])
def test_blocks_are_the_whole(monkeypatch, rng, n_cells):
    monkeypatch.setattr(dense, "_BLOCK", 40)  # eight cells of five genes
    shapes = []

    def score(a, b):
        shapes.append(a.shape)
        return (a * b).sum(axis=1)

    a, b = rng.normal(size=(2, n_cells, 5)).astype(np.float32)
    np.testing.assert_allclose(by_blocks(score, a, b), (a * b).sum(axis=1), rtol=1e-5, atol=1e-6)
    assert max(rows for rows, _ in shapes) <= 16


def test_gradients_go_through_blocks(monkeypatch, rng):
    log_mean, log_theta = rng.normal(size=(30, 5)), rng.normal(size=5)
    x = rng.poisson(2.0, (30, 5))
    arrays = [jnp.asarray(a, jnp.float32) for a in (log_mean, log_theta, x)]

    def total(log_mean, log_theta, x):
        return by_blocks(lambda m, x: nb_log_prob(m, log_theta, x).sum(axis=1), log_mean, x).sum()

    whole = jax.grad(total, argnums=(0, 1))(*arrays)
    monkeypatch.setattr(dense, "_BLOCK", 40)
    for found, expected in zip(jax.grad(total, argnums=(0, 1))(*arrays), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
