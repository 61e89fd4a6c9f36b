"""Cells that were held out, and a variational posterior against a sampled one."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats as st

import scribeviz
from scribeviz import (
    CountsError,
    ModelSpec,
    check_posterior,
    compare_posteriors,
    cross_validate,
    held_out,
    simulate,
)
from scribeviz.fitting import validation


@pytest.fixture(scope="module")
def counts():
    r = np.random.default_rng(0).lognormal(0.5, 1.0, 20)
    found, _ = simulate("nbdm", n_cells=200, n_genes=20, values={"p": 0.6, "r": r}, seed=1)
    return found


def test_held_out_cells_are_scored_as_scipy_scores_them(counts):
    scores = held_out(counts, "nbdm", test_share=0.2, seed=4)
    assert scores.elpd.shape == (40,)
    order = np.random.default_rng(4).permutation(200)
    train = counts.select_cells(np.sort(order[40:]))
    test = counts.select_cells(np.sort(order[:40])).matrix.toarray()
    fitted = scribeviz.fit(train, "nbdm", seed=4, progress=False)
    point = fitted.get_map()
    near = st.nbinom(point["r"], 1 - point["p"]).logpmf(test).sum(axis=1)
    # A posterior predictive of 160 cells differs from its point by a little.
    np.testing.assert_allclose(scores.elpd, near, atol=1.0)
    assert abs(scores.elpd.mean() - near.mean()) < 0.3


@pytest.mark.slow
def test_held_out_cells_tell_models_apart():
    values = {
        "p": 0.7,
        "r": np.random.default_rng(0).lognormal(2.0, 1.0, 30),
        "p_capture": np.random.default_rng(1).uniform(0.03, 0.4, 300),
    }
    spec = ModelSpec(likelihood="nbvcp")
    counts, _ = simulate(spec, n_cells=300, n_genes=30, values=values, seed=2)
    scores = {key: held_out(counts, key, test_share=0.3, seed=0) for key in ("nbdm", "nbvcp")}
    table = scribeviz.compare(scores)
    assert list(table.index) == ["nbvcp", "nbdm"]
    assert table["difference"].iloc[1] < -3 * table["difference_se"].iloc[1]
    assert table["p_loo"].isna().all()


@pytest.mark.slow
def test_folds_score_every_cell_by_a_fit_that_has_not_seen_it(counts):
    scores = cross_validate(counts, ["nbdm", "poisson"], folds=2, n_steps=800, tolerance=0)
    assert [one.elpd.shape for one in scores.values()] == [(200,), (200,)]
    plain = scribeviz.fit(counts, "nbdm", progress=False)
    # A cell in 200 or in 2 left out: nearly the same, and the same cells are hard.
    left_out = plain.loo(counts)
    assert abs(scores["nbdm"].total - left_out.total) < 0.01 * abs(left_out.total)
    assert np.corrcoef(scores["nbdm"].elpd, left_out.elpd)[0, 1] > 0.99
    table = scribeviz.compare(scores)
    assert list(table.index) == ["nbdm", "poisson"]
    assert set(table["method"]) == {"2 folds"}
    again = cross_validate(counts, {"same": ModelSpec()}, folds=2, n_steps=800, tolerance=0)
    np.testing.assert_array_equal(again["same"].elpd, scores["nbdm"].elpd)


def test_folds_of_an_exact_fit_score_as_leaving_one_out_does(counts):
    [scores] = cross_validate(counts, ["nb"], folds=3).values()
    left_out = scribeviz.fit(counts, progress=False).loo(counts)
    assert abs(scores.total - left_out.total) < 0.01 * abs(left_out.total)
    assert np.corrcoef(scores.elpd, left_out.elpd)[0, 1] > 0.99


def test_folds_have_to_hold_cells(counts):
    two = [ModelSpec(n_components=2), ModelSpec(n_components=3)]
    with pytest.raises(ValueError, match="two of the models are called nbdm_mix; give a mapping"):
        cross_validate(counts, two)
    with pytest.raises(ValueError, match="folds=1 should be 2 at least"):
        cross_validate(counts, ["nbdm"], folds=1)
    few = counts.select_cells(np.arange(4))
    with pytest.raises(CountsError, match="has 4 cells, too few for 5 folds"):
        cross_validate(few, ["nbdm"])


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_must_leave_both_parts(counts, share):
    with pytest.raises(ValueError, match="should lie between 0 and 1"):
        held_out(counts, test_share=share)


def test_too_few_cells_are_refused(counts):
    few = counts.select_cells(np.arange(4))
    with pytest.raises(CountsError, match="4 cells: 10% of them are 0; choose another test_share"):
        held_out(few)


def test_genes_that_only_test_cells_show_are_left_out(counts):
    matrix = counts.matrix.copy()
    order = np.random.default_rng(0).permutation(200)
    columns = matrix.toarray()
    columns[order[20:], 3] = 0  # the training cells of seed 0
    columns[order[:20], 3] = 5
    shown = replace(counts, matrix=type(matrix)(columns))
    assert np.isfinite(held_out(shown, seed=0, n_steps=300).elpd).all()


@pytest.mark.slow
def test_a_posterior_is_held_against_sampling(counts):
    settings = {"n_warmup": 300, "n_samples": 400}
    naive = check_posterior(counts, "nbdm", **settings)
    assert list(naive.index) == ["p", "r"]
    assert naive.loc["p", "verdict"] == "too sure: intervals are too narrow"
    assert naive.loc["p", "spread"] < 0.6
    assert (naive["worst_r_hat"] < 1.1).all()
    assert (naive["spread_low"] <= naive["spread"]).all()
    assert (naive["spread"] <= naive["spread_high"]).all()
    ranked = ModelSpec(guide_rank=3)
    honest = check_posterior(counts, ranked, **settings)
    assert honest.loc["p", "spread"] > naive.loc["p", "spread"]


def test_other_models_are_not_compared(counts):
    fast = {"progress": False, "n_steps": 100}
    ours = scribeviz.fit(counts, "nbdm", **fast)
    sampling = {"inference_method": "mcmc", "n_warmup": 10, "n_samples": 10, "n_chains": 1}
    sampled = scribeviz.fit(
        counts, ModelSpec(parameterization="linked"), progress=False, **sampling
    )
    with pytest.raises(ValueError, match="fits of different models or genes"):
        compare_posteriors(ours, sampled)


def test_a_spec_brings_its_own_components(counts):
    with pytest.raises(ValueError, match="its own components"):
        held_out(counts, ModelSpec(), n_components=2)


@pytest.mark.parametrize(
    ("spread", "shift", "r_hat", "told"),
    [
        (1.0, 0.1, 1.3, "not known"),
        (1.0, 0.1, 1.01, "can be trusted"),
        (0.5, 0.1, 1.01, "too sure"),
    ],
)
def test_chains_that_disagree_judge_nothing(spread, shift, r_hat, told):
    assert validation._verdict(spread, shift, r_hat).startswith(told)
