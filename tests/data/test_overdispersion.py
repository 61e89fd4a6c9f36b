"""The score test of a Poisson: against its definition, on data with and without more scatter."""

import numpy as np
import pytest
import scipy.stats as st
from scipy.optimize import approx_fprime

from scribeviz.data.counts import plain_counts
from scribeviz.data.overdispersion import _score, moment_dispersions, overdispersion


def test_the_score_is_the_slope_of_the_likelihood(rng):
    depth = rng.lognormal(0, 0.4, 40)
    x = rng.poisson(3 * depth)
    counts = plain_counts(x[:, None])
    matrix = counts.matrix
    [excess], [spread] = _score(
        matrix.data, matrix.indices, matrix.indptr, depth, counts.gene_totals
    )
    mean = x.sum() / depth.sum() * depth

    def log_likelihood(scatter):  # 1 / r
        r = 1 / scatter[0]
        return st.nbinom(r, r / (r + mean)).logpmf(x).sum()

    slope = approx_fprime(np.array([1e-5]), log_likelihood, 1e-6)
    np.testing.assert_allclose(excess / 2, slope, rtol=1e-2)
    replicates = rng.poisson(mean, (20_000, 40))
    simulated = ((replicates - mean) ** 2 - replicates).sum(axis=1).std()
    np.testing.assert_allclose(spread, simulated, rtol=0.05)


def test_more_scatter_is_seen_and_chance_is_not(rng):
    depth = rng.lognormal(0, 0.4, (800, 1))
    mean = depth * rng.lognormal(-1, 1, 600)
    plain = overdispersion(plain_counts(rng.poisson(mean)))
    assert 0.02 < plain.share < 0.09
    assert not plain.is_seen
    r = rng.lognormal(0, 1, 600)
    scattered = overdispersion(plain_counts(rng.poisson(rng.gamma(r, mean / r))))
    assert scattered.share > 0.7
    assert scattered.is_seen
    low, high = scattered.ratios
    assert high > 2 * low


def test_of_too_few_counts_nothing_is_said():
    assert overdispersion(plain_counts(np.eye(20, 8, dtype=int))) is None


@pytest.mark.parametrize("n_genes", [4, 5])
def test_some_genes_are_enough(rng, n_genes):
    asked = overdispersion(plain_counts(rng.poisson(2.0, (50, n_genes))))
    assert (asked is not None) == (n_genes >= 5)


def test_dispersions_by_moments_are_near_the_truth(rng):
    depth = rng.lognormal(0, 0.4, (4_000, 1))
    mean, r = depth * rng.uniform(0.5, 4, 60), rng.lognormal(0, 1, 60)
    counts = plain_counts(rng.poisson(rng.gamma(r, mean / r)))
    genes = moment_dispersions(counts)
    assert list(genes["gene"]) == list(counts.genes)
    np.testing.assert_allclose(genes["mean"], counts.gene_totals / 4_000)
    assert np.abs(np.log(genes["dispersion"] / r)).mean() < 0.2
    assert moment_dispersions(plain_counts(np.ones((9, 3), int))).empty
