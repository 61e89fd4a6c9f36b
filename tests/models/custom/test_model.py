from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import replay, seed, trace
from numpyro.infer import Predictive, log_likelihood

from scribeviz.data.counts import plain_counts
from scribeviz.inference.svi import SVIConfig, svi_checkpoints
from scribeviz.models.custom import model as custom_module
from scribeviz.models.custom.model import BoundModel, CustomModel, bind, check, dense_data
from scribeviz.models.custom.sites import check_prediction

P = 0.6
R = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 1.5, 3.0, 0.8])


@pytest.fixture(autouse=True)
def _users_may_broadcast():
    """Whatever the other tests ask of this package's own code."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def counts(rng):
    return plain_counts(rng.negative_binomial(R, 1 - P, (500, R.size)))


def fit(bound, data, n_steps=3_000):
    config = SVIConfig(n_steps=n_steps, tolerance=0.0)
    *_, last = svi_checkpoints(bound.model, bound.guide, data, config)
    return last


def sites(function, data, key):
    return trace(seed(function, key)).get_trace(data)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 100])
def test_the_tutorial_recovers_known_values(tutorial, counts, batch_size):
    bound, data = bind(tutorial, counts, batch_size=batch_size)
    last = fit(bound, data)
    a, b = last.params["alpha_p"], last.params["beta_p"]
    # The likelihood itself peaks at 0.62 for these cells, with r lower to match.
    assert a / (a + b) == pytest.approx(P, abs=0.07)
    np.testing.assert_allclose(np.exp(last.params["mu_r"]), R, rtol=0.3)
    assert last.losses[-200:].mean() < last.losses[:20].mean()


def test_the_tutorial_predicts(tutorial, counts, key):
    bound, _ = bind(tutorial, counts, batch_size=100)
    check_prediction(bound)
    params = {"alpha_p": 6e4, "beta_p": 4e4, "mu_r": np.log(R), "sigma_r": np.full(R.size, 0.01)}
    params = {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}
    predictive = Predictive(bound.model, guide=bound.guide, params=params, num_samples=20)
    drawn = np.asarray(predictive(key)["counts"])
    assert drawn.shape == (20, *counts.matrix.shape)
    observed = counts.gene_totals / counts.n_cells
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), observed, rtol=0.15)


def test_predicting_needs_no_data(tutorial, key):
    bound = BoundModel(custom=tutorial, n_cells=7, n_genes=5)
    assert Predictive(bound.model, num_samples=2)(key)["counts"].shape == (2, 7, 5)


def test_data_are_arguments_of_the_program(tutorial, counts, key):
    bound, data = bind(tutorial, counts)
    text = str(jax.make_jaxpr(lambda data: sites(bound.model, data, key)["counts"]["value"])(data))
    _, other = bind(tutorial, plain_counts(counts.matrix[::-1]))
    again = jax.make_jaxpr(lambda data: sites(bound.model, data, key)["counts"]["value"])(other)
    assert text == str(again)
    assert set(data) == {"counts", "total_counts"}
    assert data["counts"].dtype == jnp.int32


def test_log_likelihoods_per_cell(tutorial, counts):
    bound, data = bind(tutorial, counts)
    values = {"p": jnp.full(1, P), "r": jnp.asarray(R, jnp.float32)[None]}
    parts = log_likelihood(bound.model, values, data)
    ours = np.asarray(parts["counts"] + parts["total_counts"])[0]
    dense = dist.NegativeBinomialProbs(jnp.asarray(R), P).log_prob(data["counts"]).sum(axis=1)
    np.testing.assert_allclose(ours, dense, rtol=1e-3)


# Repeated plates.


def of_the_same_cells(found):
    totals = np.asarray(found["counts"]["value"]).sum(axis=1)
    return np.array_equal(np.asarray(found["total_counts"]["value"]), totals)


def test_both_plates_of_a_batch_hold_the_same_cells(tutorial, counts, key):
    bound, data = bind(tutorial, counts, batch_size=50)
    assert of_the_same_cells(sites(bound.model, data, key))

    # NumPyro by itself draws anew for the second plate.
    def plain(data):
        tutorial.model(counts.n_cells, counts.n_genes, batch_size=50, **data)

    assert not of_the_same_cells(sites(plain, data, key))


def test_batches_differ_from_step_to_step(tutorial, counts):
    bound, data = bind(tutorial, counts, batch_size=50)
    first, second = (
        sites(bound.model, data, jax.random.key(i))["cells"]["value"] for i in range(2)
    )
    assert not np.array_equal(first, second)


def cell_model(n_cells, n_genes, counts=None, batch_size=None):
    with numpyro.plate("cells", n_cells, subsample_size=batch_size):
        depth = numpyro.sample("depth", dist.LogNormal(0, 1))
    with numpyro.plate("cells", n_cells, subsample_size=batch_size) as idx:
        fn = dist.Poisson(jnp.broadcast_to(depth[:, None], (idx.size, n_genes))).to_event(1)
        numpyro.sample("counts", fn, obs=None if counts is None else counts[idx])


def cell_guide(n_cells, n_genes, counts=None, batch_size=None):  # noqa: ARG001
    loc = numpyro.param("loc", jnp.zeros(n_cells, int))
    for repeated in range(2):
        with numpyro.plate("cells", n_cells, subsample_size=batch_size) as idx:
            if repeated:
                numpyro.sample("depth", dist.LogNormal(loc[idx], 0.1))


CELLWISE = CustomModel(
    key="cells",
    model=cell_model,
    guide=cell_guide,
    param_spec={"loc": {"type": "cell-specific"}},
)


def test_model_and_guide_share_the_batch(counts, key):
    bound, data = bind(CELLWISE, counts, batch_size=50)
    guide = sites(bound.guide, data, key)
    model = trace(seed(replay(bound.model, guide), key)).get_trace(data)
    np.testing.assert_array_equal(model["cells"]["value"], guide["cells"]["value"])
    batch = np.asarray(data["counts"])[model["cells"]["value"]]
    np.testing.assert_array_equal(model["counts"]["value"], batch)


def test_values_per_cell_are_recovered_in_batches(rng):
    depth = np.exp(rng.normal(1.5, 0.5, 60))
    counts = plain_counts(rng.poisson(np.repeat(depth[:, None], 40, axis=1)))
    # The start value is an integer in the guide; the optimizer meets a float.
    last = fit(*bind(CELLWISE, counts, batch_size=20))
    assert last.params["loc"].dtype == np.float32
    assert np.median(np.abs(last.params["loc"] - np.log(depth))) < 0.15


# Arguments.


def rate_model(n_cells, n_genes, rate_prior=(0, 1), counts=None, size=1.0, batch_size=None):
    rate = numpyro.sample("rate", dist.LogNormal(*rate_prior).expand([n_genes]))
    with numpyro.plate("cells", n_cells, subsample_size=batch_size) as idx:
        size = size[idx] if jnp.ndim(size) else size
        fn = dist.Poisson(rate * jnp.reshape(size, (-1, 1))).to_event(1)
        numpyro.sample("counts", fn, obs=None if counts is None else counts[idx])


def rate_guide(n_cells, n_genes, rate_prior=(0, 1), counts=None, size=1.0, batch_size=None):  # noqa: ARG001
    loc = numpyro.param("loc", jnp.full(n_genes, rate_prior[0]))
    numpyro.sample("rate", dist.LogNormal(loc, 0.1))


RATES = CustomModel(
    key="rates",
    model=rate_model,
    guide=rate_guide,
    param_spec={"loc": {"type": "gene-specific"}},
)


def test_settings_are_also_given_when_predicting(counts, key):
    scaled = replace(RATES, prior_params={"rate_prior": (0, 1e-3)}, custom_args={"size": 100.0})
    bound, data = bind(scaled, counts)
    assert set(data) == {"counts"}
    assert Predictive(bound.model, num_samples=1)(key)["counts"].mean() == pytest.approx(
        100, rel=0.1
    )


def test_arrays_are_left_out_when_predicting_unless_given(counts, key):
    narrow = replace(
        RATES,
        prior_params={"rate_prior": (0, 1e-3)},
        custom_args=lambda counts: {"size": np.full(counts.n_cells, 100.0)},
    )
    bound, data = bind(narrow, counts)
    assert set(data) == {"counts", "size"}

    def mean(bound, *data):
        return float(Predictive(bound.model, num_samples=1)(key, *data)["counts"].mean())

    assert mean(bound) == pytest.approx(1, rel=0.1)
    assert mean(bound, {"size": data["size"]}) == pytest.approx(100, rel=0.1)
    fewer = bound.with_model_args({"n_cells": 30, "size": 10.0})
    assert mean(fewer) == pytest.approx(10, rel=0.1)
    check_prediction(fewer)
    with pytest.raises(ValueError, match=r"get_model_args_fn of 'rates' gave 'sizes'.*takes 'n_c"):
        bound.with_model_args({"sizes": 1})


def test_the_number_of_components_is_given_to_functions_that_ask(counts, key):
    seen = []

    def model(n_cells, n_genes, counts=None, n_components=None, batch_size=None):
        seen.append(n_components)
        rate_model(n_cells, n_genes, counts=counts, batch_size=batch_size)

    def guide(n_cells, n_genes, counts=None, n_components=None, batch_size=None):  # noqa: ARG001
        rate_guide(n_cells, n_genes)

    bound, _ = bind(replace(RATES, model=model, guide=guide, n_components=3), counts)
    sites(bound.model, None, key)
    assert set(seen) == {3}


@pytest.mark.parametrize("all_cells", [None, 0, 500])
def test_a_batch_of_all_cells_is_no_batch(counts, all_cells):
    bound, _ = bind(RATES, counts, batch_size=all_cells)
    assert bound.batch_size is None


def test_a_list_is_an_array_and_a_tuple_a_setting(counts):
    values = [2.0] * counts.n_cells
    _, data = bind(replace(RATES, custom_args={"size": values}), counts)
    np.testing.assert_array_equal(data["size"], values)


def test_the_label_is_the_key_unless_given(tutorial):
    assert RATES.label == "rates"
    assert tutorial.label == "NBDM, log-normal dispersions"


# The memory budget.


def test_too_large_a_block_is_refused_before_it_is_made(counts, monkeypatch):
    monkeypatch.setattr(custom_module, "DENSE_BUDGET", 8_000)
    says = (
        r"counts as a dense matrix takes 1.6e-05 GB \(500 cells by 8 genes, 4 bytes each\), and a "
        r"custom model may have 8e-06 GB\.  Choose at most 4 genes, or at most 250 cells; the "
        "built-in models need no dense matrix"
    )
    for act in (lambda: dense_data(counts), lambda: check(RATES, counts)):
        with pytest.raises(ValueError, match=says):
            act()
