"""The explicit interface: every line of the bound against what is known of it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from numpyro.distributions import Normal, kl_divergence

from scribeviz.networks.module import Step
from scribeviz.networks.vae import Terms, kl_from_standard_normal
from tests.networks.cells import SMALL, OwnVAE, batch_of, some_cells, untrained

CELLS = some_cells(9)


def test_the_divergence_is_numpyros(rng):
    mean, variance = rng.normal(size=(7, 3)), rng.gamma(1.0, size=(7, 3))
    expected = kl_divergence(Normal(mean, np.sqrt(variance)), Normal(0.0, 1.0)).sum(axis=1)
    np.testing.assert_allclose(kl_from_standard_normal(mean, variance), expected, rtol=1e-4)
    assert kl_from_standard_normal(jnp.zeros((1, 3)), jnp.ones((1, 3))) == 0


def test_places_are_drawn_from_the_posterior():
    module = untrained()
    keys = jax.random.split(jax.random.key(0), 3_000)
    drawn = np.asarray(jax.vmap(lambda key: module.inference(CELLS, key)["z"])(keys))
    place = module.encode(CELLS)
    np.testing.assert_allclose(drawn.std(axis=0), place.scale, rtol=0.1)
    error = (drawn.mean(axis=0) - place.loc) / (place.scale / np.sqrt(3_000))
    assert np.abs(error).max() < 4.5


def test_gradients_reach_the_encoder_through_the_draw():
    module = untrained()
    key = jax.random.key(0)
    slope = nnx.grad(lambda m: m.terms(CELLS, key).reconstruction.mean())(module)
    for head in (slope.encoder.mean, slope.encoder.variance):
        assert np.abs(head.kernel[...]).max() > 1e-3


def test_the_total_is_that_of_each_cell():
    """A document sums the dictionary that holds the counts instead of the counts."""
    module = untrained()
    counts = module.generative(CELLS, module.inference(CELLS, jax.random.key(0)))
    np.testing.assert_allclose(counts.mean.sum(axis=1), CELLS.x.sum(axis=1), rtol=1e-5)


def test_the_three_parts_add_up():
    module, key = untrained(), jax.random.key(0)
    terms = module.terms(CELLS, key)
    inferred = module.inference(CELLS, key)
    counts = module.generative(CELLS, inferred)
    np.testing.assert_allclose(terms.reconstruction, -counts.log_prob(CELLS.x), rtol=1e-6)
    np.testing.assert_allclose(
        terms.kl, kl_from_standard_normal(inferred["mean"], inferred["variance"]), rtol=1e-6
    )
    np.testing.assert_allclose(terms.negative_elbo, terms.reconstruction + terms.kl)
    at_place = module.decode(CELLS, inferred["z"]).log_prob(CELLS.x)
    np.testing.assert_allclose(-at_place, terms.reconstruction, rtol=1e-6)


@pytest.mark.parametrize(
    ("warmup", "step", "weight"),
    [(0, 0, 1.0), (1, 0, 1.0), (10, 0, 0.1), (10, 4, 0.5), (10, 9, 1.0), (10, 500, 1.0)],
)
def test_the_divergence_grows_in_training_only(warmup, step, weight):
    module = untrained()
    module.kl_warmup = warmup
    at = Step(jnp.uint32(step), jax.random.key(0))
    terms = module.terms(CELLS, jax.random.key(0))
    trained, validated = module.training_step(CELLS, at), module.validation_step(CELLS, at)
    reconstruction, kl = float(terms.reconstruction.mean()), float(terms.kl.mean())
    assert float(trained["loss"]) == pytest.approx(reconstruction + weight * kl, rel=1e-5)
    for metrics in (validated, module.test_step(CELLS, at)):
        assert float(metrics["loss"]) == pytest.approx(reconstruction + kl, rel=1e-5)


@pytest.fixture
def learned():
    spec = replace(SMALL, library="learned")
    return untrained(spec, log_totals=(3.0, 0.25), stirred=0.05)


def test_a_learned_total_has_a_prior_and_a_posterior(learned):
    shift, variance = learned.library.encoder(CELLS.x)
    mean = jnp.log(CELLS.library) + shift
    expected = kl_divergence(Normal(mean, jnp.sqrt(variance)), Normal(3.0, 0.5))[:, 0]
    inferred = learned.inference(CELLS, jax.random.key(1))
    np.testing.assert_allclose(inferred["library_kl"], expected, rtol=1e-3)
    terms = learned.terms(CELLS, jax.random.key(1))
    place = kl_from_standard_normal(inferred["mean"], inferred["variance"])
    np.testing.assert_allclose(terms.kl, place + expected, rtol=1e-3)
    keys = jax.random.split(jax.random.key(0), 2_000)
    drawn = jnp.log(jax.vmap(lambda key: learned.expected_library(CELLS, key))(keys))
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(drawn.std(axis=0), jnp.sqrt(variance), rtol=0.1)


def test_an_observed_total_is_the_counted_one():
    library = untrained().expected_library(CELLS, jax.random.key(0))
    np.testing.assert_array_equal(library, CELLS.library)


@pytest.mark.parametrize("kind", ["built in", "own"])
def test_samples_are_counts_of_cells_like_these(kind):
    module = untrained() if kind == "built in" else OwnVAE(6, rngs=nnx.Rngs(0))
    drawn = module.sample(CELLS, jax.random.key(0))
    assert drawn.shape == (9, 6)
    assert jnp.issubdtype(drawn.dtype, jnp.integer)
    assert (drawn != module.sample(CELLS, jax.random.key(1))).any()


def test_an_own_module_decodes_at_any_total():
    module = OwnVAE(6, rngs=nnx.Rngs(0))
    z = jnp.zeros((9, 2))
    one = module.decode(CELLS, z).mean
    two = module.decode(CELLS.with_library(CELLS.library * 2), z).mean
    np.testing.assert_allclose(two, 2 * one, rtol=1e-4)


def test_a_cell_is_judged_alone():
    module = untrained()
    few = batch_of(CELLS.x[:4])
    one, other = (module.terms(b, jax.random.key(0)) for b in (CELLS, few))
    assert isinstance(one, Terms)
    np.testing.assert_allclose(one.kl[:4], other.kl, rtol=1e-5)
