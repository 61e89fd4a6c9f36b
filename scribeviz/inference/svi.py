"""Stochastic variational inference as a stream of complete checkpoints.

A fit has three stages with falling learning rates.  A stage ends when the loss has *settled*: its
mean over the last ``_WINDOW`` steps is lower than over the ``_WINDOW`` steps before by no more than
``tolerance`` (relative) or twice the standard error of that difference.  The fit ends with its last
stage, or after ``n_steps``; the last stages have their share of these whether it settled or not.

What happens depends on the number of steps done and never on the clock, which only says how often
a checkpoint is yielded: the same seed gives the same fit, stopped and resumed in between or not.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float32, PyTree
from numpyro.infer import SVI, TraceMeanField_ELBO
from numpyro.infer.svi import SVIState
from numpyro.infer.util import transform_fn

from scribeviz._cards import shown_by_fields
from scribeviz._settings import check_settings, document_settings, setting
from scribeviz.inference.programs import Programs, by_content, layout_of

type Params = Mapping[str, Array]

_STAGES = (1.0, 0.2, 0.04)  # factors of the learning rate
_LATEST_ENDS = (0.6, 0.85, 1.0)  # of the stages, as shares of the most steps
_WINDOW = 200  # steps
_LOOK_EVERY = 50  # steps: whether the loss has settled
_REFINE_EVERY = 10  # steps
_CHECKPOINT_SECONDS = 0.2
_FIRST_PACE = 10  # steps: the first point of the curve comes at once
_LARGEST_PACE = 4_096  # steps

# Its learning rate is set with every stage.
_ADAM = optax.inject_hyperparams(optax.adam)(learning_rate=1.0)


@document_settings
@dataclass(frozen=True, slots=True, kw_only=True)
class SVIConfig:
    """How to fit; every number is a control of the app.

    Examples
    --------
    >>> import scribeviz
    >>> scribeviz.SVIConfig(n_steps=500).learning_rate
    0.05
    >>> scribeviz.SVIConfig(n_steps=0)
    Traceback (most recent call last):
        ...
    ValueError: n_steps=0 is outside [1, 1,000,000] steps.
    """

    n_steps: int = setting(
        20_000,
        label="At most",
        doc="The fit ends by itself when the loss has settled, and here at the latest.",
        unit="steps",
        bounds=(1, 1_000_000),
    )
    learning_rate: float = setting(
        0.05,
        label="Learning rate",
        doc="Adam's first step size; it falls twice, each time the loss has settled.",
        bounds=(1e-6, 1.0),
    )
    tolerance: float = setting(
        1e-6,
        label="Tolerance",
        doc="Relative fall of the loss over 200 steps below which it counts as settled; with 0 all "
        "steps are done.",
        bounds=(0.0, 1.0),
    )
    n_particles: int = setting(
        1,
        label="Particles",
        doc="Draws per step for the ELBO: more are smoother and slower.",
        bounds=(1, 100),
    )
    n_starts: int = setting(
        1,
        label="Starts",
        doc="Mixtures begin with a clustering of the cells: tries this many, and goes on with the "
        "best after a few steps.",
        bounds=(1, 20),
    )
    batch_size: int = setting(
        0,
        label="Cells per step",
        doc="0: all cells in every step, which is exact and usually quicker here. Otherwise so "
        "many cells, drawn anew each step.",
        unit="cells",
        bounds=(0, 10_000_000),
    )
    seed: int = setting(
        0, label="Seed", doc="The same seed gives the same fit.", bounds=(0, 2**31 - 1)
    )

    def __post_init__(self) -> None:
        check_settings(self)


@shown_by_fields
@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A fit so far, complete in itself.  The last one of a stream is the fit.

    Attributes
    ----------
    step, n_steps
        Steps done, and the most that will be done.
    losses
        Negative ELBO of every step so far, in nats.
    params
        The guide's parameters by name.
    settled
        Whether the fit ended because its loss had settled.
    steps_per_second
        Speed since the checkpoint before.
    stage, stage_start, state
        What the stream needs to go on from here.
    """

    step: int
    n_steps: int
    losses: Float32[np.ndarray, " steps"]
    params: Mapping[str, np.ndarray]
    settled: bool
    steps_per_second: float
    stage: int
    stage_start: int
    state: tuple[np.ndarray, ...]

    @property
    def fraction(self) -> float:
        """Share of the most steps that will be done."""
        return self.step / self.n_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class SVIMethod:
    """How a step is made, for callers who want their own.

    Attributes
    ----------
    optimizer
        Of NumPyro or optax; its learning rate is then left alone, and the fit settles once.
        Closed-form updates (``refine``) need one of optax.
    loss
        A NumPyro ELBO.
    stable_update
        Leave out steps whose gradient is not finite instead of ending the fit.
    """

    optimizer: Any = None
    loss: Any = None
    stable_update: bool = False


class LossNotFiniteError(FloatingPointError):
    """The loss became infinite or NaN; the message names the step and a cure."""


def svi_checkpoints(  # noqa: PLR0913  the whole of a fit
    model: Callable,
    guide: Callable,
    data: PyTree,
    config: SVIConfig,
    *,
    initial: Params | None = None,
    refine: Callable[[Params, PyTree], Params] | None = None,
    start: Checkpoint | None = None,
    method: SVIMethod | None = None,
) -> Iterator[Checkpoint]:
    """Fit ``guide`` to ``model(data)``, yielding a checkpoint about five times a second.

    To stop early, stop iterating; what was yielded last is a valid, shorter fit.

    Parameters
    ----------
    model, guide
        NumPyro functions of ``data``.
    data
        Arrays; they are arguments of the compiled program, not constants in it.
    config
        Steps, learning rate, tolerance, particles, seed.
    initial
        Start values of the guide's parameters; the guide's own where left out.
    refine
        ``(params, data) -> changed params``: a closed-form update done every ten steps.
    start
        Go on from this checkpoint instead of from the beginning.
    method
        An optimizer and a loss of the caller's own, in place of Adam in stages.

    Raises
    ------
    LossNotFiniteError
        If the loss is no longer finite; the checkpoint yielded last is still good.
    """
    method = method or SVIMethod()
    in_stages = method.optimizer is None
    stages, latest_ends = (_STAGES, _LATEST_ENDS) if in_stages else ((1.0,), (1.0,))
    data = jax.tree.map(jnp.asarray, data)
    begin, advance = _kept_program(model, guide, config, refine, method, (data, initial))
    # An old-style key: its state is a plain array, which a checkpoint can hold.
    key = jax.random.PRNGKey(config.seed)
    # Tracing also tells NumPyro the constraints, which a resumed fit needs as well.
    layout = jax.tree.structure(jax.eval_shape(begin, key, data, initial))
    if start is None:
        state = begin(key, data, initial)
        losses, stage, stage_start = np.zeros(0, np.float32), 0, 0
    else:
        state = jax.tree.unflatten(layout, [jnp.asarray(leaf) for leaf in start.state])
        losses, stage, stage_start = start.losses, start.stage, start.stage_start
    settled = stage == len(stages)
    pace, compiled = _FIRST_PACE, False  # steps from one checkpoint to the next
    while losses.size < config.n_steps and not settled:
        began, before = time.perf_counter(), losses.size
        end = min(before + pace, config.n_steps)
        while losses.size < end and not settled:
            done = losses.size
            length = min(end - done, _LOOK_EVERY - done % _LOOK_EVERY)
            rate = jnp.float32(config.learning_rate * stages[stage])
            state, buffer, params = advance(state, data, rate, jnp.int32(done), jnp.int32(length))
            new = np.asarray(buffer)[:length]
            _check_finite(new, done, config, method)
            losses = np.concatenate([losses, new])
            if losses.size % _LOOK_EVERY:
                continue
            if _has_settled(losses[stage_start:], config.tolerance):
                stage, stage_start = stage + 1, losses.size
                settled = stage == len(stages)
            elif losses.size >= latest_ends[stage] * config.n_steps:
                stage, stage_start = min(stage + 1, len(stages) - 1), losses.size
        rate_of_steps = (losses.size - before) / (time.perf_counter() - began)
        yield Checkpoint(
            step=losses.size,
            n_steps=config.n_steps,
            losses=losses,
            params={name: np.asarray(value) for name, value in params.items()},
            settled=settled,
            steps_per_second=rate_of_steps,
            stage=stage,
            stage_start=stage_start,
            state=tuple(np.asarray(leaf) for leaf in jax.tree.leaves(state)),
        )
        if compiled:  # before that, the time is mostly compilation
            pace = int(np.clip(rate_of_steps * _CHECKPOINT_SECONDS, 1, _LARGEST_PACE))
        compiled = True


type _Program = tuple[Callable, Callable]

# A gradient that scatters, as that of a step on some of the cells does, then adds in one order.
_REPEATABLE = {"xla_gpu_exclude_nondeterministic_ops": True}

# Compiling takes seconds, many fits take less.  A program holds its model but no data.
_PROGRAMS: Programs[_Program] = Programs(most=8)


def _kept_program(
    model: Callable,
    guide: Callable,
    config: SVIConfig,
    refine: Callable[[Params, PyTree], Params] | None,
    method: SVIMethod,
    arguments: PyTree,
) -> _Program:
    key = (
        *map(by_content, (model, guide, refine)),
        config.n_particles,
        method,
        layout_of(arguments),
    )
    return _PROGRAMS.get(key, lambda: _program(model, guide, config, refine, method))


def _program(
    model: Callable,
    guide: Callable,
    config: SVIConfig,
    refine: Callable[[Params, PyTree], Params] | None,
    method: SVIMethod,
) -> _Program:
    """How to begin, and how to go on; of ``config`` only the number of particles enters."""
    in_stages = method.optimizer is None
    if not in_stages and not isinstance(method.optimizer, optax.GradientTransformation):
        refine = None  # NumPyro's own optimizers hide the parameters in their state
    loss = method.loss or TraceMeanField_ELBO(num_particles=config.n_particles)
    svi = SVI(model, guide, method.optimizer or _ADAM, loss)
    update = svi.stable_update if method.stable_update else svi.update

    @jax.jit
    def begin(key: Array, data: PyTree, initial: Params | None) -> SVIState:
        return svi.init(key, data, init_params=initial)

    # A loop with a length known only at run time: one compiled program for chunks of any size.
    @partial(jax.jit, compiler_options=_REPEATABLE)
    def advance(
        state: SVIState, data: PyTree, rate: Array, done: Array, length: Array
    ) -> tuple[SVIState, Array, Params]:
        def refined(state: SVIState) -> SVIState:
            return state if refine is None else _refined(svi, state, refine, data)

        def body(i: Array, carry: tuple[SVIState, Array]) -> tuple[SVIState, Array]:
            state, losses = carry
            state, loss = update(state, data)
            due = (done + i + 1) % _REFINE_EVERY == 0
            state = jax.lax.cond(due, refined, lambda state: state, state)
            return state, losses.at[i].set(loss)

        if in_stages:
            state = _with_learning_rate(state, rate)
        state, losses = jax.lax.fori_loop(0, length, body, (state, jnp.zeros(_LOOK_EVERY)))
        return state, losses, svi.get_params(state)

    return begin, advance


def _has_settled(losses: Float32[np.ndarray, " steps"], tolerance: float) -> bool:
    if tolerance == 0 or losses.size < 2 * _WINDOW:
        return False
    return _fall(losses, tolerance) <= 1


def _fall(losses: Float32[np.ndarray, " steps"], tolerance: float) -> float:
    """The fall of the loss over the last window, in units of that at which it has settled."""
    before = _finite(losses[-2 * _WINDOW : -_WINDOW])
    after = _finite(losses[-_WINDOW:])
    fall = before.mean() - after.mean()
    error = math.sqrt((before.var() + after.var()) / _WINDOW)
    settled = max(tolerance * abs(after.mean()), 2 * error)
    if settled > 0:
        return float(fall / settled)
    return math.inf if fall > 0 else 0.0


def settling(checkpoint: Checkpoint, config: SVIConfig) -> float:
    """About how much of a fit is done, by the rule that ends it, from 0 to 1.

    Stages count alike.  Half of one are the steps that it takes at least; the other half is how far
    the fall of the loss has come, on a log scale, from where it was then to where it has settled.
    """
    if checkpoint.settled:
        return 1.0
    losses = checkpoint.losses[checkpoint.stage_start :]
    least = 2 * _WINDOW
    within = min(losses.size / least, 1.0) / 2
    if losses.size > least and config.tolerance > 0:
        first = max(_fall(losses[:least], config.tolerance), math.e)
        now = max(_fall(losses, config.tolerance), 1.0)
        if math.isfinite(first) and math.isfinite(now):
            within += max(1 - math.log(now) / math.log(first), 0.0) / 2
    staged = (checkpoint.stage + within) / len(_STAGES) if config.tolerance > 0 else 0.0
    return max(staged, checkpoint.fraction)


def _finite(losses: Float32[np.ndarray, " steps"]) -> np.ndarray:
    return losses[np.isfinite(losses)].astype(np.float64)


def _check_finite(new: np.ndarray, done: int, config: SVIConfig, method: SVIMethod) -> None:
    bad = np.flatnonzero(~np.isfinite(new))
    left_out = method.stable_update and bad.size < new.size
    if bad.size and not left_out:
        raise LossNotFiniteError(
            f"The loss was no longer finite at step {done + bad[0] + 1:,} of {config.n_steps:,}. "
            f"Lower the learning rate (it was {config.learning_rate:g}; try "
            f"{config.learning_rate / 2:g}) or choose a narrower prior."
        )


def _with_learning_rate(state: SVIState, rate: Array) -> SVIState:
    step, (params, optimizer) = state.optim_state
    hyperparams = optimizer.hyperparams | {"learning_rate": rate}
    return state._replace(optim_state=(step, (params, optimizer._replace(hyperparams=hyperparams))))


def _refined(svi: SVI, state: SVIState, refine: Callable, data: PyTree) -> SVIState:
    """Put closed-form parameters, as the guide sees them, into the optimizer's state."""
    changed = refine(svi.get_params(state), data)
    step, (params, optimizer) = state.optim_state
    transforms = svi.constrain_fn.args[0]
    free = transform_fn(transforms, changed, invert=True)
    return state._replace(optim_state=(step, (params | free, optimizer)))
