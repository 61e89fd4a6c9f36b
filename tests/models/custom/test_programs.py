"""Draws of a user's own model are compiled once per model and shape."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import scribeviz as scribe
from scribeviz.models.custom.model import BoundModel, CustomModel

SPEC = {"loc": {"type": "gene-specific"}}


@pytest.fixture
def traces():
    return []


@pytest.fixture
def custom(traces):
    def model(n_cells, n_genes, counts=None, size=1.0, offset=0.0):
        traces.append("model")
        rate = numpyro.sample("rate", dist.LogNormal(jnp.zeros(n_genes), 1.0).to_event(1))
        mean = size * rate + offset
        with numpyro.plate("cells", n_cells):
            numpyro.sample("counts", dist.Geometric(1 / (1 + mean)).to_event(1), obs=counts)

    def guide(n_cells, n_genes, counts=None, size=1.0, offset=0.0):  # noqa: ARG001
        traces.append("guide")
        loc = numpyro.param("loc", jnp.zeros(n_genes))
        numpyro.sample("rate", dist.LogNormal(loc, 0.1).to_event(1))

    return CustomModel(key="geometric", model=model, guide=guide, param_spec=SPEC)


def bound_of(custom, **settings):
    return BoundModel(custom=custom, n_cells=4, n_genes=3, settings=settings)


def drawn(bound, seed=0, loc=0.0):
    return bound.sample_posterior(jax.random.PRNGKey(seed), 5, {"loc": np.full(3, loc)})


def test_what_determines_the_program_is_traced_once(custom, traces):
    first = drawn(bound_of(custom, size=2.0))
    n_traces = len(traces)
    again = drawn(bound_of(custom, size=2.0))
    np.testing.assert_array_equal(first["rate"], again["rate"])
    other = drawn(bound_of(custom, size=2.0), seed=1, loc=3.0)
    assert len(traces) == n_traces
    assert other["rate"].mean() > 4 * first["rate"].mean()


@pytest.mark.parametrize(
    ("one", "two"),
    [(1, 2), (1, 1.0), (1, True), (np.ones(2), np.zeros(2)), ((1,), [1]), ({"a": 1}, {"a": 2})],
)
def test_other_settings_are_another_program(custom, traces, one, two):
    for setting in (one, two):
        before = len(traces)
        drawn(bound_of(custom, size=setting))
        assert len(traces) > before
        before = len(traces)
        drawn(bound_of(custom, size=setting))
        assert len(traces) == before


def test_a_changed_size_and_changed_functions_are_other_programs(custom, traces):
    drawn(bound_of(custom))
    before = len(traces)
    bound = dataclasses.replace(bound_of(custom), n_genes=2)
    assert bound.sample_posterior(jax.random.PRNGKey(0), 5, {"loc": np.ones(2)})["rate"].shape == (
        5,
        2,
    )
    assert len(traces) > before
    before = len(traces)
    drawn(bound_of(dataclasses.replace(custom)))
    assert len(traces) > before


def test_a_second_check_of_results_compiles_nothing(custom, caplog):
    counts = np.random.default_rng(0).poisson(3.0, (4, 3))
    results = scribe.run_scribe(
        counts,
        custom_model=custom.model,
        custom_guide=custom.guide,
        param_spec=SPEC,
        get_model_args_fn=lambda results: {"n_cells": results.n_cells, "offset": np.ones(3)},
        n_steps=2,
        progress=False,
    )

    def compiled(n_samples):
        caplog.clear()
        with jax.log_compiles():
            results.get_posterior_samples(n_samples=n_samples)
            results.get_ppc_samples(n_samples=n_samples)
        return [line for line in caplog.messages if "Finished XLA compilation" in line]

    assert compiled(6)
    assert compiled(6) == []
