import jax
import numpy as np
import pytest
from flax import nnx

from scribeviz.networks.module import check_trainable, memory_of, put_together, take_apart
from tests.networks.cells import untrained
from tests.networks.nets import Net, OwnModule


def test_what_is_taken_apart_is_put_together():
    module = Net()
    x = np.ones((5, 6), np.float32)
    whole = take_apart(module)
    again = put_together(
        whole.evaluating, whole.params, whole.noise, whole.memory, jax.random.key(0)
    )
    np.testing.assert_array_equal(again(x), module(x))


def test_dropout_follows_the_key_and_is_off_in_evaluation():
    whole = take_apart(Net())
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)

    def run(graph, seed):
        parts = (whole.params, whole.noise, whole.memory)
        return np.asarray(put_together(graph, *parts, jax.random.key(seed))(x))

    np.testing.assert_array_equal(run(whole.training, 0), run(whole.training, 0))
    assert not np.array_equal(run(whole.training, 0), run(whole.training, 1))
    np.testing.assert_array_equal(run(whole.evaluating, 0), run(whole.evaluating, 1))


def test_parameters_memory_and_noise_are_kept_apart():
    whole = take_apart(Net())
    assert len(jax.tree.leaves(whole.params)) == 6  # two layers, one normalization
    assert len(jax.tree.leaves(whole.memory)) == 2
    assert jax.tree.leaves(whole.noise)


def test_what_is_put_together_does_not_change_what_it_came_from():
    whole = take_apart(Net())
    before = [np.array(leaf) for leaf in jax.tree.leaves(whole.memory)]
    again = put_together(whole.training, *whole[2:], jax.random.key(0))
    again(np.ones((5, 6), np.float32))
    for one, other in zip(before, jax.tree.leaves(whole.memory), strict=True):
        np.testing.assert_array_equal(one, other)
    changed = jax.tree.leaves(memory_of(again))
    assert any(not np.array_equal(a, b) for a, b in zip(before, changed, strict=True))


def test_what_can_be_trained():
    check_trainable(OwnModule())
    check_trainable(untrained())
    with pytest.raises(TypeError, match="Net has no training_step, validation_step, test_step"):
        check_trainable(Net())
    with pytest.raises(TypeError, match="flax"):
        check_trainable("net")
    half = OwnModule()
    half.test_step = None
    with pytest.raises(TypeError, match="has no test_step;"):
        check_trainable(half)
    assert isinstance(half, nnx.Module)
