"""A run that cannot be read holds up no other."""

import json
import os
import time

import numpy as np
import pytest

from scribeviz import ModelSpec, SVIConfig
from scribeviz.data.counts import plain_counts
from scribeviz.runs.damage import DamagedRunError
from scribeviz.runs.folder import RunState, create_run
from scribeviz.runs.store import RunStore
from scribeviz.views.fit.fit_state import FitState


def empty(path):
    path.write_bytes(b"")


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def no_text(path):
    path.write_bytes(b"\xff\xfe\x80")


def a_list(path):
    path.write_text("[1, 2]")


def a_folder(path):
    path.unlink()
    path.mkdir()


def changed(**entries):
    def change(path):
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))

    change.__name__ = f"changed_{'_'.join(entries)}"
    return change


def without(name):
    def remove(path):
        content = json.loads(path.read_text())
        del content[name]
        path.write_text(json.dumps(content))

    remove.__name__ = f"without_{name}"
    return remove


def gone(path):
    path.unlink()
    long_ago = time.time() - 86_400
    os.utime(path.parent, (long_ago, long_ago))


BOTH = [empty, half, zeros, no_text, a_list, a_folder, gone, changed(of_the_future=1)]
DAMAGES = [
    *[(name, damage) for name in ("status.json", "spec.json") for damage in BOTH],
    ("status.json", changed(state="paused")),
    ("status.json", changed(step="many")),
    ("status.json", changed(pid=None)),
    ("status.json", changed(started=float("nan"))),
    ("status.json", changed(error=["a"])),
    ("status.json", without("state")),
    ("spec.json", changed(created="today")),
    ("spec.json", changed(created=float("inf"))),
    ("spec.json", changed(n_cells="3")),
    ("spec.json", changed(model="nb")),
    ("spec.json", changed(model={"likelihood": "of a newer version"})),
    ("spec.json", changed(config={"method": "annealing"})),
    ("spec.json", changed(config=None)),
    ("spec.json", changed(filters=3)),
    ("spec.json", without("model")),
    ("spec.json", without("fingerprint")),
]


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def made(store, name):
    counts = plain_counts(np.arange(12).reshape(4, 3))
    return create_run(store.root / name, counts, ModelSpec(), SVIConfig())


@pytest.mark.parametrize(
    ("name", "damage"), DAMAGES, ids=[f"{name}-{damage.__name__}" for name, damage in DAMAGES]
)
def test_a_damaged_run_is_one_row_and_the_queue_goes_on(store, name, damage, monkeypatch):
    bad, good = made(store, "a-bad"), made(store, "b-good")
    seen = FitState(store=store)
    seen.look_at(bad)
    damage(bad.path / name)
    started = []
    monkeypatch.setattr(RunStore, "_start", lambda _, run: started.append(run.id))

    store.tend()
    seen.refresh()
    assert started == [good.id]
    assert [run.id for run, _ in seen.history] == [good.id]
    assert store.run(bad.id) is None
    [row] = seen.damaged
    assert row.id == bad.id
    assert row.problem.startswith(f"Its {name} ")
    assert row.kept == ["the data"]

    seen.delete(row)
    assert not bad.path.exists()
    assert seen.damaged == []
    assert good.path.exists()


def test_a_page_that_looks_at_a_run_that_is_damaged_or_deleted_looks_at_none(store):
    run = made(store, "a")
    seen = FitState(store=store)
    seen.look_at(run)
    empty(run.path / "status.json")
    seen.refresh()
    assert seen.run is None
    assert seen.status is None


def test_what_is_wrong_is_said_in_plain_words(store):
    wrongs = {
        half: "Its status.json is damaged: part of it is missing, or is something else.",
        changed(state="paused"): "'paused' is no state of a run that this version knows",
        changed(of_the_future=1): "'of_the_future' is unknown to this version",
        changed(step="many"): "'step' is 'many', and not a whole number",
        without("state"): "it lacks 'state'",
    }
    for number, (damage, words) in enumerate(wrongs.items()):
        run = made(store, f"run-{number}")
        damage(run.path / "status.json")
        with pytest.raises(DamagedRunError) as refused:
            _ = run.status
        assert words in str(refused.value)


def test_a_mended_run_is_read_again(store):
    run = made(store, "a")
    kept = (run.path / "status.json").read_text()
    empty(run.path / "status.json")
    assert [each.id for each in store.damaged()] == ["a"]
    (run.path / "status.json").write_text(kept)
    assert store.damaged() == []
    assert [status.state for _, status in store.statuses()] == [RunState.QUEUED]


def test_a_run_that_is_being_made_and_other_files_are_no_damaged_runs(store):
    run = made(store, "a")
    (run.path / "status.json").unlink()
    (store.root / "workers.log").write_text("of workers")
    (store.root / "of somebody else").mkdir()
    assert store.damaged() == []
    assert store.runs() == []


@pytest.mark.parametrize("damage", [empty, half, zeros, no_text, a_folder])
@pytest.mark.parametrize("name", ["counts", "losses", "checkpoint", "results", "critique"])
def test_what_a_damaged_file_held_is_refused_in_a_sentence(store, name, damage):
    run = made(store, "a")
    path = run.path / f"{name}.h5"
    path.write_bytes(run.counts_path.read_bytes())
    damage(path)
    read = {"losses": lambda: run.losses, "checkpoint": run.read_checkpoint}
    with pytest.raises(
        DamagedRunError, match=rf"^Its {name}\.h5 is (damaged|empty|a folder)\b.*\.$"
    ):
        read.get(name, lambda: getattr(run, name))()
    FitState(store=store).look_at(run)
