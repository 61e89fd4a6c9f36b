from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from flax import nnx

from scribeviz.networks.building import NETWORKS, ModuleError, build_cellvae, check_module
from scribeviz.networks.layers import Moments
from scribeviz.networks.vae import Terms, kl_from_standard_normal
from scribeviz.networks.weights import weights
from tests.networks.cells import SMALL, OwnProbabilistic, OwnVAE


def test_the_seed_decides_the_first_weights():
    one, same, other = (weights(build_cellvae(SMALL, 6, seed=seed)) for seed in (0, 0, 1))
    name = "encoder/mean/kernel"
    np.testing.assert_array_equal(one[name], same[name])
    assert not np.array_equal(one[name], other[name])


@pytest.mark.parametrize("library", ["observed", "learned"])
@pytest.mark.parametrize("n_levels", [0, 3])
def test_what_is_built_passes_its_own_check(library, n_levels):
    module = build_cellvae(replace(SMALL, library=library), 6, n_levels=n_levels)
    check_module(module, 6, n_levels)
    assert (module.library is None) == (library == "observed")
    assert module.decoder.n_levels == n_levels
    with pytest.raises(ModuleError, match="CellVAEModule fails on 5 cells of 7 genes: TypeError"):
        check_module(module, 7, n_levels)


@pytest.mark.parametrize("part", NETWORKS)
def test_parts_are_replaced_one_at_a_time(part):
    shape = (2, 6) if part == "decoder" else (6, 2)
    own = nnx.Linear(*shape, rngs=nnx.Rngs(9))
    module = build_cellvae(SMALL, 6, networks={part: own})
    places = {
        "mean_encoder": module.encoder.mean,
        "variance_encoder": module.encoder.variance,
        "decoder": module.decoder.logits,
    }
    put = places.pop(part)
    np.testing.assert_array_equal(put.kernel[...], own.kernel[...])
    assert put is not own, "what somebody gives is left alone"
    for other in places.values():
        kernel = getattr(other, "kernel", None)
        assert kernel is None or not np.array_equal(kernel[...], own.kernel[...])
    check_module(module, 6)


@pytest.mark.parametrize("kind", [OwnVAE, OwnProbabilistic])
def test_trying_a_module_leaves_it_alone(kind):
    module = kind(6, rngs=nnx.Rngs(0))
    before = {name: value.copy() for name, value in weights(module).items()}
    check_module(module, 6)
    for name, value in weights(module).items():
        np.testing.assert_array_equal(value, before[name])


class TwoArguments(OwnProbabilistic):
    """As in a document: a guide that takes something else than the model."""

    def guide(self, batch, log_library):  # noqa: ARG002
        super().guide(batch)


class OtherArguments(OwnVAE):
    """As in a document: its inference takes the counts."""

    def inference(self, x):
        return {"qz_m": x}


class OtherNames(OwnVAE):
    """As in a document: other names for what is inferred."""

    def inference(self, batch, key):
        inferred = super().inference(batch, key)
        return {"qz_m": inferred["mean"], "qz_v": inferred["variance"], "z": inferred["z"]}


class NoNames(OwnVAE):
    """What is inferred without names."""

    def inference(self, batch, key):
        return tuple(super().inference(batch, key).values())


class OtherPlace(OwnProbabilistic):
    """As in a document: the place is called latent."""

    def guide(self, batch):
        with self.cells(batch):
            numpyro.sample("latent", dist.Normal(jnp.zeros((len(batch.x), 2)), 1.0).to_event(1))


class OtherCounts(OwnProbabilistic):
    """As in a document: the counts are called obs."""

    def model(self, batch):
        with self.cells(batch):
            numpyro.sample("z", dist.Normal(0, 1).expand([self.n_latent]).to_event(1))
            numpyro.sample("obs", dist.Poisson(jnp.ones(6)).to_event(1), obs=batch.x)


class Undefined(OwnProbabilistic):
    """As in a document: a name that is nowhere defined."""

    def guide(self, batch):  # noqa: ARG002
        return z_scale


class WrongArguments(OwnVAE):
    """As in a document: arguments that a distribution does not have."""

    def generative(self, batch, inferred):
        return dist.NegativeBinomial2(total_counts=batch.library, total=inferred["z"])


class AlwaysOnePlace(OwnVAE):
    """A place for all cells instead of one for each."""

    def inference(self, batch, key):
        return {name: value[:1] for name, value in super().inference(batch, key).items()}


class GenesApart(OwnVAE):
    """Counts of which each gene is scored by itself."""

    def generative(self, batch, inferred):
        return dist.Poisson(batch.library * self.decoder(inferred["z"]) + 1e-6)

    def loss(self, batch, inferred, counts):
        kl = kl_from_standard_normal(inferred["mean"], inferred["variance"])
        return Terms(-counts.log_prob(batch.x).sum(axis=1), kl)


class NoSpread(OwnProbabilistic):
    """Places that are not normal, coordinate by coordinate."""

    def guide(self, batch):
        mean = self.network("mean_encoder")(jnp.log1p(batch.x))
        with self.cells(batch):
            numpyro.sample("z", dist.MultivariateNormal(mean, jnp.eye(2)))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (GenesApart, r"log-probability of its counts .*to_event\(1\).* shape \(5, 6\)"),
        (NoSpread, "NoSpread fails .*scale"),
        (TwoArguments, r"TwoArguments: guide\(batch, log_library\) has to be guide\(batch\)"),
        (
            OtherArguments,
            r"inference\(x\) has to be inference\(batch, key\); batch.x are the counts",
        ),
        (OtherNames, "returns 'qz_m', 'qz_v', 'z'; .* a dict with 'mean', 'variance', 'z'"),
        (NoNames, "inference returns a tuple; it has to return a dict with 'mean'"),
        (OtherPlace, "its guide samples 'latent'; the sites have to be called 'z' .* and 'counts'"),
        (OtherCounts, "its model samples 'z', 'obs'; the sites have to be called 'z' "),
        (Undefined, "Undefined fails .*: NameError"),
        (WrongArguments, "WrongArguments fails .*: TypeError: .*total"),
        (AlwaysOnePlace, r"KL divergence has shape \(1,\) .* \(5,\) is needed"),
    ],
)
def test_modules_that_cannot_work_are_refused(kind, says):
    with pytest.raises(ModuleError, match=says):
        check_module(kind(6, rngs=nnx.Rngs(0)), 6)


@pytest.mark.parametrize("name", ["likelihood", "normalization", "library"])
def test_an_unknown_choice_is_not_taken_silently(name):
    with pytest.raises(ValueError, match=f"{name}='expp' is not known; choose one of"):
        replace(SMALL, **{name: "expp"})


def test_a_decoder_of_ones_own_stays_as_it_is():
    own = nnx.Linear(2, 6, rngs=nnx.Rngs(0))
    own.bias[...] = jnp.arange(6.0)
    start = Moments(np.full(6, 1 / 6), np.full(6, 3.0))
    module = build_cellvae(SMALL, 6, networks={"decoder": own}, start=start)
    np.testing.assert_array_equal(own.bias[...], np.arange(6.0))
    np.testing.assert_array_equal(module.decoder.logits.bias[...], np.arange(6.0))
    np.testing.assert_allclose(np.exp(module.decoder.log_dispersion[...]), 3.0, rtol=1e-5)
