import jax
import numpy as np
import pytest

from scribeviz.networks.evaluation import compiled, negative_elbo, places
from scribeviz.networks.weights import weights
from tests.networks.cells import batch_of, in_both, some_cells, untrained

CELLS = some_cells(9)
BLOCKS = [batch_of(CELLS.x[:5]), batch_of(CELLS.x[5:])]


@pytest.mark.parametrize("interface", [0, 1])
def test_places_are_the_encoders_whatever_the_blocks(interface):
    module = in_both()[interface]
    mean, spread = places(module, BLOCKS)
    expected_mean, expected_variance = module.encoder(CELLS.x)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(spread**2, expected_variance, rtol=1e-4)


def test_terms_are_means_over_draws():
    module = untrained()
    few = negative_elbo(module, BLOCKS, jax.random.key(0), 2)
    assert few.keys() == {"reconstruction", "kl"}
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 1), 2)
    by_hand = np.mean([module.terms(BLOCKS[1], key).reconstruction for key in keys], axis=0)
    np.testing.assert_allclose(few["reconstruction"][5:], by_hand, rtol=1e-5)
    other = negative_elbo(module, BLOCKS, jax.random.key(1))
    assert (other["reconstruction"] != few["reconstruction"]).all()
    np.testing.assert_allclose(other["kl"], few["kl"], rtol=1e-5)  # exact: no draw in it


def test_the_module_stays_as_it_is():
    module = untrained()
    before = {name: value.copy() for name, value in weights(module).items()}
    run = compiled(module, lambda module, batch: module.encode(batch).loc)
    first = np.asarray(run(CELLS))
    np.testing.assert_array_equal(first, run(CELLS))
    for name, value in weights(module).items():
        np.testing.assert_array_equal(value, before[name])
