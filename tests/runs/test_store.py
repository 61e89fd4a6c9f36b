"""Real worker processes; each is ended through its own handle or process id."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import psutil
import pytest

from scribeviz import ModelSpec, SVIConfig
from scribeviz.data.counts import plain_counts
from scribeviz.runs.folder import RunState, RunStatus, create_run
from scribeviz.runs.store import RunStore, default_root, how_it_died, worker_environment

SHORT = SVIConfig(n_steps=300)
ENDLESS = SVIConfig(n_steps=1_000_000, tolerance=0.0)


def end(store):
    """End the workers of a store that are still there."""
    workers = [*store._workers.values(), *([store._waiting] if store._waiting else [])]
    for worker in workers:
        if worker.poll() is None:
            worker.kill()
        worker.wait(20)
        worker.stdin.close()


@pytest.fixture
def store(tmp_path):
    made = RunStore(tmp_path / "runs")
    yield made
    end(made)


def is_over(store, run):
    def look():
        store.tend()
        return run.status.is_settled

    return look


def at_work(store, run, beyond=0):
    def look():
        store.tend()
        return run.status.state is RunState.RUNNING and run.status.step > beyond

    return look


@pytest.fixture(scope="module")
def one_after_the_other(tmp_path_factory, counts, until):
    """Two runs submitted at once, by a process with settings of JAX of its own."""
    store = RunStore(tmp_path_factory.mktemp("runs"))
    jax.config.update("jax_enable_x64", True)
    try:
        runs = [store.submit(counts, ModelSpec(), SHORT) for _ in range(2)]
        states = [run.status.state for run in runs]
        for run in runs:
            until(is_over(store, run))
        yield store, runs, states
    finally:
        jax.config.update("jax_enable_x64", False)
        end(store)


def test_a_submitted_fit_is_done(one_after_the_other):
    _, runs, _ = one_after_the_other
    for run in runs:
        assert (run.status.state, run.status.error) == (RunState.DONE, "")
        assert run.losses.size == run.status.step == 300
        assert run.results.n_genes == len(run.critique.genes) == 7


def test_one_run_waits_for_the_other(one_after_the_other):
    _, (first, second), states = one_after_the_other
    assert states == ["running", "queued"]
    assert second.status.started >= first.status.ended > 0
    assert first.status.pid != second.status.pid
    assert os.getpid() not in {first.status.pid, second.status.pid}


def test_nothing_of_the_settings_of_this_process_reaches_a_worker(one_after_the_other):
    _, runs, _ = one_after_the_other
    assert runs[0].losses.dtype == np.float32
    params = runs[0].results.params.values()
    assert {value.dtype for value in params} == {np.dtype(np.float32)}


def test_the_same_spec_gives_the_same_fit_in_another_process(one_after_the_other):
    _, (first, second), _ = one_after_the_other
    np.testing.assert_array_equal(first.losses, second.losses)


def test_another_store_finds_all_runs_newest_first(one_after_the_other):
    store, (first, second), _ = one_after_the_other
    fresh = RunStore(store.root)
    assert [run.id for run in fresh.runs()] == [second.id, first.id]
    assert fresh.run(first.id) == first
    assert fresh.run("../etc") is None
    fresh.tend()
    assert [run.status.state for run in fresh.runs()] == ["done", "done"]


def test_workers_are_gone_when_their_runs_are_over(one_after_the_other):
    store, runs, _ = one_after_the_other
    assert [store._workers[run.id].wait(20) for run in runs] == [0, 0]


def test_a_stopped_run_is_kept_and_goes_on(store, counts, until):
    run = store.submit(counts, ModelSpec(), ENDLESS)
    until(at_work(store, run))
    store.stop(run)
    until(is_over(store, run))
    status = run.status
    assert (status.state, status.error) == (RunState.STOPPED, "")
    assert 0 < status.step < status.n_steps
    assert run.has_results
    before = run.losses
    assert before.size == status.step

    store.resume(run)
    until(at_work(store, run))
    pid = run.status.pid
    store.resume(run)  # a second click
    assert (run.status.state, run.status.pid) == (RunState.RUNNING, pid)
    until(at_work(store, run, beyond=before.size))
    store.stop(run)
    until(is_over(store, run))
    assert run.status.state is RunState.STOPPED
    np.testing.assert_array_equal(run.losses[: before.size], before)


def test_a_killed_worker_is_noticed_and_the_next_run_starts(store, counts, until):
    killed = store.submit(counts, ModelSpec(), ENDLESS)
    following = store.submit(counts, ModelSpec(), SHORT)
    until(lambda: killed.has_checkpoint)
    assert following.status.state is RunState.QUEUED
    os.kill(killed.status.pid, signal.SIGKILL)
    until(is_over(store, killed))
    status = killed.status
    assert status.state is RunState.FAILED
    assert status.error == (
        "The fit was killed from outside, most often because memory ran out. "
        "It can go on from its last checkpoint."
    )
    assert status.ended >= status.started
    assert status.doing == ""
    until(is_over(store, following))
    assert following.status.state is RunState.DONE


def test_data_that_cannot_be_fitted_leave_their_trace_in_the_log_of_the_run(store, until):
    run = store.submit(plain_counts(np.zeros((3, 2)), name="nothing"), ModelSpec(), SHORT)
    until(is_over(store, run))
    assert run.status.state is RunState.FAILED
    assert run.status.error == "nothing holds no counts at all: there is nothing to fit."
    assert "Traceback (most recent call last)" in run.log_path.read_text()


def test_a_waiting_worker_takes_the_next_run(store, counts, until):
    store.keep_worker_waiting()
    waiting = store._waiting
    store.keep_worker_waiting()
    assert store._waiting is waiting
    run = store.submit(counts, ModelSpec(), SHORT)
    assert run.status.pid == waiting.pid
    store.keep_worker_waiting()
    assert store._waiting is None  # one at work is enough
    until(is_over(store, run))
    assert (run.status.state, run.status.pid) == (RunState.DONE, waiting.pid)


def test_a_waiting_worker_that_died_is_replaced(store, counts, until):
    store.keep_worker_waiting()
    dead = store._waiting
    dead.kill()
    dead.wait(20)
    run = store.submit(counts, ModelSpec(), SHORT)
    assert run.status.pid != dead.pid
    until(is_over(store, run))
    assert run.status.state is RunState.DONE
    dead.stdin.close()


SERVER = """
import sys
from pathlib import Path
from scribeviz import Counts, ModelSpec, SVIConfig
from scribeviz.runs.store import RunStore

store = RunStore(Path(sys.argv[1]))
store.keep_worker_waiting()
waiting = store._waiting.pid
run = None
if len(sys.argv) > 2:
    config = SVIConfig(n_steps=1_000_000, tolerance=0.0)
    run = store.submit(Counts.load(Path(sys.argv[2])), ModelSpec(), config)
print(waiting, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server_with_a_worker(tmp_path):
    """A process that keeps a worker, as the server does; gives both, and ends both."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-c", SERVER, *map(str, arguments)]
        server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
        )
        worker = psutil.Process(int(server.stdout.readline()))
        started.append((server, worker))
        return server, worker

    yield start
    for server, worker in started:
        server.kill()
        server.wait(20)
        server.stdin.close()
        server.stdout.close()
        if is_alive(worker):
            worker.kill()


def is_alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_waiting_worker_ends_with_its_server(tmp_path, server_with_a_worker, until):
    server, worker = server_with_a_worker(tmp_path / "runs")
    assert is_alive(worker)
    server.kill()
    until(lambda: not is_alive(worker))
    assert not is_alive(worker)


def test_a_run_outlives_its_server(tmp_path, counts, server_with_a_worker, until):
    counts.save(tmp_path / "counts.h5")
    server, worker = server_with_a_worker(tmp_path / "runs", tmp_path / "counts.h5")
    server.kill()
    server.wait(20)

    restarted = RunStore(tmp_path / "runs")
    [run] = restarted.runs()
    until(at_work(restarted, run))
    assert run.status.pid == worker.pid
    restarted.stop(run)
    until(is_over(restarted, run))
    assert run.status.state is RunState.STOPPED
    assert run.has_results


def a_dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(20)
    return process.pid


@pytest.mark.parametrize("pid", [a_dead_process, os.getpid], ids=["gone", "another process"])
def test_a_run_whose_process_is_gone_is_interrupted(tmp_path, counts, pid):
    run = create_run(tmp_path / "run", counts, ModelSpec(), SHORT)
    run.update_status(state=RunState.RUNNING, pid=pid(), process_started=1.0, started=1.0)
    restarted = RunStore(tmp_path)
    restarted.tend()
    status = run.status
    assert status.state is RunState.INTERRUPTED
    assert status.error == "The fit was cut off: its process is gone."
    assert status.ended > 0


def test_the_next_run_starts_when_the_process_before_has_ended(tmp_path, counts, monkeypatch):
    store = RunStore(tmp_path)
    started = []
    monkeypatch.setattr(store, "_start", started.append)
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as ending:
        store._workers["a run that is over"] = ending
        run = store.submit(counts, ModelSpec(), SHORT)
        assert started == []
        ending.communicate("\n", timeout=20)
    store.tend()
    assert started == [run]


class IdleStore(RunStore):
    """Runs stay in the queue."""

    def tend(self):
        pass


def test_a_worker_that_does_not_answer_is_ended_and_the_next_run_starts(
    store, counts, until, monkeypatch
):
    monkeypatch.setattr("scribeviz.runs.store._SECONDS_TO_ANSWER", 1.0)
    hung = store.submit(counts, ModelSpec(), ENDLESS)
    after = store.submit(counts, ModelSpec(), SHORT)
    until(lambda: at_work(store, hung)() and hung.has_checkpoint)
    os.kill(hung.status.pid, signal.SIGSTOP)
    store.stop(hung)
    until(is_over(store, hung))
    assert hung.status.state is RunState.STOPPED
    assert "did not answer" in hung.status.error
    assert "can go on from its last checkpoint" in hung.status.error
    until(is_over(store, after))
    assert after.status.state is RunState.DONE


def test_a_worker_that_answers_may_take_its_time(tmp_path, counts):
    run = create_run(tmp_path / "run", counts, ModelSpec(), SHORT)
    assert run.seconds_unanswered == 0
    run.ask_to_stop()
    long_ago = 1_000_000_000
    os.utime(run.path / "stop", (long_ago, long_ago))
    assert run.seconds_unanswered == 0, "it has said something since"
    os.utime(run.path / "status.json", (long_ago - 5, long_ago - 5))
    assert run.seconds_unanswered > 1_000


def test_a_queued_run_that_is_stopped_leaves_the_queue(tmp_path, counts):
    store = IdleStore(tmp_path)
    run = store.submit(counts, ModelSpec(), SHORT)
    store.stop(run)
    assert run.status.state is RunState.STOPPED
    assert run.status.ended > 0
    assert not run.stop_asked


def test_a_run_that_goes_on_is_queued_as_new(tmp_path, counts):
    store = IdleStore(tmp_path)
    run = store.submit(counts, ModelSpec(), SHORT)
    run.ask_to_stop()
    run.write_status(
        RunStatus(state=RunState.FAILED, step=9, n_steps=300, started=1.0, ended=2.0, error="oh")
    )
    store.resume(run)
    assert run.status == RunStatus(state=RunState.QUEUED, step=9, n_steps=300)
    assert not run.stop_asked


@pytest.mark.parametrize("state", RunState)
def test_only_a_run_that_is_over_is_deleted(tmp_path, counts, state):
    store = IdleStore(tmp_path)
    run, other = (store.submit(counts, ModelSpec(), SHORT) for _ in range(2))
    run.update_status(state=state)
    store.delete(run)
    assert run.path.exists() != state.is_over
    assert {found.id for found in store.runs()} == {other.id, *([] if state.is_over else [run.id])}


def test_run_names_never_collide_and_say_the_model(tmp_path, counts):
    store = IdleStore(tmp_path)
    runs = [store.submit(counts, ModelSpec(n_components=2), SHORT) for _ in range(5)]
    assert len({run.id for run in runs}) == 5
    assert all("nbdm_mix" in run.id for run in runs)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (-signal.SIGKILL, "killed from outside, most often because memory ran out"),
        (-signal.SIGSEGV, r"crashed \(SIGSEGV\)"),
        (3, r"ended unexpectedly \(exit code 3\); its log says more"),
    ],
)
def test_how_a_worker_died_is_said_in_words(code, says):
    assert re.match(f"The fit (was )?{says}", how_it_died(code))


def test_workers_keep_what_they_compile(monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.delenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    environment = worker_environment()
    assert Path(environment["JAX_COMPILATION_CACHE_DIR"]).parts[-2:] == ("scribeviz", "compiled")
    assert environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "0.0"
    assert environment["PYTHONHASHSEED"] == "0"
    assert environment["PATH"] == os.environ["PATH"]


def test_a_cache_that_the_user_chose_is_used(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/my/cache")
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "2")
    environment = worker_environment()
    assert environment["JAX_COMPILATION_CACHE_DIR"] == "/my/cache"
    assert environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "2"


def test_where_runs_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("SCRIBEVIZ_RUNS", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv("SCRIBEVIZ_RUNS")
    assert default_root().parts[-2:] == ("scribeviz", "runs")
