import html

import pytest
from panel import ui

from scribeviz.inference.svi import SVIConfig
from scribeviz.views.shared import parts
from scribeviz.views.shared.forms import form_for


@pytest.mark.parametrize(
    "make",
    [
        parts.heading,
        parts.words,
        parts.empty,
        lambda text: parts.words(text, faint=True),
        lambda text: parts.notice(text, "error"),
        lambda text: parts.tiles({text: "1"}),
        lambda text: parts.tiles({"name": text}),
        lambda text: parts.card(text).objects[0],
        lambda text: parts.page(text, "lead").objects[0],
        lambda text: parts.page("title", text).objects[0],
    ],
)
def test_text_cannot_speak_html(make, hostile):
    pane = make(hostile)
    assert isinstance(pane, ui.HTML)
    assert hostile not in pane.object
    assert "&lt;img src=x onerror=alert(1)&gt;" in pane.object
    assert "A &amp; B &quot;C&quot;" in make('A & B "C"').object


@pytest.mark.parametrize("severity", ["info", "success", "warning", "error"])
def test_a_notice_is_told_to_screen_readers(severity):
    assert 'role="alert"' in parts.notice("Look.", severity).object


def test_tiles_keep_their_order():
    shown = parts.tiles_html({"cells": "700", "genes": "765"})
    assert shown.index("700") < shown.index("cells") < shown.index("765") < shown.index("genes")


def test_things_of_a_row_are_equally_wide_and_wrap():
    made = parts.row(*(parts.words(text) for text in "abc"), width=300)
    assert isinstance(made, ui.FlexBox)
    assert [type(column[0]) for column in made] == [ui.HTML] * 3
    assert {column.styles["flex"] for column in made} == {"1 1 300px"}
    assert made.gap == f"0 {parts.GAP}px"


def test_a_button_acts():
    clicks = []
    button = parts.button("Go", "play_arrow", clicks.append, color="error")
    button.clicks += 1
    assert len(clicks) == 1
    assert (button.label, button.color) == ("Go", "error")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "less than a second"),
        (0.6, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (75, "1 min 15 s"),
        (3_599.7, "1 h 0 min"),
        (7_300, "2 h 1 min"),
        (200_000, "55 h 33 min"),
    ],
)
def test_durations_are_said_in_words(seconds, said):
    assert parts.in_words(seconds) == said


def test_a_number_field_keeps_to_the_bounds():
    state = form_for(SVIConfig)
    field = parts.number_field(state, "n_steps")
    field.value = 500
    assert state.n_steps == 500
    field.value = None  # an empty field
    assert state.n_steps == 500
    field.value = 5_000_000
    assert (state.n_steps, field.value) == (1_000_000, 1_000_000)
    state.n_steps = 7
    assert field.value == 7


def test_long_names_are_cut_and_whole_under_the_mouse():
    name = "GSE123456_" + "<b>sample" * 15
    shown = parts.text_html(f"a fit of {name}: done")
    whole = html.escape(name)
    assert f'title="{whole}"' in shown
    assert shown.startswith("a fit of <span")
    assert shown.endswith(f">{whole}</span>: done")
    assert parts.text_html("CD3E & others") == "CD3E &amp; others"


def test_what_goes_on_in_steps_counts_on():
    first = parts.in_progress_html("Reading <a> …")
    assert "&lt;a&gt;" in first
    assert "animation-delay:-0.0s,3.0s" in first
    assert "animation-delay:-7.5s,-4.5s" in parts.in_progress_html("Scoring …", after=7.5)
