"""Cross-validation that is missing for a verdict: asked for, followed and cancelled.

Plain ``param``: it runs without a server.
"""

from collections.abc import Sequence
from typing import NamedTuple

import param

from scribeviz.fitting.folds import FOLDS
from scribeviz.runs.folder import RunFolder, RunState, RunStatus
from scribeviz.runs.store import RunStore

type History = Sequence[tuple[RunFolder, RunStatus]]


class Scoring(NamedTuple):
    """A cross-validation on its way, as it is shown.

    Attributes
    ----------
    run
        Id of the run that does it.
    label
        The model that is scored.
    doing
        What is being done, in words.
    percent
        How far it is.
    """

    run: str
    label: str
    doing: str
    percent: int


class ScoringState(param.Parameterized):
    """The runs whose cells are still to be scored in folds, and how far that is."""

    store = param.ClassSelector(class_=RunStore, constant=True, doc="All runs.")
    missing = param.List([], doc="Ids of the runs that have to be scored for a verdict.")
    under_way = param.List([], doc="A :class:`Scoring` each, of those that wait or run.")
    problem = param.String("", doc="Why scores are still missing, though they were asked for.")
    n_done = param.Integer(0, doc="How many have been scored since the page was opened.")

    def ask_for(self, missing: list[str], history: History) -> None:
        """Say which runs have to be scored; those that are on their way are followed."""
        self.param.update(missing=missing, problem="")
        self.refresh(history)

    def seconds(self) -> float:
        """About how long it will take: each fold is a fit."""
        runs = (RunFolder(self.store.root / run) for run in self.missing)
        return FOLDS * sum(run.status.seconds for run in runs)

    def start(self) -> None:
        """Queue what is missing; what was begun before, here or in another session, goes on."""
        self.problem = ""
        begun = self._scorings(self.store.glance().runs)
        for run_id in self.missing:
            before = begun.get(run_id)
            if before is None:
                self.store.submit_scoring(RunFolder(self.store.root / run_id), FOLDS)
            elif before.status.state.is_over:
                self.store.resume(before)
        self.refresh(self.store.glance().runs)

    def cancel(self) -> None:
        """Stop those that wait or run; folds that are done are kept."""
        for one in self.under_way:
            self.store.stop(RunFolder(self.store.root / one.run))
        self.refresh(self.store.glance().runs)

    def refresh(self, history: History) -> None:
        """Copy the news from disk into this session; the page calls it when runs have changed."""
        if not self.missing:
            if self.under_way:
                self.under_way = []
            return
        under_way, problems, scored = [], [], []
        for run_id, run in self._scorings(history).items():
            status = run.status
            if not status.state.is_over:
                doing = status.doing or "waiting for the run before it"
                doing = "stopping …" if run.stop_asked else doing
                label = run.scored.spec.label
                under_way.append(Scoring(run.id, label, doing, status.percent))
            elif status.state is RunState.DONE:
                scored.append(run_id)
            elif status.error and status.state is not RunState.STOPPED:
                problems.append(f"{run.scored.spec.label}: {status.error}")
        self.param.update(under_way=under_way, problem=" ".join(problems))
        if scored:
            self.missing = [run_id for run_id in self.missing if run_id not in scored]
            self.n_done += len(scored)

    def _scorings(self, history: History) -> dict[str, RunFolder]:
        """By the run that is missing, the newest that scores it."""
        newest: dict[str, RunFolder] = {}
        for run, _ in history:  # newest first
            if run.spec.scores in self.missing:
                newest.setdefault(run.spec.scores, run)
        return newest
