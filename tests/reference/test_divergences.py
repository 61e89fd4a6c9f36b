"""Closed forms, against integrals that SciPy does over its own densities."""

import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats as st
from scipy.integrate import quad

from scribeviz import stats

CASES = {
    "beta": ((2.0, 5.0, 3.5, 1.5), st.beta, (0, 1)),
    "gamma": ((2.0, 3.0, 4.0, 0.7), lambda a, b: st.gamma(a, scale=1 / b), (0, 60)),
    "lognormal": (
        (0.3, 0.5, -0.4, 1.1),
        lambda m, s: st.lognorm(s, scale=np.exp(m)),
        (0, 80),
    ),
}


@pytest.mark.parametrize("family", CASES)
def test_divergences_are_the_integrals(family):
    numbers, make, (low, high) = CASES[family]
    p, q = make(*numbers[:2]), make(*numbers[2:])

    def kl(p, q):
        return quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), low, high, limit=400)[0]

    def mismatch():
        shared = quad(lambda x: np.sqrt(p.pdf(x) * q.pdf(x)), low, high, limit=400)[0]
        return 1 - shared

    there, back, apart = kl(p, q), kl(q, p), mismatch()

    def found(name):
        return float(getattr(stats, f"{name}_{family}")(*numbers))

    np.testing.assert_allclose(found("kl"), there, rtol=1e-4)
    np.testing.assert_allclose(found("jensen_shannon"), (there + back) / 2, rtol=1e-4)
    np.testing.assert_allclose(found("sq_hellinger"), apart, rtol=1e-4)
    np.testing.assert_allclose(found("hellinger"), np.sqrt(apart), rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "family"),
    [
        (dist.Beta, "beta"),
        (stats.BetaPrime, "beta"),
        (dist.Gamma, "gamma"),
        (dist.LogNormal, "lognormal"),
        (dist.Normal, "lognormal"),
    ],
)
def test_numpyro_distributions_are_taken(make, family):
    numbers = CASES[family][0]
    p, q = make(*numbers[:2]), make(*numbers[2:])
    for name in ("jensen_shannon", "sq_hellinger", "hellinger"):
        np.testing.assert_allclose(
            getattr(stats, name)(p, q), getattr(stats, f"{name}_{family}")(*numbers), rtol=1e-5
        )


def test_different_families_are_refused():
    with pytest.raises(TypeError, match="Beta and Gamma have no closed form here"):
        stats.hellinger(dist.Beta(1, 1), dist.Gamma(1, 1))


def test_genes_at_once_and_near_ones():
    loc = np.linspace(-1, 1, 5)
    assert stats.kl_lognormal(loc, 0.5, 0.0, 0.5).shape == (5,)
    # Far below what a difference from one could show in float32.
    assert 0 < stats.sq_hellinger_lognormal(0.0, 1.0, 1e-5, 1.0) < 2e-11
