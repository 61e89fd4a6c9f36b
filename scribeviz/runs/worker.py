"""The process that fits: ``python -m scribeviz.runs.worker``, told by the store which run.

A process of its own, so that a crash or an out-of-memory leaves the server alive, and the memory of
a GPU is free again when it ends.
"""

import math
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import jax

from scribeviz._offered import NotOfferedError
from scribeviz._storage import temporaries
from scribeviz.data.counts import CountsError
from scribeviz.fitting.kinds import kind_of, resolved
from scribeviz.fitting.methods import Method, method_of
from scribeviz.fitting.plan import AnyCheckpoint, Fit
from scribeviz.inference.svi import LossNotFiniteError
from scribeviz.models.custom.registry import load_configured_models
from scribeviz.networks.training import TrainingError
from scribeviz.runs.folder import (
    CHECKING,
    COMPILING,
    READING,
    SCORING,
    RunFolder,
    RunState,
    last_loss,
)
from scribeviz.runs.full_disk import CANNOT_WRITE, why_unwritten
from scribeviz.runs.lease import Held, Lease, LeaseHeldError, LeaseLostError
from scribeviz.runs.scoring import score_by_folds

# A checkpoint on disk is for after a crash: a few seconds of work may be lost.
_SECONDS_BETWEEN_SAVES = 3.0
_ENDED_EARLY = (LossNotFiniteError, TrainingError)
_SECONDS_BETWEEN_PREVIEWS = 2.0
_SHARE_OF_PREVIEWS = 0.1  # of the time of the fit
_NO_MEMORY = "There was not enough memory for this fit; fewer components or genes need less."


def work(folder: RunFolder, report: Callable[[AnyCheckpoint], None] = lambda _: None) -> None:
    """Fit what ``folder`` says, and keep in it how it goes and what comes out.

    Parameters
    ----------
    folder
        A run; one with a checkpoint goes on from there.
    report
        Called with every checkpoint.

    Raises
    ------
    LeaseHeldError
        If another process works on it.
    LeaseLostError
        If it was given to another process meanwhile, as when this machine slept.
    OSError
        If not even how it ended can be written.
    """
    lease = Lease.of(os.getpid())
    with Held(folder.path, lease) as held:
        for left in temporaries(folder.path):
            left.unlink(missing_ok=True)
        folder.update_status(
            state=RunState.RUNNING,
            doing=READING,
            pid=lease.pid,
            process_started=lease.process_started,
            started=time.time(),
            ended=0.0,
            error="",
        )
        state, error = _outcome(folder, held, report)
        held.check()
        before = folder.status
        if before.state is RunState.QUEUED:  # it was stopped, and is to go on already
            return
        ended = before.ended if before.state.is_over else time.time()
        folder.update_status(state=state, error=error, doing="", ended=ended)


def _outcome(
    folder: RunFolder, held: Held, report: Callable[[AnyCheckpoint], None]
) -> tuple[RunState, str]:
    """Fit or score, and how that ended, whatever happened."""

    def report_if_held(checkpoint: AnyCheckpoint) -> None:
        held.check()
        report(checkpoint)

    try:
        load_configured_models()
        folder.update_status(device=_device(method_of(folder.spec.config)))
        if folder.spec.scores:
            return score_by_folds(folder, report_if_held)
        return _fit(folder, held, report)
    except LeaseLostError:
        raise
    except (CountsError, ValueError, NotOfferedError, *_ENDED_EARLY) as problem:
        traceback.print_exc()
        return RunState.FAILED, str(problem)
    except MemoryError:
        traceback.print_exc()
        return RunState.FAILED, _NO_MEMORY
    except Exception as problem:  # noqa: BLE001  the border of the process: it must say how it ended
        traceback.print_exc()
        error = f"Something unexpected happened ({type(problem).__name__}: {problem})."
        if isinstance(problem, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in error:
            error = _NO_MEMORY
        if isinstance(problem, OSError) and (why := why_unwritten(problem)):
            kept = " It can go on from its last checkpoint." if folder.has_checkpoint else ""
            error = f"{why}{kept}"
        return RunState.FAILED, error


def _fit(
    folder: RunFolder, held: Held, report: Callable[[AnyCheckpoint], None]
) -> tuple[RunState, str]:
    fit = _prepare(folder)
    folder.update_status(doing=COMPILING, n_steps=fit.n_steps)
    last = folder.read_checkpoint() if folder.has_checkpoint else None
    outcome = RunState.DONE, ""
    saved = time.monotonic()
    previews = _Previews(folder, fit)
    try:
        for checkpoint in fit.checkpoints(start=last):
            last = checkpoint
            held.check()
            _publish(folder, fit, checkpoint)
            report(checkpoint)
            previews.follow(checkpoint)
            if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
                folder.write_checkpoint(checkpoint)
                saved = time.monotonic()
            if folder.stop_asked:
                outcome = RunState.STOPPED, ""
                break
    except _ENDED_EARLY as problem:
        traceback.print_exc()
        kept = "" if last is None else f" The fit up to step {last.step:,} is kept."
        outcome = RunState.FAILED, f"{problem}{kept}"
    finally:
        folder.preview_path.unlink(missing_ok=True)
    if last is not None:
        held.check()
        folder.write_checkpoint(last)
        if outcome[0] is RunState.STOPPED:  # whoever stopped it does not wait for the judgement
            folder.update_status(state=RunState.STOPPED, doing=CHECKING, ended=time.time())
        if useless := _conclude(folder, fit, last):
            outcome = RunState.FAILED, useless
    return outcome


class _Previews:
    """Every gene judged now and then while the fit goes on, in under a tenth of its time."""

    def __init__(self, folder: RunFolder, fit: Fit) -> None:
        self._folder, self._fit = folder, fit
        self._began = self._last = time.monotonic()
        self._spent = self._cost = 0.0

    def follow(self, checkpoint: AnyCheckpoint) -> None:
        """Judge the genes by ``checkpoint``, if it is time to."""
        now = time.monotonic()
        affordable = self._spent + self._cost <= _SHARE_OF_PREVIEWS * (now - self._began)
        if now - self._last < _SECONDS_BETWEEN_PREVIEWS or not affordable:
            return
        try:
            preview = self._fit.preview(checkpoint)
        except Exception:  # noqa: BLE001  the log has it; nobody loses a fit for a look at it
            traceback.print_exc()
            self._cost = math.inf  # not again in this run
            return
        if preview is not None:
            preview.save(self._folder.preview_path)
        self._last = time.monotonic()
        self._cost = self._last - now
        self._spent += self._cost


def _prepare(folder: RunFolder) -> Fit:
    spec = folder.spec
    before = None
    if spec.start_from:
        first = RunFolder(folder.path.parent / spec.start_from)
        if not first.path.is_dir():
            raise ValueError("the fit that this run starts from has been deleted; start it anew.")
        before = first.results
    kind = kind_of(spec.model)
    kind.check_method(method_of(spec.config))
    return kind.prepare(folder.counts, resolved(spec.model), spec.config, before)


def _publish(folder: RunFolder, fit: Fit, checkpoint: AnyCheckpoint) -> None:
    losses, validation = fit.losses(checkpoint), fit.validation(checkpoint)
    folder.write_losses(losses, validation)
    folder.update_status(
        doing=method_of(folder.spec.config).doing,
        step=checkpoint.step,
        # The rule that ends it looks at noisy losses; a bar that goes back is not believed.
        progress=max(folder.status.progress, fit.progress(checkpoint)),
        n_steps=checkpoint.n_steps,
        steps_per_second=checkpoint.steps_per_second,
        settled=checkpoint.settled,
        loss=last_loss(losses, validation[1], folder.spec.config),
    )


def _conclude(folder: RunFolder, fit: Fit, checkpoint: AnyCheckpoint) -> str:
    """Keep the result, and judge it or give why it cannot be used.

    Genes can be looked at while cells are scored.
    """
    results = fit.results(checkpoint)
    folder.write_results(results)
    if problem := fit.problem(results):
        return problem
    folder.update_status(doing=CHECKING)
    for critique in results.judged(fit.counts, folder.spec.config.seed):
        folder.write_critique(critique)
        folder.update_status(doing=SCORING)
    return ""


def _device(method: Method) -> str:
    cpu = f"CPU ({os.cpu_count()} cores)"
    if method.on_cpu:
        return cpu
    device = jax.devices()[0]
    return cpu if device.platform == "cpu" else f"GPU ({device.device_kind})"


def main() -> None:
    """Wait for the path of a run on standard input, then fit it; end when there is none.

    A worker that waits has done its imports, which take seconds, before anybody clicks.  It has not
    touched a device yet: JAX takes most of a GPU's memory at first use.
    """
    path = sys.stdin.readline().strip()
    if path:
        folder = RunFolder(Path(path))
        with folder.log_path.open("ab") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
        try:
            work(folder)
        except (LeaseHeldError, LeaseLostError) as problem:
            print(f"{problem}; this worker ends.", flush=True)  # noqa: T201  into the log
        except OSError:
            traceback.print_exc()
            sys.exit(CANNOT_WRITE)


if __name__ == "__main__":
    main()
