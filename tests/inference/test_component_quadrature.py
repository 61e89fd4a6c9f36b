"""Posteriors of genes in components against SciPy's likelihood summed over dense grids."""

import numpy as np
import pytest
import scipy.stats
from scipy.special import logsumexp

from scribeviz.data.component_tables import CellsByDepth
from scribeviz.data.counts import plain_counts
from scribeviz.inference.component_moments import log_likelihood, moments_of
from scribeviz.inference.component_posterior import ComponentPosterior
from scribeviz.inference.component_quadrature import component_quadrature, first_region
from scribeviz.inference.gene_quadrature import first_region as gene_region
from scribeviz.inference.gene_quadrature import quadrature
from scribeviz.models.component_priors import ComponentPriors
from scribeviz.models.gene_priors import GenePriors

N_CELLS, K = 60, 2
PRIORS = ComponentPriors(
    GenePriors(-1.0, 1.5, np.array([-3.0, 0.0, 2.0]), np.array([-1.0, 0.2, 1.0]), 0.8), 0.6
)
# Never counted in one component, a few times, often, and very often.
MEANS = np.array([[0.02, 0.3, 2.0, 30.0], [0.5, 0.4, 6.0, 25.0]])
R = np.array([1.0, 0.8, 2.0, 5.0])


@pytest.fixture(scope="module")
def log_depth():
    return np.random.default_rng(0).normal(0, 0.4, N_CELLS)


@pytest.fixture(scope="module")
def shares():
    return np.random.default_rng(1).dirichlet([0.3, 0.3], N_CELLS)


@pytest.fixture(scope="module")
def counts(log_depth, shares):
    rng = np.random.default_rng(2)
    mean = MEANS[shares.argmax(axis=1)] * np.exp(log_depth)[:, None]
    return plain_counts(rng.poisson(rng.gamma(R, 1 / R, mean.shape) * mean))


def grids(x, log_depth, shares, own):
    """Log evidence, E ln(mean) of every component, and E ln p(x_c | k), on dense grids."""
    level = np.linspace(-6, 6, 97)
    rho = np.linspace(-4, 5, 73)
    u = np.linspace(-9, 6, 241)
    r, mean = np.exp(rho)[:, None], np.exp(u + log_depth[:, None, None])
    cells = scipy.stats.nbinom.logpmf(x[:, None, None], r, r / (r + mean))  # cells, rho, u
    by_component = np.tensordot(shares.T, cells, axes=1)
    du, drho, dm = u[1] - u[0], rho[1] - rho[0], level[1] - level[0]
    prior_u = scipy.stats.norm.logpdf(u[:, None], level, PRIORS.between) + np.log(du)
    given = logsumexp(by_component[..., None] + prior_u, axis=2)  # k, rho, level
    genes = PRIORS.genes
    of_r = scipy.stats.norm.logpdf(rho[:, None], genes.trend(level), genes.scatter) + np.log(drho)
    of_level = scipy.stats.norm.logpdf(level, genes.mean, genes.spread) + np.log(dm)
    if own:
        inside = logsumexp(given + of_r, axis=1)
        outside = inside.sum(axis=0) + of_level
        evidence = logsumexp(outside)
        joint = given + of_r - inside[:, None] + outside - evidence
    else:
        height = given.sum(axis=0) + of_r + of_level
        evidence = logsumexp(height)
        joint = np.broadcast_to(height - evidence, given.shape)
    weight = np.exp(joint - given)  # k, rho, level
    points = np.exp(by_component) * np.einsum("krm,um->kru", weight, np.exp(prior_u))
    assert points.sum(axis=(1, 2)) == pytest.approx(1, abs=1e-6)
    return evidence, (points.sum(axis=1) * u).sum(axis=1), np.einsum("kru,cru->ck", points, cells)


@pytest.mark.parametrize("own", [False, True])
def test_evidence_means_and_scores_of_cells_are_those_of_dense_grids(
    counts, log_depth, shares, own
):
    cells = CellsByDepth(counts, log_depth, own_dispersions=own)
    tables = cells.tables(shares)
    region = first_region(tables, PRIORS)
    for _ in range(2):
        blocks = list(component_quadrature(tables, PRIORS, region))
    evidence = np.concatenate([nodes.log_evidence for _, nodes in blocks])
    log_mean = ComponentPosterior(tables, PRIORS, region).means()["log_mu"]
    dense = counts.matrix.toarray()
    of_cells = np.zeros((N_CELLS, K))
    for gene in range(dense.shape[1]):
        x = dense[:, gene]
        expected, means, scores = grids(x, log_depth, shares, own)
        constant = (x * log_depth - scipy.special.gammaln(x + 1)).sum()
        assert evidence[gene] + constant == pytest.approx(expected, abs=0.02)
        np.testing.assert_allclose(log_mean[:, gene], means, atol=0.02)
        of_cells += scores
    ours = log_likelihood(cells, moments_of(tables, PRIORS, region, cells))
    apart = (ours[:, 0] - ours[:, 1]) - (of_cells[:, 0] - of_cells[:, 1])
    np.testing.assert_allclose(apart, 0, atol=0.05)


def test_one_component_is_the_exact_posterior(counts, log_depth):
    flat = GenePriors(-1.0, 1.5, np.zeros(1), np.array([0.3]), 0.8)
    wider = GenePriors(-1.0, float(np.hypot(1.5, 0.6)), np.zeros(1), np.array([0.3]), 0.8)
    cells = CellsByDepth(counts, log_depth, own_dispersions=False)
    tables = cells.tables(np.ones((N_CELLS, 1)))
    priors = ComponentPriors(flat, 0.6)
    nodes = [n for _, n in component_quadrature(tables, priors, first_region(tables, priors))]
    region, _ = gene_region(cells.genes, wider)
    exact = [n for _, n in quadrature(cells.genes, wider, region)]
    for of_one, of_exact in zip(nodes, exact, strict=True):
        np.testing.assert_allclose(of_one.log_evidence, of_exact.log_evidence, atol=0.03)


@pytest.mark.parametrize("own", [False, True])
def test_tables_are_sums_over_cells(counts, log_depth, shares, own):
    tables = CellsByDepth(counts, log_depth, own_dispersions=own).tables(shares)
    dense = counts.matrix.toarray()
    np.testing.assert_allclose(tables.total, dense.T @ shares, atol=1e-9)
    np.testing.assert_allclose(tables.of_cells.sum(axis=1), shares.sum(axis=0))
    # A smooth function of depth is summed as it is.
    for k in range(K):
        direct = (shares[:, k] * dense.T * np.log1p(2 * np.exp(log_depth))).sum(axis=1)
        at_nodes = tables.of_genes[:, k] @ np.log1p(2 * np.exp(tables.place))
        np.testing.assert_allclose(at_nodes, direct, rtol=1e-5)
    log_r = np.random.default_rng(3).normal(0, 1, (dense.shape[1], K if own else 1, 3))
    rising = tables.log_rising(log_r)
    for d in range(log_r.shape[1]):
        weight = shares[:, d] if own else np.ones(N_CELLS)
        r = np.exp(log_r[:, d])[None]
        x = dense[:, :, None]
        each = scipy.special.gammaln(x + r) - scipy.special.gammaln(r) - x * np.log(r)
        np.testing.assert_allclose(rising[:, d], np.tensordot(weight, each, axes=1), rtol=1e-9)
