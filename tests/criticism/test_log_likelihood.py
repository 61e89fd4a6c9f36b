from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats as st
from scipy.special import logsumexp, softmax

from scribeviz.criticism import log_likelihood as module
from scribeviz.criticism.assignments import assignment_probabilities
from scribeviz.criticism.budget import MemoryBudgetError
from scribeviz.criticism.log_likelihood import log_likelihood
from scribeviz.data.counts import plain_counts
from scribeviz.data.tables import cell_rows
from scribeviz.models.builder import build
from scribeviz.models.score_tables import score_table
from scribeviz.models.simulation import simulate
from scribeviz.models.spec import ModelSpec
from tests.models.dense import NB_KEYS

N_DRAWS, N_CELLS, N_GENES = 3, 30, 9
SUMMED_OVER = {"cell": N_GENES, "gene": N_CELLS}
SCORED = {"cell": N_CELLS, "gene": N_GENES}
ONE_AND_THREE = pytest.mark.parametrize("k", [1, 3])
EVERY_LIKELIHOOD = pytest.mark.parametrize("likelihood", NB_KEYS)
BOTH_WAYS = pytest.mark.parametrize("return_by", ["cell", "gene"])
WEIGHTS = pytest.mark.parametrize("weight_type", [None, "multiplicative", "additive"])


def drawn(spec, n_draws=N_DRAWS, n_cells=N_CELLS, n_genes=N_GENES):
    """Draws of the sites of a standard model, none of them at an edge."""
    rng, k = np.random.default_rng(1), spec.n_components
    per_gene = (n_draws, k, n_genes) if k > 1 else (n_draws, n_genes)
    odds = (n_draws, k) if spec.component_specific_params else (n_draws,)
    values = {
        "p": rng.uniform(0.6, 0.9, odds),
        "r": rng.gamma(0.7, 1.0, per_gene) + 0.02,
        "gate": rng.uniform(0.05, 0.5, per_gene),
        "p_capture": rng.uniform(0.03, 0.95, (n_draws, n_cells)),
        "mixing_weights": rng.dirichlet([3.0] * k, n_draws),
    }
    return {site.key: values[site.key].astype(np.float32) for site in spec.sites}


def data(spec, values):
    """Counts from the first draw; gene 4 and cell 7 show nothing."""
    counts, _ = simulate(
        spec,
        n_cells=N_CELLS,
        n_genes=N_GENES,
        values={name: value[0] for name, value in values.items()},
    )
    matrix = counts.matrix.toarray()
    matrix[7], matrix[:, 4] = 0, 0
    return plain_counts(matrix)


@cache
def setting(likelihood="nbdm", k=1, **settings):
    spec = ModelSpec(likelihood=likelihood, n_components=k, **settings)
    values = drawn(spec)
    return build(spec, N_CELLS, N_GENES), values, data(spec, values)


def densely(values, matrix):
    """Log-probability of every count, (draws, components, cells, genes), by SciPy in float64."""
    values = {name: value.astype(float) for name, value in values.items()}
    n_draws, n_genes = values["r"].shape[0], values["r"].shape[-1]
    r = values["r"].reshape(n_draws, -1, 1, n_genes)
    p = values["p"].reshape(n_draws, -1, 1, 1)
    if "p_capture" in values:
        odds = p / (1 - p) * values["p_capture"][:, None, :, None]
        p = odds / (1 + odds)
    plain = st.nbinom(r, 1 - p).logpmf(matrix)
    if "gate" not in values:
        return plain
    gate = values["gate"].reshape(r.shape)
    return np.log(gate * (matrix == 0) + (1 - gate) * np.exp(plain))


def expected(values, counts, return_by, weights=None, weight_type=None):
    """By SciPy: (draws, scored, components), log weights included."""
    each = densely(values, counts.matrix.toarray())
    if weights is not None:
        along = weights if return_by == "cell" else weights[:, None]
        each = each * along if weight_type == "multiplicative" else each + along
    sums = np.moveaxis(each.sum(axis=-1 if return_by == "cell" else -2), 1, -1)
    if "mixing_weights" not in values:
        return sums
    shares = values["mixing_weights"].astype(float)
    return sums + np.log(shares / shares.sum(axis=1, keepdims=True))[:, None, :]


def ours(*args, **settings):
    with jax.numpy_rank_promotion("raise"):
        return log_likelihood(*args, **settings)


def some_weights(return_by, weight_type):
    if weight_type is None:
        return None
    weights = np.random.default_rng(2).uniform(-0.5, 2.0, SUMMED_OVER[return_by])
    weights[2] = 0
    return weights


@pytest.mark.slow
@EVERY_LIKELIHOOD
@ONE_AND_THREE
@BOTH_WAYS
@WEIGHTS
def test_each_component_is_scipys_in_float64(likelihood, k, return_by, weight_type):
    model, values, counts = setting(likelihood, k)
    assert {0} == set(counts.matrix.toarray()[:, 4]) == set(counts.matrix.toarray()[7])
    weights = some_weights(return_by, weight_type)
    found = ours(
        model,
        values,
        counts,
        return_by=return_by,
        split_components=k > 1,
        weights=weights,
        weight_type=weight_type,
        dtype=np.float64,
    )
    exact = expected(values, counts, return_by, weights, weight_type)
    assert found.dtype == np.float64
    assert found.shape == (N_DRAWS, SCORED[return_by], k)[: 3 if k > 1 else 2]
    np.testing.assert_allclose(found.reshape(exact.shape), exact, rtol=1e-11, atol=1e-11)


@EVERY_LIKELIHOOD
@BOTH_WAYS
@WEIGHTS
def test_the_components_together_are_scipys(likelihood, return_by, weight_type):
    model, values, counts = setting(likelihood, 3)
    weights = some_weights(return_by, weight_type)
    found = ours(
        model, values, counts, return_by=return_by, weights=weights, weight_type=weight_type
    )
    exact = expected(values, counts, return_by, weights, weight_type)
    assert found.dtype == np.float32
    assert found.shape == (N_DRAWS, SCORED[return_by])
    np.testing.assert_allclose(found, logsumexp(exact, axis=-1), rtol=3e-6, atol=3e-5)


@BOTH_WAYS
def test_components_may_have_odds_of_their_own(return_by):
    model, values, counts = setting("zinbvcp", 3, component_specific_params=True)
    assert values["p"].shape == (N_DRAWS, 3)
    found = ours(model, values, counts, return_by=return_by, split_components=True)
    np.testing.assert_allclose(found, expected(values, counts, return_by), rtol=3e-6, atol=3e-5)


@BOTH_WAYS
def test_any_parameterization(return_by):
    _, values, counts = setting("nbvcp", 3)
    odds = (1 - values["p"]) / values["p"]
    spec = ModelSpec(
        likelihood="nbvcp", n_components=3, parameterization="odds_ratio", unconstrained=True
    )
    other = {
        "phi_unconstrained": np.log(odds),
        "mu_unconstrained": np.log(values["r"] / odds[:, None, None]),
        "phi_capture_unconstrained": np.log(1 / values["p_capture"] - 1),
        "mixing_logits": np.log(values["mixing_weights"]) + 3,
        "r": values["r"] * np.nan,  # what follows from the sites is not looked at
    }
    model = build(spec, N_CELLS, N_GENES)
    found = ours(model, other, counts, return_by=return_by, split_components=True)
    np.testing.assert_allclose(found, expected(values, counts, return_by), rtol=5e-6, atol=1e-4)


@EVERY_LIKELIHOOD
def test_genes_and_cells_sum_to_the_same_total(likelihood):
    model, values, counts = setting(likelihood)
    by_cell, by_gene = (
        ours(model, values, counts, return_by=by, dtype=np.float64).sum(axis=1)
        for by in ("cell", "gene")
    )
    np.testing.assert_allclose(by_cell, by_gene, rtol=1e-11)


@EVERY_LIKELIHOOD
def test_cells_are_scored_as_in_the_fit(likelihood):
    model, values, counts = setting(likelihood, 3)
    found = ours(model, values, counts)
    draw = {name: value[1] for name, value in values.items()}
    rows = jax.tree.map(jnp.asarray, model.rows(counts))
    fitted = jax.jit(lambda draw, rows: model.counts_given(draw).log_prob_cells(rows))(draw, rows)
    np.testing.assert_allclose(found[1], fitted, rtol=3e-6, atol=3e-5)


def test_a_softmax_gives_the_assignment():
    model, values, counts = setting("nbdm", 3)
    split = ours(model, values, counts, split_components=True)
    average = assignment_probabilities(model, cell_rows(counts), values)
    np.testing.assert_allclose(softmax(split, axis=-1).mean(axis=0), average, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_batches_give_the_same_numbers(batch_size):
    model, values, counts = setting("zinbvcp", 3)
    whole = ours(model, values, counts)
    np.testing.assert_array_equal(ours(model, values, counts, batch_size=batch_size), whole)


@BOTH_WAYS
def test_one_draw_is_a_point_estimate(return_by):
    model, values, counts = setting("nbvcp", 3)
    point = {name: value[2:] for name, value in values.items()}
    found = ours(model, point, counts, return_by=return_by, split_components=True)
    assert found.shape == (1, SCORED[return_by], 3)
    exact = expected(values, counts, return_by)[2:]
    np.testing.assert_allclose(found, exact, rtol=3e-6, atol=3e-5)


@pytest.mark.parametrize("likelihood", ["nbdm", "zinbvcp"])
@BOTH_WAYS
def test_data_without_any_count(likelihood, return_by):
    model, values, counts = setting(likelihood)
    nothing = plain_counts(np.zeros((N_CELLS, N_GENES), int))
    found = ours(model, values, nothing, return_by=return_by)
    np.testing.assert_allclose(
        found, expected(values, nothing, return_by)[..., 0], rtol=3e-6, atol=3e-5
    )
    assert counts.matrix.nnz > 0


@BOTH_WAYS
def test_other_cells_where_there_is_no_capture(return_by):
    model, values, counts = setting("zinb")
    few = counts.select_cells(np.array([3, 9, 9, 20]))
    found = ours(model, values, few, return_by=return_by)
    np.testing.assert_allclose(
        found, expected(values, few, return_by)[..., 0], rtol=3e-6, atol=3e-5
    )


@pytest.mark.parametrize("likelihood", ["nbvcp", "zinbvcp"])
@BOTH_WAYS
def test_a_single_cell_with_capture(likelihood, return_by):
    spec = ModelSpec(likelihood=likelihood)
    values = drawn(spec, n_cells=1)
    counts = plain_counts(np.array([[0, 3, 1, 0, 0, 12, 0, 1, 0]]))
    found = ours(build(spec, 1, N_GENES), values, counts, return_by=return_by)
    np.testing.assert_allclose(
        found, expected(values, counts, return_by)[..., 0], rtol=3e-6, atol=3e-5
    )


def test_float32_holds_for_a_loud_gene():
    # Of each cell, ln (r + x)! and ln x!, tens of thousands of nats, cancel to a few.
    counts, _ = simulate(
        "nbvcp",
        n_cells=2_000,
        n_genes=2,
        values={"p": 0.99, "r": [40.0, 0.01], "p_capture": np.linspace(0.2, 0.6, 2_000)},
        seed=3,
    )
    values = {
        "p": np.float32([0.99]),
        "r": np.float32([[40.0, 0.01]]),
        "p_capture": np.linspace(0.2, 0.6, 2_000, dtype=np.float32)[None],
    }
    assert counts.gene_totals[0] > 2e6
    found = ours(build(ModelSpec(likelihood="nbvcp"), 2_000, 2), values, counts, return_by="gene")
    np.testing.assert_allclose(found, expected(values, counts, "gene")[..., 0], rtol=5e-5)


@pytest.mark.parametrize("likelihood", ["nbdm", "zinbvcp"])
@BOTH_WAYS
def test_nothing_of_cells_times_genes_is_made(likelihood, return_by):
    n = 3_000
    matrix = sp.random_array((n, n), density=1e-3, rng=0)
    matrix.data[:] = 1
    spec = ModelSpec(likelihood=likelihood, n_components=3)
    model, values = build(spec, n, n), drawn(spec, 2, n, n)
    by_cell = return_by == "cell"
    table = score_table(
        plain_counts(matrix), None, by_cell=by_cell, with_nonzeros=model.cells_differ
    )
    compiled = module._scored.lower(model, values, table, by_cell=by_cell, split=False).compile()
    memory = compiled.memory_analysis()
    assert memory.temp_size_in_bytes + memory.output_size_in_bytes < 0.15 * 4 * n**2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"return_by": "cells"}, "return_by='cells' is not known; choose 'cell' or 'gene'"),
        ({"split_components": True}, "split_components needs components, and zinbvcp has none"),
        ({"weights": np.ones(9)}, "go together; weight_type is missing"),
        ({"weight_type": "additive"}, "go together; weights is missing"),
        (
            {"weights": np.ones(9), "weight_type": "times"},
            "weight_type='times' is not known; choose 'multiplicative' or 'additive'",
        ),
        (
            {"weights": np.ones(30), "weight_type": "additive"},
            r"one per gene, shape \(9,\), with return_by='cell'; got shape \(30,\)",
        ),
        (
            {"weights": np.ones(9), "weight_type": "multiplicative", "return_by": "gene"},
            r"one per cell, shape \(30,\), with return_by='gene'; got shape \(9,\)",
        ),
        (
            {"weights": np.full(9, np.inf), "weight_type": "additive"},
            "weights holds values that are not finite",
        ),
        ({"batch_size": 0}, "batch_size=0 should be 1 or more"),
        ({"budget_bytes": 100}, r"the log-likelihoods \(3 x 30\) would take"),
    ],
)
def test_contradictions_are_errors(settings, says):
    model, values, counts = setting("zinbvcp")
    with pytest.raises(ValueError, match=says):
        log_likelihood(model, values, counts, **settings)


def test_other_data_are_errors():
    model, values, counts = setting("nbvcp")
    with pytest.raises(ValueError, match=r"of 9 genes, and these counts have 2"):
        log_likelihood(model, values, counts.select_genes(np.array([1, 2])))
    with pytest.raises(ValueError, match=r"each of 30 cells, and these counts have 2"):
        log_likelihood(model, values, counts.select_cells(np.array([1, 2])))


def test_the_budget_is_checked_before_anything_is_made():
    spec = ModelSpec(n_components=2)
    # Broadcast: 10 million draws that take no memory.
    values = {
        "p": np.broadcast_to(np.float32(0.5), 10_000_000),
        "r": np.broadcast_to(np.float32(1), (10_000_000, 2, 12)),
        "mixing_weights": np.broadcast_to(np.float32(0.5), (10_000_000, 2)),
    }
    with pytest.raises(MemoryBudgetError, match=r"10,000,000 x 40 x 2\) would take 3.2 GB"):
        log_likelihood(
            build(spec, 40, 12),
            values,
            plain_counts(np.ones((40, 12), int)),
            split_components=True,
            dtype=np.float32,
        )
