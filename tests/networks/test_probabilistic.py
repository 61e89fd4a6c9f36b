"""One model in two interfaces: the same numbers, and those that NumPyro itself computes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from flax import nnx
from numpyro import handlers
from numpyro.infer import Trace_ELBO, TraceMeanField_ELBO

from scribeviz.networks.decoded import DECODED
from scribeviz.networks.module import Step
from scribeviz.networks.probabilistic import ProbabilisticModule
from scribeviz.networks.vae import Terms
from tests.networks.cells import SMALL, OwnProbabilistic, OwnVAE, batch_of, in_both, some_cells

CELLS = some_cells()


def numpyros(module, batch, n_particles=1, kind=TraceMeanField_ELBO):
    """NumPyro's own negative ELBO."""
    return float(
        kind(num_particles=n_particles).loss(
            jax.random.key(1), {}, module.model, module.guide, batch
        )
    )


def at(module, **values):
    """The module whose guide draws these values, whatever the noise."""
    module.guide = handlers.substitute(module.guide, values)
    return module


PLACES = jnp.asarray(np.random.default_rng(0).normal(size=(9, 2)), jnp.float32)


@pytest.mark.parametrize("likelihood", DECODED)
def test_both_interfaces_give_the_same_terms_at_the_same_place(likelihood):
    explicit, probabilistic = in_both(replace(SMALL, likelihood=likelihood))
    terms = explicit.terms(CELLS, jax.random.key(3))
    z = explicit.inference(CELLS, jax.random.key(3))["z"]
    other = at(probabilistic, z=z).terms(CELLS, jax.random.key(3))
    np.testing.assert_allclose(other.reconstruction, terms.reconstruction, rtol=1e-6)
    np.testing.assert_allclose(other.kl, terms.kl, rtol=1e-5)
    assert terms.kl.min() > 0.01


def test_both_have_the_same_posterior_and_the_same_counts():
    explicit, probabilistic = in_both()
    for name in ("loc", "scale"):
        one, other = (getattr(m.encode(CELLS), name) for m in (explicit, probabilistic))
        np.testing.assert_allclose(one, other, rtol=1e-6)
    one, other = (m.decode(CELLS, PLACES).log_prob(CELLS.x) for m in (explicit, probabilistic))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_the_bound_of_a_minibatch_is_numpyros_of_all_cells():
    """A plate without the size of the data would make it that of the minibatch."""
    _, probabilistic = in_both()
    probabilistic.n_cells = 1_000
    terms = at(probabilistic, z=PLACES).terms(CELLS, jax.random.key(0))
    expected = numpyros(probabilistic, CELLS)
    assert float(terms.negative_elbo.mean()) * 1_000 == pytest.approx(expected, rel=1e-5)


@pytest.mark.filterwarnings("ignore:mutable state is currently ignored")
@pytest.mark.parametrize("kind", [TraceMeanField_ELBO, Trace_ELBO])
def test_averaged_over_draws_it_is_numpyros_as_well(kind):
    _, probabilistic = in_both(replace(SMALL, normalization="layer"))
    probabilistic.n_cells = 9
    keys = jax.random.split(jax.random.key(5), 2_000)

    def one(key):
        return nnx.clone(probabilistic).terms(CELLS, key).negative_elbo.sum()

    terms = jax.vmap(one)(keys)
    expected = numpyros(probabilistic, CELLS, 2_000, kind)
    error = float(terms.std()) / np.sqrt(2_000)
    assert abs(float(terms.mean()) - expected) < 10 * error
    assert error < 0.002 * abs(expected)


def test_the_same_weights_in_own_modules_give_the_same_bound():
    explicit = OwnVAE(6, rngs=nnx.Rngs(0))
    probabilistic = OwnProbabilistic(6, rngs=nnx.Rngs(0))
    terms = explicit.terms(CELLS, jax.random.key(0))
    z = explicit.inference(CELLS, jax.random.key(0))["z"]
    other = at(probabilistic, z=z).terms(CELLS, jax.random.key(0))
    np.testing.assert_allclose(terms.reconstruction, other.reconstruction, rtol=1e-6)
    np.testing.assert_allclose(terms.kl, other.kl, rtol=1e-5)


class WithGlobal(OwnProbabilistic):
    """A latent variable of all cells together, as many as there are cells in a minibatch."""

    def model(self, batch):
        numpyro.sample("scale", dist.Gamma(2.0, 2.0).expand([9]).to_event(1))
        super().model(batch)

    def guide(self, batch):
        numpyro.sample("scale", dist.Gamma(5.0, 2.0).expand([9]).to_event(1))
        super().guide(batch)


class WithUncorrelatedGlobals(WithGlobal):
    """The same without a common event: its density has as many entries as the minibatch."""

    def model(self, batch):
        numpyro.sample("scale", dist.Gamma(2.0, 2.0).expand([9]))
        OwnProbabilistic.model(self, batch)

    def guide(self, batch):
        numpyro.sample("scale", dist.Gamma(5.0, 2.0).expand([9]))
        OwnProbabilistic.guide(self, batch)


@pytest.mark.parametrize("kind", [WithGlobal, WithUncorrelatedGlobals])
@pytest.mark.parametrize("n_cells", [9, 900])
def test_what_belongs_to_all_cells_counts_once(kind, n_cells):
    module = kind(6, rngs=nnx.Rngs(0))
    module.n_cells = n_cells
    terms = at(module, z=PLACES, scale=jnp.arange(1.0, 10.0)).terms(CELLS, jax.random.key(0))
    expected = numpyros(module, CELLS)
    assert float(terms.negative_elbo.mean()) * n_cells == pytest.approx(expected, rel=1e-5)


class Correlated(OwnProbabilistic):
    """A guide whose divergence NumPyro does not know from this prior."""

    def model(self, batch):
        with self.cells(batch):
            z = numpyro.sample("z", dist.StudentT(5.0).expand([2]).to_event(1))
            rate = batch.library * self.decoder(z) + 1e-6
            numpyro.sample("counts", dist.Poisson(rate).to_event(1), obs=batch.x)


def test_a_divergence_that_is_not_known_is_that_at_the_draw():
    module = Correlated(6, rngs=nnx.Rngs(0))
    guide = handlers.trace(handlers.seed(module.guide, jax.random.split(jax.random.key(4))[1]))
    site = guide.get_trace(CELLS)["z"]
    prior = dist.StudentT(5.0).expand([2]).to_event(1)
    expected = site["fn"].log_prob(site["value"]) - prior.log_prob(site["value"])
    np.testing.assert_allclose(module.terms(CELLS, jax.random.key(4)).kl, expected, rtol=1e-5)


def test_running_means_are_kept_while_training():
    _, module = in_both()
    module.train()
    before = np.asarray(module.encoder.body.norm[0].mean[...]).copy()
    step = Step(jnp.uint32(0), jax.random.key(0))
    module.training_step(CELLS, step)
    hidden = module.encoder.body.linear[0](jnp.log1p(CELLS.x))
    expected = 0.9 * before + 0.1 * np.asarray(hidden).mean(axis=0)
    np.testing.assert_allclose(module.encoder.body.norm[0].mean[...], expected, rtol=1e-4)


def test_model_and_guide_take_the_same_arguments_by_name():
    _, module = in_both()
    guide = handlers.trace(handlers.seed(module.guide, 0)).get_trace(batch=CELLS)
    model = handlers.trace(handlers.seed(module.model, 0)).get_trace(batch=CELLS)
    assert guide["z"]["fn"].shape() == model["z"]["fn"].shape() == (9, 2)
    np.testing.assert_array_equal(model["counts"]["value"], CELLS.x)


def test_a_cell_is_judged_alone():
    """Terms of a cell do not depend on the other cells of its minibatch, once trained."""
    explicit, probabilistic = in_both()
    few = batch_of(CELLS.x[:4])
    for module in (explicit, probabilistic):
        whole, part = (module.terms(b, jax.random.key(0)) for b in (CELLS, few))
        assert isinstance(whole, Terms)
        np.testing.assert_allclose(whole.kl[:4], part.kl, rtol=1e-5)


def test_it_is_abstract():
    assert ProbabilisticModule.__abstractmethods__ >= {"model", "guide"}
