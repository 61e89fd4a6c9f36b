"""Variational EM: the bound against a dense one, and what it finds in simulated cells."""

import numpy as np
import pytest
import scipy.stats
from scipy.special import digamma, entr, gammaln, softmax
from sklearn.metrics import adjusted_rand_score

from scribeviz.data.component_tables import CellsByDepth
from scribeviz.data.counts import plain_counts
from scribeviz.data.gene_tables import constant_of
from scribeviz.fitting.count_models import prepare_fit
from scribeviz.inference.shared_priors import Learned
from scribeviz.inference.weighted_em import EMConfig, Mixture, em_checkpoints
from scribeviz.models.component_priors import ComponentPriors
from scribeviz.models.gene_priors import GenePriors
from scribeviz.models.spec import ModelSpec

C, G, K = 150, 60, 3
SPEC = ModelSpec(likelihood="nb", n_components=K)


@pytest.fixture(scope="module")
def truth():
    return np.random.default_rng(0).choice(K, C, p=[0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def counts(truth):
    rng = np.random.default_rng(1)
    mean = np.exp(rng.normal(0, 1, G) + rng.normal(0, 0.8, (K, G)))
    r = np.exp(rng.normal(0.5, 0.6, G))
    depth = np.exp(rng.normal(0, 0.3, C))
    return plain_counts(rng.poisson(rng.gamma(r, mean[truth] * depth[:, None] / r)))


@pytest.mark.parametrize("own", [False, True])
def test_the_bound_rises_to_the_truth(counts, truth, own):
    spec = ModelSpec(likelihood="nb", n_components=K, component_specific_params=own)
    fit = prepare_fit(counts, spec, EMConfig(tolerance=1e-7))
    stream = list(fit.checkpoints())
    last = stream[-1]
    assert last.settled
    # Grids that follow the posteriors move the evidence of a gene by some thousandths of a nat.
    assert (np.diff(last.losses) < 1e-3 * G).all()
    assert adjusted_rand_score(truth, last.responsibilities.argmax(axis=1)) > 0.95
    np.testing.assert_allclose(last.responsibilities.sum(axis=1), 1)


def test_a_stream_goes_on_where_it_stopped(counts):
    fit = prepare_fit(counts, SPEC, EMConfig(tolerance=0.0, n_sweeps=5))
    stream = list(fit.checkpoints())
    *_, resumed = fit.checkpoints(start=stream[1])
    np.testing.assert_array_equal(resumed.losses, stream[-1].losses)
    np.testing.assert_array_equal(resumed.responsibilities, stream[-1].responsibilities)


def test_the_bound_is_that_of_dense_sums():
    """Two genes and given priors: E ln p(x, z, w, mu, r) - E ln q over grids, term by term."""
    rng = np.random.default_rng(4)
    n_cells, log_depth = 30, rng.normal(0, 0.3, 30)
    x = rng.poisson(np.exp(log_depth)[:, None] * rng.choice([[0.5, 4.0], [3.0, 0.6]], n_cells))
    counts = plain_counts(x)
    genes = GenePriors(0.2, 1.1, np.zeros(1), np.array([0.5]), 0.7)
    priors = ComponentPriors(genes, 1.1, has_levels=False)
    shares = rng.dirichlet([0.5, 0.5], n_cells)
    mixture = Mixture(
        CellsByDepth(counts, log_depth, own_dispersions=False),
        1.5,
        Learned(mean=False, dispersion=False),
        constant=constant_of(counts, log_depth),
    )
    config = EMConfig(n_sweeps=1)
    (only,) = em_checkpoints(mixture, config, priors, shares)
    concentrations = 1.5 + shares.sum(axis=0)
    log_w = digamma(concentrations) - digamma(concentrations.sum())
    bound = entr(shares).sum() + (shares * log_w).sum()
    bound -= _dirichlet_kl(concentrations, 1.5)
    logits = np.tile(log_w, (n_cells, 1))
    u, rho = np.linspace(-5, 4, 121), np.linspace(-3, 4, 57)
    r, mean = np.exp(rho)[:, None], np.exp(u + log_depth[:, None, None])
    cell = np.log((u[1] - u[0]) ** 2 * (rho[1] - rho[0]))
    for gene in range(2):
        logs = scipy.stats.nbinom.logpmf(x[:, gene, None, None], r, r / (r + mean))
        of_u = scipy.stats.norm.logpdf(u, 0.2, 1.1)
        first, second = np.tensordot(shares.T, logs, axes=1) + of_u  # rho, u of each component
        height = first[:, :, None] + second[:, None, :] + cell
        height += scipy.stats.norm.logpdf(rho, 0.5, 0.7)[:, None, None]
        q = np.exp(height - scipy.special.logsumexp(height))
        # E ln(p(x, mu, r) / q) is the log of q's own normalisation, whatever the point.
        bound += (q * (height - np.log(np.maximum(q, 1e-300)))).sum()
        logits[:, 0] += np.einsum("ru,cru->c", q.sum(axis=2), logs)
        logits[:, 1] += np.einsum("rv,crv->c", q.sum(axis=1), logs)
    assert -only.losses[0] == pytest.approx(bound, abs=0.02)
    np.testing.assert_allclose(only.responsibilities, softmax(logits, axis=1), atol=5e-3)


def _dirichlet_kl(after, before):
    k = after.size
    prior = np.full(k, before)
    expected = digamma(after) - digamma(after.sum())
    norm = gammaln(after.sum()) - gammaln(after).sum()
    norm -= gammaln(prior.sum()) - gammaln(prior).sum()
    return norm + ((after - prior) * expected).sum()
