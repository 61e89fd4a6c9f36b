from dataclasses import replace

import numpy as np
import numpyro.distributions as dist
import pytest
from flax import nnx

from scribeviz.networks.building import NETWORKS, ModuleError, build_cellvae, check_module
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
    assert places.pop(part) is own
    assert own not in places.values()
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


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (TwoArguments, "TwoArguments fails .*: TypeError: .*log_library"),
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
