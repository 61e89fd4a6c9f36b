"""Compiled programs: kept in the process for the next fit of the same model, and on disk."""

import inspect
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping

import jax
from jaxtyping import PyTree
from platformdirs import user_cache_path

# What JAX keeps on disk, unless the user has settings of their own.
CACHE_SETTINGS: Mapping[str, str | float] = {
    "jax_compilation_cache_dir": str(user_cache_path("scribeviz", appauthor=False) / "compiled"),
    "jax_persistent_cache_min_compile_time_secs": 0.0,
}


def keep_on_disk() -> None:
    """Have JAX keep what it compiles, for processes to come; a folder that the user set stays.

    ``JAX_ENABLE_COMPILATION_CACHE=0`` switches it off.
    """
    if jax.config.jax_compilation_cache_dir is None:
        for name, value in CACHE_SETTINGS.items():
            if name.upper() not in os.environ:
                jax.config.update(name, value)


class Programs[P]:
    """The programs used last; those used longest ago are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, P] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], P]) -> P:
        """The program of that key, made if it is not there."""
        program = self._kept.pop(key, None) or make()
        self._kept[key] = program
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return program


def by_content(function: Callable | None) -> Hashable:
    """What to know a function by: methods of equal objects are the same.

    To Python they are not: it compares their objects by identity.
    """
    return (function.__func__, function.__self__) if inspect.ismethod(function) else function


def layout_of(tree: PyTree) -> Hashable:
    """Structure, shapes and types of a tree of arrays, without the arrays."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple(map(jax.typeof, leaves))
