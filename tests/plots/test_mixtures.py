import math

import numpy as np
import pandas as pd
import pytest

from scribeviz.criticism.assignments import cross_table
from scribeviz.plots.mixtures import component_sizes, cross_heatmap, entropy_histogram
from scribeviz.plots.theme import COMPONENTS, component_color, distinct

KS = (2, 3, 10, 20)


@pytest.mark.parametrize("k", KS)
def test_every_cell_is_in_the_entropy_histogram(draw, k):
    # Averages of float32 probabilities: sums of one, but for rounding.
    entropies = np.array([0, 1e-9, 0.5, 1, 1 + 2e-7, -2e-7], np.float32) * np.float32(math.log(k))
    figure = draw(entropy_histogram(entropies, k))
    [bars] = [renderer.data_source.data for renderer in figure.renderers]
    assert bars["top"].sum() == 6
    assert (bars["top"][0], bars["top"][-1]) == (3, 2)
    assert (figure.x_range.start, figure.x_range.end) == (0, math.log(k))


def test_entropies_of_one_cell_are_drawn(draw):
    figure = draw(entropy_histogram(np.zeros(1, np.float32), 2))
    assert figure.renderers[0].data_source.data["top"].sum() == 1


@pytest.mark.parametrize("k", KS)
def test_component_sizes_keep_their_order(draw, k):
    figure = draw(component_sizes(np.arange(k)))
    assert list(figure.x_range.factors) == [str(i + 1) for i in range(k)]
    data = figure.renderers[0].data_source.data
    np.testing.assert_array_equal(data["cells"], np.arange(k))
    assert list(data["color"]) == [component_color(i) for i in range(k)]


def test_colors_repeat_after_the_last():
    assert component_color(len(COMPONENTS)) == COMPONENTS[0]
    assert len(set(COMPONENTS)) == len(COMPONENTS)


def drawn_in(figure):
    """What the heat map shows, and the numbers written on it."""
    heat, text = (renderer.data_source.data for renderer in figure.renderers)
    frame = pd.DataFrame(
        {
            "component": heat["component"],
            "label": heat["label"],
            "share": heat["zvalues"],
            "cells": np.array(heat["cells"], int),
        }
    ).set_index(["label", "component"])
    written = pd.Series(
        np.array(text["cells"], int),
        index=pd.MultiIndex.from_arrays([text["label"], text["component"]]),
    )
    return frame.assign(written=written)


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("n_labels", [1, 2, 12])
def test_shares_of_a_label_sum_to_one_and_cells_are_written(draw, k, n_labels):
    rng = np.random.default_rng(0)
    labels = pd.Series(np.arange(300) % n_labels).map("type {}".format)
    table = cross_table(rng.integers(0, k, 300), labels, k)
    figure = draw(cross_heatmap(table))
    drawn = drawn_in(figure)
    assert len(drawn) == k * n_labels
    np.testing.assert_allclose(drawn.groupby("label")["share"].sum(), 1)
    for (label, component), cells in drawn["cells"].items():
        assert cells == table.loc[label, int(component)]
    np.testing.assert_array_equal(drawn["written"], drawn["cells"])
    assert list(figure.x_range.factors) == [str(i + 1) for i in range(k)]
    assert list(figure.y_range.factors) == list(table.index[::-1])


def test_a_label_without_cells_has_no_share(draw):
    table = pd.DataFrame([[0, 0], [3, 1]], index=["none", "some"], columns=[1, 2])
    assert drawn_in(draw(cross_heatmap(table)))["share"].to_dict() == {
        ("none", "1"): 0.0,
        ("none", "2"): 0.0,
        ("some", "1"): 0.75,
        ("some", "2"): 0.25,
    }


def test_numbers_are_white_only_on_dark_ground(draw):
    table = pd.DataFrame([[1, 9], [2, 8]], index=["a", "b"], columns=[1, 2])
    figure = draw(cross_heatmap(table))
    mapper = figure.renderers[1].glyph.text_color.transform
    assert (mapper.low, mapper.high, len(mapper.palette)) == (0, 1, 2)
    text = figure.renderers[1].data_source.data
    np.testing.assert_allclose(sorted(text["text_color"]), [0.1, 0.2, 0.8, 0.9])


def test_long_labels_are_written_short_and_apart():
    long = [f"{'a' * 30}{i}{'b' * 30}" for i in range(2)]
    written = distinct([*long, "T cell"])
    assert written["T cell"] == "T cell"
    assert len(set(written.values())) == 3
    assert all(len(text) < 32 for text in written.values())
