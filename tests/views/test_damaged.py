"""Runs that cannot be read, on the Fit page."""

import numpy as np
import panel as pn
from panel import ui

from scribeviz import ModelSpec, SVIConfig
from scribeviz.data.counts import plain_counts
from scribeviz.runs.folder import create_run
from scribeviz.runs.store import RunStore
from scribeviz.views.fit.fit_page import RunList
from scribeviz.views.fit.fit_state import FitState


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
