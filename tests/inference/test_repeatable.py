"""No step on all cells adds in an order that a GPU may choose, or a seed would not repeat a fit."""

import jax
import jax.numpy as jnp
import pytest

from scribeviz.fitting.count_models import prepare_fit
from scribeviz.inference.svi import SVIConfig, SVIMethod, _program
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.spec import model_spec


def equations(jaxpr):
    """All of a program, also inside its loops and calls."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda value: hasattr(value, "eqns")):
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def places_that_add_in_any_order(step, *arguments):
    return [
        str(equation)
        for equation in equations(step.trace(*arguments).jaxpr)
        if equation.primitive.name == "scatter-add" and not equation.params["unique_indices"]
    ]


def test_what_would_differ_is_noticed():
    slope = jax.jit(jax.grad(lambda values, places: values[places].sum()))
    places = jnp.asarray([0, 1, 1])
    assert len(places_that_add_in_any_order(slope, jnp.ones(3), places)) == 1


@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_no_step_adds_in_any_order(name, n_components, small_counts):
    config = SVIConfig()
    fit = prepare_fit(small_counts, model_spec(name, n_components=n_components), config)
    begin, advance = _program(
        fit.model.model, fit.model.guide, config, fit.model.refine, SVIMethod()
    )
    data = jax.tree.map(jnp.asarray, fit.tables)
    state = jax.eval_shape(begin, jax.random.PRNGKey(0), data, None)
    number = jnp.int32(1)
    assert places_that_add_in_any_order(advance, state, data, jnp.float32(1), number, number) == []
