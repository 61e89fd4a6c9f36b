"""A run that a terminal waits for: the server's worker, with a progress bar."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scribeviz.runs.folder import RunFolder, RunState, RunStatus
from scribeviz.runs.store import how_it_died, send, spawn_worker

_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_BETWEEN_LINES = 10.0  # of a log; a terminal is drawn at every look


@contextmanager
def waiting_worker() -> Iterator[subprocess.Popen]:
    """A worker that does its imports while the caller prepares its run; gone at the end."""
    worker = spawn_worker()
    try:
        yield worker
    finally:
        if worker.stdin is not None:
            worker.stdin.close()
        worker.kill()
        worker.wait()


def fit_by(worker: subprocess.Popen, run: RunFolder) -> RunStatus:
    """Have ``worker`` fit ``run`` and show how far it is; gives how it ended.

    The first Ctrl-C asks the fit to stop and keep what it has, the second kills it.
    """
    with _bar() as show:
        try:
            send(worker, run)
            _follow(worker, run, show)
        except KeyboardInterrupt:
            run.ask_to_stop()
            try:
                _follow(worker, run, show)
            except KeyboardInterrupt:
                worker.kill()
    code = worker.wait()
    status = run.status
    if status.state.is_over:
        return status
    return run.update_status(
        state=RunState.FAILED, error=how_it_died(code), doing="", ended=time.time()
    )


def _follow(worker: subprocess.Popen, run: RunFolder, show: Callable[[RunFolder], None]) -> None:
    while True:
        try:
            worker.wait(_SECONDS_BETWEEN_LOOKS)
        except subprocess.TimeoutExpired:
            show(run)
        else:
            show(run)
            return


@contextmanager
def _bar() -> Iterator[Callable[[RunFolder], None]]:
    from tqdm.auto import tqdm

    pause = 0.0 if sys.stderr.isatty() else _SECONDS_BETWEEN_LINES
    with tqdm(total=0, unit="step", mininterval=pause) as bar:
        drawn = time.monotonic()

        def show(run: RunFolder) -> None:
            nonlocal drawn
            status = run.status
            # Settled early: that is the whole of it.
            bar.total = status.step if status.settled else status.n_steps
            losses = run.losses
            loss = f"loss {losses[-50:].mean():,.1f}" if losses.size else ""
            bar.set_postfix_str(", ".join(filter(None, [loss, status.doing])), refresh=False)
            bar.n = status.step
            if time.monotonic() - drawn >= pause:
                bar.refresh()
                drawn = time.monotonic()

        yield show
