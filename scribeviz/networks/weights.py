"""The arrays of a module by the paths at which they stand in it: how modules are saved."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx


def weights(module: nnx.Module) -> dict[str, np.ndarray]:
    """Parameters and running means by their paths, such as ``"layers/0/kernel"``."""
    return {name: np.asarray(variable[...]) for name, _, variable in _variables(module)}


def fill(module: nnx.Module, saved: Mapping[str, np.ndarray]) -> None:
    """Put saved arrays into a module that is built like the one they came from.

    Raises
    ------
    ValueError
        If the module has other arrays, or arrays of other shapes.
    """
    shapes = {name: variable.shape for name, _, variable in _variables(module)}
    other = sorted(shapes.keys() ^ saved.keys())
    if other:
        kept = "saved, and the model has no such array" if other[0] in saved else "not saved"
        raise ValueError(f"the model is built in another way: {other[0]!r} is {kept}.")
    for name, shape in shapes.items():
        if shape != saved[name].shape:
            raise ValueError(
                f"{name!r} was saved with shape {saved[name].shape}; the model's has {shape}."
            )
    flat = [
        (path, variable.replace(jnp.asarray(saved[name])))
        for name, path, variable in _variables(module)
    ]
    nnx.update(module, nnx.from_flat_state(flat))


def _variables(module: nnx.Module) -> Iterator[tuple[str, tuple[Any, ...], nnx.Variable]]:
    _, *states = nnx.split(module, nnx.RngState, ...)
    for path, variable in nnx.to_flat_state(states[-1]):
        yield "/".join(map(str, path)), path, variable
