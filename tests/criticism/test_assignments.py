import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
from scipy.special import softmax

from scribeviz.criticism.assignments import (
    agreement,
    assigned,
    assignments,
    component_probabilities,
    cross_table,
    depth_share,
    depth_warning,
    entropy,
)
from scribeviz.data.tables import cell_rows
from scribeviz.models.builder import build
from scribeviz.models.spec import ModelSpec

COMPONENTS = np.array([0, 1, 0, 1, 1, 0])


@pytest.fixture
def values(rng):
    """Four draws of a mixture of three whose components lie close: many cells are unsure."""
    base = rng.gamma(1.0, 1.0, 12)
    return {
        "p": rng.uniform(0.4, 0.6, 4).astype(np.float32),
        "r": (base * rng.uniform(0.7, 1.4, (4, 3, 12))).astype(np.float32),
        "mixing_weights": rng.dirichlet([4, 3, 2], 4).astype(np.float32),
    }


def test_probabilities_are_bayes_rule_averaged_over_draws(values, small_counts):
    matrix = small_counts.matrix.toarray()
    expected, votes = np.zeros((40, 3)), []
    for p, r, weights in zip(*(v.astype(float) for v in values.values()), strict=True):
        by_cell = st.nbinom(r[:, None], 1 - p).logpmf(matrix).sum(axis=-1)
        shares = softmax(by_cell + np.log(weights)[:, None], axis=0).T
        expected += shares / 4
        votes.append(shares.argmax(axis=1))
    model = build(ModelSpec(n_components=3), 40, 12)
    found = assignments(model, cell_rows(small_counts), values)
    ours = found.probabilities
    assert ours.shape == (40, 3)
    assert ((expected > 0.1) & (expected < 0.9)).any(axis=1).sum() > 10  # the test sees doubt
    np.testing.assert_allclose(ours, expected, atol=2e-4)
    np.testing.assert_allclose(ours.sum(axis=1), 1, rtol=1e-5)
    sure = np.diff(np.sort(expected, axis=1))[:, -1] > 1e-3
    assert (assigned(ours) == expected.argmax(axis=1))[sure].all()
    agreement = (np.array(votes) == expected.argmax(axis=1)).mean(axis=0)
    assert set(agreement) >= {0.5, 1.0}
    assert (found.agreement == agreement)[sure].mean() > 0.9  # ties within a draw may go either way


def test_entropy_is_scipys(rng):
    probabilities = np.vstack([rng.dirichlet(np.ones(4), 50), np.eye(4), np.full((1, 4), 0.25)])
    np.testing.assert_allclose(
        entropy(probabilities), st.entropy(probabilities, axis=1), atol=1e-12
    )
    assert entropy(probabilities)[-1] == pytest.approx(np.log(4))
    assert entropy(np.eye(4)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(4,), (6, 4), (2, 6, 4)])
def test_entropy_of_any_number_of_axes(rng, shape):
    probabilities = rng.dirichlet(np.ones(4), shape[:-1])
    found = entropy(probabilities)
    assert np.shape(found) == shape[:-1]
    np.testing.assert_allclose(found, st.entropy(probabilities, axis=-1), atol=1e-12)


def test_components_are_weighed_by_bayes_rule():
    # Likelihoods 1 : 2 : 5, twice the same up to a factor.
    joint = np.log([[1.0, 2.0, 5.0], [10.0, 20.0, 50.0]])
    found = component_probabilities(joint)
    np.testing.assert_allclose(found, [[1 / 8, 2 / 8, 5 / 8]] * 2)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_a_power_of_the_odds(rng, temperature):
    joint = rng.normal(size=(5, 7, 3)) * 4
    found = component_probabilities(joint, temperature)
    assert found.shape == joint.shape
    power = np.exp(joint) ** (1 / temperature)
    np.testing.assert_allclose(found, power / power.sum(axis=-1, keepdims=True), rtol=1e-9)


def test_a_high_temperature_shows_what_else_was_considered():
    joint = np.float32([-5_000.0, -5_400.0, -9_000.0])
    np.testing.assert_allclose(component_probabilities(joint), [1, 0, 0], atol=1e-100)
    assert component_probabilities(joint)[1] == pytest.approx(np.exp(-400), rel=1e-9)
    warm = component_probabilities(joint, 400.0)
    np.testing.assert_allclose(warm, [0.731, 0.269, 0.000], atol=1e-3)


@pytest.mark.parametrize("temperature", [0, 0.0, -1, float("nan")])
def test_a_temperature_is_positive(temperature):
    with pytest.raises(ValueError, match=f"temperature={temperature} should be above 0"):
        component_probabilities(np.zeros((2, 3)), temperature)


def named(values):
    return pd.Series(values, index=[f"cell {i}" for i in range(len(values))])


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        (pd.Categorical(["x", "y", "x", "y", "y", "x"], categories=["y", "x", "z"]), ["y", "x"]),
        (["b", "a", "b", "a", "a", "b"], ["a", "b"]),
        ([2, 1, 2, 1, 1, 2], ["1", "2"]),
        ([2.5, -1.0, 2.5, -1.0, -1.0, 2.5], ["-1.0", "2.5"]),
        ([True, False, True, False, False, True], ["False", "True"]),
    ],
    ids=["categorical", "text", "whole numbers", "numbers", "yes and no"],
)
def test_cells_are_counted_per_label_and_component(labels, rows):
    table = cross_table(COMPONENTS, named(labels), 3)
    assert table.index.tolist() == rows
    assert table.columns.tolist() == [1, 2, 3]
    assert table.columns.name == "component"
    # These labels are the components themselves, in either order.
    by_row = table.to_numpy().tolist()
    assert sorted(by_row) == [[0, 3, 0], [3, 0, 0]]
    first = str(named(labels).iloc[0])
    assert table.loc[first].tolist() == [3, 0, 0]


@pytest.mark.parametrize(
    "labels",
    [
        pd.Categorical(["x", None, "x", "y", "y", "x"]),
        ["x", None, "x", "y", "y", "x"],
        [1.0, np.nan, 1.0, 2.0, 2.0, 1.0],
        pd.array([1, None, 1, 2, 2, 1], dtype="Int64"),
    ],
    ids=["categorical", "text", "numbers", "nullable"],
)
def test_cells_without_a_label_are_counted_too(labels):
    table = cross_table(COMPONENTS, named(labels), 2)
    assert table.index[-1] == "(none)"
    assert table.to_numpy().tolist() == [[3, 0], [0, 2], [0, 1]]


def test_no_label_at_all_is_one_row():
    table = cross_table(COMPONENTS, named([None] * 6), 2)
    assert table.index.tolist() == ["(none)"]
    assert table.to_numpy().tolist() == [[3, 3]]


def test_a_label_that_reads_like_a_missing_one_is_no_error():
    table = cross_table(COMPONENTS, named(["(none)", "b", None, "b", "b", "b"]), 2)
    assert table.loc["(none)"].tolist() == [2, 0]
    assert table.to_numpy().sum() == 6


def test_many_numbers_become_four_equal_groups(rng):
    numbers = rng.normal(size=400)
    numbers[:8] = np.nan
    components = (np.nan_to_num(numbers, nan=9.0) > np.nanmedian(numbers)).astype(int)
    table = cross_table(components, named(numbers), 2)
    assert table.to_numpy().tolist() == [[98, 0], [98, 0], [0, 98], [0, 98], [0, 8]]
    assert table.index[0].startswith("(")
    assert table.index[-1] == "(none)"


def test_an_empty_component_keeps_its_column():
    table = cross_table(np.zeros(6, int), named(list("ababab")), 3)
    assert table.to_numpy().tolist() == [[3, 0, 0], [3, 0, 0]]


def test_depth_alone_is_a_share_of_one():
    assert depth_share(COMPONENTS, np.where(COMPONENTS, 5_000.0, 100.0)) == pytest.approx(1)


def test_equal_depths_are_a_share_of_zero():
    # Both components hold the same depths.
    totals = np.array([10.0, 10.0, 200.0, 200.0, 3_000.0, 3_000.0])
    assert depth_share(np.array([0, 1, 0, 1, 1, 0]), totals) == pytest.approx(0)
    assert depth_share(COMPONENTS, np.full(6, 100.0)) == 0


def test_the_share_is_that_of_an_analysis_of_variance(rng):
    components, totals = rng.integers(0, 3, 300), rng.lognormal(7, 1, 300)
    totals[components == 2] *= 3
    depth = np.log1p(totals)
    f = st.f_oneway(*(depth[components == i] for i in range(3))).statistic
    expected = f * 2 / (f * 2 + 297)  # eta squared from F
    assert depth_share(components, totals) == pytest.approx(expected)


def test_components_that_follow_depth_are_warned_of():
    says = depth_warning(COMPONENTS, np.where(COMPONENTS, 5_000.0, 100.0))
    assert says.startswith("The components follow sequencing depth: they explain 100% of")
    assert "do not read these components as cell types" in says


def test_components_that_do_not_follow_depth_get_no_warning(rng):
    assert depth_warning(rng.integers(0, 2, 500), rng.lognormal(7, 1, 500)) is None


def test_numbered_clusters_are_groups_and_measurements_are_cut():
    components = np.repeat(np.arange(2), 60)
    clusters = pd.Series(np.repeat(np.arange(12), 10), name="leiden")
    assert len(cross_table(components, clusters, 2)) == 12
    assert len(cross_table(components, clusters + 0.5, 2)) == 4


def test_a_column_without_labels_agrees_with_nothing():
    with pytest.raises(ValueError, match="labels no cell"):
        agreement(np.arange(3), pd.Series([None, None, None], name="x"))
