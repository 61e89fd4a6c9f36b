"""Fits in the background, from Python."""

import pytest

import scribeviz
from scribeviz.runs.folder import RunState
from scribeviz.runs.run import Run
from scribeviz.runs.store import RunStore


def test_a_fit_is_submitted_followed_and_read(tmp_path, counts):
    run = scribeviz.submit(counts, "nbdm", n_steps=200, runs=tmp_path)
    assert run.state in {"queued", "running"}
    assert "run.live()" in run._repr_html_()
    with pytest.raises(RuntimeError, match=r"this run is \w+ and has no result; run\.wait\(\)"):
        _ = run.result
    assert run.wait(120).result.model_type == "nbdm"
    assert repr(run).startswith("Run: negative binomial: done\n  data: ")
    assert "worst genes" in run._repr_html_()


def test_waiting_has_an_end_and_the_fit_has_none(tmp_path, counts):
    class IdleStore(RunStore):
        def tend(self):
            pass

    run = scribeviz.submit(counts, "nbdm", runs=IdleStore(tmp_path))
    with pytest.raises(TimeoutError, match="is still queued; it goes on"):
        run.wait(0.2)
    run.update_status(state=RunState.FAILED, error="There was not enough memory for this fit.")
    with pytest.raises(RuntimeError, match="not enough memory"):
        run.wait()
    assert "not enough memory" in run._repr_html_()


def test_a_run_whose_files_are_gone_says_so(tmp_path):
    (tmp_path / "lost").mkdir()
    assert "its spec.json is missing" in repr(Run(tmp_path / "lost")).lower()
