"""Training as a stream of complete checkpoints, an epoch each.

The learning rate falls to a third when the validation loss has not improved for ``patience``
epochs, and training ends when it has not at the lowest rate.  What is kept is the best epoch, not
the last.  All randomness follows from the seed and the number of the step, so a run that was
stopped and resumed is the run that was not.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float32, PyTree

from scribeviz.networks.batches import Batches
from scribeviz.networks.cellvae import TrainingConfig
from scribeviz.networks.checkpoint import TrainingCheckpoint
from scribeviz.networks.module import (
    Functional,
    Metrics,
    Step,
    check_trainable,
    memory_of,
    named,
    put_together,
    take_apart,
)

_FALLS = (1.0, 0.3, 0.1)  # factors of the learning rate

type Callback = Callable[["TrainingCheckpoint"], object]


class TrainingError(FloatingPointError):
    """The loss became infinite or NaN; the message names the step and a cure."""


def training_checkpoints(
    module: nnx.Module,
    data: Batches,
    config: TrainingConfig,
    *,
    start: TrainingCheckpoint | None = None,
) -> Iterator[TrainingCheckpoint]:
    """Train ``module``, yielding a checkpoint after every epoch.

    To stop early, stop iterating.  ``module`` itself is left alone: :func:`restore` puts the
    parameters of a checkpoint into it.

    Raises
    ------
    TypeError
        If ``module`` lacks a method.
    TrainingError
        If the loss is no longer finite; the checkpoint yielded last is still good.
    """
    check_trainable(module)
    whole = take_apart(module)
    optimizer, in_falls = _optimizer(module, config)
    train, evaluate = _programs(whole, optimizer)
    key = jax.random.key(config.seed)
    state = (whole.params, whole.memory, jax.jit(optimizer.init)(whole.params))
    run = _Run(config)
    if start is not None:
        state = _filled(state, start.state)
        run = _Run.resumed(config, start)
    data.setup()
    while run.epoch < config.max_epochs and not run.settled:
        began = time.perf_counter()
        rate = config.learning_rate * _FALLS[run.fall]
        if in_falls:
            state = (*state[:2], _with_rate(state[2], rate))
        measured: list[Metrics] = []
        for batch in data.train_batches():
            number = jnp.uint32(run.losses.size + len(measured))
            state, metrics = train(state, batch, Step(number, jax.random.fold_in(key, number)))
            measured.append(metrics)
        if not measured:
            raise ValueError("the data gave no minibatch to train on.")
        trained = _by_name(measured)
        n_done = len(measured)
        run.add_steps(trained["loss"])
        validated = _mean_metrics(evaluate("validation_step"), state, data.val_batches(), key)
        run.add_epoch({name: float(v.mean()) for name, v in trained.items()}, validated, state)
        yield run.checkpoint(state, n_done / (time.perf_counter() - began), n_done)


def held_out_metrics(module: nnx.Module, data: Batches, seed: int = 0) -> dict[str, float]:
    """What the module measures on the cells that were kept for last; empty if there are none."""
    whole = take_apart(module)
    _, evaluate = _programs(whole, optax.identity())
    state = (whole.params, whole.memory, ())
    return _mean_metrics(evaluate("test_step"), state, data.test_batches(), jax.random.key(seed))


def restore(module: nnx.Module, checkpoint: TrainingCheckpoint) -> None:
    """Put the parameters of the best epoch into ``module``, which is then in evaluating mode."""
    whole = take_apart(module)
    params, memory = _filled((whole.params, whole.memory), (*checkpoint.params, *checkpoint.memory))
    nnx.update(module, params, memory)


class _Run:
    """What is known of a training run, epoch by epoch."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.losses = np.zeros(0, np.float32)
        self.validation: list[float] = []
        self.history: dict[str, list[float]] = {}
        self.epoch = self.best_epoch = self.fall = self.waited = 0
        self.best = math.inf
        self.kept: tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]] = ((), ())
        self.settled = False

    @classmethod
    def resumed(cls, config: TrainingConfig, start: TrainingCheckpoint) -> "_Run":
        run = cls(config)
        run.losses, run.validation = start.losses, start.validation.tolist()
        run.history = {name: list(values) for name, values in start.history.items()}
        run.epoch, run.best_epoch = start.epoch, start.best_epoch
        run.fall, run.waited, run.settled = start.fall, start.waited, start.settled
        run.kept = start.params, start.memory
        if run.validation:
            run.best = run.validation[run.best_epoch - 1]
        return run

    def add_steps(self, losses: Float32[np.ndarray, " new"]) -> None:
        bad = np.flatnonzero(~np.isfinite(losses))
        if bad.size:
            self._give_up("loss", f"step {self.losses.size + bad[0] + 1:,}")
        self.losses = np.concatenate([self.losses, losses])

    def add_epoch(
        self, trained: Mapping[str, float], validated: Mapping[str, float], state: PyTree
    ) -> None:
        self.epoch += 1
        metrics = dict(trained)
        metrics |= {f"val_{name.removeprefix('val_')}": v for name, v in validated.items()}
        for name, value in metrics.items():
            self.history.setdefault(name, []).append(value)
        loss = None
        if "loss" in validated:
            loss = float(np.float32(validated["loss"]))  # as checkpoints keep it
            if not math.isfinite(loss):
                self._give_up("validation loss", f"epoch {self.epoch:,}")
            self.validation.append(loss)
        if loss is None or loss < self.best:
            self.best = math.inf if loss is None else loss
            self.best_epoch, self.waited = self.epoch, 0
            self.kept = _leaves(state[0]), _leaves(state[1])
            return
        self.waited += 1
        if self.waited >= self.config.patience:
            self.waited = 0
            self.settled = self.fall == len(_FALLS) - 1
            self.fall = min(self.fall + 1, len(_FALLS) - 1)

    def _give_up(self, what: str, where: str) -> NoReturn:
        rate = self.config.learning_rate
        raise TrainingError(
            f"The {what} was no longer finite at {where}. Lower the learning rate (it was "
            f"{rate:g}; try {rate / 3:.2g})."
        )

    def checkpoint(self, state: PyTree, speed: float, n_done: int) -> TrainingCheckpoint:
        left = self.config.max_epochs - self.epoch
        params, memory = self.kept
        return TrainingCheckpoint(
            step=self.losses.size,
            n_steps=self.losses.size + left * n_done,
            epoch=self.epoch,
            losses=self.losses,
            validation=np.asarray(self.validation, np.float32),
            history={name: np.asarray(v, np.float32) for name, v in self.history.items()},
            best_epoch=self.best_epoch,
            params=params,
            memory=memory,
            settled=self.settled,
            steps_per_second=speed,
            fall=self.fall,
            waited=self.waited,
            state=_leaves(state),
        )


def _programs(
    whole: Functional, optimizer: optax.GradientTransformation
) -> tuple[Callable, Callable]:
    """A compiled step of training, and compiled steps of evaluation by their names."""

    @jax.jit
    def train(state: PyTree, batch: PyTree, step: Step) -> tuple[PyTree, Metrics]:
        params, memory, optimized = state

        def loss(params: nnx.State) -> tuple[Array, tuple[Metrics, nnx.State]]:
            module = put_together(whole.training, params, whole.noise, memory, step.key)
            metrics = named(module.training_step(batch, step))
            return metrics["loss"], (metrics, memory_of(module))

        (_, (metrics, memory)), slope = jax.value_and_grad(loss, has_aux=True)(params)
        change, optimized = optimizer.update(slope, optimized, params)
        return (optax.apply_updates(params, change), memory, optimized), metrics

    def evaluate(name: str) -> Callable:
        @jax.jit
        def one(state: PyTree, batch: PyTree, step: Step) -> Metrics:
            module = put_together(whole.evaluating, state[0], whole.noise, state[1], step.key)
            return named(getattr(module, name)(batch, step))

        return one

    kept: dict[str, Callable] = {}
    return train, lambda name: kept.setdefault(name, evaluate(name))


def _mean_metrics(
    evaluate: Callable, state: PyTree, batches: Iterator[Any], key: Array
) -> dict[str, float]:
    """Averages over cells; the noise is the same in every epoch, so that epochs compare."""
    total, weights = dict[str, float](), 0
    for i, batch in enumerate(batches):
        size = jax.tree.leaves(batch)[0].shape[0]
        step = Step(jnp.uint32(i), jax.random.fold_in(key, i))
        for name, value in evaluate(state, batch, step).items():
            total[name] = total.get(name, 0.0) + float(value) * size
        weights += size
    return {name: value / weights for name, value in total.items()}


def _optimizer(module: Any, config: TrainingConfig) -> tuple[optax.GradientTransformation, bool]:
    configured = module.configure_optimizers()
    if configured is not None:
        return configured, False
    return optax.inject_hyperparams(optax.adam)(learning_rate=config.learning_rate), True


def _with_rate(optimized: Any, rate: float) -> Any:
    hyperparams = optimized.hyperparams | {"learning_rate": jnp.float32(rate)}
    return optimized._replace(hyperparams=hyperparams)


def _leaves(tree: PyTree) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(leaf) for leaf in jax.tree.leaves(tree))


def _filled(tree: PyTree, leaves: Sequence[np.ndarray]) -> PyTree:
    return jax.tree.unflatten(jax.tree.structure(tree), [jnp.asarray(leaf) for leaf in leaves])


def _by_name(measured: list[Metrics]) -> dict[str, np.ndarray]:
    return {
        name: np.asarray(jnp.stack([metrics[name] for metrics in measured])) for name in measured[0]
    }
