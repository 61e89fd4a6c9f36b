import re
from dataclasses import replace
from functools import partial

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.sparse as sp
from numpyro.distributions import constraints, transforms
from numpyro.infer.autoguide import AutoNormal

from scribeviz.models.custom.arguments import CustomModelError
from scribeviz.models.custom.model import BoundModel, CustomModel, bind, check
from scribeviz.models.custom.sites import check_prediction

# The tests use 40 cells and 12 genes.


def model(n_cells, n_genes, p_prior=(1, 1), counts=None, weights=None, batch_size=None):  # noqa: ARG001
    p = numpyro.sample("p", dist.Beta(*p_prior))
    r = numpyro.sample("r", dist.LogNormal(0, 1).expand([n_genes]))
    with numpyro.plate("cells", n_cells, subsample_size=batch_size) as idx:
        fn = dist.NegativeBinomialProbs(r, p).to_event(1)
        numpyro.sample("counts", fn, obs=None if counts is None else counts[idx])


def guide(n_cells, n_genes, p_prior=(1, 1), counts=None, weights=None, batch_size=None):  # noqa: ARG001
    a = numpyro.param("a", jnp.array(p_prior[0]), constraint=constraints.positive)
    loc = numpyro.param("loc", jnp.zeros(n_genes))
    numpyro.sample("p", dist.Beta(a, 1.0))
    numpyro.sample("r", dist.LogNormal(loc, 0.1))


SPEC = {"a": {"type": "global"}, "loc": {"type": "gene-specific"}}
GOOD = CustomModel(key="good", model=model, guide=guide, param_spec=SPEC)


def guided(p=None, r=None, a=(), loc=None, extra=()):
    """Make a guide that differs from the good one in some distribution, shape or site."""

    def odd_guide(n_cells, n_genes, p_prior=(1, 1), counts=None, weights=None, batch_size=None):  # noqa: ARG001
        numpyro.param("a", jnp.ones(a))
        numpyro.param("loc", jnp.zeros(n_genes if loc is None else loc))
        numpyro.sample("p", dist.Beta(1.0, 1.0) if p is None else p)
        numpyro.sample("r", dist.LogNormal(jnp.zeros(n_genes), 0.1) if r is None else r)
        for name in extra:
            numpyro.sample(name, dist.Normal())

    return odd_guide


def modelled(*sites):
    """Make a model with one more site."""

    def odd_model(n_cells, n_genes, p_prior=(1, 1), counts=None, weights=None, batch_size=None):
        for name, fn in sites:
            numpyro.sample(name, fn)
        model(n_cells, n_genes, p_prior, counts, weights, batch_size)

    return odd_model


def without_guide(n_cells, n_genes, counts=None):
    pass


def raising(n_cells, n_genes, p_prior=(1, 1), counts=None, weights=None, batch_size=None):  # noqa: ARG001
    return counts @ jnp.ones(n_genes + 1)


def branching(n_cells, n_genes, p_prior=(1, 1), counts=None, weights=None, batch_size=None):  # noqa: ARG001
    if counts.sum() > 0:
        numpyro.sample("p", dist.Beta(1, 1))


def two_sizes(n_cells, n_genes, p_prior=(1, 1), counts=None, weights=None, batch_size=None):  # noqa: ARG001
    with numpyro.plate("cells", n_cells):
        pass
    with numpyro.plate("cells", n_genes):
        pass


def two_arrays(n_cells, n_genes, p_prior=(1, 1), counts=None, weights=None, batch_size=None):  # noqa: ARG001
    numpyro.param("net", {"w": jnp.ones(2), "b": jnp.ones(1)})


def unequal(n_cells, n_genes, q_prior=(1, 1), counts=None, weights=None, batch_size=None):
    pass


def needy(n_cells, n_genes, depth, p_prior=(1, 1), counts=None, weights=None, batch_size=None):
    pass


DESCRIPTIONS = {
    "key": ({"key": "my model"}, ValueError, "key='my model' names no model; use letters, digits"),
    "no key": ({"key": ""}, ValueError, "key='' names no model"),
    "model": ({"model": "nbdm"}, TypeError, "the model of 'good' is str; it must be a NumPyro f"),
    "autoguide": (
        {"guide": AutoNormal(model)},
        TypeError,
        "the guide of 'good' is NumPyro's AutoNormal, which names its parameters itself",
    ),
    "optional function": (
        {"get_distributions_fn": {}},
        TypeError,
        "get_distributions_fn of 'good' is dict; it must be a function, or left out",
    ),
    "no counts": (
        {"model": lambda n_cells, n_genes: None},
        ValueError,
        (
            "the model <lambda> has no argument 'counts'; its arguments are n_cells, n_genes, the "
            "priors, counts=None, custom arguments and batch_size=None, and here 'n_cells', "
            "'n_genes'."
        ),
    ),
    "no sizes": (
        {"guide": lambda counts: None},
        ValueError,
        "the guide <lambda> has no argument 'n_cells', 'n_genes'",
    ),
    "signatures": (
        {"guide": unequal},
        ValueError,
        (
            "the model model and the guide unequal must take the same arguments; only the model "
            "takes 'p_prior', only the guide 'q_prior'"
        ),
    ),
    "prior": (
        {"prior_params": {"r_prior": (0, 1)}},
        ValueError,
        (
            "prior_params of 'good' holds 'r_prior', which the model model does not take; it takes "
            "'p_prior', 'weights'."
        ),
    ),
    "own argument": (
        {"prior_params": {"n_cells": 3}},
        ValueError,
        "prior_params of 'good' holds 'n_cells', which is set for each data set; leave it out",
    ),
    "priors are no mapping": (
        {"prior_params": [("p_prior", (1, 1))]},
        TypeError,
        "prior_params of 'good' is list; it must be a mapping",
    ),
    "custom argument": (
        {"custom_args": {"depth": 1}},
        ValueError,
        "custom_args of 'good' holds 'depth', which the model model does not take",
    ),
    "twice": (
        {"custom_args": {"weights": 1}, "prior_params": {"weights": 1}},
        ValueError,
        "'weights' is in both custom_args and prior_params of 'good'; give it once",
    ),
    "type": (
        {"param_spec": SPEC | {"a": {"type": "genes"}}},
        ValueError,
        (
            "param_spec['a'] of 'good' has the type 'genes'; choose one of 'global', "
            "'gene-specific', 'cell-specific'."
        ),
    ),
    "no type": ({"param_spec": SPEC | {"a": {}}}, ValueError, "has the type None; choose one of"),
    "text for a type": (
        {"param_spec": SPEC | {"a": "global"}},
        TypeError,
        "param_spec['a'] of 'good' is 'global'; write {\"type\": \"global\"} or another type",
    ),
    "unknown word": (
        {"param_spec": SPEC | {"a": {"type": "global", "component": True}}},
        ValueError,
        "param_spec['a'] of 'good' says 'component'; it may say 'type' and 'component_specific'",
    ),
    "component_specific": (
        {"param_spec": SPEC | {"a": {"type": "global", "component_specific": "yes"}}},
        TypeError,
        "has component_specific='yes'; say True or False",
    ),
    "components": (
        {"param_spec": SPEC | {"a": {"type": "global", "component_specific": True}}},
        ValueError,
        "param_spec['a'] of 'good' is component_specific, but n_components is not given",
    ),
    "no components": ({"n_components": 0}, ValueError, "n_components=0 is no number of components"),
}


@pytest.mark.parametrize(("change", "kind", "says"), DESCRIPTIONS.values(), ids=list(DESCRIPTIONS))
def test_a_wrong_description_is_refused_when_it_is_made(change, kind, says):
    with pytest.raises(kind, match=re.escape(says)):
        replace(GOOD, **change)


def simplex_guide(n_cells, n_genes, p_prior=(1, 1), counts=None, weights=None, batch_size=None):
    guide(n_cells, n_genes, p_prior, counts, weights, batch_size)
    numpyro.sample("w", dist.Dirichlet(jnp.ones(3)))


COMPONENTS = {"type": "gene-specific", "component_specific": True}
PER_CELL = SPEC | {"a": {"type": "cell-specific"}}
BY_COMPONENT = {"n_components": 3, "param_spec": SPEC | {"loc": COMPONENTS}}

MISFITS = {
    "only in the model": (
        {"model": modelled(("gate", dist.Beta(1, 1)))},
        (
            "the model odd_model samples 'gate', but the guide guide does not; sample every "
            "unobserved site of the model in the guide, under the same name."
        ),
    ),
    "whole-numbered": (
        {"model": modelled(("group", dist.Categorical(jnp.ones(2) / 2)))},
        "A whole-numbered site, such as the group of a cell, is best summed out",
    ),
    "only in the guide": (
        {"guide": guided(extra=("gate",))},
        (
            "the guide odd_guide samples 'gate', but the model model does not; the model's "
            "unobserved sites are 'p', 'r'."
        ),
    ),
    "a positive guide for a probability": (
        {"guide": guided(p=dist.LogNormal(0, 1))},
        (
            "the site 'p' lives in numbers between 0 and 1 in the model, but in numbers "
            "from 0 up in the guide; choose a guide with the model's support"
        ),
    ),
    "an unbounded guide for a positive site": (
        {"guide": guided(r=dist.Normal(jnp.zeros(12), 1))},
        (
            "the site 'r' lives in numbers from 0 up in the model, but in all numbers in the "
            "guide; choose"
        ),
    ),
    "a vector on the simplex": (
        {"model": modelled(("w", dist.Normal().expand([3]))), "guide": simplex_guide},
        "the site 'w' lives in all numbers in the model, but in Simplex in the guide",
    ),
    "shapes": (
        {"guide": guided(r=dist.LogNormal(0, 1))},
        "the site 'r' has shape (12,) in the model and () in the guide",
    ),
    "no spec": (
        {"param_spec": {"a": {"type": "global"}}},
        (
            "param_spec of 'good' says nothing of the parameters 'loc'; add {'type': ...} for "
            "each, one of 'global', 'gene-specific', 'cell-specific'."
        ),
    ),
    "spec of nothing": (
        {"param_spec": SPEC | {"mu": {"type": "global"}}},
        (
            "param_spec of 'good' describes 'mu', but there is no such parameter; the parameters "
            "are 'a', 'loc'."
        ),
    ),
    "a global vector": (
        {"guide": guided(a=(2,))},
        "the parameter 'a' is global, that is one number, but it has shape (2,)",
    ),
    "global per component": (
        {
            "n_components": 3,
            "param_spec": SPEC | {"a": {"type": "global", "component_specific": True}},
        },
        (
            "the parameter 'a' is global, that is one value for each of 3 components, but it has "
            "shape ()"
        ),
    ),
    "genes": (
        {"guide": guided(loc=(5,))},
        (
            "the parameter 'loc' is gene-specific, so its last axis must be the 12 genes, but it "
            "has shape (5,)"
        ),
    ),
    "cells": (
        {"guide": guided(a=(12,)), "param_spec": PER_CELL},
        (
            "the parameter 'a' is cell-specific, so its last axis must be the 40 cells, but it has "
            "shape (12,)"
        ),
    ),
    "no first axis": (
        BY_COMPONENT,
        (
            "the parameter 'loc' is component_specific, so its first axis must be the 3 components "
            "and its last the 12 genes, but it has shape (12,)"
        ),
    ),
    "another first axis": (
        BY_COMPONENT | {"guide": guided(loc=(2, 12))},
        "but it has shape (2, 12); correct the guide, param_spec or n_components",
    ),
    "a network": (
        {"guide": two_arrays},
        "the parameter 'net' holds 2 arrays; declare each of them by a numpyro.param of its own",
    ),
    "neither cells nor genes": (
        {"custom_args": {"weights": np.ones((7, 12))}},
        (
            "custom_args['weights'] has shape (7, 12), so its first axis fits neither the 40 cells "
            "nor the 12 genes of counts.  Give one entry per cell or gene; a fixed list of numbers "
            "goes in as a tuple."
        ),
    ),
    "two plates": (
        {"model": two_sizes},
        (
            "ValueError: the plate 'cells' is opened with size 40 and again with size 12; give two "
            "plates that differ two names"
        ),
    ),
    "arguments from a function": (
        {"custom_args": lambda counts: {"depths": 1}},
        "custom_args of 'good' holds 'depths', which the model model does not take",
    ),
    "failing arguments": (
        {"custom_args": lambda counts: {"weights": jnp.sum(counts, axis=1)}},
        (
            "custom_args of 'good', the function <lambda>, raised TypeError: Error "
            "interpreting argument to"
        ),
    ),
    "required": (
        {"model": needy, "guide": needy},
        (
            "needy of 'good' needs 'depth', which has no default and is in neither prior_params "
            "nor custom_args"
        ),
    ),
}


@pytest.mark.parametrize(("change", "says"), MISFITS.values(), ids=list(MISFITS))
def test_what_does_not_fit_is_refused_before_the_first_step(change, says, small_counts):
    with pytest.raises(CustomModelError, match=re.escape(says)):
        check(replace(GOOD, **change), small_counts)


@pytest.mark.parametrize("role", ["model", "guide"])
def test_an_error_in_the_users_code_is_named_and_kept(role, small_counts):
    says = (
        rf"the {role} raising of 'good' failed when it was tried for 40 cells and 12 genes "
        r"\(.*test_checks\.py, line \d+\): TypeError: dot_general"
    )
    with pytest.raises(CustomModelError, match=says) as caught:
        check(replace(GOOD, **{role: raising}), small_counts)
    assert isinstance(caught.value.__cause__, TypeError)
    line = raising.__code__.co_firstlineno + 1
    assert f"line {line})" in str(caught.value)


def test_a_choice_by_the_values_of_the_data_is_explained(small_counts):
    says = r"branching of 'good' failed.*TracerBoolConversionError: Attempted boolean conversion"
    with pytest.raises(CustomModelError, match=says):
        check(replace(GOOD, model=branching), small_counts)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (sp.eye_array(40).tocsr(), r"custom_args\['weights'\] is a sparse matrix"),
        (np.array(["a", "b"] * 20), "holds <U1 instead of numbers; number its groups.*factorize"),
    ],
)
def test_arrays_that_cannot_be_computed_with_are_refused(value, says, small_counts):
    with pytest.raises(TypeError, match=says):
        check(replace(GOOD, custom_args={"weights": value}), small_counts)


def test_arguments_that_are_no_mapping_are_refused(small_counts):
    with pytest.raises(TypeError, match="gave ndarray; let it return a mapping from argument"):
        check(replace(GOOD, custom_args=lambda counts: counts.cell_totals), small_counts)


@pytest.mark.parametrize(
    ("batch_size", "kind", "says"),
    [
        (41, ValueError, "batch_size=41 is more than the 40 cells; choose fewer, or 0 for all"),
        (-1, ValueError, "batch_size=-1 is negative; 0 means all cells"),
        (2.5, TypeError, "batch_size=2.5 is no whole number of cells"),
    ],
)
def test_a_batch_that_cannot_be_is_refused(batch_size, kind, says, small_counts):
    with pytest.raises(kind, match=says):
        check(GOOD, small_counts, batch_size=batch_size)


def test_a_batch_needs_its_argument(small_counts):
    def whole(function):
        def unbatched(n_cells, n_genes, counts=None):
            function(n_cells, n_genes, counts=counts)

        return unbatched

    custom = replace(GOOD, model=whole(model), guide=whole(guide))
    check(custom, small_counts)
    says = "batch_size=10 is asked for, but the model unbatched has no argument batch_size; add"
    with pytest.raises(CustomModelError, match=says):
        check(custom, small_counts, batch_size=10)


# What is in order.

LOGISTIC = dist.TransformedDistribution(dist.Normal(), transforms.SigmoidTransform())


@pytest.mark.parametrize(
    "p",
    [
        LOGISTIC,
        dist.Delta(0.5),
        dist.Uniform(0.0, 1.0),
        dist.TruncatedNormal(0.5, 1.0, low=0.0, high=1.0),
    ],
    ids=["logistic", "point", "uniform", "truncated"],
)
def test_a_guide_of_another_family_with_the_same_support_is_fine(p, small_counts):
    check(replace(GOOD, guide=guided(p=p)), small_counts)


def test_a_guide_with_bounds_that_are_computed_is_fine(small_counts):
    def computed(n_cells, n_genes, **rest):
        top = numpyro.param("top", jnp.array(1.0))
        guide(n_cells, n_genes, **rest)
        numpyro.sample("u", dist.Uniform(jnp.zeros(()), top))

    spec = SPEC | {"top": {"type": "global"}}
    custom = replace(
        GOOD, guide=computed, model=modelled(("u", dist.Uniform(0.0, 1.0))), param_spec=spec
    )
    check(custom, small_counts)


def test_a_prior_that_cannot_be_drawn_from_is_fine(small_counts):
    flat = modelled(("m", dist.ImproperUniform(constraints.real, (), ())))
    check(replace(GOOD, model=flat, guide=guided(extra=("m",))), small_counts)


def test_factors_and_partial_functions_are_fine(small_counts):
    def weighted(n_cells, n_genes, strength, counts=None, **rest):
        model(n_cells, n_genes, counts=counts, **rest)
        numpyro.factor("bonus", strength)

    custom = replace(GOOD, model=partial(weighted, strength=1.0))
    check(custom, small_counts, batch_size=10)


def test_parameters_per_component_and_gene_are_fine(small_counts):
    check(replace(GOOD, **BY_COMPONENT, guide=guided(loc=(3, 12))), small_counts)


def test_checking_computes_nothing_heavy(small_counts):
    def heavy(n_cells, n_genes, p_prior=(1, 1), counts=None, weights=None, batch_size=None):
        jnp.ones((2_000_000, 1_000_000)) @ jnp.ones((1_000_000, 2_000_000))
        model(n_cells, n_genes, p_prior, counts, weights, batch_size)

    check(replace(GOOD, model=heavy), small_counts)


# Predicting.


def test_a_model_that_cannot_predict_is_told(small_counts):
    def only_fits(n_cells, n_genes, p_prior=(1, 1), counts=None, weights=None, batch_size=None):
        if counts is not None:
            model(n_cells, n_genes, p_prior, counts, weights, batch_size)

    bound, _ = bind(replace(GOOD, model=only_fits), small_counts)
    says = r"only_fits samples no 'counts' when counts is None; to predict it must.*\(40, 12\)"
    with pytest.raises(CustomModelError, match=says):
        check_prediction(bound)
    transposed = replace(bound, n_cells=12, n_genes=40)
    with pytest.raises(CustomModelError, match="no 'counts' when counts is None"):
        check_prediction(transposed)


def test_predicted_counts_of_another_shape_are_told(small_counts):
    def flat(n_cells, n_genes, p_prior=(1, 1), counts=None, weights=None, batch_size=None):
        if counts is None:
            numpyro.sample("counts", dist.Poisson(jnp.ones(n_genes)))
        else:
            model(n_cells, n_genes, p_prior, counts, weights, batch_size)

    bound, _ = bind(replace(GOOD, model=flat), small_counts)
    with pytest.raises(CustomModelError, match=r"samples 'counts' of shape \(12,\) when counts is"):
        check_prediction(bound)


def test_an_argument_needed_to_predict_is_told(key):
    custom = replace(GOOD, model=needy, guide=needy)
    bound = BoundModel(custom=custom, n_cells=4, n_genes=3)
    says = (
        "needy of 'good' needs 'depth' also when it predicts, without data.  Give it a default, "
        "such as depth=None, or return it from get_model_args_fn"
    )
    with pytest.raises(CustomModelError, match=says):
        numpyro.infer.Predictive(bound.model, num_samples=1)(key)
    with pytest.raises(CustomModelError, match=says):
        check_prediction(bound)
