"""Marginal likelihoods against numerical integrals."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from flax import nnx
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import nbinom, norm

from scribeviz.networks.evaluation import negative_elbo
from scribeviz.networks.importance import (
    LogNormal,
    log_joint,
    log_marginal,
    log_weights,
    pareto_k,
)
from tests.networks.cells import (
    SMALL,
    OwnProbabilistic,
    batch_of,
    in_both,
    some_cells,
    untrained,
)

LINE = replace(SMALL, n_latent=1)
CELLS = some_cells(5)
TOTAL = LogNormal(2.8, 0.5)


def density_of(module, batch, cell):
    """Probability of a cell's counts at a place and a total, by SciPy in float64."""
    x = np.asarray(batch.x, float)[cell]
    theta = np.exp(np.asarray(module.decoder.log_dispersion[...], float))
    one = batch_of(batch.x[[cell]])
    shares = jax.jit(
        lambda z: module.decoder(z[None, None], one.covariate, jnp.ones((1, 1))).log_mean[0]
    )

    def density(z, total):
        mean = total * np.exp(np.asarray(shares(jnp.float32(z)), float))
        return np.exp(nbinom(theta, theta / (theta + mean)).logpmf(x).sum())

    return density


@pytest.fixture(scope="module")
def module():
    return untrained(LINE)


@pytest.fixture(scope="module")
def integrals(module):
    found = []
    for cell in range(5):
        density = density_of(module, CELLS, cell)
        total = float(CELLS.library[cell, 0])
        at = quad(lambda z: norm.pdf(z) * density(z, total), -8, 8, limit=200)[0]  # noqa: B023
        found.append(np.log(at))
    return np.array(found)


@pytest.mark.parametrize("interface", [0, 1])
def test_one_latent_dimension_is_the_integral(integrals, interface):
    module = in_both(LINE)[interface]
    weights = log_weights(module, [CELLS], jax.random.key(0), 4_000)
    assert weights.shape == (4_000, 5)
    np.testing.assert_allclose(log_marginal(weights), integrals, atol=0.04)
    assert pareto_k(weights).max() < 0.5


def test_the_bound_lies_below_the_integral_and_many_draws_close_the_gap(module, integrals):
    terms = negative_elbo(module, [CELLS], jax.random.key(0), 2_000)
    elbo = -(terms["reconstruction"] + terms["kl"])
    assert (elbo < integrals).all()
    # The gap is the divergence of the encoder's posterior from the true one.
    grid = jnp.linspace(-8, 8, 4_001)[:, None]
    place = module.encode(CELLS)
    for cell in range(5):
        batch = batch_of(np.repeat(CELLS.x[[cell]], 4_001, axis=0))
        truth = np.asarray(log_joint(module, batch, grid, None), float) - integrals[cell]
        loc, scale = float(place.loc[cell, 0]), float(place.scale[cell, 0])
        q = norm(loc, scale)
        z = np.asarray(grid[:, 0], float)
        gap = np.trapezoid(q.pdf(z) * (q.logpdf(z) - truth), z)
        assert integrals[cell] - elbo[cell] == pytest.approx(gap, abs=0.15 * gap + 0.05)


def test_the_total_is_integrated_too(module):
    """A cell's place and total on a grid, by SciPy."""
    cell = 1
    density = density_of(module, CELLS, cell)
    places, logs = np.linspace(-6, 6, 61), np.linspace(0.5, 5.5, 101)
    log_prior = norm.logpdf(places)[:, None] + norm(TOTAL.mean, TOTAL.spread).logpdf(logs)
    logs_of_cells = np.log([[density(z, np.exp(log)) for log in logs] for z in places])
    step = (places[1] - places[0]) * (logs[1] - logs[0])
    expected = logsumexp(log_prior + logs_of_cells) + np.log(step)
    found = log_marginal(log_weights(module, [CELLS], jax.random.key(0), 2_000, TOTAL))
    assert found[cell] == pytest.approx(expected, abs=0.06)


def test_the_joint_density_is_the_prior_times_the_counts(module):
    u = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)), jnp.float32)
    u = u.at[:, 1].add(2.5)
    found = log_joint(module, CELLS, u, TOTAL)
    for cell in range(5):
        z, log_total = map(float, u[cell])
        density = density_of(module, CELLS, cell)(z, np.exp(log_total))
        expected = norm.logpdf(z) + norm(TOTAL.mean, TOTAL.spread).logpdf(log_total)
        assert float(found[cell]) == pytest.approx(expected + np.log(density), abs=2e-4)


def test_the_mean_of_weights_is_that_of_each_cell_not_of_batches():
    weights = np.log(np.array([[0.1, 0.5], [0.3, 0.5]]))
    np.testing.assert_allclose(log_marginal(weights), np.log([0.2, 0.5]))
    np.testing.assert_allclose(log_marginal(weights - 2_000), np.log([0.2, 0.5]) - 2_000)


def test_blocks_of_cells_do_not_matter(module):
    halves = [batch_of(CELLS.x[:2]), batch_of(CELLS.x[2:])]
    in_blocks = log_marginal(log_weights(module, halves, jax.random.key(1), 1_000))
    whole = log_marginal(log_weights(module, [CELLS], jax.random.key(0), 1_000))
    assert in_blocks.shape == (5,)
    np.testing.assert_allclose(in_blocks, whole, atol=0.1)


def test_a_wild_posterior_is_found_out():
    """Weights that one draw dominates get a large k."""
    rng = np.random.default_rng(0)
    wild = np.stack([rng.standard_normal(1_000), 1 / rng.random(1_000)], axis=1)
    assert pareto_k(wild)[0] < 0.7 < pareto_k(wild)[1]


def test_many_dimensions_agree_with_plain_draws_from_the_prior():
    """Few counts: the prior itself is then a good proposal."""
    module = untrained(replace(SMALL, n_latent=4), stirred=0.1)
    cells = batch_of(np.eye(6)[:3])
    draws = jax.random.normal(jax.random.key(3), (10_000, 1, 4))
    decode = jax.jit(lambda z: module.decode(cells, jnp.broadcast_to(z, (3, 4))).log_prob(cells.x))
    expected = logsumexp(np.asarray(jax.lax.map(decode, draws), float), axis=0) - np.log(10_000)
    found = log_marginal(log_weights(module, [cells], jax.random.key(0), 10_000))
    np.testing.assert_allclose(found, expected, atol=0.04)


class Elsewhere(OwnProbabilistic):
    """Its places are not standard normal before the counts are seen."""

    def model(self, batch):
        decoder = self.network("decoder")
        with self.cells(batch):
            z = numpyro.sample("z", dist.Normal(3, 5).expand([self.n_latent]).to_event(1))
            numpyro.sample("counts", dist.Poisson(decoder(z) + 1e-6).to_event(1), obs=batch.x)


class WithNoise(OwnProbabilistic):
    """Something else than places is not observed."""

    def model(self, batch):
        numpyro.sample("noise", dist.Normal(0, 1))
        super().model(batch)


def test_the_prior_is_the_modules_own():
    batch = some_cells()
    module = Elsewhere(6, rngs=nnx.Rngs(0))
    z = np.float32([[0.5, -1.0]] * 9)
    expected = norm(3, 5).logpdf(z).sum(axis=1)
    np.testing.assert_allclose(module.log_prior(batch, z), expected, rtol=1e-5)
    counts = module.decode(batch, z).log_prob(batch.x)
    np.testing.assert_allclose(log_joint(module, batch, z, None), expected + counts, rtol=1e-5)


def test_it_is_known_whether_places_are_all_that_is_hidden():
    batch = some_cells()
    assert OwnProbabilistic(6, rngs=nnx.Rngs(0)).knows_only_places(batch)
    assert not WithNoise(6, rngs=nnx.Rngs(0)).knows_only_places(batch)
