"""The arguments of a user's model: which its functions take, and their values for some data."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Array

from scribeviz.data.counts import Counts

if TYPE_CHECKING:
    from scribeviz.models.custom.model import CustomModel

# Given to the user's functions by name, so neither a prior nor a custom argument.
OWN_ARGUMENTS = ("n_cells", "n_genes", "counts", "batch_size")

# What is one value per cell or gene.  Anything else, a tuple too, is a setting.
_ARRAYS = (np.ndarray, jax.Array, list, pd.Series, pd.Index, pd.Categorical, pd.DataFrame)


class CustomModelError(ValueError):
    """A user's model cannot be used as it is; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments that a function takes by name.

    Attributes
    ----------
    names
        All of them, in order; without those that a ``partial`` has fixed.
    required
        Those without a default.
    takes_all
        Whether the function also takes any other name (``**settings``).
    """

    names: tuple[str, ...]
    required: tuple[str, ...]
    takes_all: bool

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Signature":
        """Read the signature of ``function``."""
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        parameters = inspect.signature(function).parameters.values()
        fixed = function.keywords if isinstance(function, partial) else {}
        named = [p for p in parameters if p.kind in by_name and p.name not in fixed]
        return cls(
            names=tuple(p.name for p in named),
            required=tuple(p.name for p in named if p.default is inspect.Parameter.empty),
            takes_all=any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters),
        )

    def accepts(self, name: str) -> bool:
        """Whether ``name=...`` may be given."""
        return self.takes_all or name in self.names


def function_name(function: Callable[..., Any]) -> str:
    """What to call ``function`` in a message."""
    if isinstance(function, partial):
        return function_name(function.func)
    return getattr(function, "__name__", repr(function))


def in_short(error: BaseException) -> str:
    """Kind and first line of an error that others raised; the rest stays with its cause."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}"


def listed(names: Iterable[str]) -> str:
    """Names for a message: ``'a', 'b'``, or ``none``."""
    return ", ".join(map(repr, names)) or "none"


def check_names(custom: "CustomModel", given: Mapping[str, Any], source: str) -> None:
    """Raise ``CustomModelError`` if ``given`` holds a name that the functions do not take."""
    for name in given:
        if name in OWN_ARGUMENTS:
            raise CustomModelError(
                f"{source} of {custom.key!r} holds {name!r}, which is set for each data set; "
                "leave it out."
            )
        for role, function in (("model", custom.model), ("guide", custom.guide)):
            signature = Signature.of(function)
            if not signature.accepts(name):
                free = [n for n in signature.names if n not in OWN_ARGUMENTS]
                raise CustomModelError(
                    f"{source} of {custom.key!r} holds {name!r}, which the {role} "
                    f"{function_name(function)} does not take; it takes {listed(free)}."
                )


def split(custom: "CustomModel", counts: Counts) -> tuple[dict[str, Array], dict[str, Any]]:
    """Values of the custom arguments for ``counts``: the arrays, and the settings.

    Raises
    ------
    CustomModelError, TypeError
        If a value is of no use, with the reason.
    """
    given = _given(custom, counts)
    arrays = {
        name: _array(name, value, counts)
        for name, value in given.items()
        if sp.issparse(value) or (isinstance(value, _ARRAYS) and np.ndim(value) > 0)
    }
    return arrays, {name: value for name, value in given.items() if name not in arrays}


def _given(custom: "CustomModel", counts: Counts) -> Mapping[str, Any]:
    if isinstance(custom.custom_args, Mapping):
        return custom.custom_args
    try:
        given = custom.custom_args(counts)
    except Exception as error:
        raise CustomModelError(
            f"custom_args of {custom.key!r}, the function {function_name(custom.custom_args)}, "
            f"raised {in_short(error)}.  It is given a scribeviz Counts: "
            "counts.cell_totals, counts.gene_totals, counts.obs and the sparse counts.matrix."
        ) from error
    if not isinstance(given, Mapping):
        raise TypeError(
            f"custom_args of {custom.key!r}, the function {function_name(custom.custom_args)}, "
            f"gave {type(given).__name__}; let it return a mapping from argument to value."
        )
    check_names(custom, given, "custom_args")
    check_only_once(custom, given)
    return given


def check_only_once(custom: "CustomModel", given: Mapping[str, Any]) -> None:
    """Raise ``CustomModelError`` if a custom argument is also a prior."""
    both = [name for name in given if name in custom.prior_params]
    if both:
        raise CustomModelError(
            f"{listed(both)} is in both custom_args and prior_params of {custom.key!r}; "
            "give it once."
        )


def _array(name: str, value: Any, counts: Counts) -> Array:
    if sp.issparse(value):
        raise TypeError(
            f"custom_args[{name!r}] is a sparse matrix, which NumPyro cannot compute with; "
            "give a dense one, or sums over it."
        )
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    if not (jnp.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise TypeError(
            f"custom_args[{name!r}] holds {array.dtype} instead of numbers; number its groups, for "
            "example by pandas.factorize(values)[0]."
        )
    if array.shape[0] not in (counts.n_cells, counts.n_genes):
        raise CustomModelError(
            f"custom_args[{name!r}] has shape {array.shape}, so its first axis fits neither the "
            f"{counts.n_cells:,} cells nor the {counts.n_genes:,} genes of {counts.name}.  Give "
            "one entry per cell or gene; a fixed list of numbers goes in as a tuple."
        )
    return jnp.asarray(array)
