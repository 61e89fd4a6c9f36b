"""Where the files of a run cannot be written: a sentence, and the other runs go on."""

import errno
import os
import sys
from types import SimpleNamespace

import pytest

from scribeviz import ModelSpec, SVIConfig
from scribeviz._storage import temporaries, write_arrays, write_json
from scribeviz.runs import folder as folder_module
from scribeviz.runs import store as store_module
from scribeviz.runs import worker as worker_module
from scribeviz.runs.folder import RunState, create_run
from scribeviz.runs.full_disk import CANNOT_WRITE, why_unwritten
from scribeviz.runs.lease import Lease, take_lease
from scribeviz.runs.store import RunStore, how_it_died
from scribeviz.runs.worker import main, work

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def disk(monkeypatch):
    """A disk that can be filled: then nothing that a run is told of reaches it."""
    state = SimpleNamespace(is_full=False)
    for name in ("write_json", "write_arrays"):
        write = getattr(folder_module, name)

        def or_not(*arguments, write=write):
            if state.is_full:
                raise FULL
            write(*arguments)

        monkeypatch.setattr(folder_module, name, or_not)
    return state


@pytest.fixture
def run(tmp_path, counts):
    return create_run(tmp_path / "runs" / "run", counts, ModelSpec(), SVIConfig(n_steps=300))


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (FULL, "the disk is full; free some space"),
        (OSError("Can't write data (file write failed: No space left on device)"), "disk is full"),
        (OSError(errno.EDQUOT, "quota"), "your quota"),
        (OSError(errno.EROFS, "read-only"), "may only be read"),
        (OSError(errno.ENOENT, "gone"), ""),
    ],
)
def test_why_nothing_can_be_written_is_said_in_words(problem, says):
    assert says in why_unwritten(problem)
    assert bool(says) == bool(why_unwritten(problem))


def test_a_fit_that_the_disk_has_no_room_for_fails_with_a_sentence(run, monkeypatch):
    publish = worker_module._publish

    def fill_then_publish(*arguments):
        monkeypatch.setattr(run.__class__, "write_losses", fails)
        publish(*arguments)

    def fails(*_):
        raise FULL

    monkeypatch.setattr(worker_module, "_publish", fill_then_publish)
    work(run)
    assert run.status.state is RunState.FAILED
    assert run.status.error.startswith("The files of this run cannot be written: the disk is full")
    assert temporaries(run.path) == []


def test_a_worker_that_cannot_say_how_it_ended_says_so_by_its_exit(run, disk, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(readline=lambda: f"{run.path}\n"))
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    disk.is_full = True
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == CANNOT_WRITE
    assert "could not write" in how_it_died(CANNOT_WRITE)


def test_what_cannot_be_written_is_shown_logged_once_and_written_later(run, disk, caplog):
    store = RunStore(run.path.parent)
    lease = Lease(host=Lease.of(os.getpid()).host, pid=2**22 + 1, process_started=1.0)
    take_lease(run.path, lease)
    run.update_status(state=RunState.RUNNING, started=1.0)
    disk.is_full = True
    for _ in range(20):
        try:
            store.tend()
        except OSError as problem:
            store._complain(problem)
    [(_, shown)] = store.glance().runs
    assert shown == store.status(run)
    assert shown.state is RunState.INTERRUPTED
    assert shown.error.startswith("The fit was cut off: its process is gone. The files of this run")
    assert run.status.state is RunState.RUNNING
    assert len(caplog.records) == 1
    disk.is_full = False
    store.tend()
    assert run.status == shown
    assert store.glance().runs == [(run, shown)]


def test_a_run_that_cannot_be_started_says_why_and_starts_later(run, monkeypatch):
    started = []
    process = SimpleNamespace(pid=os.getpid(), poll=lambda: None)
    monkeypatch.setattr(store_module, "spawn_worker", lambda *_: process)
    monkeypatch.setattr(store_module, "send", lambda *_: started.append(1))

    def full(*_):
        raise FULL

    store = RunStore(run.path.parent)
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "take_lease", full)
        with pytest.raises(OSError, match="No space"):
            store.tend()
        [(_, shown)] = store.glance().active
        assert (shown.state, started) == (RunState.QUEUED, [])
        assert "the disk is full" in shown.error
    store.tend()
    assert started == [1]
    assert (run.status.state, run.status.error) == (RunState.RUNNING, "")


def test_a_fit_that_cannot_be_queued_leaves_nothing(tmp_path, counts, disk):
    store = RunStore(tmp_path)
    disk.is_full = True
    with pytest.raises(ValueError, match="the disk is full; free some space"):
        store.submit(counts, ModelSpec(), SVIConfig())
    disk.is_full = False
    assert store.glance().runs == store.glance().damaged == []
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] in ([], [".index"])


def write_meta(path, content):
    write_arrays(path, {}, content)


@pytest.mark.parametrize("write", [write_json, write_meta])
def test_a_write_that_fails_at_its_end_leaves_nothing(tmp_path, monkeypatch, write):
    def full(_):
        raise FULL

    write(tmp_path / "kept.json", {"kept": 1})
    before = (tmp_path / "kept.json").read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "kept.json", {"kept": 2})
    assert (tmp_path / "kept.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]
