"""Who works on a run, where servers of several machines look at one folder."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from scribeviz import ModelSpec, SVIConfig
from scribeviz.runs import lease as lease_module
from scribeviz.runs import store as store_module
from scribeviz.runs.folder import RunState, create_run
from scribeviz.runs.lease import (
    Held,
    Lease,
    LeaseHeldError,
    LeaseLostError,
    drop_lease,
    holder_of,
    take_lease,
)
from scribeviz.runs.store import RunStore
from scribeviz.runs.worker import work

ELSEWHERE = Lease(host="gpu2/0000/1", pid=os.getpid(), process_started=1.0)
SHORT = SVIConfig(n_steps=300)


@pytest.fixture
def run(tmp_path, counts):
    """A run that waits."""
    return create_run(tmp_path / "runs" / "run", counts, ModelSpec(), SHORT)


@pytest.fixture
def dead():
    """The lease of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lease = Lease.of(process.pid)
    process.communicate(b"\n", timeout=60)
    return lease


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = SimpleNamespace(seconds=1_000.0)
    monkeypatch.setattr(lease_module.time, "monotonic", lambda: now.seconds)
    return now


@pytest.fixture
def started(monkeypatch):
    """What servers start is a process that waits and writes nothing."""
    processes = []

    def spawn(*_):
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        processes.append(process)
        return process

    monkeypatch.setattr(store_module, "spawn_worker", spawn)
    monkeypatch.setattr(store_module, "send", lambda *_: None)
    yield processes
    for process in processes:
        process.kill()
        process.communicate(timeout=60)


def move_to(monkeypatch, host):
    monkeypatch.setattr(lease_module, "this_host", lambda: host)


def test_only_one_takes_a_lease(run):
    mine = Lease.of(os.getpid())
    take_lease(run.path, ELSEWHERE)
    with pytest.raises(LeaseHeldError, match="another process works on run"):
        take_lease(run.path, mine)
    drop_lease(run.path, mine)
    assert holder_of(run.path) == ELSEWHERE, "only who holds it gives it back"
    drop_lease(run.path, ELSEWHERE)
    take_lease(run.path, mine)
    take_lease(run.path, mine)
    assert holder_of(run.path) == mine


def test_the_lease_of_a_process_that_is_gone_is_nobodys(run, dead):
    take_lease(run.path, dead)
    take_lease(run.path, Lease.of(os.getpid()))
    assert holder_of(run.path).pid == os.getpid()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 1}'])
def test_a_lease_that_cannot_be_read_is_somebodys(run, content):
    (run.path / "lease.json").write_text(content)
    with pytest.raises(LeaseHeldError):
        take_lease(run.path, Lease.of(os.getpid()))


def test_a_full_disk_leaves_no_half_lease(run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lease_module.json, "dump", full)
    with pytest.raises(OSError, match="No space left"):
        take_lease(run.path, ELSEWHERE)
    assert holder_of(run.path) is None


def test_a_lease_is_touched_while_it_is_held_and_gone_after(run, monkeypatch, until):
    monkeypatch.setattr(lease_module, "_SECONDS_BETWEEN_BEATS", 0.02)
    path = run.path / "lease.json"
    with Held(run.path, Lease.of(os.getpid())) as held:
        held.check()
        before = path.stat().st_mtime_ns
        until(lambda: path.stat().st_mtime_ns > before)
    assert not path.exists()


def test_who_lost_its_lease_writes_no_more(run):
    """As after a long sleep: another machine has declared it dead, and goes on with the run."""

    def lose(_checkpoint):
        drop_lease(run.path, Lease.of(os.getpid()))
        take_lease(run.path, ELSEWHERE)
        run.update_status(doing="goes on elsewhere")

    with pytest.raises(LeaseLostError):
        work(run, lose)
    assert holder_of(run.path) == ELSEWHERE
    assert run.status.doing == "goes on elsewhere"
    assert not run.has_results


def test_a_worker_refuses_what_another_works_on(run):
    take_lease(run.path, ELSEWHERE)
    with pytest.raises(LeaseHeldError):
        work(run)
    assert run.status.state is RunState.QUEUED


def test_what_killed_writes_left_is_removed(run, dead):
    left = [run.path / name for name in (".status.json.ab12_xyz", ".checkpoint.h5.00000000")]
    others = [run.path / name for name in (".notes", ".status.json.backup-of-mine")]
    for path in (*left, *others):
        path.touch()
    take_lease(run.path, dead)
    run.update_status(state=RunState.RUNNING, started=1.0)
    RunStore(run.path.parent).tend()
    assert run.status.state is RunState.INTERRUPTED
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_the_other_server_of_a_machine_lets_live_what_lives(run, started):
    """A worker was killed under one server and the run went on under another."""
    first, second = RunStore(run.path.parent), RunStore(run.path.parent)
    first.tend()
    [killed] = started
    killed.kill()
    killed.wait(60)
    second.tend()
    assert run.status.state is RunState.INTERRUPTED
    second.resume(run)
    assert len(started) == 2
    for server in (first, second, first):
        server.tend()
        assert run.status.state is RunState.RUNNING
    assert holder_of(run.path).pid == started[1].pid
    assert len(started) == 2


def test_another_machine_is_judged_by_its_heartbeat_alone(run, started, clock, monkeypatch):
    """The process number of one is that of somebody else on the other."""
    path = run.path / "lease.json"
    move_to(monkeypatch, "gpu1")
    RunStore(run.path.parent).tend()
    started[0].kill()
    started[0].wait(60)
    move_to(monkeypatch, "gpu2")
    store = RunStore(run.path.parent)
    for beat in range(1, 30):  # fresh, whatever the clock of that machine says
        store.tend()
        assert run.status.state is RunState.RUNNING
        clock.seconds += 60
        os.utime(path, (beat, beat))
    store.tend()
    clock.seconds += 100
    store.tend()
    assert run.status.state is RunState.INTERRUPTED
    assert "nothing has been heard for 90 seconds" in run.status.error
    assert holder_of(run.path) is None


def test_a_hung_worker_of_another_machine_is_not_killed_here(run, monkeypatch):
    killed = []
    monkeypatch.setattr(store_module, "_kill", killed.append)
    monkeypatch.setattr(store_module, "_SECONDS_TO_ANSWER", -1.0)
    take_lease(run.path, ELSEWHERE)
    run.update_status(state=RunState.RUNNING)
    store = RunStore(run.path.parent)
    store.stop(run)
    store.tend()
    assert (run.status.state, killed) == (RunState.RUNNING, [])


def test_two_machines_never_start_one_run(run, started, monkeypatch):
    """Also where one of them takes what the other looks at as waiting still."""
    stores = {host: RunStore(run.path.parent) for host in ("gpu1", "gpu2")}
    for i in range(20):
        host = ("gpu1", "gpu2")[i % 2]
        move_to(monkeypatch, host)
        stores[host].tend()
        stores[host]._start(run)
        assert len(started) <= 3, "the others wait, and were given nothing"
        assert holder_of(run.path).pid == started[0].pid


def test_a_run_that_waits_is_taken_from_a_machine_that_is_silent(run, started, clock):
    take_lease(run.path, ELSEWHERE)
    store = RunStore(run.path.parent)
    store.tend()
    assert run.status.state is RunState.QUEUED
    clock.seconds += 100
    store.tend()
    assert run.status.state is RunState.RUNNING
    assert holder_of(run.path).pid == started[0].pid
