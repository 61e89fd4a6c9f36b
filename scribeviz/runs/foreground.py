"""A run that a terminal waits for: the server's worker, with a progress bar."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scribeviz.runs.folder import RunFolder, RunState, RunStatus
from scribeviz.runs.store import how_it_died, send, spawn_worker

_SECONDS_BETWEEN_LOOKS = 0.2


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

    with tqdm(total=0, unit="step") as bar:

        def show(run: RunFolder) -> None:
            status = run.status
            # Settled early: that is the whole of it.
            bar.total = status.step if status.settled else status.n_steps
            losses = run.losses
            loss = f"loss {losses[-50:].mean():,.1f}" if losses.size else ""
            bar.set_postfix_str(", ".join(filter(None, [loss, status.doing])), refresh=False)
            bar.update(status.step - bar.n)
            bar.refresh()

        yield show
