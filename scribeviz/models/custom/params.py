"""What ``param_spec`` says about the parameters of a user's model, and indexing by it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import ArrayLike

type ParamSpec = Mapping[str, Mapping[str, Any]]
type Index = np.ndarray | slice

# A parameter's type -> the data's axis that its last axis follows.
PARAM_TYPES: Mapping[str, str | None] = {
    "global": None,
    "gene-specific": "genes",
    "cell-specific": "cells",
}


def is_component_specific(entry: Mapping[str, Any]) -> bool:
    """Whether the first axis of a parameter with this entry is that of the components."""
    return bool(entry.get("component_specific", False))


def select_genes(
    params: Mapping[str, ArrayLike], spec: ParamSpec, columns: Index
) -> dict[str, np.ndarray]:
    """Keep the genes at ``columns`` (integers, a mask or a slice); other values stay."""
    return _select_last(params, spec, "gene-specific", columns)


def select_cells(
    params: Mapping[str, ArrayLike], spec: ParamSpec, rows: Index
) -> dict[str, np.ndarray]:
    """Keep the cells at ``rows`` (integers, a mask or a slice); other values stay."""
    return _select_last(params, spec, "cell-specific", rows)


def select_component(
    params: Mapping[str, ArrayLike], spec: ParamSpec, k: int
) -> dict[str, np.ndarray]:
    """Keep component ``k`` (from 0) and drop its axis; describe it by :func:`without_components`.

    Raises
    ------
    IndexError
        If there is no component ``k``.
    ValueError
        If no parameter varies by component.
    """
    varying = [name for name in params if is_component_specific(spec[name])]
    if not varying:
        raise ValueError(
            "this model has no components to choose from: no parameter of its param_spec says "
            '"component_specific": True.'
        )
    n_components = len(np.asarray(params[varying[0]]))
    if not 0 <= k < n_components:
        raise IndexError(
            f"there is no component {k}; the {n_components} components are 0 … {n_components - 1}."
        )

    def chosen(name: str, value: np.ndarray) -> np.ndarray:
        return value[k] if name in varying else value

    return _changed(params, chosen)


def without_components(spec: ParamSpec) -> dict[str, dict[str, Any]]:
    """Describe the parameters that :func:`select_component` gives."""
    return {
        name: {word: value for word, value in entry.items() if word != "component_specific"}
        for name, entry in spec.items()
    }


def _select_last(
    params: Mapping[str, ArrayLike], spec: ParamSpec, kind: str, index: Index
) -> dict[str, np.ndarray]:
    def chosen(name: str, value: np.ndarray) -> np.ndarray:
        return value[..., index] if spec[name]["type"] == kind else value

    return _changed(params, chosen)


def _changed(
    params: Mapping[str, ArrayLike], change: Callable[[str, np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    return {name: change(name, np.asarray(value)) for name, value in params.items()}
