import jax
import numpy as np
import pytest
import scipy.stats as st
from scipy.special import digamma

from scribeviz.criticism.budget import MemoryBudgetError
from scribeviz.criticism.dirichlet import fit_dirichlet
from scribeviz.criticism.normalization import fit_expression, normalized_expression


@pytest.fixture
def r(rng):
    """Draws of the dispersions of 5 genes in a mixture of 3."""
    return rng.gamma(2.0, 1.0, (8, 3, 5)) + 0.05


def test_shapes(key, r):
    assert normalized_expression(key, r).shape == (8, 3, 5)
    assert normalized_expression(key, r, n_samples_dirichlet=4).shape == (8, 3, 5, 4)
    assert normalized_expression(key, r[:, 0]).shape == (8, 5)
    assert normalized_expression(key, r[:, 0], n_samples_dirichlet=4).shape == (8, 5, 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shares_of_the_genes_sum_to_one(key, r, dtype):
    profiles = normalized_expression(key, r, n_samples_dirichlet=4, dtype=dtype)
    assert profiles.dtype == dtype
    assert (profiles >= 0).all()
    np.testing.assert_allclose(profiles.sum(axis=2), 1, rtol=1e-6)


def test_a_key_means_the_same_draws_in_either_form(r):
    plain = normalized_expression(jax.random.PRNGKey(7), r)
    np.testing.assert_array_equal(plain, normalized_expression(jax.random.key(7), r))
    assert (plain != normalized_expression(jax.random.key(8), r)).all()


def test_a_generator_is_taken_as_it_is(r):
    rng = np.random.default_rng(3)
    first = normalized_expression(rng, r)
    assert (normalized_expression(rng, r) != first).all()
    np.testing.assert_array_equal(normalized_expression(np.random.default_rng(3), r), first)


def test_every_share_has_its_beta_distribution(key):
    r = np.array([[0.03, 0.4, 1.0, 6.0], [3.0, 0.2, 50.0, 1.0]])
    profiles = normalized_expression(key, r, n_samples_dirichlet=4_000)
    for d in range(2):
        for g in range(4):
            beta = st.beta(r[d, g], r[d].sum() - r[d, g])
            assert st.kstest(profiles[d, g], beta.cdf).pvalue > 1e-3


def test_genes_vary_together_as_a_dirichlet(key):
    r = np.array([[0.5, 2.0, 1.0]])
    profiles = normalized_expression(key, r, n_samples_dirichlet=100_000)[0]
    np.testing.assert_allclose(np.cov(profiles), st.dirichlet(r[0]).cov(), atol=1e-3)


def test_tiny_concentrations_leave_everything_to_one_gene(key):
    # Each gamma variable itself would be 0 in any floating-point type.
    r = np.full((2_000, 4), 1e-5) * [1, 1, 2, 4]
    profiles = normalized_expression(key, r)
    assert np.isfinite(profiles).all()
    np.testing.assert_allclose(profiles.max(axis=1), 1, atol=0.5)
    np.testing.assert_allclose(profiles.mean(axis=0), np.array([1, 1, 2, 4]) / 8, atol=0.04)


def test_a_concentration_of_zero_is_a_share_of_zero(key):
    profiles = normalized_expression(key, np.array([[0.0, 1.0, 2.0]]), 50)
    assert (profiles[0, 0] == 0).all()
    np.testing.assert_allclose(profiles.sum(axis=1), 1)


def test_fits_one_dirichlet_per_component(key, r):
    fitted = fit_expression(key, np.repeat(r[:1], 50, axis=0), n_samples_dirichlet=400)
    assert fitted.concentrations.shape == fitted.mean_probabilities.shape == (3, 5)
    np.testing.assert_allclose(fitted.concentrations, r[0], rtol=0.05)
    np.testing.assert_allclose(fitted.mean_probabilities.sum(axis=1), 1)
    shares = r[0] / r[0].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.mean_probabilities, shares, rtol=0.05)


def test_without_components_there_is_one(key, r):
    fitted = fit_expression(key, r[:, 0])
    assert fitted.concentrations.shape == fitted.mean_probabilities.shape == (5,)


@pytest.mark.parametrize("n", [1, 6])
def test_the_fit_is_to_the_profiles_of_the_same_key(key, r, n):
    profiles = normalized_expression(key, r, n)
    together = np.moveaxis(profiles.reshape(8, 3, 5, n), -1, 1).reshape(-1, 3, 5)
    np.testing.assert_allclose(
        fit_expression(key, r, n).concentrations, fit_dirichlet(together), rtol=1e-9
    )


def test_the_fit_knows_shares_that_no_number_can_hold(key):
    r = np.tile([1e-4, 3e-3, 0.5, 2.0], (300, 1))
    assert digamma(r[0, 0]) < np.log(np.finfo(float).tiny)
    assert (normalized_expression(key, r)[:, 0] == 0).mean() > 0.5
    fitted = fit_expression(key, r, n_samples_dirichlet=100)
    np.testing.assert_allclose(fitted.concentrations, r[0], rtol=0.05)


def test_too_many_profiles_are_refused_first(key):
    r = np.broadcast_to(1.0, (1_000, 30_000))
    with pytest.raises(MemoryBudgetError, match=r"1,000 x 30,000 x 100\) would take 24 GB"):
        normalized_expression(key, r, 100)


@pytest.mark.parametrize(
    ("r", "n", "says"),
    [
        ([[1.0, np.nan]], 1, "r holds values that are negative or not finite"),
        ([[1.0, np.inf]], 1, "r holds values that are negative or not finite"),
        ([[1.0, -1.0]], 1, "r holds values that are negative or not finite"),
        ([[1.0, 1.0]], 0, "n_samples_dirichlet=0 should be 1 or more"),
    ],
)
@pytest.mark.parametrize("function", [normalized_expression, fit_expression])
def test_what_is_no_concentration_is_an_error(key, function, r, n, says):
    with pytest.raises(ValueError, match=says):
        function(key, np.array(r), n)


def test_a_fit_needs_draws_and_genes(key):
    with pytest.raises(ValueError, match="r holds no posterior draws"):
        fit_expression(key, np.empty((0, 3)))
    with pytest.raises(ValueError, match="two shares or more"):
        fit_expression(key, np.ones((5, 1)))
