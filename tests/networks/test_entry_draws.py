"""Predictions of a trained module against brute force over cells."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from scipy.special import expit
from scipy.stats import kstest, nbinom

from scribeviz.criticism.pmf import predictive_pmfs
from scribeviz.networks import entry_draws as predictive
from scribeviz.networks.decoded import DECODED
from scribeviz.networks.entry_draws import (
    affordable_place_draws,
    decoder_of_draws,
    entry_draws,
    replicates,
    residuals,
    shown_cells,
)
from tests.networks.cells import SMALL, batch_of, some_cells, untrained

CELLS = some_cells(300)
BLOCKS = [batch_of(CELLS.x[:180]), batch_of(CELLS.x[180:])]
EDGES = np.arange(0.0, 61.0, 5.0)


@pytest.fixture(scope="module", params=DECODED)
def module(request):
    return untrained(replace(SMALL, likelihood=request.param), stirred=0.2)


@pytest.fixture(scope="module")
def draws(module):
    return entry_draws(module, BLOCKS, 300, EDGES, n_draws=3, seed=4)


def decoded(module, draw, seed=4, decode=None):
    """The parameters of every entry in one draw: mean, dispersion, gate."""
    decode = decode or decoder_of_draws(module)
    own = jax.random.fold_in(jax.random.key(seed), draw)
    some = [decode(b, jax.random.fold_in(own, i)) for i, b in enumerate(BLOCKS)]
    mean = np.exp(np.concatenate([np.asarray(one.log_mean) for one in some]), dtype=float)
    theta = np.full(6, 1e6)
    if some[0].log_dispersion is not None:
        theta = np.exp(np.asarray(some[0].log_dispersion, float))
    gate = np.zeros(mean.shape)
    if some[0].gate_logit is not None:
        gate = expit(np.concatenate([np.asarray(one.gate_logit) for one in some]).astype(float))
    return mean, theta, gate


def test_probabilities_are_those_averaged_over_all_cells(module, draws):
    found = predictive_pmfs(draws, np.arange(6), n_counts=25)
    x = np.arange(25)
    for draw in range(3):
        mean, theta, gate = (a[..., None] for a in decoded(module, draw))
        pmf = (1 - gate) * nbinom(theta, theta / (theta + mean)).pmf(x)
        pmf[..., 0] += gate[..., 0]
        # Thirty-two groups of cells stand for three hundred.
        np.testing.assert_allclose(found[draw], pmf.mean(axis=0), atol=2e-3, rtol=5e-3)


def test_means_are_exact(module, draws):
    means = [
        ((1 - gate) * mean).mean(axis=0) for mean, _, gate in map(decoded, [module] * 3, range(3))
    ]
    np.testing.assert_allclose(draws.moments().mean, np.mean(means, axis=0), rtol=1e-4)


def test_few_cells_are_exact_in_everything(module):
    few = [batch_of(CELLS.x[:20])]
    found = entry_draws(module, few, 20, EDGES, n_draws=1)
    assert found.groups.size == 20
    counts = decoder_of_draws(module)(
        few[0], jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 0), 0)
    )
    x = jnp.arange(12.0)
    pmf = predictive_pmfs(found, np.arange(6), n_counts=12)[0]
    for value in (0, 1, 7):
        per_gene = np.exp(_entries(counts, float(x[value]))).mean(axis=0)
        np.testing.assert_allclose(pmf[:, value], per_gene, rtol=2e-3, atol=1e-6)


def _entries(counts, value):
    """Log-probability of one count in every entry, by SciPy."""
    mean = np.exp(np.asarray(counts.log_mean, float))
    if counts.log_dispersion is None:
        return st.poisson(mean).logpmf(value)
    theta = np.exp(np.asarray(counts.log_dispersion, float))
    p = nbinom(theta, theta / (theta + mean)).pmf(value)
    if counts.gate_logit is not None:
        gate = expit(np.asarray(counts.gate_logit, float))
        p = (1 - gate) * p + gate * (value == 0)
    return np.log(p)


def test_totals_are_those_of_drawn_counts(module, draws):
    assert draws.totals.shape == (5, 12)
    assert not draws.can_choose_cells
    bars = [
        np.histogram(np.minimum(drawn.sum(axis=1), 59), EDGES)[0]
        for drawn in replicates(module, BLOCKS, 40, seed=1)
    ]
    middle = np.mean(bars, axis=0)
    assert np.abs(draws.totals[2] - middle).max() < 5 * np.sqrt(middle.max())
    assert np.corrcoef(draws.totals[2], middle)[0, 1] > 0.97


def test_replicates_have_the_mean_and_the_variance_of_the_decoder(module):
    drawn = np.stack(list(replicates(module, BLOCKS, 150)))
    assert drawn.shape == (150, 300, 6)
    first, second, decode = [], [], decoder_of_draws(module)
    for draw in range(60):
        mean, theta, gate = decoded(module, draw, decode=decode)
        first.append(((1 - gate) * mean).mean(axis=0))
        second.append(((1 - gate) * (mean + mean**2 + mean**2 / theta)).mean(axis=0))
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), np.mean(first, axis=0), rtol=0.04)
    squares = (drawn.astype(float) ** 2).mean(axis=(0, 1))
    np.testing.assert_allclose(squares, np.mean(second, axis=0), rtol=0.25)


def test_residuals_are_uniform_for_counts_of_the_decoder_itself(module):
    """At a place that is known: the posterior is as narrow as it can be."""
    module = untrained(SMALL if module.decoder.gate is None else replace(SMALL, likelihood="zinb"))
    module.encoder.variance.kernel[...] *= 0
    module.encoder.variance.bias[...] = jnp.full(2, -15.0)
    counts = decoder_of_draws(module)(CELLS, jax.random.key(0))
    x = counts.draw(np.random.default_rng(0))
    # The same places: only what is counted is exchanged.
    places = module.encode(CELLS)
    module.encode = lambda batch: places
    itself = replace(CELLS, x=x.astype(np.float32))
    found = residuals(module, [itself], n_draws=2)
    assert found.shape == (300, 6)
    assert kstest(found.ravel(), "uniform").pvalue > 1e-3
    doubled = replace(CELLS, x=3 * x.astype(np.float32))
    assert kstest(residuals(module, [doubled], n_draws=2).ravel(), "uniform").pvalue < 1e-9


def test_residuals_are_between_scipys_distribution_functions(module):
    counts = decoder_of_draws(module)(CELLS, jax.random.key(0))
    below, at_most = predictive._distribution_function(counts, np.asarray(CELLS.x, float))
    assert ((below >= 0) & (below <= at_most) & (at_most <= 1 + 1e-12)).all()
    rows = np.arange(300)[:, None]
    x = np.asarray(CELLS.x, int)
    cumulated = np.cumsum([np.exp(_entries(counts, v)) for v in range(x.max() + 1)], axis=0)
    np.testing.assert_allclose(at_most, cumulated[x, rows, np.arange(6)], atol=1e-5)


def test_what_stands_for_all_fits_the_memory():
    assert shown_cells(1_000, 2_000).tolist() == list(range(1_000))
    some = shown_cells(100_000, 20_000)
    assert some.size == 1_000
    assert np.unique(some).size == 1_000
    assert (np.diff(some) > 0).all()
    assert affordable_place_draws(1_000, 2_000) == 32
    assert affordable_place_draws(1_000, 20_000) == 15
    assert affordable_place_draws(10**6, 10**4) == 8
