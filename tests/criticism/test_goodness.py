"""p-values: uniform over data sets of the model, whatever was fitted to them."""

import numpy as np
import pytest
import scipy.stats as st

from scribeviz.criticism.goodness import false_discovery_rates, p_values

N_CELLS, N_GENES, N_DRAWS = 600, 1_500, 64
X = np.arange(12)


def poisson(mean):
    """Probabilities of 0 to 10, and of 11 and more."""
    pmf = st.poisson(np.asarray(mean)[..., None]).pmf(X)
    pmf[..., -1] = 1 - pmf[..., :-1].sum(axis=-1)
    return pmf


def fitted(counts, exposure, rng):
    """Draws from the posterior of Poisson means under a flat prior, which is a gamma."""
    return rng.gamma(counts.sum(axis=0) + 1.0, 1 / exposure.sum(), (N_DRAWS, counts.shape[1]))


def judged(counts, exposure, rng):
    groups, group_of_cell = np.unique(exposure, return_inverse=True)
    share = np.bincount(group_of_cell) / exposure.size
    means = fitted(counts, exposure, rng)
    predicted = sum(s * poisson(means * e) for s, e in zip(share, groups, strict=True))
    by_kind = np.stack([poisson(means[0] * e) for e in groups])
    capped = np.minimum(counts, X[-1])
    seen = np.stack([(capped == x).sum(axis=0) for x in X], axis=1)
    return p_values(seen, predicted, by_kind, share)


@pytest.fixture
def means(rng):
    return np.exp(rng.uniform(np.log(0.1), np.log(4), N_GENES))


@pytest.mark.parametrize("exposures", [[1.0], [0.3, 0.7, 1.3, 2.5]])
def test_they_are_uniform_where_the_model_is_right(rng, means, exposures):
    """The means are fitted to the very counts, and cells of several depths are told apart."""
    exposure = np.tile(exposures, N_CELLS // len(exposures))
    p = judged(rng.poisson(exposure[:, None] * means), exposure, rng)
    tested = p[np.isfinite(p)]
    assert tested.size > 0.9 * N_GENES
    assert st.kstest(tested, "uniform").statistic < 0.05
    assert abs((tested < 0.01).mean() - 0.01) < 0.01
    assert np.nanmin(false_discovery_rates(p)) > 0.05


def test_they_are_as_small_as_they_need_to_be(rng, means):
    exposure = np.ones(N_CELLS)
    counts = rng.poisson(means, (N_CELLS, N_GENES))
    counts[:, :20] = rng.negative_binomial(0.5, 0.5 / (0.5 + 2), (N_CELLS, 20))
    rates = false_discovery_rates(judged(counts, exposure, rng))
    assert (rates[:20] < 1e-6).all()
    assert (rates[20:] < 0.05).sum() <= 3


def test_a_gene_that_its_parameters_explain_is_not_tested(rng):
    counts = np.zeros((N_CELLS, 2), int)
    counts[:3] = 1  # two bins, and the mean is fitted
    p = judged(counts, np.ones(N_CELLS), rng)
    assert np.isnan(p).all()
    assert np.isnan(false_discovery_rates(p)).all()


def test_rates_are_scipys(rng):
    p = rng.random(50)
    with_gaps = np.insert(p, [3, 20], np.nan)
    rates = false_discovery_rates(with_gaps)
    np.testing.assert_allclose(rates[np.isfinite(rates)], st.false_discovery_control(p))
    assert np.isnan(rates).sum() == 2
