"""Training: what is kept, when it ends, and that stopping makes no difference."""

from dataclasses import replace
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse as sp
from flax import nnx

from scribeviz.networks.batches import CountBatches, split_cells
from scribeviz.networks.cellvae import TrainingConfig
from scribeviz.networks.module import memory_of
from scribeviz.networks.training import (
    TrainingError,
    held_out_metrics,
    restore,
    training_checkpoints,
)
from tests.networks.cells import SMALL, untrained

QUICK = TrainingConfig(max_epochs=5, batch_size=16, kl_warmup=0, learning_rate=0.01)
MATRIX = sp.csr_array(np.random.default_rng(0).poisson(2.0, (60, 6)).astype(np.int32))
SPLIT = split_cells(60, validation=0.2)


def data(first_epoch=0, split=SPLIT, seed=0):
    return CountBatches(MATRIX, split, 16, seed, first_epoch=first_epoch)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def module():
    return untrained(replace(SMALL, dropout=0.2))  # and batch statistics


@pytest.fixture(scope="module")
def unbroken(module):
    return list(training_checkpoints(module, data(), QUICK))


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_a_resumed_training_is_the_one_that_was_not_stopped(module, unbroken, stopped_after):
    start = unbroken[stopped_after - 1]
    *_, resumed = training_checkpoints(module, data(stopped_after), QUICK, start=start)
    last = unbroken[-1]
    assert same(resumed.state, last.state)
    assert same(resumed.params, last.params)
    assert same(resumed.memory, last.memory)
    np.testing.assert_array_equal(resumed.losses, last.losses)
    np.testing.assert_array_equal(resumed.validation, last.validation)
    for name, values in last.history.items():
        np.testing.assert_array_equal(resumed.history[name], values)
    plain = ("step", "epoch", "best_epoch", "settled", "fall", "waited")
    assert [getattr(resumed, n) for n in plain] == [getattr(last, n) for n in plain]


def test_the_seed_decides(module, unbroken):
    first = next(training_checkpoints(module, data(), QUICK))
    assert same(first.state, unbroken[0].state)
    other = next(training_checkpoints(module, data(seed=1), replace(QUICK, seed=1)))
    assert not np.array_equal(other.losses, first.losses)


def test_checkpoints_count_steps_and_epochs(unbroken):
    assert [c.epoch for c in unbroken] == [1, 2, 3, 4, 5]
    assert [c.step for c in unbroken] == [3, 6, 9, 12, 15]  # 48 cells, 16 at a time
    assert {c.n_steps for c in unbroken} == {15}
    assert [c.fraction for c in unbroken] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    last = unbroken[-1]
    assert last.losses.shape == (15,)
    assert last.validation.shape == (5,)
    assert last.history.keys() == {
        *("loss", "reconstruction", "kl"),
        *("val_loss", "val_reconstruction", "val_kl"),
    }
    np.testing.assert_allclose(last.history["loss"], last.losses.reshape(5, 3).mean(axis=1))


def test_training_lowers_the_loss_and_leaves_the_module_alone(module):
    before = jax.tree.leaves(jax.tree.map(np.array, nnx.state(module, nnx.Param)))
    *_, last = training_checkpoints(module, data(), replace(QUICK, max_epochs=30))
    assert last.validation[-1] < last.validation[0] - 1
    assert same(jax.tree.leaves(nnx.state(module, nnx.Param)), before)


class Level(nnx.Module):
    """Goes down a slope in training; the validation loss is whatever it is told per step."""

    def __init__(self, validation=lambda level: (level - 0.5) ** 2, rate=0.25):
        self.level = nnx.Param(jnp.zeros(()))
        self.validation, self.rate = validation, rate

    def training_step(self, _batch, _step):
        return {"loss": -self.level[...]}

    def validation_step(self, _batch, _step):
        return {"loss": self.validation(self.level[...])}

    def test_step(self, batch, step):  # noqa: ARG002
        return {"loss": batch.x.mean()}

    def configure_optimizers(self):
        return optax.sgd(self.rate)


def test_the_best_epoch_is_restored_not_the_last():
    # Up by 3 * 0.25 per epoch; best where it is nearest to 1.6: 1.5, after the second.
    module = Level(lambda level: (level - 1.6) ** 2)
    *_, last = training_checkpoints(module, data(), QUICK)
    assert last.best_epoch == 2 == int(np.argmin(last.validation)) + 1
    assert last.epoch == 5
    restore(module, last)
    assert float(module.level[...]) == 1.5


def test_without_validation_cells_the_last_epoch_is_kept():
    split = split_cells(60, validation=0.0)
    module = Level()
    *_, last = training_checkpoints(module, data(split=split), QUICK)
    restore(module, last)
    assert last.validation.size == 0
    assert last.best_epoch == last.epoch == 5
    assert float(module.level[...]) == pytest.approx(0.25 * 3 * 5)  # 60 cells: three of 16


def test_batch_statistics_are_those_of_the_best_epoch(module, unbroken):
    best = min(unbroken, key=lambda c: c.validation[-1])
    last = unbroken[-1]
    trained = nnx.clone(module)
    restore(trained, last)
    assert same(jax.tree.leaves(memory_of(trained)), best.memory)
    assert len(best.memory) == 4  # mean and variance, of encoder and decoder
    assert same(last.memory, best.memory)


class Falling(Level):
    """With the built-in optimizer."""

    def configure_optimizers(self):
        return None


def test_the_rate_falls_twice_and_then_training_ends():
    config = TrainingConfig(max_epochs=100, patience=3, learning_rate=0.1, batch_size=16)
    stream = list(training_checkpoints(Falling(lambda level: 1.0 + level), data(), config))
    # The first epoch is the best; three waits of three epochs.
    assert [c.fall for c in stream] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert [c.settled for c in stream] == [False] * 9 + [True]
    assert stream[-1].best_epoch == 1
    levels = [float(c.state[0]) for c in stream]
    steps = np.diff([0.0, *levels]) / 3  # Adam moves by its rate
    np.testing.assert_allclose(steps, [0.1] * 4 + [0.03] * 3 + [0.01] * 3, rtol=0.01)


class Flat(Falling):
    """Always the same validation loss, a mean of blocks that no float32 is."""

    def validation_step(self, batch, _step):
        return {"loss": batch.x.mean()}


@pytest.mark.parametrize("stopped_after", [2, 5])
def test_a_flat_loss_is_no_improvement_after_resuming_either(stopped_after, monkeypatch):
    monkeypatch.setattr("scribeviz.networks.batches.in_order", lambda cells: [cells[:5], cells[5:]])
    config = TrainingConfig(max_epochs=100, patience=2, batch_size=16)
    for seed in range(6):  # some are rounded up, and some down
        split = split_cells(60, validation=0.2, seed=seed)
        unbroken = list(training_checkpoints(Flat(), data(split=split), config))
        start = unbroken[stopped_after - 1]
        rest = data(stopped_after, split)
        *_, resumed = training_checkpoints(Flat(), rest, config, start=start)
        assert unbroken[-1].settled
        assert (resumed.epoch, resumed.best_epoch) == (unbroken[-1].epoch, 1)


def test_what_has_settled_does_not_go_on():
    config = TrainingConfig(max_epochs=100, patience=1, batch_size=16)
    module = Falling(lambda level: 1.0 + level)
    *_, last = training_checkpoints(module, data(), config)
    assert list(training_checkpoints(module, data(last.epoch), config, start=last)) == []


def test_a_loss_that_is_no_number_is_an_error_and_says_where():
    class Broken(Level):
        def training_step(self, _batch, step):
            return {"loss": jnp.where(step.number == 4, jnp.nan, -self.level[...])}

    stream = training_checkpoints(Broken(), data(), QUICK)
    good = next(stream)
    with pytest.raises(TrainingError, match=r"at step 5\. Lower the learning rate"):
        list(stream)
    assert np.isfinite(good.losses).all()


def test_a_validation_loss_that_is_no_number_is_an_error_too():
    module = Level(lambda level: jnp.where(level > 1, jnp.nan, level))
    stream = training_checkpoints(module, data(), QUICK)
    next(stream)
    with pytest.raises(TrainingError, match="validation"):
        next(stream)


class Noisy(Level):
    """Shows what it was in when it was evaluated."""

    def __init__(self):
        super().__init__()
        rngs = nnx.Rngs(0)
        self.dropout, self.norm = nnx.Dropout(0.5, rngs=rngs), nnx.BatchNorm(6, rngs=rngs)

    def seen(self, batch):
        zeros = (self.dropout(jnp.ones(1_000)) == 0).mean()
        spread = self.norm(batch.x).std()
        return {"loss": -self.level[...], "zeros": zeros, "spread": spread}

    def training_step(self, batch, _step):
        return self.seen(batch)

    def validation_step(self, batch, _step):
        return self.seen(batch)


def test_dropout_and_batch_statistics_are_off_in_evaluation():
    checkpoint = next(training_checkpoints(Noisy(), data(), QUICK))
    history = checkpoint.history
    assert 0.4 < history["zeros"][0] < 0.6
    assert history["val_zeros"][0] == 0
    assert history["spread"][0] == pytest.approx(1, abs=0.05)  # of the minibatch itself
    assert history["val_spread"][0] > 1.1  # by running means, which have only begun


def test_validation_noise_is_the_same_in_every_epoch():
    class Drawn(Level):
        def validation_step(self, _batch, step):
            return {"loss": jax.random.normal(step.key)}

    *_, last = training_checkpoints(Drawn(), data(), QUICK)
    assert len(set(last.validation.tolist())) == 1


def test_training_noise_differs_from_step_to_step():
    class Drawn(Level):
        def training_step(self, _batch, step):
            return {"loss": jax.random.normal(step.key) - self.level[...]}

    *_, last = training_checkpoints(Drawn(), data(), QUICK)
    assert np.unique(last.losses).size == last.losses.size


def test_metrics_of_blocks_are_averaged_over_cells(monkeypatch):
    class Means(Level):
        def validation_step(self, batch, _step):
            return {"loss": batch.x.mean()}

    monkeypatch.setattr("scribeviz.networks.batches._EVALUATED_AT_ONCE", 5)
    split = split_cells(60, validation=0.2, test=0.1)
    checkpoint = next(training_checkpoints(Means(), data(split=split), QUICK))
    expected = MATRIX[split.validation].toarray().mean()
    assert float(checkpoint.validation[0]) == pytest.approx(expected, rel=1e-6)
    found = held_out_metrics(Means(), data(split=split))
    assert found["loss"] == pytest.approx(MATRIX[split.test].toarray().mean(), rel=1e-6)
    assert held_out_metrics(Means(), data()) == {}


def test_it_compiles_once():
    traces = []

    class Counting(Level):
        def training_step(self, batch, step):
            traces.append("training")
            return super().training_step(batch, step)

        def validation_step(self, batch, step):
            traces.append("validation")
            return super().validation_step(batch, step)

    list(islice(training_checkpoints(Counting(), data(), QUICK), 4))
    assert traces == ["training", "validation"]


def test_what_is_no_module_is_refused_before_training():
    with pytest.raises(TypeError, match="configure_optimizers"):
        next(training_checkpoints(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), data(), QUICK))
    with pytest.raises(TypeError, match="flax"):
        next(training_checkpoints(object(), data(), QUICK))


def test_data_without_a_minibatch_are_refused():
    class Nothing:
        def setup(self): ...

        def train_batches(self):
            return iter(())

        val_batches = test_batches = train_batches

    with pytest.raises(ValueError, match="no minibatch"):
        next(training_checkpoints(Level(), Nothing(), QUICK))
