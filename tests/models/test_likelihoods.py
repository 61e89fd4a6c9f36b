"""Every count distribution against SciPy's, which its entry names: all that an entry offers.

A new entry needs nothing here: only an oracle of its own.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import scribeviz
from scribeviz._offered import NotOfferedError
from scribeviz.criticism.draws import natural_draws
from scribeviz.criticism.integrated import integrated_log_likelihood
from scribeviz.criticism.library import library_check
from scribeviz.criticism.log_likelihood import log_likelihood
from scribeviz.criticism.pmf import predictive_pmfs
from scribeviz.data.counts import plain_counts
from scribeviz.data.tables import cell_rows, survival_table
from scribeviz.models import likelihoods
from scribeviz.models.batches import cut_out
from scribeviz.models.builder import build
from scribeviz.models.depth import Depth
from scribeviz.models.likelihood import GIVEN, Likelihood
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.spec import ModelSpec
from tests.models.dense import NB_KEYS

N_CELLS, N_GENES, K = 25, 7, 3
each = pytest.mark.parametrize("key", LIKELIHOODS)
each_size = pytest.mark.parametrize("k", [1, K])


def scipys(entry: Likelihood, parameters) -> scipy.stats.rv_discrete:
    """SciPy's distribution of single counts, by the name that the entry gives."""
    assert entry.oracle, f"{entry.key} names no oracle: give it the name of a SciPy distribution."
    return getattr(scipy.stats, entry.oracle)(*entry.oracle_arguments(parameters))


def log_pmf(entry: Likelihood, parameters, counts) -> np.ndarray:
    """Its log-probabilities; a gate makes a zero likelier, by the definition of zero inflation."""
    plain = scipys(entry, parameters).logpmf(counts)
    if "gate" not in parameters:
        return plain
    gate = parameters["gate"]
    inflated = np.log(gate + (1 - gate) * np.exp(plain))
    return np.where(counts == 0, inflated, np.log1p(-gate) + plain)


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(3)
    depth = rng.uniform(0.3, 3.0, (N_CELLS, 1))
    matrix = rng.poisson(rng.gamma(1.0, 1.5, N_GENES) * depth * rng.gamma(2.0, 0.5, (25, N_GENES)))
    matrix[0, :2] = 60, 900
    matrix[1] = 0
    matrix[2] += 1
    return plain_counts(matrix)


def setting(key: str, k: int, counts):
    """A model, values of its sites, its natural parameters, and those of single counts."""
    model = build(ModelSpec(likelihood=key, n_components=k), counts.n_cells, counts.n_genes)
    model = replace(model, depth=model.depth_of(counts))
    rng = np.random.default_rng(0)
    values = {}
    for site in model.spec.sites:
        free = rng.normal(-0.5, 0.6, model.shape(site))
        values[site.key] = np.asarray(
            jax.nn.softmax(free) if site.support == "simplex" else site.value(free)
        ).astype(np.float32)
    with jax.enable_x64(True):
        precise = {name: jnp.asarray(value, float) for name, value in values.items()}
        natural = model.natural(precise)
        weights = np.exp(np.asarray(natural.pop("log_weights")))
        parameters = {
            name: np.asarray(value)
            for name, value in model.likelihood.single_counts(natural).items()
        }
    return model, values, weights, parameters


def expected(model, parameters, counts) -> np.ndarray:
    """By SciPy, shape (components, cells, genes)."""
    x = counts.matrix.toarray()[None]
    logs = log_pmf(model.likelihood, parameters, x)
    return np.broadcast_to(logs, (model.spec.n_components, *x.shape[1:]))


@each
def test_a_data_set_scores_as_scipy_scores_it(key, counts):
    model, values, _, parameters = setting(key, 1, counts)
    tables = jax.tree.map(jnp.asarray, model.tables(counts))
    ours = model.counts_given(values, tables.log_depth).log_prob(tables)
    np.testing.assert_allclose(ours, expected(model, parameters, counts).sum(), rtol=2e-5)


@pytest.mark.slow
@each
@each_size
def test_cells_score_as_scipy_scores_them(key, k, counts):
    model, values, _, parameters = setting(key, k, counts)
    wanted = expected(model, parameters, counts).sum(axis=-1)
    rows = jax.tree.map(jnp.asarray, model.rows(counts))
    given = model.counts_given(values, rows.log_depth)
    np.testing.assert_allclose(given.log_prob_components(rows), wanted, rtol=5e-5, atol=1e-3)
    dense = given.log_prob(jnp.asarray(counts.matrix.toarray()))
    np.testing.assert_allclose(dense, given.log_prob(rows), rtol=1e-5)
    some = np.array([3, 0, 1, 17])
    batched = build(model.spec, N_CELLS, N_GENES, batch_size=4)
    sparse = jax.tree.map(jnp.asarray, replace(batched, depth=model.depth).tables(counts))
    batch = cut_out(sparse, jnp.asarray(some), N_GENES)
    of_cells = {site.key for site in model.spec.sites if "cells" in site.axes}
    chosen = {name: v[some] if name in of_cells else v for name, v in values.items()}
    ours = batched.counts_given(chosen, batch.log_depth).log_prob_components(batch)
    np.testing.assert_allclose(ours, wanted[:, some], rtol=5e-5, atol=1e-3)


@pytest.mark.slow
@each
def test_slopes_are_those_of_the_dense_distribution(key, counts):
    model, values, _, _ = setting(key, 1, counts)
    with jax.enable_x64(True):
        tables = jax.tree.map(jnp.asarray, model.tables(counts))
        matrix = jnp.asarray(counts.matrix.toarray())
        precise = {name: jnp.asarray(value, float) for name, value in values.items()}

        def slopes(data):
            return jax.grad(lambda v: model.counts_given(v, tables.log_depth).log_prob(data))

        fast, dense = slopes(tables)(precise), slopes(matrix)(precise)
    for name, slope in dense.items():
        scale = np.abs(np.asarray(slope)).max()
        np.testing.assert_allclose(fast[name], slope, atol=2e-5 * scale, err_msg=name)


@pytest.mark.slow
@each
@pytest.mark.parametrize("return_by", ["cell", "gene"])
@pytest.mark.parametrize("weighted", [False, True])
def test_weighted_scores_are_scipys(key, return_by, weighted, counts):
    model, values, _, parameters = setting(key, K, counts)
    by_cell = return_by == "cell"
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.2, 2.0, N_GENES if by_cell else N_CELLS) if weighted else None
    ours = log_likelihood(
        model,
        {name: value[None] for name, value in values.items()},
        counts,
        return_by=return_by,
        split_components=True,
        weights=weights,
        weight_type="multiplicative" if weighted else None,
        dtype=np.float64,
    )[0]
    logs = expected(model, parameters, counts)
    if weighted:
        logs = logs * (weights if by_cell else weights[:, None])
    shares = np.log(values["mixing_weights"].astype(float))
    wanted = logs.sum(axis=-1 if by_cell else -2).T + shares
    np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-4)


@each
@each_size
def test_predictions_are_scipys(key, k, counts):
    model, values, weights, parameters = setting(key, k, counts)
    draws = natural_draws(model, {name: value[None] for name, value in values.items()})
    x = np.arange(4_000)  # the moments need all of the tail
    wide = {name: value[..., None] for name, value in parameters.items()}
    each_cell = np.exp(log_pmf(model.likelihood, wide, x))  # components, cells, genes, counts
    wanted = np.einsum(
        "k,kcgx->gx", weights, np.broadcast_to(each_cell, (k, N_CELLS, N_GENES, x.size))
    )
    wanted /= N_CELLS  # as many groups as cells: nothing is averaged
    ours = predictive_pmfs(draws, np.arange(N_GENES), 400)[0]
    np.testing.assert_allclose(ours, wanted[:, :400], rtol=1e-3, atol=1e-6)
    moments = draws.moments()
    mean = wanted @ x
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-3)
    np.testing.assert_allclose(moments.variance, wanted @ x**2 - mean**2, rtol=2e-3)


@each
def test_draws_have_scipys_moments(key, counts):
    model, values, _, parameters = setting(key, 1, counts)
    rng = np.random.default_rng(0)
    fast = np.stack([model.draw(rng, values)[0] for _ in range(1_000)])
    few = 300
    slow = np.asarray(model.counts_given(values).sample(jax.random.PRNGKey(0), (few,)))
    kept = 1 - parameters.get("gate", 0.0)
    plain = scipys(model.likelihood, parameters)
    mean, variance = plain.mean(), plain.var()
    variance = (kept * (variance + (1 - kept) * mean**2))[0]
    mean = (kept * mean)[0]
    for drawn in (fast, slow):
        z = (drawn.mean(axis=0) - mean) / np.sqrt(variance / len(drawn))
        assert np.abs(z).max() < 4.5  # of 175
    np.testing.assert_allclose(model.likelihood.mean(parameters)[0], mean, rtol=1e-6)
    np.testing.assert_allclose(model.likelihood.variance(parameters)[0], variance, rtol=1e-6)


@each
def test_totals_are_sums_of_genes(key, counts):
    model, values, _, parameters = setting(key, K, counts)
    mean, variance = model.likelihood.totals({n: v[None] for n, v in parameters.items()})
    ours = model.likelihood.mean(parameters).sum(axis=-1)
    np.testing.assert_allclose(np.broadcast_to(mean[0], ours.shape), ours, rtol=1e-6)
    ours = model.likelihood.variance(parameters).sum(axis=-1)
    np.testing.assert_allclose(np.broadcast_to(variance[0], ours.shape), ours, rtol=1e-6)
    draws = natural_draws(model, {name: value[None] for name, value in values.items()})
    assert library_check(counts, draws).bands.shape == (5, 40)


@pytest.mark.parametrize("key", [e.key for e in LIKELIHOODS.values() if e.depth == GIVEN])
@pytest.mark.parametrize("k", [1, 2])
def test_given_depths_of_unseen_cells_are_integrated_out(key, k, counts):
    """Against a fine sum over the log-normal distribution of the fitted depths."""
    model, values, weights, parameters = setting(key, k, counts)
    log_depth = model.depth.log.astype(float)
    grid = np.linspace(log_depth.mean() - 8, log_depth.mean() + 8, 4_001)
    prior = scipy.stats.norm(log_depth.mean(), log_depth.std()).logpdf(grid)
    along = parameters | {"log_depth": grid[None, :, None]}  # the grid in place of the cells
    values = {name: value[None] for name, value in values.items()}
    ours = integrated_log_likelihood(model, values, counts)[0]
    for cell in (0, 1, 5, 11):
        logs = log_pmf(model.likelihood, along, counts.matrix.toarray()[cell]).sum(axis=-1)
        joint = logs + np.log(weights)[:, None] + prior
        wanted = scipy.special.logsumexp(joint) + np.log(grid[1] - grid[0])
        np.testing.assert_allclose(ours[cell], wanted, atol=5e-3)


# The whole way of the negative binomials, in all sizes, is what most other tests go.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "k"),
    [("nbdm", 1), *((key, k) for key in LIKELIHOODS if key not in NB_KEYS for k in (1, K))],
)
def test_it_is_fitted_criticised_and_written(key, k):
    """The whole way, with the entry's own start values."""
    counts, truth = scribeviz.simulate(key, n_cells=60, n_genes=8, n_components=k, seed=2)
    results = scribeviz.fit(
        counts,
        key,
        n_components=k if k > 1 else None,
        inference_method="svi",
        n_steps=150,
        progress=False,
    )
    critique = results.critique(counts)
    assert np.isfinite(critique.scores.elpd).all()
    assert np.isfinite(critique.genes["misfit"]).all()
    adata = _adata(counts)
    results.to_anndata(adata)
    assert np.isfinite(adata.var["scribeviz_mean"]).sum() == results.n_genes
    assert set(truth) >= {site.key for site in results.model_config.sites}


# What an entry does not offer is refused by name, wherever it is asked for.

LACKING = {
    "log_prob_table": lambda r, counts: scribeviz.fit(
        counts, r.model_config, n_steps=5, progress=False
    ),
    "log_prob_cells": lambda r, counts: integrated_log_likelihood(
        r.model, r._site_draws(3), counts
    ),
    "score": lambda r, counts: r.log_likelihood_map(counts, use_mean=True),
    "pmfs": lambda r, counts: r.gene_table(counts, n_samples=20),
    "log_pmf": lambda r, counts: r.critique(counts).check(counts.gene_at(0), 0),
    "draw": lambda r, counts: r.get_ppc_samples(n_samples=2),
    "start": lambda r, counts: scribeviz.fit(counts, r.model_config, n_steps=5, progress=False),
    "summary": lambda r, counts: r.to_anndata(_adata(counts)),
    "concentrations": lambda r, counts: (
        r.get_posterior_samples(n_samples=5),
        r.normalize_counts(),
    ),
    "dense": lambda r, counts: r.model.counts_given(
        {n: v[0] for n, v in r._site_draws(1).items()}
    ).sample(jax.random.PRNGKey(0)),
}


def _adata(counts):
    import anndata
    import pandas as pd

    return anndata.AnnData(counts.matrix, var=pd.DataFrame(index=counts.genes))


@pytest.mark.parametrize("capability", LACKING)
def test_what_an_entry_lacks_is_refused_by_name(capability, monkeypatch):
    from scribeviz.models.negative_binomial import NBDM, NegativeBinomial

    lacks = {capability: getattr(Likelihood, capability)}
    # A key of its own: programs are kept by the spec, which knows an entry by its key.
    key = f"without_{capability}"
    entry = replace(NBDM, key=key)
    kind = type("Lacking", (NegativeBinomial,), lacks)
    lacking = kind(**{name: getattr(entry, name) for name in entry.__dataclass_fields__})
    counts, _ = scribeviz.simulate("nbdm", n_cells=40, n_genes=5, seed=1)
    results = scribeviz.fit(counts, "nbdm", n_steps=20, progress=False)
    monkeypatch.setitem(likelihoods.LIKELIHOODS, key, lacking)
    results = replace(
        results,
        model_config=replace(results.model_config, likelihood=key),
        model_type=key,
    )
    with pytest.raises(NotOfferedError, match=rf"'{key}' offers no .*{capability}"):
        LACKING[capability](results, counts)


def test_the_entries_are_complete():
    assert list(LIKELIHOODS) == [entry.key for entry in LIKELIHOODS.values()]
    for entry in LIKELIHOODS.values():
        assert entry.label
        assert entry.use_when
        assert entry.formula
        assert entry.source


def test_depths_are_totals_over_their_mean():
    depth = Depth.of_totals(np.array([10.0, 20.0, 0.0, 30.0]))
    assert depth.level == 15.0
    np.testing.assert_allclose(depth.relative, [10 / 15, 20 / 15, 0.5 / 15, 2.0])
    other = depth.of(plain_counts(np.array([[10, 20]])))
    assert other.relative.tolist() == [2.0]
    assert depth == Depth.of_totals(np.array([10.0, 20.0, 0.0, 30.0]))
    assert hash(depth) != hash(other)


def test_tables_carry_depths_only_where_they_are_given(counts):
    assert survival_table(counts).log_depth is None
    assert cell_rows(counts).log_depth is None
    for key, entry in LIKELIHOODS.items():
        tables = build(ModelSpec(likelihood=key), N_CELLS, N_GENES).tables(counts)
        assert (tables.log_depth is not None) == (entry.depth == GIVEN)
