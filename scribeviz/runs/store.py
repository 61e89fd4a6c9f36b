"""All runs of one place: one worker at a time, and every run found again after a restart."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO
from uuid import uuid4

import psutil
from filelock import FileLock
from platformdirs import user_data_path

from scribeviz.data.counts import Counts
from scribeviz.fitting.kinds import ChosenModel
from scribeviz.fitting.methods import InferenceConfig
from scribeviz.inference.programs import CACHE_SETTINGS
from scribeviz.runs.catalogue import Catalogue, Look
from scribeviz.runs.damage import DamagedRun
from scribeviz.runs.folder import RunFolder, RunState, RunStatus, create_run, create_scoring

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_TO_ANSWER = 10.0  # of a worker that is asked to stop; then it is ended


@dataclass(eq=False)
class RunStore:
    """The runs under ``root``.

    One fit at a time: a second one waits in the queue, since two would share the same device.
    """

    root: Path
    _workers: dict[str, subprocess.Popen] = field(default_factory=dict, repr=False)
    _waiting: subprocess.Popen | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self._catalogue = Catalogue(self.root)
        self._listeners: list[Callable[[Look], None]] = []

    def submit(
        self, counts: Counts, model: ChosenModel, config: InferenceConfig, start_from: str = ""
    ) -> RunFolder:
        """Queue a fit and start it if nothing else is running.

        Parameters
        ----------
        counts, model, config
            What to fit and how.
        start_from
            Id of a finished variational fit of the same model and data to go on from.
        """
        name = f"{datetime.now():%Y%m%d-%H%M%S}-{model.name}-{uuid4().hex[:6]}"  # noqa: DTZ005
        run = create_run(self.root / name, counts, model, config, start_from)
        self.tend()
        return run

    def submit_scoring(self, run: RunFolder, folds: int) -> RunFolder:
        """Queue a cross-validation of what a finished run fitted; its scores are kept there."""
        name = f"{datetime.now():%Y%m%d-%H%M%S}-{folds}-folds-{uuid4().hex[:6]}"  # noqa: DTZ005
        scoring = create_scoring(self.root / name, run, folds)
        self.tend()
        return scoring

    def runs(self) -> list[RunFolder]:
        """All runs that can be read, newest first."""
        return [run for run, _ in self.statuses()]

    def statuses(self) -> list[tuple[RunFolder, RunStatus]]:
        """All runs that can be read and how far they are, newest first."""
        return self._catalogue.look().runs

    def damaged(self) -> list[DamagedRun]:
        """All runs that cannot be read, newest first by their names."""
        return self._catalogue.look().damaged

    def glance(self) -> Look:
        """All runs, as :meth:`Catalogue.glance` sees them: it costs next to nothing."""
        return self._catalogue.glance()

    def run(self, run_id: str) -> RunFolder | None:
        """The run of that name, or None."""
        return self._catalogue.run(run_id)

    def listen(self, listener: Callable[[Look], None]) -> Callable[[], None]:
        """Call ``listener`` when runs have changed, from the thread of :meth:`keep_tending`.

        Returns
        -------
        stop
            Ends that.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def stop(self, run: RunFolder) -> None:
        """End a run at its next checkpoint and keep what it has; a queued one leaves the queue."""
        with self._lock():
            if run.status.state is RunState.QUEUED:
                run.update_status(state=RunState.STOPPED, ended=time.time())
            else:
                run.ask_to_stop()

    def resume(self, run: RunFolder) -> None:
        """Queue a run that is over to go on from its last checkpoint."""
        with self._lock():
            if run.status.state.is_over:  # two sessions may ask at once
                run.withdraw_stop()
                run.update_status(state=RunState.QUEUED, error="", ended=0.0, started=0.0)
                self._catalogue.ring()
        self.tend()

    def delete(self, run: RunFolder | DamagedRun) -> None:
        """Remove a run that is over or cannot be read, and everything in it."""
        with self._lock():
            if isinstance(run, DamagedRun) or run.status.state.is_over:
                shutil.rmtree(run.path)

    def tend(self) -> None:
        """Look after the runs: notice workers that died, start the next in the queue."""
        if not self.glance().active:
            return
        with self._lock():
            active = self.glance().active
            running = [pair for pair in active if pair[1].state is RunState.RUNNING]
            alive = [self._notice(run, status) for run, status in running]
            queued = [run for run, status in active if status.state is RunState.QUEUED]
            # A worker whose run is over holds the memory of its device until it has ended.
            if queued and not any(alive) and not self._is_at_work():
                self._start(queued[0])

    def keep_worker_waiting(self) -> None:
        """Have a worker ready that has done its imports, unless one is at work."""
        if not self._is_at_work() and (self._waiting is None or self._waiting.poll() is not None):
            self._waiting = self._spawn()

    def keep_tending(self) -> threading.Thread:
        """Tend, and tell who listens, from a thread of its own while the process lives."""

        def loop() -> None:
            last = None
            while True:
                try:
                    self.tend()
                    self.keep_worker_waiting()
                    look = self.glance()
                    if look is not last:
                        last = look
                        self._tell(look)
                except Exception:  # noqa: BLE001  a full disk must not end the thread
                    _LOG.exception("could not look after the runs")
                time.sleep(_SECONDS_BETWEEN_LOOKS)

        thread = threading.Thread(target=loop, name="runs", daemon=True)
        thread.start()
        return thread

    def _tell(self, look: Look) -> None:
        for listener in list(self._listeners):
            try:
                listener(look)
            except Exception:  # noqa: BLE001  one page must not keep the news from the others
                _LOG.exception("a page could not be told of changed runs")

    def _lock(self) -> FileLock:
        return FileLock(self.root / "queue.lock")

    def _is_at_work(self) -> bool:
        return any(worker.poll() is None for worker in self._workers.values())

    def _start(self, run: RunFolder) -> None:
        waiting, self._waiting = self._waiting, None
        worker = waiting if waiting is not None and waiting.poll() is None else self._spawn()
        self._workers[run.id] = worker
        run.update_status(
            state=RunState.RUNNING,
            doing="starting",
            started=time.time(),
            pid=worker.pid,
            process_started=psutil.Process(worker.pid).create_time(),
        )
        send(worker, run)

    def _spawn(self) -> subprocess.Popen:
        with (self.root / "workers.log").open("ab") as log:
            return spawn_worker(log)

    def _notice(self, run: RunFolder, status: RunStatus) -> bool:
        """Whether the worker of ``run`` is alive; if it died, say so in the run."""
        worker = self._workers.get(run.id)
        code = None if worker is None else worker.poll()
        # Of a child of ours poll() knows best; a worker of an earlier server is looked up.
        if code is None and (worker is not None or _is_alive(status)):
            if run.seconds_unanswered > _SECONDS_TO_ANSWER:
                _kill(status.pid)
            return True
        if not run.status.state.is_over:  # it may have ended well since the status was read
            if run.seconds_unanswered > _SECONDS_TO_ANSWER:
                ending = (
                    RunState.STOPPED,
                    "The fit did not answer when it was stopped, and was ended.",
                )
            elif code is None:
                ending = RunState.INTERRUPTED, "The fit was cut off: its process is gone."
            else:
                ending = RunState.FAILED, how_it_died(code)
            state, error = ending
            kept = " It can go on from its last checkpoint." if run.has_checkpoint else ""
            run.update_status(state=state, error=error + kept, doing="", ended=time.time())
        return False


def default_root() -> Path:
    """Where runs are kept: ``SCRIBEVIZ_RUNS``, or the user's data folder."""
    given = os.environ.get("SCRIBEVIZ_RUNS")
    return Path(given) if given else user_data_path("scribeviz", appauthor=False) / "runs"


def spawn_worker(log: IO[bytes] | None = None) -> subprocess.Popen:
    """Start a process that does its imports and waits for its run.

    What it prints before that goes to ``log``, or where this process prints.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "scribeviz.runs.worker"],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        env=worker_environment(),
        start_new_session=True,  # it outlives a restart of the server, and Ctrl-C on a terminal
    )


def send(worker: subprocess.Popen, run: RunFolder) -> None:
    """Have a worker that waits fit ``run``."""
    assert worker.stdin is not None  # noqa: S101  it is a pipe
    with worker.stdin as pipe:
        pipe.write(f"{run.path.resolve()}\n")


def worker_environment() -> Mapping[str, str]:
    """Environment of a worker: compiled programs are kept and found again by the next one.

    NumPyro's older losses sum over a set of names, whose order (and so the program) follows the
    hash seed.
    """
    settings = {name.upper(): str(value) for name, value in CACHE_SETTINGS.items()}
    return {**settings, **os.environ, "PYTHONHASHSEED": "0"}


def _is_alive(status: RunStatus) -> bool:
    try:
        process = psutil.Process(status.pid)
        same = abs(process.create_time() - status.process_started) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kill(pid: int) -> None:
    """End a process and those that it started; what it wrote so far is whole."""
    try:
        process = psutil.Process(pid)
        for each in (*process.children(recursive=True), process):
            each.kill()
    except psutil.NoSuchProcess:  # it has ended by itself
        pass


def how_it_died(code: int) -> str:
    """What the exit code of a worker means, in words."""
    if code == -signal.SIGKILL:
        return "The fit was killed from outside, most often because memory ran out."
    if code < 0:
        return f"The fit crashed ({signal.Signals(-code).name})."
    return f"The fit ended unexpectedly (exit code {code}); its log says more."
