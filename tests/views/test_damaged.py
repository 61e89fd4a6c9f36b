"""Runs that cannot be read, on the Fit page."""

import numpy as np
import panel as pn
from panel import ui

from scribeviz import ModelSpec, SVIConfig
from scribeviz.data.counts import plain_counts
from scribeviz.runs.folder import create_run
from scribeviz.runs.store import RunStore
from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.fit.run_list import RunList
from tests.chaos.synthetic import make_runs


def test_each_is_a_row_with_what_is_kept_and_can_be_deleted(tmp_path):
    store = RunStore(tmp_path)
    counts = plain_counts(np.arange(12).reshape(4, 3))
    runs = [create_run(tmp_path / f"run-{i}", counts, ModelSpec(), SVIConfig()) for i in range(8)]
    for run in runs[1:]:
        (run.path / "status.json").write_text("")
    state = FitState(store=store)
    listing = pn.panel(RunList(state=state))
    state.refresh()

    def texts():
        return " ".join(str(part.object) for part in listing.select(ui.HTML))

    assert "Run run-7 cannot be read. Its status.json is empty." in texts()
    assert "What is still there: the data." in texts()
    assert "And 2 more that cannot be read." in texts()
    assert len(state.history) == 1
    delete, *others = [part for part in listing.select(ui.Button) if part.label == "Delete it"]
    assert len(others) == 4
    delete.clicks += 1
    assert runs[7].path.exists(), "one click asks"
    assert delete.label == "Delete it for good"
    delete.clicks += 1
    assert not runs[7].path.exists()
    assert "And 1 more that" in texts()
    assert "run-7" not in texts()


def test_of_very_many_runs_the_newest_are_listed_and_older_ones_on_demand(tmp_path):
    make_runs(tmp_path, 450)
    state = FitState(store=RunStore(tmp_path))
    listing = RunList(state=state)
    view = pn.panel(listing)
    state.refresh()
    [older] = [part for part in view.select(ui.Button) if part.label == "List older runs"]
    assert len(state.history) == 450
    for n_listed in (200, 400, 450):
        assert len(listing._listing.value) == n_listed
        assert older.visible == (n_listed < 450)
        hint = " ".join(str(part.object) for part in view.select(ui.HTML))
        assert (f"The newest {n_listed:,} of 450 are listed" in hint) == (n_listed < 450)
        older.clicks += 1
