"""Scores of left-out cells against what can be computed exactly."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats as st
from scipy.special import logsumexp

from scribeviz.criticism.comparison import can_be_relied_on, compare, stacking_weights, verdict
from scribeviz.criticism.loo import EXACT, CellScores, loo, unseen, waic


@pytest.fixture
def conjugate(rng):
    """Gamma-Poisson counts: the posterior is known, and that without each count too."""
    x = rng.poisson(4.0, 60)
    a, b = 2.0 + x.sum(), 0.5 + x.size
    draws = st.gamma(a, scale=1 / b).rvs(4_000, random_state=0)
    exact = st.nbinom(a - x, (b - 1) / b).logpmf(x)  # each from the posterior of the others
    return st.poisson(draws[:, None]).logpmf(x), exact


def test_left_out_scores_are_the_exact_ones(conjugate):
    log_likelihood, exact = conjugate
    scores = loo(log_likelihood)
    np.testing.assert_allclose(scores.elpd, exact, atol=0.02)
    np.testing.assert_allclose(scores.total, exact.sum(), atol=0.1)
    assert scores.n_unreliable == 0
    assert 0.5 < scores.p_loo < 2


def test_too_few_draws_are_refused(rng):
    with pytest.raises(ValueError, match=r"needs 25 posterior draws at least.*there are 24"):
        loo(rng.normal(-3.0, 0.1, (24, 10)))
    assert np.isfinite(loo(rng.normal(-3.0, 0.1, (25, 10))).elpd).all()


def test_halves_need_draws_enough_too(rng):
    logs = rng.normal(-3.0, 0.1, (52, 10))
    assert loo(logs[:51]).halves is None
    assert loo(logs).halves.shape == (6, 10)


def test_waic_is_close_to_it(conjugate):
    log_likelihood, exact = conjugate
    np.testing.assert_allclose(waic(log_likelihood).sum(), exact.sum(), atol=0.2)


def test_a_cell_that_decides_the_fit_is_reported(rng):
    log_likelihood = rng.normal(-1_000, 0.3, (400, 20))
    log_likelihood[:, 4] += 4 * rng.standard_cauchy(400).clip(-20, 0)
    scores = loo(log_likelihood)
    assert scores.pareto_k.argmax() == 4
    assert scores.n_unreliable == 1


@pytest.mark.parametrize("level", [0.0, -1_000.0, -50_000.0])
def test_stacking_weights_are_right_at_any_level(rng, level):
    """Two models that are each right for some cells; ArviZ alone says 0.5 and 0.5 at -1,000."""
    first = rng.random(3_000) < 0.7
    a = level + np.where(first, 0.0, -3.0)
    b = level + np.where(first, -3.0, 0.0)
    weights = stacking_weights({"a": a, "b": b})

    def score(w):
        return logsumexp([np.log(w) + a - level, np.log1p(-w) + b - level], axis=0).sum()

    grid = np.linspace(0.01, 0.99, 981)
    best = grid[np.argmax([score(w) for w in grid])]
    np.testing.assert_allclose(weights["a"], best, atol=0.02)
    assert 0.68 < best < 0.78


def scored(values):
    return CellScores(elpd=values, pareto_k=np.full(values.size, 0.1), p_loo=3.0)


def test_models_are_compared_cell_by_cell(rng):
    base = rng.normal(-1_000, 200, 500)
    gain = rng.normal(2.0, 1.0, 500)
    table = compare({"plain": scored(base), "better": scored(base + gain)})
    assert table.index.tolist() == ["better", "plain"]
    np.testing.assert_allclose(table.loc["plain", "difference"], -gain.sum())
    expected = np.sqrt(500) * gain.std()
    np.testing.assert_allclose(table.loc["plain", "difference_se"], expected, rtol=1e-6)
    assert table.loc["plain", "se"] > 50 * table.loc["plain", "difference_se"]
    assert table["weight"].sum() == pytest.approx(1)
    assert verdict(table).startswith("better predicts unseen cells best, ahead of plain by elpd")


def test_no_winner_within_two_standard_errors(rng):
    base = rng.normal(-1_000, 200, 500)
    table = compare({"a": scored(base), "b": scored(base + rng.normal(0, 1, 500))})
    assert verdict(table).startswith("No clear winner")


@pytest.mark.parametrize(("n_bad", "says"), [(25, "b predicts unseen"), (26, "No verdict")])
def test_no_verdict_rests_on_estimates_that_cannot_be_relied_on(rng, n_bad, says):
    base = rng.normal(-1_000, 200, 500)
    better = scored(base + 2.0)
    k = np.where(np.arange(500) < n_bad, 0.9, 0.1)
    sentence = verdict(compare({"a": scored(base), "b": replace(better, pareto_k=k)}))
    assert sentence.startswith(says)
    assert f"{n_bad} " in sentence


def test_other_cells_are_refused(rng):
    with pytest.raises(ValueError, match="a 10, b 11"):
        compare({"a": scored(rng.random(10)), "b": scored(rng.random(11))})


def test_the_error_of_draws_is_counted(rng):
    """Scores of one model from many sets of draws scatter by what each says of itself."""
    truth, noise = rng.normal(-3.0, 1.0, 300), 0.05
    told, totals = [], []
    for _ in range(60):
        common = noise * rng.standard_normal((200, 1))  # of all cells alike, as parameters are
        scores = unseen(truth + 20 * common + 0.1 * rng.standard_normal((200, 300)))
        told.append(scores.draw_error)
        totals.append(scores.total)
    assert np.sqrt(np.mean(np.square(told))) == pytest.approx(np.std(totals), rel=0.35)


def test_two_sets_of_draws_of_one_fit_are_no_winner(rng):
    base = rng.normal(-1_000, 200, 500)
    common = 0.3 * rng.standard_normal((400, 1))
    draws = base + common + 0.05 * rng.standard_normal((400, 500))
    table = compare({"a": unseen(draws[:200]), "b": unseen(draws[200:])})
    without = compare(
        {n: replace(unseen(d), halves=None) for n, d in (("a", draws[:200]), ("b", draws[200:]))}
    )
    assert verdict(table).startswith("No clear winner")
    assert table["difference_se"].iloc[1] > 3 * without["difference_se"].iloc[1]
    assert table["draw_error"].min() > 0


def test_fits_of_one_model_say_how_much_a_seed_does(rng):
    base = rng.normal(-1_000, 200, 500)
    scores = {"one": scored(base), "two": scored(base - 0.5), "other": scored(base - 0.6)}
    table = compare(scores)
    models = {"one": "m", "two": "m", "other": "n"}
    assert "one predicts unseen cells best, ahead of two" in verdict(table)
    alone = verdict(table.loc[["one", "two"]], models)
    assert alone.startswith("No clear winner: one and two are fits of the same model")
    assert "elpd 250, is how much a score depends on the fit" in alone
    three = verdict(table, models)
    assert three.startswith("No clear winner: one and other are within two standard errors")
    assert "elpd 300 ± 250 nats" in three


def test_scores_of_different_questions_have_no_verdict(rng):
    base = rng.normal(-1_000, 200, 500)
    folds = replace(scored(base + 3), method="5 folds")
    table = compare({"a": replace(scored(base), method=EXACT), "b": folds})
    assert not can_be_relied_on(table)
    assert verdict(table) == (
        "No verdict: the scores answer different questions, b by 5 folds and a by leaving one out. "
        "Cross-validation asks all the same."
    )
    alike = compare({"a": replace(scored(base), method=EXACT), "b": scored(base + 3)})
    assert can_be_relied_on(alike)


def test_two_that_are_the_same_tie():
    table = compare({"a": scored(np.array([-1.0, -2.0])), "b": scored(np.array([-1.0, -2.0]))})
    assert verdict(table).startswith("No clear winner")


def test_scores_of_other_cells_are_refused():
    one, other = (replace(scored(np.zeros(3)), scored=told) for told in ("x", "y"))
    with pytest.raises(ValueError, match="same cells and genes"):
        compare({"a": one, "b": other})
    assert compare({"a": one, "none": None}).index.tolist() == ["a"]


def of_some(values, cells, scored_cells="data"):
    k = np.full(values.size, 0.1)
    return CellScores(values, k, float("nan"), scored=scored_cells, cells=np.asarray(cells))


def test_a_model_scored_on_some_cells_is_compared_on_those(rng):
    base, gain = rng.normal(-1_000, 200, 500), rng.normal(2.0, 1.0, 500)
    chosen = np.sort(rng.choice(500, 60, replace=False))
    whole = CellScores(base, np.full(500, 0.1), 3.0, scored="data")
    table = compare({"whole": whole, "some": of_some((base + gain)[chosen], chosen)})
    assert table["n_cells"].tolist() == [60, 60]
    assert table.index[0] == "some"
    np.testing.assert_allclose(table.loc["whole", "elpd_loo"], base[chosen].sum())
    np.testing.assert_allclose(table.loc["whole", "difference"], -gain[chosen].sum())
    alone = compare({"whole": whole})
    assert alone["n_cells"].tolist() == [500]


def test_two_models_of_different_cells_are_compared_on_the_common_ones(rng):
    base = rng.normal(-1_000, 200, 500)
    one, two = np.arange(100), np.arange(60, 160)
    table = compare({"one": of_some(base[one], one), "two": of_some(base[two] - 1, two)})
    assert table["n_cells"].tolist() == [40, 40]
    np.testing.assert_allclose(table.loc["two", "difference"], -40)
    far = np.arange(80, 180)
    with pytest.raises(ValueError, match="only 20 of these in common; train them with the same"):
        compare({"one": of_some(base[one], one), "far": of_some(base[far], far)})


def test_scores_of_chosen_cells_are_found_by_position(rng):
    values = rng.normal(size=5)
    some = of_some(values, [3, 10, 11, 40, 41]).at(np.array([10, 41]))
    np.testing.assert_array_equal(some.elpd, values[[1, 4]])
    assert some.cells.tolist() == [10, 41]


def test_cells_beyond_those_that_are_scored_are_refused_in_words(rng):
    few = CellScores(rng.normal(size=40), np.zeros(40), 1.0)
    some = CellScores(rng.normal(size=35), np.zeros(35), 1.0, cells=np.arange(30, 65))
    with pytest.raises(ValueError, match="one is scored on 40 cells, and another on cell 64"):
        compare({"count model": few, "network": some})


def test_scores_of_other_data_are_refused_before_cells_are_picked(rng):
    one = CellScores(rng.normal(size=80), np.zeros(80), 1.0, scored="a")
    some = CellScores(rng.normal(size=40), np.zeros(40), 1.0, scored="b", cells=np.arange(40))
    with pytest.raises(ValueError, match="the counts that"):
        compare({"count model": one, "network": some})
