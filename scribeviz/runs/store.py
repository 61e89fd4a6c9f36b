"""All runs of one place: one worker at a time, and every run found again after a restart."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import psutil
from filelock import FileLock
from platformdirs import user_data_path

from scribeviz._storage import temporaries
from scribeviz.data.counts import Counts
from scribeviz.fitting.kinds import ChosenModel
from scribeviz.fitting.methods import InferenceConfig
from scribeviz.inference.programs import CACHE_SETTINGS
from scribeviz.runs.catalogue import Catalogue, Look
from scribeviz.runs.damage import DamagedRun
from scribeviz.runs.folder import RunFolder, RunState, RunStatus, create_run, create_scoring
from scribeviz.runs.full_disk import CANNOT_WRITE, why_unwritten
from scribeviz.runs.lease import (
    SECONDS_OF_SILENCE,
    Lease,
    LeaseHeldError,
    Pulses,
    drop_lease,
    holder_of,
    take_lease,
)

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_BETWEEN_COMPLAINTS = 600.0  # about the same trouble
_SECONDS_TO_END = 2.0  # for the threads of a worker that was killed
_SECONDS_TO_ANSWER = 10.0  # of a worker that is asked to stop; then it is ended
_ASIDE = ".deleted"  # no run's name begins with a dot
_SECONDS_ASIDE = 24 * 3600.0
LONGEST_NOTE = 200  # characters


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
        self._pulses = Pulses()
        self._complaint = "", 0.0
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
        with _whole_or_not_at_all(self.root / name) as path:
            run = create_run(path, counts, model, config, start_from)
        self.tend()
        return run

    def submit_scoring(self, run: RunFolder, folds: int) -> RunFolder:
        """Queue a cross-validation of what a finished run fitted; its scores are kept there."""
        name = f"{datetime.now():%Y%m%d-%H%M%S}-{folds}-folds-{uuid4().hex[:6]}"  # noqa: DTZ005
        with _whole_or_not_at_all(self.root / name) as path:
            scoring = create_scoring(path, run, folds)
        self.tend()
        return scoring

    def status(self, run: RunFolder) -> RunStatus:
        """How far a run is, also where the disk is too full to say so."""
        return self._catalogue.unwritten(run.id) or run.status

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
            if self.status(run).state is RunState.QUEUED:
                self._write(run, state=RunState.STOPPED, ended=time.time())
            else:
                run.ask_to_stop()

    def resume(self, run: RunFolder) -> None:
        """Queue a run that is over to go on from its last checkpoint."""
        with self._lock():
            if self.status(run).state.is_over:  # two sessions may ask at once
                run.withdraw_stop()
                self._write(run, state=RunState.QUEUED, error="", ended=0.0, started=0.0)
                self._catalogue.ring()
        self.tend()

    def annotate(self, run: RunFolder, note: str) -> None:
        """Write a note to a run that is over, in place of what was there."""
        with self._lock():
            if self.status(run).is_settled:
                self._write(run, note=" ".join(note.split())[:LONGEST_NOTE])
                self._catalogue.ring()

    def delete(self, run: RunFolder | DamagedRun) -> None:
        """Remove a run that is over or cannot be read, and everything in it, for good."""
        with self._lock():
            if not run.path.is_dir():  # another page was quicker
                return
            if isinstance(run, DamagedRun) or self.status(run).state.is_over:
                shutil.rmtree(run.path)

    def set_aside(self, run: RunFolder) -> RunFolder | None:
        """Take a run that nobody works on out of the list, to be put back or deleted within a day.

        Returns
        -------
        RunFolder or None
            Where it is then; None if somebody works on it, or it is gone already.
        """
        aside = self.root / _ASIDE
        with self._lock():
            if not run.path.is_dir() or not self.status(run).is_settled:
                return None
            aside.mkdir(exist_ok=True)
            for old in aside.iterdir():
                if time.time() - old.stat().st_mtime > _SECONDS_ASIDE:
                    shutil.rmtree(old)
            os.utime(run.path)  # from now on
            return RunFolder(run.path.rename(aside / run.id))

    def put_back(self, aside: RunFolder) -> RunFolder | None:
        """Undo :meth:`set_aside`; None if the run is gone for good."""
        with self._lock():
            if not aside.path.is_dir():
                return None
            return RunFolder(aside.path.rename(self.root / aside.id))

    def tend(self) -> None:
        """Look after the runs: notice workers that died, start the next in the queue."""
        if not self.glance().active and not self._catalogue.all_unwritten:
            return
        with self._lock():
            self._write_what_waits()
            active = self.glance().active
            alive = [
                self._notice(run) for run, status in active if status.state is not RunState.QUEUED
            ]
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
                except Exception as problem:  # noqa: BLE001  a full disk must not end the thread
                    self._complain(problem)
                time.sleep(_SECONDS_BETWEEN_LOOKS)

        thread = threading.Thread(target=loop, name="runs", daemon=True)
        thread.start()
        return thread

    def _complain(self, problem: Exception) -> None:
        """Log what goes wrong at each look, and not each time."""
        (said, when), now = self._complaint, time.monotonic()
        if repr(problem) != said or now - when > _SECONDS_BETWEEN_COMPLAINTS:
            self._complaint = repr(problem), now
            _LOG.error("could not look after the runs", exc_info=problem)

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
        self._free_if_silent(run)
        worker = self._waiting
        if worker is None or worker.poll() is not None:
            worker = self._waiting = self._spawn()
        lease = Lease.of(worker.pid)
        try:
            take_lease(run.path, lease)
        except LeaseHeldError:  # by one that is about to end, or whom nobody has declared dead
            return
        except OSError as problem:
            waits = replace(self.status(run), error=why_unwritten(problem))
            self._catalogue.say_unwritten(run.id, waits)
            raise
        self._waiting = None
        self._workers[run.id] = worker
        self._write(
            run,
            state=RunState.RUNNING,
            doing="starting",
            error="",
            started=time.time(),
            pid=lease.pid,
            process_started=lease.process_started,
        )
        send(worker, run)

    def _free_if_silent(self, run: RunFolder) -> None:
        """Take the lease of a run that waits from a machine that is not heard of any more."""
        lease = holder_of(run.path)
        if lease is None or lease.is_here:
            return
        if self._pulses.silence(run.path) > SECONDS_OF_SILENCE:
            drop_lease(run.path, lease)

    def _write(self, run: RunFolder, **changes: Any) -> None:
        """Say how far a run is; where the disk is full, from memory until it can be written."""
        status = replace(self.status(run), **changes)
        try:
            run.write_status(status)
        except OSError as problem:
            why = why_unwritten(problem)
            if not why:
                raise
            error = " ".join(filter(None, [status.error, why]))
            self._catalogue.say_unwritten(run.id, replace(status, error=error))
            self._complain(problem)
        else:
            self._catalogue.say_unwritten(run.id, None)

    def _write_what_waits(self) -> None:
        """Write what a full disk did not take, once it does."""
        for name, status in self._catalogue.all_unwritten.items():
            # A worker that was only started says itself how far it is.
            if status.state is not RunState.RUNNING:
                try:
                    RunFolder(self.root / name).write_status(status)
                except OSError as problem:  # still full; other runs go on
                    self._complain(problem)
                else:
                    self._catalogue.say_unwritten(name, None)

    def _spawn(self) -> subprocess.Popen:
        with (self.root / "workers.log").open("ab") as log:
            return spawn_worker(log)

    def _notice(self, run: RunFolder) -> bool:
        """Whether the worker of ``run`` is alive; if it died, say so in the run."""
        lease = holder_of(run.path)
        worker = self._workers.get(run.id)
        is_child = worker is not None and lease is not None and worker.pid == lease.pid
        is_alive = lease is not None and self._is_alive(run, lease)
        code = None
        if worker is not None and is_child:  # without being asked a dead one stays a zombie
            code = worker.poll() if is_alive else _exit_code(worker)
        if lease is not None and code is None and is_alive:
            if lease.is_here and run.seconds_unanswered > _SECONDS_TO_ANSWER:
                _kill(lease.pid)
            return True
        status = self.status(run)  # it may have ended since it was looked at
        if not status.state.is_over:
            self._bury(run, lease, code)
        elif not status.is_settled:
            self._write(run, doing="")
        return False

    def _is_alive(self, run: RunFolder, lease: Lease) -> bool:
        if lease.is_here:
            return lease.is_running
        return self._pulses.silence(run.path) < SECONDS_OF_SILENCE

    def _bury(self, run: RunFolder, lease: Lease | None, code: int | None) -> None:
        """Say how the worker of a run died, and clear away what it left."""
        if run.seconds_unanswered > _SECONDS_TO_ANSWER:
            state = RunState.STOPPED
            error = "The fit did not answer when it was stopped, and was ended."
        elif code is not None:
            state, error = RunState.FAILED, how_it_died(code)
        elif lease is None or lease.is_here:
            state, error = RunState.INTERRUPTED, "The fit was cut off: its process is gone."
        else:
            state = RunState.INTERRUPTED
            error = (
                "The fit was cut off: nothing has been heard for "
                f"{SECONDS_OF_SILENCE:.0f} seconds from the machine that it ran on."
            )
        if lease is not None:
            drop_lease(run.path, lease)
        for left in temporaries(run.path):
            left.unlink(missing_ok=True)
        kept = " It can go on from its last checkpoint." if run.has_checkpoint else ""
        self._write(run, state=state, error=error + kept, doing="", ended=time.time())


@contextmanager
def _whole_or_not_at_all(path: Path) -> Iterator[Path]:
    """Make the folder of a run; where the disk has no room for it, nothing stays.

    Raises
    ------
    ValueError
        If it cannot be written, with a sentence.
    """
    try:
        yield path
    except OSError as problem:
        shutil.rmtree(path, ignore_errors=True)
        if why := why_unwritten(problem):
            raise ValueError(why) from problem
        raise


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


def _kill(pid: int) -> None:
    """End a process and those that it started; what it wrote so far is whole."""
    try:
        process = psutil.Process(pid)
        for each in (*process.children(recursive=True), process):
            each.kill()
    except psutil.NoSuchProcess:  # it has ended by itself
        pass


def _exit_code(worker: subprocess.Popen) -> int | None:
    """How a worker ended that is seen to be dead: its threads may need a moment longer."""
    try:
        return worker.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        return None


def how_it_died(code: int) -> str:
    """What the exit code of a worker means, in words."""
    if code == -signal.SIGKILL:
        return "The fit was killed from outside, most often because memory ran out."
    if code == CANNOT_WRITE:
        return "The fit could not write how it ended into its folder."
    if code < 0:
        return f"The fit crashed ({signal.Signals(-code).name})."
    return f"The fit ended unexpectedly (exit code {code}); its log says more."
