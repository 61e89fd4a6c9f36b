import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats as st
from scipy.optimize import minimize

from scribeviz import stats


@pytest.mark.parametrize("fit", [stats.fit_dirichlet_minka, stats.fit_dirichlet_mle])
def test_the_fit_is_the_maximum_of_scipys_likelihood(fit, rng):
    draws = rng.dirichlet([0.8, 3.0, 5.0], size=300)

    def loss(logs):
        return -st.dirichlet(np.exp(logs)).logpdf(draws.T).sum()

    best = np.exp(minimize(loss, np.zeros(3), method="BFGS").x)
    np.testing.assert_allclose(fit(draws, 1000, 1e-7), best, rtol=1e-3)
    np.testing.assert_allclose(fit(draws.T, sample_axis=1), best, rtol=1e-3)


def test_draws_are_those_of_numpyro(rng):
    concentrations = rng.gamma(2.0, size=(7, 4)).astype(np.float32)
    numpyros, key = dist.Dirichlet(concentrations), jax.random.PRNGKey(42)
    once = stats.sample_dirichlet_from_parameters(concentrations)
    np.testing.assert_array_equal(once, numpyros.sample(key, (1,))[0])
    many = stats.sample_dirichlet_from_parameters(concentrations, 3, key)
    assert many.shape == (7, 4, 3)
    np.testing.assert_array_equal(many[..., 2], numpyros.sample(key, (3,))[2])
