"""The work of a run that scores another one: cross-validation, as one job that can go on."""

import time
from collections.abc import Callable
from pathlib import Path

from scribeviz.fitting.folds import FoldStep, cross_validation
from scribeviz.fitting.kinds import resolved
from scribeviz.fitting.methods import method_of
from scribeviz.fitting.plan import AnyCheckpoint
from scribeviz.runs.checkpoints import load_checkpoint, save_checkpoint
from scribeviz.runs.damage import reading
from scribeviz.runs.folder import RunFolder, RunState

_SECONDS_BETWEEN_SAVES = 3.0


def score_by_folds(
    folder: RunFolder, report: Callable[[AnyCheckpoint], None] = lambda _: None
) -> tuple[RunState, str]:
    """Score what another run fitted, by fits that have not seen the cells.

    Folds that are done are kept in ``folder``, with a checkpoint of the one that is at work; once
    all are done, the scores are kept in the folder of the run that is scored.

    Returns
    -------
    tuple
        How it ended, and why where it went wrong.
    """
    spec, scored = folder.spec, folder.scored
    if not scored.has_results:
        raise ValueError("the run that is to be scored has been deleted; fit it again first.")
    whole = scored.results
    steps = cross_validation(
        scored.counts,
        resolved(spec.model),
        spec.config,
        spec.folds,
        whole=whole,
        done=folder.fold_scores,
        starts=_checkpoints(folder),
    )
    expected = max(whole.loss_history.size, 1)  # of every fit: about as many as the whole one took
    settled, saved = True, time.monotonic()
    for step in steps:
        path = _checkpoint_path(folder, step.fold)
        stop = folder.stop_asked
        if step.is_done:
            folder.write_fold_scores(step.scores)
            path.unlink(missing_ok=True)
            settled = settled and step.checkpoint.settled
        elif stop or time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
            save_checkpoint(step.checkpoint, path)
            saved = time.monotonic()
        _publish(folder, step, expected, settled=settled)
        report(step.checkpoint)
        if stop:
            return RunState.STOPPED, ""
    scores = folder.fold_scores
    assert scores is not None  # noqa: S101  every fold has been written
    scored.write_fold_scores(scores)
    return RunState.DONE, ""


def _publish(folder: RunFolder, step: FoldStep, expected: int, *, settled: bool) -> None:
    spec, checkpoint = folder.spec, step.checkpoint
    fits = method_of(spec.config).doing
    doing = "scoring its cells" if step.is_scoring or step.is_done else fits
    of_fold = expected if doing != fits else min(checkpoint.step, expected)
    folder.write_losses(step.fit.losses(checkpoint), step.fit.validation(checkpoint))
    folder.update_status(
        doing=f"fold {step.fold + 1} of {spec.folds}: {doing}",
        step=step.fold * expected + of_fold,
        n_steps=spec.folds * expected,
        steps_per_second=checkpoint.steps_per_second,
        settled=settled and checkpoint.settled,
    )


def _checkpoint_path(folder: RunFolder, fold: int) -> Path:
    return folder.path / f"fold_{fold}.h5"


def _checkpoints(folder: RunFolder) -> dict[int, AnyCheckpoint]:
    """Of folds that were at work, by fold."""
    kept = {}
    for fold in range(folder.spec.folds):
        path = _checkpoint_path(folder, fold)
        if path.exists():
            with reading(path):
                kept[fold] = load_checkpoint(path)
    return kept
