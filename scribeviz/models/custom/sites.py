"""Whether a user's model, guide and ``param_spec`` fit each other and the data's shapes.

The functions are traced on shapes alone (``jax.eval_shape``): nothing heavy is computed, and a
model of a large data set is checked in the time of a small one.
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpyro
from numpyro.primitives import Messenger

from scribeviz.models.custom.arguments import CustomModelError, function_name, in_short, listed
from scribeviz.models.custom.params import PARAM_TYPES, is_component_specific
from scribeviz.models.custom.supports import ValueRange, support_of

if TYPE_CHECKING:
    from scribeviz.models.custom.model import BoundModel, CustomModel

type Shape = tuple[int, ...]
type Shapes = Mapping[str, jax.ShapeDtypeStruct]


_SUM_OUT = (
    "  A whole-numbered site, such as the group of a cell, is best summed out "
    "(numpyro.distributions.MixtureSameFamily)."
)


@dataclass(frozen=True, slots=True)
class _Latent:
    """A site to infer."""

    shape: Shape
    support: ValueRange | None
    is_discrete: bool


@dataclass(frozen=True, slots=True)
class _Trace:
    """What a function declares: sites to infer, parameters, and all values."""

    latents: Mapping[str, _Latent]
    params: Mapping[str, Shape]
    values: Mapping[str, Shape]


def check_sites(bound: "BoundModel", data: Shapes) -> None:
    """Raise ``CustomModelError`` where model, guide and ``param_spec`` do not fit each other."""
    guide = _traced(bound, "guide", data)
    model = _traced(bound, "model", data)
    _check_latents(bound.custom, model.latents, guide.latents)
    _check_params(bound, {**model.params, **guide.params})


def check_prediction(bound: "BoundModel") -> None:
    """Raise ``CustomModelError`` if the model cannot predict a count matrix without data."""
    _traced(bound, "guide", None)
    shape = _traced(bound, "model", None).values.get("counts")
    sizes = {"n_cells": bound.n_cells, "n_genes": bound.n_genes}
    n_cells, n_genes = (bound.model_args.get(name, size) for name, size in sizes.items())
    if shape != (n_cells, n_genes):
        came = "samples no 'counts'" if shape is None else f"samples 'counts' of shape {shape}"
        raise CustomModelError(
            f"the model {function_name(bound.custom.model)} {came} when counts is None; to predict "
            f"it must sample 'counts' of shape {(n_cells, n_genes)}, cells by genes."
        )


def _check_latents(
    custom: "CustomModel", model: Mapping[str, _Latent], guide: Mapping[str, _Latent]
) -> None:
    model_name, guide_name = function_name(custom.model), function_name(custom.guide)
    only_model = [name for name in model if name not in guide]
    if only_model:
        summed = any(model[name].is_discrete for name in only_model)
        raise CustomModelError(
            f"the model {model_name} samples {listed(only_model)}, but the guide {guide_name} does "
            "not; sample every unobserved site of the model in the guide, under the same name."
            + (_SUM_OUT if summed else "")
        )
    only_guide = [name for name in guide if name not in model]
    if only_guide:
        raise CustomModelError(
            f"the guide {guide_name} samples {listed(only_guide)}, but the model {model_name} does "
            f"not; the model's unobserved sites are {listed(model)}."
        )
    for name in model:
        _check_latent(name, model[name], guide[name])


def _check_latent(name: str, model: _Latent, guide: _Latent) -> None:
    if model.shape != guide.shape:
        raise CustomModelError(
            f"the site {name!r} has shape {model.shape} in the model and {guide.shape} in the "
            "guide; give it the same shape in both."
        )
    if model.support is None or guide.support is None:
        return
    if not model.support.agrees(guide.support):
        raise CustomModelError(
            f"the site {name!r} lives in {model.support} in the model, but in {guide.support} in "
            "the guide; choose a guide with the model's support."
        )


def _check_params(bound: "BoundModel", params: Mapping[str, Shape]) -> None:
    spec = bound.custom.param_spec
    undescribed = [name for name in params if name not in spec]
    if undescribed:
        raise CustomModelError(
            f"param_spec of {bound.custom.key!r} says nothing of the parameters "
            f"{listed(undescribed)}; add {{'type': ...}} for each, one of {listed(PARAM_TYPES)}."
        )
    unused = [name for name in spec if name not in params]
    if unused:
        raise CustomModelError(
            f"param_spec of {bound.custom.key!r} describes {listed(unused)}, but there is no such "
            f"parameter; the parameters are {listed(params)}."
        )
    for name, shape in params.items():
        _check_param(bound, name, shape)


def _check_param(bound: "BoundModel", name: str, shape: Shape) -> None:
    entry, n_components = bound.custom.param_spec[name], bound.custom.n_components
    came = f"the parameter {name!r} is {entry['type']}"
    axis = PARAM_TYPES[entry["type"]]
    by_component = is_component_specific(entry)
    if axis is None:
        expected = (n_components,) if by_component else ()
        if shape != expected:
            kind = (
                f"one value for each of {n_components} components" if by_component else "one number"
            )
            raise CustomModelError(
                f"{came}, that is {kind}, but it has shape {shape}; correct the guide or "
                "param_spec."
            )
        return
    size = {"genes": bound.n_genes, "cells": bound.n_cells}[axis]
    if not shape or shape[-1] != size:
        raise CustomModelError(
            f"{came}, so its last axis must be the {size:,} {axis}, but it has shape {shape}; "
            "correct the guide or param_spec."
        )
    if by_component and (len(shape) < 2 or shape[0] != n_components):
        raise CustomModelError(
            f"the parameter {name!r} is component_specific, so its first axis must be the "
            f"{n_components} components and its last the {size:,} {axis}, but it has shape "
            f"{shape}; correct the guide, param_spec or n_components."
        )


class _Placeholders(Messenger):
    """Put zeros in place of draws: only shapes count, and not every prior can be drawn from."""

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and msg["value"] is None:
            kind = int if _is_discrete(msg["fn"]) else float
            msg["value"] = jnp.zeros(msg["fn"].shape(msg["kwargs"].get("sample_shape", ())), kind)


def _traced(bound: "BoundModel", role: str, data: Shapes | None) -> _Trace:
    function = {"model": bound.model, "guide": bound.guide}[role]
    traces = []

    def run(data: Any) -> None:
        with (
            numpyro.handlers.trace() as sites,
            _Placeholders(),
            numpyro.handlers.seed(rng_seed=0),
        ):
            function(data)
        traces.append(_described(sites))

    try:
        jax.eval_shape(run, data)
    except CustomModelError:
        raise
    except Exception as error:
        name = function_name({"model": bound.custom.model, "guide": bound.custom.guide}[role])
        sizes = f"{bound.n_cells:,} cells and {bound.n_genes:,} genes"
        given = "without counts" if data is None else f"for {sizes}"
        raise CustomModelError(
            f"the {role} {name} of {bound.custom.key!r} failed when it was tried {given}"
            f"{_place(error)}: {in_short(error)}."
        ) from error
    return traces[0]


def _described(sites: Mapping[str, Mapping[str, Any]]) -> _Trace:
    latents, params, values = {}, {}, {}
    for name, site in sites.items():
        if site["type"] == "param":
            params[name] = _param_shape(name, site["value"])
        if site["type"] in ("sample", "deterministic"):
            values[name] = jnp.shape(site["value"])
        if site["type"] == "sample" and not site["is_observed"] and not _is_auxiliary(site):
            fn = site["fn"]
            latents[name] = _Latent(values[name], support_of(fn), _is_discrete(fn))
    return _Trace(latents, params, values)


def _param_shape(name: str, value: Any) -> Shape:
    leaves = jax.tree.leaves(value)
    if len(leaves) != 1:
        raise CustomModelError(
            f"the parameter {name!r} holds {len(leaves)} arrays; declare each of them by a "
            "numpyro.param of its own."
        )
    return jnp.shape(leaves[0])


def _is_auxiliary(site: Mapping[str, Any]) -> bool:
    return bool(site["infer"].get("is_auxiliary"))


def _is_discrete(fn: Any) -> bool:
    return bool(fn.is_discrete)


def _place(error: Exception) -> str:
    """Where in the user's function ``error`` was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [i for i, frame in enumerate(frames) if frame.name == "_run"]
    if not ours or ours[-1] + 1 == len(frames):
        return ""
    frame = frames[ours[-1] + 1]
    return f" ({frame.filename}, line {frame.lineno})"
