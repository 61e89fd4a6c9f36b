"""Posteriors of genes against SciPy's likelihood on a fine grid."""

import numpy as np
import pytest
import scipy.stats
from scipy.interpolate import CubicSpline
from scipy.special import logsumexp

from scribeviz.data.counts import plain_counts
from scribeviz.data.gene_tables import gene_tables
from scribeviz.inference.gene_posterior import GenePosterior
from scribeviz.inference.gene_quadrature import first_region, quadrature
from scribeviz.models.gene_priors import GenePriors

PRIORS = GenePriors(-2.0, 2.0, np.array([-4.0, 0.0, 3.0]), np.array([-1.5, 0.2, 1.5]), 1.2)
N_CELLS = 120
# Counted once, a few times, often with dispersion, often without, very often.
MEANS, R = np.array([0.0, 0.05, 1.5, 1.5, 40.0]), np.array([1.0, 0.5, 0.6, 1e5, 3.0])


@pytest.fixture(scope="module")
def log_depth():
    return np.random.default_rng(0).normal(0, 0.5, N_CELLS)


@pytest.fixture(scope="module")
def counts(log_depth):
    rng = np.random.default_rng(2)
    matrix = rng.poisson(rng.gamma(R, 1 / R, (N_CELLS, 5)) * MEANS * np.exp(log_depth)[:, None])
    matrix[3, 0] = 1
    return plain_counts(matrix)


@pytest.fixture(scope="module")
def posterior(counts, log_depth):
    tables = gene_tables(counts, log_depth)
    return GenePosterior(tables, PRIORS, first_region(tables, PRIORS)[0])


@pytest.fixture(scope="module")
def grids(counts, log_depth):
    """Per gene u, rho and the log posterior on a fine grid, by SciPy, not normalised."""
    made = []
    for gene in range(5):
        x = counts.matrix.toarray()[:, gene][:, None, None]
        center = np.log((x.sum() + 0.5) / np.exp(log_depth).sum())
        width = 9 / np.sqrt(x.sum() / 10 + 1) + 2 / np.sqrt(x.sum() + 1)
        u = np.linspace(center - width, center + width * 0.7, 301)[:, None]
        rho = np.linspace(-6, 12, 361)[None]
        r, mean = np.exp(rho), np.exp(u + log_depth[:, None, None])
        logs = scipy.stats.nbinom.logpmf(x, r, r / (r + mean)).sum(axis=0)
        logs += scipy.stats.norm.logpdf(u, PRIORS.mean, PRIORS.spread)
        logs += scipy.stats.norm.logpdf(rho, PRIORS.trend(u), PRIORS.scatter)
        made.append((u[:, 0], rho[0], logs))
    return made


def quantile(places, weight, share) -> float:
    """Between the points of a grid the distribution is smooth."""
    below = CubicSpline(places, np.cumsum(weight) - weight / 2)
    fine = np.linspace(places[0], places[-1], 20_001)
    return float(fine[np.searchsorted(below(fine), share)])


@pytest.mark.slow
def test_evidence_differs_as_on_a_fine_grid(posterior, grids, counts, log_depth):
    (_, nodes), *_ = posterior.blocks()
    x = counts.matrix.toarray()
    for gene, (u, rho, logs) in enumerate(grids):
        cell = np.log(u[1] - u[0]) + np.log(rho[1] - rho[0])
        constant = (x[:, gene] * log_depth).sum() - scipy.special.gammaln(x[:, gene] + 1).sum()
        np.testing.assert_allclose(
            nodes.log_evidence[gene] + constant, logsumexp(logs) + cell, atol=0.02
        )


def test_evidence_against_a_poisson_is_scipys(posterior, grids, counts, log_depth):
    over = posterior.over_poisson()
    x = counts.matrix.toarray()
    for gene, (u, rho, logs) in enumerate(grids):
        cell = np.log(u[1] - u[0]) + np.log(rho[1] - rho[0])
        # As fine as its own posterior is narrow, which the other model's grid is not.
        fine = np.linspace(u[0], u[-1], 20_001)
        mean = np.exp(fine + log_depth[:, None])
        plain = scipy.stats.poisson.logpmf(x[:, gene][:, None], mean).sum(axis=0)
        plain += scipy.stats.norm.logpdf(fine, PRIORS.mean, PRIORS.spread)
        poisson = logsumexp(plain) + np.log(fine[1] - fine[0])
        np.testing.assert_allclose(over[gene], logsumexp(logs) + cell - poisson, atol=0.02)
    assert over[2] > 3  # made with r = 0.6
    assert over[4] > 3
    assert over[3] < 0  # as good as Poisson


def test_means_and_quantiles_are_those_of_a_fine_grid(posterior, grids):
    means = posterior.means()
    shares = [0.05, 0.5, 0.95]
    log_mean, log_r = posterior.quantiles(shares)
    for gene, (u, rho, logs) in enumerate(grids):
        weight = np.exp(logs - logsumexp(logs))
        of_u, of_rho = weight.sum(axis=1), weight.sum(axis=0)
        spread_u = np.sqrt(of_u @ (u - of_u @ u) ** 2)
        spread_rho = np.sqrt(of_rho @ (rho - of_rho @ rho) ** 2)
        assert means["log_mu"][gene] == pytest.approx(of_u @ u, abs=0.01 * spread_u)
        assert means["mu"][gene] == pytest.approx(of_u @ np.exp(u), rel=0.01)
        assert means["log_r"][gene] == pytest.approx(of_rho @ rho, abs=0.01 * spread_rho)
        for i, share in enumerate(shares):
            wanted = quantile(u, of_u, share)
            assert log_mean[i, gene] == pytest.approx(wanted, abs=0.03 * spread_u)
            wanted = quantile(rho, of_rho, share)
            assert log_r[i, gene] == pytest.approx(wanted, abs=0.03 * spread_rho)


def test_draws_follow_the_posterior_and_hang_together(posterior, grids):
    n_draws = 20_000
    log_mean, log_r = posterior.draws(np.random.default_rng(0), n_draws)
    for gene, (u, rho, logs) in enumerate(grids):
        weight = np.exp(logs - logsumexp(logs))
        for draws, places, of in (
            (log_mean[:, gene], u, weight.sum(axis=1)),
            (log_r[:, gene], rho, weight.sum(axis=0)),
        ):
            cumulated = np.cumsum(of) - of / 2
            statistic = scipy.stats.kstest(np.interp(draws, places, cumulated), "uniform").statistic
            assert statistic < 2.2 / np.sqrt(n_draws)  # 1e-4 of draws from the distribution
        mean_u, mean_rho = weight.sum(axis=1) @ u, weight.sum(axis=0) @ rho
        covariance = (u - mean_u) @ weight @ (rho - mean_rho)
        off = (log_mean[:, gene] - mean_u) * (log_r[:, gene] - mean_rho)
        assert abs(off.mean() - covariance) < 4.5 * off.std() / np.sqrt(n_draws)


def test_a_second_look_changes_nothing(posterior):
    (_, first), *_ = posterior.blocks()
    region = posterior.region.copy()
    for _ in range(2):
        (_, second), *_ = quadrature(posterior.tables, PRIORS, region)
    np.testing.assert_allclose(second.log_evidence, first.log_evidence, atol=0.02)


def test_a_first_guess_of_the_evidence_is_not_far_off(posterior):
    _, about = first_region(posterior.tables, PRIORS)
    (_, nodes), *_ = posterior.blocks()
    np.testing.assert_allclose(about, nodes.log_evidence, atol=0.3)
