"""What can be wrong with a user's model whatever the data, each in a sentence of its own.

What depends on the data's shapes is in :mod:`scribeviz.models.custom.sites`.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from numpyro.infer.autoguide import AutoGuide

from scribeviz.models.custom.arguments import (
    CustomModelError,
    Signature,
    check_names,
    check_only_once,
    function_name,
    listed,
)
from scribeviz.models.custom.params import PARAM_TYPES, is_component_specific

if TYPE_CHECKING:
    from scribeviz.models.custom.model import CustomModel

_NEEDED = ("n_cells", "n_genes", "counts")
_WORDS_OF_A_SPEC = ("type", "component_specific")
_OPTIONAL_FUNCTIONS = ("get_distributions_fn", "get_model_args_fn", "custom_log_likelihood_fn")


def check_description(custom: "CustomModel") -> None:
    """Raise for what is wrong with ``custom`` whatever the data."""
    _check_key(custom)
    _check_functions(custom)
    _check_signatures(custom)
    _check_mapping(custom.prior_params, "prior_params", custom)
    check_names(custom, custom.prior_params, "prior_params")
    if not callable(custom.custom_args):
        _check_mapping(custom.custom_args, "custom_args", custom)
        check_names(custom, custom.custom_args, "custom_args")
        check_only_once(custom, custom.custom_args)
    _check_spec(custom)


def check_model_args(custom: "CustomModel", args: Mapping[str, Any]) -> None:
    """Raise if ``get_model_args_fn`` gave what the model does not take."""
    _check_mapping(args, "the result of get_model_args_fn", custom)
    signature = Signature.of(custom.model)
    unknown = [name for name in args if not signature.accepts(name)]
    if unknown:
        raise CustomModelError(
            f"get_model_args_fn of {custom.key!r} gave {listed(unknown)}, which the model "
            f"{function_name(custom.model)} does not take; it takes {listed(signature.names)}."
        )


def check_complete(
    custom: "CustomModel",
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    *,
    predicts: bool,
) -> None:
    """Raise ``CustomModelError`` if an argument without a default has no value."""
    missing = [name for name in Signature.of(function).required if name not in arguments]
    if not missing:
        return
    where = f"{function_name(function)} of {custom.key!r} needs {listed(missing)}"
    if predicts:
        raise CustomModelError(
            f"{where} also when it predicts, without data.  Give it a default, such as "
            f"{missing[0]}=None, or return it from get_model_args_fn."
        )
    raise CustomModelError(
        f"{where}, which has no default and is in neither prior_params nor custom_args; "
        f"give it in one of them."
    )


def checked_batch_size(custom: "CustomModel", n_cells: int, batch_size: int | None) -> int | None:
    """Cells per step, or ``None`` for all of them."""
    if batch_size is None:
        return None
    if isinstance(batch_size, bool) or not isinstance(batch_size, int):
        raise TypeError(f"batch_size={batch_size!r} is no whole number of cells.")
    if batch_size < 0:
        raise CustomModelError(f"batch_size={batch_size} is negative; 0 means all cells.")
    if batch_size > n_cells:
        raise CustomModelError(
            f"batch_size={batch_size:,} is more than the {n_cells:,} cells; "
            f"choose fewer, or 0 for all cells at every step."
        )
    if batch_size in (0, n_cells):
        return None
    for role, function in _functions(custom):
        if not Signature.of(function).accepts("batch_size"):
            raise CustomModelError(
                f"batch_size={batch_size:,} is asked for, but the {role} {function_name(function)} "
                "has no argument batch_size; add batch_size=None to the model and the guide, or "
                "leave it out to see all cells at every step."
            )
    return batch_size


def _check_key(custom: "CustomModel") -> None:
    if not isinstance(custom.key, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", custom.key):
        raise CustomModelError(
            f"key={custom.key!r} names no model; use letters, digits, '_' and '-', such as "
            "'nbdm-lognormal'."
        )


def _check_functions(custom: "CustomModel") -> None:
    for role, function in _functions(custom):
        if isinstance(function, AutoGuide):
            raise TypeError(
                f"the {role} of {custom.key!r} is NumPyro's {type(function).__name__}, which names "
                "its parameters itself and learns their shapes from the first data it sees; write "
                "the guide as a function."
            )
        if not callable(function):
            raise TypeError(
                f"the {role} of {custom.key!r} is {type(function).__name__}; "
                "it must be a NumPyro function."
            )
    for name in _OPTIONAL_FUNCTIONS:
        function = getattr(custom, name)
        if function is not None and not callable(function):
            raise TypeError(
                f"{name} of {custom.key!r} is {type(function).__name__}; "
                "it must be a function, or left out."
            )


def _check_signatures(custom: "CustomModel") -> None:
    for role, function in _functions(custom):
        signature = Signature.of(function)
        missing = [name for name in _NEEDED if not signature.accepts(name)]
        if missing:
            raise CustomModelError(
                f"the {role} {function_name(function)} has no argument {listed(missing)}; its "
                "arguments are n_cells, n_genes, the priors, counts=None, custom arguments and "
                f"batch_size=None, and here {listed(signature.names)}."
            )
    model, guide = Signature.of(custom.model), Signature.of(custom.guide)
    only_model = [name for name in model.names if not guide.accepts(name)]
    only_guide = [name for name in guide.names if not model.accepts(name)]
    if only_model or only_guide:
        raise CustomModelError(
            f"the model {function_name(custom.model)} and the guide {function_name(custom.guide)} "
            f"must take the same arguments; only the model takes {listed(only_model)}, only the "
            f"guide {listed(only_guide)}."
        )


def _check_spec(custom: "CustomModel") -> None:
    _check_mapping(custom.param_spec, "param_spec", custom)
    n = custom.n_components
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise CustomModelError(f"n_components={n!r} is no number of components; give 1 or more.")
    for name, entry in custom.param_spec.items():
        where = f"param_spec[{name!r}] of {custom.key!r}"
        if not isinstance(entry, Mapping):
            raise TypeError(f'{where} is {entry!r}; write {{"type": "global"}} or another type.')
        unknown = [word for word in entry if word not in _WORDS_OF_A_SPEC]
        if unknown:
            raise CustomModelError(
                f"{where} says {listed(unknown)}; it may say 'type' and 'component_specific'."
            )
        if entry.get("type") not in PARAM_TYPES:
            raise CustomModelError(
                f"{where} has the type {entry.get('type')!r}; choose one of {listed(PARAM_TYPES)}."
            )
        if not isinstance(entry.get("component_specific", False), bool):
            raise TypeError(
                f"{where} has component_specific={entry['component_specific']!r}; "
                "say True or False."
            )
        if is_component_specific(entry) and custom.n_components is None:
            raise CustomModelError(
                f"{where} is component_specific, but n_components is not given; "
                "say how many components there are."
            )


def _check_mapping(value: Any, source: str, custom: "CustomModel") -> None:
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{source} of {custom.key!r} is {type(value).__name__}; it must be a mapping "
            "from name to value."
        )


def _functions(custom: "CustomModel") -> tuple[tuple[str, Callable[..., Any]], ...]:
    return ("model", custom.model), ("guide", custom.guide)
