"""The filter of the Data page: set, looked at, applied, undone; without a server."""

from dataclasses import replace

import numpy as np
import pandas as pd
import panel as pn
import pytest

from scribeviz import CellFilter
from scribeviz.data.counts import plain_counts
from scribeviz.data.droplets import knee_of
from scribeviz.data.opening import Opened
from scribeviz.views.data.data_page import DataView
from scribeviz.views.data.data_state import DataState, OpenedData, open_example
from scribeviz.views.data.filter_card import FilterCard
from scribeviz.views.data.filter_state import FilterState


def opened_as(counts, source="mine.h5ad"):
    return OpenedData(source, Opened(sources={"X": ""}, layer="X", counts=counts))


@pytest.fixture
def counts():
    """Forty cells: the n-th has 10 n counts, every fourth is a doublet; one gene in five is MT."""
    matrix = np.outer(np.arange(1, 41), [2, 2, 2, 2, 2])
    obs = pd.DataFrame({"predicted_doublet": np.arange(40) % 4 == 0, "batch": ["a", "b"] * 20})
    genes = ["MT-CO1", "A", "B", "C", "D"]
    made = plain_counts(matrix, genes=genes, name="mine", obs=obs)
    return replace(made, read_by="scribeviz.read('mine.h5ad')")


@pytest.fixture
def state(tmp_path, counts):
    data = DataState(folder=tmp_path)
    data.show(opened_as(counts))
    made = FilterState(data=data)
    made.begin()
    return made


def widget(view, label, nth=0):
    return [part for part in pn.panel(view).select() if getattr(part, "label", None) == label][nth]


def test_nothing_is_left_out_to_begin_with(state):
    assert state.draft() == CellFilter()
    assert state.sentence == "Keeps all 40 cells and all 5 genes."
    assert state.why_not == "Nothing is set: move a slider."
    assert (state.ranges["counts"].low, state.ranges["counts"].high) == (10, 400)


def test_a_range_tells_what_it_keeps_and_applies_nothing(state, counts):
    state.ranges["counts"].low = 101
    state.look()
    assert state.draft() == CellFilter(min_counts=101)
    assert state.sentence == "Keeps 30 of 40 cells and all 5 genes."
    assert state.why_not == ""
    assert state.data.counts is counts
    state.ranges["counts"].low = 10
    state.look()
    assert state.to_keep is None


def test_what_is_applied_is_undone(state, counts):
    state.ranges["counts"].high = 100
    state.look()
    kept = state.to_keep
    state.data.keep(kept, kept.apply(counts))
    assert state.data.counts.n_cells == 10
    assert (state.why_not, state.to_keep) == ("Applied.", None)
    state.undo()
    assert state.data.counts is counts
    assert state.data.filter == CellFilter()
    assert state.ranges["counts"].high == 400
    assert state.sentence.startswith("Keeps all 40 cells")


def test_other_data_begin_unfiltered(state, counts):
    kept = CellFilter(min_counts=101)
    state.data.keep(kept, kept.apply(counts))
    state.data.show(opened_as(counts, "other.h5ad"))
    assert state.data.filter == CellFilter()
    assert state.begun is not state.data.opened
    state.begin()
    assert state.draft() == CellFilter()


def test_settings_that_keep_nothing_are_a_sentence(state):
    state.ranges["counts"].param.update(low=200, high=100)
    state.look()
    assert state.sentence == "No cell has at least 200 and at most 100 counts."
    state.ranges["counts"].show(0, None)
    state.max_mt_percent = 5.0
    state.look()
    assert state.sentence == "No cell would be left: widen a range."
    assert state.to_keep is None


def test_mitochondrial_percent_is_a_share(state):
    assert state.highest_mt_percent == 20.0
    state.max_mt_percent = 20.0  # all that there is
    assert state.draft() == CellFilter()
    state.max_mt_percent = 7.0
    assert state.draft() == CellFilter(max_mt_share=0.07)


def test_doublets_are_left_out_when_their_column_is_chosen(state):
    assert list(state.columns) == ["predicted_doublet", "batch"]
    state.choose_column("predicted_doublet")
    state.look()
    assert state.draft() == CellFilter(obs_column="predicted_doublet", obs_values=["False"])
    assert state.sentence == "Keeps 30 of 40 cells and all 5 genes."
    state.values = []
    state.look()
    assert state.sentence == "Choose at least one value of predicted_doublet."
    state.choose_column("batch")
    assert state.draft() == CellFilter()  # all values: nothing is left out
    state.choose_column("")
    assert state.draft() == CellFilter()


@pytest.mark.parametrize(
    "kept",
    [
        CellFilter(min_counts=50, max_counts=300, max_mt_share=0.07, min_cells=2),
        CellFilter(obs_column="batch", obs_values=["b"]),
    ],
)
def test_a_filter_from_a_link_is_what_is_set(state, kept):
    state.data.keep(kept, state.counts)
    assert state.draft() == kept


def test_the_card_is_filled_when_it_is_opened(state, html_of, labels_of, finish):
    card = FilterCard(state=FilterState(data=state.data))
    assert "Apply" not in labels_of(card)
    card._details.collapsed = False
    assert {"Apply", "Undo", "At least", "At most (%)", "Values to keep"} <= labels_of(card)
    assert "Keeps all 40 cells and all 5 genes." in html_of(card)
    assert widget(card, "Apply").disabled
    assert widget(card, "Undo").disabled
    widget(card, "At least").value = 101
    assert "Keeps 30 of 40 cells" in html_of(card)
    finish(card._apply_it(None))
    assert state.data.counts.n_cells == 30
    assert "Filtered: 30 of 40 cells and all 5 genes were kept" in html_of(card)
    assert widget(card, "Apply").disabled
    widget(card, "Undo").clicks += 1
    assert state.data.counts.n_cells == 40
    assert "Filtered:" not in html_of(card)
    assert widget(card, "At least").value == 10


def test_a_slider_and_its_fields_are_in_step(state):
    card = FilterCard(state=FilterState(data=state.data))
    card._details.collapsed = False
    slider = widget(card, "Range of counts per cell")
    assert slider.value == (0, 200)
    widget(card, "At least").value = 63  # half way, on a logarithmic scale
    assert slider.value == (100, 200)
    slider.value = (100, 150)
    assert widget(card, "At least").value == 63  # only the end that was moved
    assert widget(card, "At most").value == 159
    slider.value = (0, 200)
    assert (widget(card, "At least").value, widget(card, "At most").value) == (10, 400)


def test_the_page_shows_what_is_left(state, html_of):
    page = pn.panel(DataView(state=state.data))
    assert "Empty droplets" not in html_of(page)
    kept = CellFilter(min_counts=101)
    state.data.keep(kept, kept.apply(state.counts))
    assert ">30</div>" in html_of(page)
    state.data.show(open_example())
    assert ">700</div>" in html_of(page)


def test_labels_cannot_speak_html(tmp_path, counts, hostile, html_of, finish):
    obs = pd.DataFrame({hostile: [hostile, "b"] * 20}, index=counts.cells)
    data = DataState(folder=tmp_path)
    data.show(opened_as(replace(counts, obs=obs)))
    card = FilterCard(state=FilterState(data=data))
    card._details.collapsed = False
    card.state.choose_column(hostile)
    card.state.values = [hostile]
    finish(card._apply_it(None))
    assert data.counts.n_cells == 20
    assert hostile not in html_of(card)


def test_empty_droplets_are_left_out_with_one_click(tmp_path, html_of, labels_of, finish):
    rng = np.random.default_rng(0)
    totals = np.concatenate([rng.normal(2_000, 300, 50), rng.poisson(5, 400)]).astype(int)
    raw = plain_counts(totals[:, None], name="raw")
    data = DataState(folder=tmp_path)
    data.show(opened_as(raw))
    card = FilterCard(state=FilterState(data=data))
    assert "400 of the 450 barcodes of raw look like empty droplets" in html_of(card)
    assert "Keep the 50 cells above the knee" in labels_of(card)
    finish(card._keep_above_knee(None))
    assert data.counts.n_cells == 50
    assert data.filter == CellFilter(min_counts=knee_of(raw))
    assert "Empty droplets" not in html_of(card)
