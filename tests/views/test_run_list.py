"""What can be done with the runs in the list of the Fit page."""

import os
import time
from types import SimpleNamespace

import panel as pn
import pytest
from panel import ui

from scribeviz import ModelSpec
from scribeviz.data.counts import plain_counts
from scribeviz.inference.exact import ExactConfig
from scribeviz.runs.folder import RunState, create_run
from scribeviz.runs.store import LONGEST_NOTE, RunStore
from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.fit.run_list import RunList
from scribeviz.views.fit.run_log import RunLog


@pytest.fixture
def state(tmp_path):
    """Three runs of two data sets that are over; one of them is looked at."""
    for i, (name, loss) in enumerate([("blood", 120.4), ("liver", None), ("blood", 90.0)]):
        counts = plain_counts([[1, 2], [3, 0]], name=name)
        run = create_run(tmp_path / f"run-{i}", counts, ModelSpec(), ExactConfig())
        run.update_status(state=RunState.DONE, loss=loss, step=8, started=5.0, ended=25.0)
    state = FitState(store=RunStore(tmp_path))
    state.refresh()
    return state


def press(view, label):
    [button] = [part for part in pn.panel(view).select(ui.Button) if part.label.startswith(label)]
    button.clicks += 1


def labels(view):
    return [part.label for part in pn.panel(view).select(ui.Button)]


def test_a_run_says_its_state_loss_steps_and_time(state):
    table = RunList(state=state)._listing.value
    assert table["loss"].round(1).tolist()[0] == 90.0
    assert table["loss"].isna().tolist() == [False, True, False]
    assert table["steps"].tolist() == [8, 8, 8]
    assert table["took"].tolist() == ["20 s"] * 3
    assert all(text.endswith("> done") for text in table["state"])


def test_runs_of_one_data_set_can_be_looked_for(state):
    listing = RunList(state=state)
    assert listing._data.visible
    assert listing._data.options == ["All data sets", "blood", "liver"]
    listing._data.value = "liver"
    assert listing._listing.value["data"].tolist() == ["liver"]
    listing._look_at(SimpleNamespace(row=0, column="data"))
    assert state.run.id == "run-1", "the row of the list that is shown"


def test_a_note_is_kept_with_the_run(state):
    listing = RunList(state=state)
    listing._annotate(SimpleNamespace(row=1, value="  with <b>doublets</b> \n"))
    assert listing._listing.value["note"].tolist() == ["", "with <b>doublets</b>", ""]
    assert listing._listing.formatters.get("note") is None, "nothing that would read it as HTML"
    anew = RunStore(state.store.root).glance().runs[1][1]
    assert anew.note == "with <b>doublets</b>"
    state.annotate(state.history[1][0], "x" * 500)
    assert len(state.history[1][1].note) == LONGEST_NOTE


def test_a_run_that_waits_takes_no_note_and_is_not_deleted(state):
    run, _ = state.history[0]
    run.update_status(state=RunState.QUEUED)
    state.store._catalogue.look()
    state.annotate(run, "soon")
    assert run.status.note == ""
    state.look_at(run)
    assert not any(label.startswith("Delete") for label in labels(RunList(state=state)))
    assert state.set_aside(run) is None
    assert run.path.is_dir()


def test_what_was_deleted_comes_back(state):
    run, _ = state.history[0]
    state.look_at(run)
    listing = RunList(state=state)
    press(listing, "Delete the run of")
    assert state.run is None
    assert [one.id for one, _ in state.history] == ["run-1", "run-0"]
    assert len(listing._listing.value) == 2
    assert not run.path.exists()
    press(listing, "Undo")
    assert [one.id for one, _ in state.history] == ["run-2", "run-1", "run-0"]
    assert state.run == run
    assert state.run.counts.n_cells == 2
    assert "Undo" not in labels(listing)


def test_it_is_gone_when_that_is_asked_for_or_after_a_day(state):
    first, second, third = (run for run, _ in state.history)
    state.look_at(first)
    listing = RunList(state=state)
    press(listing, "Delete the run of")
    press(listing, "Delete for good")
    aside = state.store.root / ".deleted"
    assert list(aside.iterdir()) == []
    before = state.set_aside(second)
    an_hour_ago, long_ago = time.time() - 3_600, time.time() - 90_000
    os.utime(before.path, (an_hour_ago, an_hour_ago))
    after = state.set_aside(third)
    assert before.path.is_dir()
    os.utime(before.path, (long_ago, long_ago))
    state.put_back(after)
    state.set_aside(third)
    assert not before.path.exists()


def test_two_clicks_or_two_pages_delete_one_run(state):
    run, _ = state.history[0]
    state.look_at(run)
    listing, elsewhere = RunList(state=state), FitState(store=RunStore(state.store.root))
    aside = elsewhere.set_aside(run)
    listing._set_aside(run)
    assert "Undo" not in labels(listing)
    elsewhere.delete(aside)
    elsewhere.delete(aside)
    assert not state.put_back(aside)
    assert [one.id for one, _ in state.history] == ["run-1", "run-0"]


def test_the_end_of_a_log_is_read_when_it_is_unfolded(state):
    run, _ = state.history[0]
    run.log_path.write_text("".join(f"line {i} <script>\n" for i in range(5_000)))
    log = RunLog(state=state)
    assert not log._details.visible, "no run is looked at"
    state.look_at(run)
    assert log._details.visible
    assert log._text.object == ""
    log._details.collapsed = False
    assert log._text.object.endswith("line 4999 &lt;script&gt;</pre>")
    assert log._text.object.count("line ") == 60
    state.look_at(state.history[1][0])
    assert not log._details.visible


def test_what_the_last_such_fit_took_is_said_before_the_next(state):
    state.history[0][0].update_status(device="GPU (a card)")
    state.store._catalogue.look()
    state.refresh()
    state.method = "exact"
    run, status = state.last_like(ModelSpec())
    assert (run.id, status.seconds) == ("run-2", 20.0)
    assert state.last_like(ModelSpec(n_components=3)) is None
    state.method = "svi"
    assert state.last_like(ModelSpec()) is None
