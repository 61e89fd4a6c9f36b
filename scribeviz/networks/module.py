"""What can be trained: an nnx module that says what a step is and what it measures."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import optax
from flax import nnx
from jaxtyping import Array, PRNGKeyArray

type Metrics = Mapping[str, Array]
_STEPS = ("training_step", "validation_step", "test_step")
FROM_LIGHTNING = (
    "A LightningModule, rewritten as a flax.nnx.Module, keeps training_step, validation_step, "
    "test_step and configure_optimizers; forward becomes __call__, batch_idx a Step, and what "
    "self.log measured is returned by name."
)


class Step(NamedTuple):
    """Where training is.

    Attributes
    ----------
    number
        Steps done before this one.
    key
        Source of this step's randomness.
    """

    number: Array
    key: PRNGKeyArray


@runtime_checkable
class Trainable(Protocol):
    """A custom module: an ``nnx.Module`` with these four methods.

    Each step takes a minibatch and returns named numbers; ``loss`` is what is minimised (in
    training) and watched (in validation).  A step may also return the loss alone.
    """

    def training_step(self, batch: Any, step: Step) -> Metrics:
        """Loss and metrics of a minibatch, while training."""

    def validation_step(self, batch: Any, step: Step) -> Metrics:
        """Loss and metrics of a minibatch that is not trained on."""

    def test_step(self, batch: Any, step: Step) -> Metrics:
        """Loss and metrics of a minibatch that was kept for last."""

    def configure_optimizers(self) -> optax.GradientTransformation | None:
        """An optimizer of optax; None: Adam, at the rates of the training's settings."""


def check_trainable(module: Any) -> None:
    """Raise ``TypeError`` unless ``module`` can be trained; the message says what it lacks."""
    if not isinstance(module, nnx.Module):
        raise TypeError(
            f"a module of your own is a flax.nnx.Module; got {type(module).__name__}. "
            f"{FROM_LIGHTNING}"
        )
    missing = [
        name
        for name in (*_STEPS, "configure_optimizers")
        if not callable(getattr(module, name, None))
    ]
    if missing:
        raise TypeError(
            f"{type(module).__name__} has no {', '.join(missing)}; a module of your own has "
            f"{', '.join(_STEPS)} and configure_optimizers."
        )


def named(measured: Any) -> Metrics:
    """What a step measured, by name; a number alone is the loss, as in Lightning."""
    return measured if isinstance(measured, Mapping) else {"loss": measured}


class Functional(NamedTuple):
    """A module taken apart: what is trained, what is remembered, and how to put it together.

    Attributes
    ----------
    training, evaluating
        The module without its arrays, in either mode (dropout and batch statistics differ).
    params
        What the optimizer changes.
    noise
        States of random streams; replaced in every step.
    memory
        All else, such as running means.
    """

    training: nnx.GraphDef
    evaluating: nnx.GraphDef
    params: nnx.State
    noise: nnx.State
    memory: nnx.State


def take_apart(module: nnx.Module) -> Functional:
    """Split ``module``, which is left in evaluating mode."""
    module.train()
    parts: Any = nnx.split(module, nnx.Param, nnx.RngState, ...)
    training, params, noise, memory = parts
    module.eval()
    evaluating = nnx.graphdef(module)
    return Functional(training, evaluating, params, noise, memory)


def put_together(
    graph: nnx.GraphDef, params: nnx.State, noise: nnx.State, memory: nnx.State, key: PRNGKeyArray
) -> Any:
    """The module with these arrays; its random streams start from ``key``."""
    leaves, layout = jax.tree.flatten(noise)
    fresh = [
        jax.random.fold_in(key, i)
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else jax.numpy.zeros_like(leaf)
        for i, leaf in enumerate(leaves)
    ]
    # A copy: a module may only change variables of the trace that it lives in.
    return nnx.merge(graph, params, jax.tree.unflatten(layout, fresh), memory, copy=True)


def memory_of(module: nnx.Module) -> nnx.State:
    """What a module remembers besides its parameters."""
    parts: Any = nnx.split(module, nnx.Param, nnx.RngState, ...)
    return parts[3]
