"""Our beta, beta prime and log-normal against SciPy and numerical integrals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from numpyro.distributions.kl import kl_divergence
from scipy.integrate import quad
from scipy.special import polygamma

from scribeviz.models.families import Beta, BetaPrime, LogNormal, log_gamma_draw

SHAPES = [(0.5, 0.5), (1.0, 1.0), (2.0, 30.0), (500.0, 20.0)]


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_draws_are_scipys(a, b):
    keys = jax.random.split(jax.random.PRNGKey(1))
    beta = np.asarray(Beta(a, b).sample(keys[0], (50_000,)), float)
    prime = np.asarray(BetaPrime(a, b).sample(keys[1], (50_000,)), float)
    assert st.kstest(beta, st.beta(a, b).cdf).pvalue > 1e-3
    assert st.kstest(prime, st.betaprime(b, a).cdf).pvalue > 1e-3
    assert np.all((beta > 0) & (beta < 1))


@pytest.mark.parametrize("shape", [1e-3, 0.3, 1.0, 5.0, 1e5])
def test_log_gamma_draws_are_scipys(shape):
    draws = np.asarray(log_gamma_draw(jax.random.PRNGKey(2), jnp.full(50_000, shape)), float)
    assert np.isfinite(draws).all()
    assert st.kstest(draws, st.loggamma(shape).cdf).pvalue > 1e-3


@pytest.mark.parametrize("shape", [0.3, 1.0, 3.0, 30.0, 1000.0])
def test_the_slope_of_draws_is_nearly_unbiased(shape):
    """E[log x] has slope trigamma(shape); what the sampler leaves out is less than 0.1 %."""
    slope = jax.jit(
        jax.grad(lambda a: log_gamma_draw(jax.random.PRNGKey(3), jnp.full(1_000_000, a)).mean())
    )
    np.testing.assert_allclose(slope(shape), polygamma(1, shape), rtol=4e-3)


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_density_mean_and_variance_are_scipys(a, b):
    fn, oracle = BetaPrime(a, b), st.betaprime(b, a)
    x = np.array([0.01, 0.5, 3.0])
    np.testing.assert_allclose(fn.log_prob(x), oracle.logpdf(x), rtol=2e-4, atol=1e-3)
    if a > 2:
        np.testing.assert_allclose(fn.mean, oracle.mean(), rtol=1e-4)
        np.testing.assert_allclose(fn.variance, oracle.var(), rtol=1e-4)


@pytest.mark.parametrize(
    ("p", "q", "oracle_p", "oracle_q", "top"),
    [
        (BetaPrime(4.0, 6.0), BetaPrime(1.0, 2.0), st.betaprime(6, 4), st.betaprime(2, 1), np.inf),
        (LogNormal(0.3, 0.5), LogNormal(0.0, 1.0), st.lognorm(0.5, scale=np.exp(0.3)),
         st.lognorm(1.0), np.inf),
        (Beta(3.0, 5.0), Beta(1.0, 1.0), st.beta(3, 5), st.beta(1, 1), 1.0),
    ],
)  # fmt: skip
def test_divergences_are_the_integrals(p, q, oracle_p, oracle_q, top):
    def integrand(x):
        return oracle_p.pdf(x) * (oracle_p.logpdf(x) - oracle_q.logpdf(x))

    np.testing.assert_allclose(kl_divergence(p, q), quad(integrand, 0, top)[0], rtol=1e-4)


def test_extreme_draws_stay_inside():
    for a, b in ((1e-3, 1e3), (1e3, 1e-3), (1e-3, 1e-3)):
        beta = np.asarray(Beta(a, b).sample(jax.random.PRNGKey(0), (10_000,)))
        prime = np.asarray(BetaPrime(a, b).sample(jax.random.PRNGKey(0), (10_000,)))
        assert np.all((beta > 0) & (beta < 1))
        assert np.isfinite(prime).all()
        assert np.all(prime > 0)
