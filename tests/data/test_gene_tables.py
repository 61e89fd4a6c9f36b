"""Tables of single genes against SciPy's negative binomial, in float64."""

import numpy as np
import pytest
import scipy.stats

from scribeviz.data.counts import plain_counts
from scribeviz.data.gene_tables import constant_of, gene_tables
from scribeviz.inference.gene_quadrature import log_likelihood

N_CELLS = 300


@pytest.fixture(scope="module")
def log_depth():
    return np.random.default_rng(0).uniform(np.log(0.2), np.log(6.0), N_CELLS)


@pytest.fixture(scope="module")
def counts(log_depth):
    rng = np.random.default_rng(1)
    means = np.array([0.003, 0.05, 1.0, 20.0, 0.3])
    matrix = rng.poisson(rng.gamma(0.5, 2.0, (N_CELLS, 5)) * means * np.exp(log_depth)[:, None])
    matrix[3, 0], matrix[4, 4], matrix[5, 4] = 1, 12_000, 900  # long stretches
    return plain_counts(matrix)


@pytest.mark.parametrize("r", [1e-4, 1e-2, 1.0, 30.0, 1e4, 1e6])
def test_likelihood_is_scipys(r, counts, log_depth):
    tables = gene_tables(counts, log_depth)
    log_means = np.array([-6.0, -2.0, 0.5, 3.0])
    log_r = np.full((5, 1), np.log(r))
    ours = log_likelihood(tables, log_r, np.broadcast_to(log_means, (5, 1, 4)))[:, 0]
    x = counts.matrix.toarray()[..., None]
    mean = np.exp(log_means + log_depth[:, None, None])
    wanted = scipy.stats.nbinom.logpmf(x, r, r / (r + mean)).sum(axis=0)
    # The tables leave a constant out, which is given for all genes together.
    total, apart = np.abs(wanted).sum(axis=0), (ours - wanted).sum(axis=0)
    assert (np.abs(apart + constant_of(counts, log_depth)) < 1e-6 * total).all()
    # Gene by gene, what the parameters change.
    apart = (ours - ours[:, :1]) - (wanted - wanted[:, :1])
    assert (np.abs(apart) < 1e-6 * np.abs(wanted)).all()


def test_chosen_genes_keep_their_tables(counts, log_depth):
    tables = gene_tables(counts, log_depth)
    log_r = np.log([[0.3], [2.0], [50.0]])
    order = np.array([4, 0, 2])
    log_mean = np.zeros((3, 1, 1))
    some = log_likelihood(tables.select(order), log_r, log_mean)
    wanted = log_likelihood(gene_tables(counts.select_genes(order), log_depth), log_r, log_mean)
    np.testing.assert_allclose(some, wanted, rtol=1e-12)
    wanted = tables.select(np.arange(1, 4)).log_rising(log_r)
    np.testing.assert_allclose(tables.block(1, 4).log_rising(log_r), wanted)
