"""The run that is looked at, and how far it is.  Plain ``param``: it runs without a server."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import param

from scribeviz.data.counts import Counts
from scribeviz.fitting.kinds import ChosenModel, known_kind_of
from scribeviz.fitting.methods import METHODS, InferenceConfig, method_of
from scribeviz.runs.catalogue import Look
from scribeviz.runs.damage import DamagedRun, DamagedRunError
from scribeviz.runs.folder import RunFolder, RunState, RunStatus
from scribeviz.runs.store import RunStore
from scribeviz.views.shared.forms import Form, form_for

type _Asked = tuple[
    ChosenModel, InferenceConfig, str, str
]  # with the data, and what it starts from


class FitState(param.Parameterized):
    """The run that is looked at, and how far it is."""

    store = param.ClassSelector(class_=RunStore, constant=True, doc="All runs.")
    method = param.Selector(objects=list(METHODS), doc="Key of the way to find a posterior.")
    configs = param.Dict(constant=True, doc="Per method the form of its settings.")
    run = param.ClassSelector(class_=RunFolder, doc="The run that is looked at.")
    status = param.ClassSelector(class_=RunStatus, doc="How far it is.")
    stopping = param.Boolean(False, doc="Whether it was asked to stop, and goes on yet.")
    preview = param.Tuple((0, 0), doc="Version of what it is judged by while it goes on.")
    losses = param.Array(np.zeros(0), doc="Its losses so far, in nats.")
    validation = param.Tuple(
        (np.zeros(0, int), np.zeros(0)),
        doc="Steps after which cells that are not trained on were scored, and their loss.",
    )
    history = param.List([], doc="All runs with their status, newest first.")
    at_work = param.Tuple(
        (None, None, 0), doc="The run that is being fitted, its status, and how many wait behind."
    )
    damaged = param.List([], doc="The runs that cannot be read.")

    def __init__(self, **params: Any) -> None:
        configs = {key: form_for(method.config) for key, method in METHODS.items()}
        self._of_states = 0  # of the look that was copied last
        super().__init__(configs=configs, **params)
        self._usual = self.method

    @property
    def config(self) -> Form:
        """The settings of the chosen method."""
        return self.configs[self.method]

    def start(self, counts: Counts, spec: ChosenModel) -> RunFolder:
        """Queue a fit in the chosen way, or as usual if the model knows others; and look at it.

        Where the same fit is waiting or under way already, as after a double click, that one is
        looked at instead.
        """
        asked = self._asked(counts, spec)
        _, config, _, start_from = asked
        run = self._same_run(asked, lambda state: not state.is_over) or self.store.submit(
            counts, spec, config, start_from
        )
        self.look_at(run)
        return run

    def finished_before(self, counts: Counts, spec: ChosenModel) -> RunFolder | None:
        """The newest run that is done and fits the same as :meth:`start` would."""
        asked = self._asked(counts, spec)
        return self._same_run(asked, lambda state: state is RunState.DONE)

    def _asked(self, counts: Counts, spec: ChosenModel) -> _Asked:
        kind = known_kind_of(spec)
        method = self.method
        if kind is not None and method not in kind.methods:
            method = kind.methods[0]
        before = self.start_of(counts, spec) if method == self.method else None
        config = self.configs[method].value()
        return spec, config, counts.fingerprint, "" if before is None else before.id

    def _same_run(self, asked: _Asked, wanted: Callable[[RunState], bool]) -> RunFolder | None:
        for run, status in self.store.glance().runs:
            content = run.spec
            same = (content.model, content.config, content.fingerprint, content.start_from) == asked
            if same and not content.scores and wanted(status.state):
                return run
        return None

    def offer(self, methods: Sequence[str]) -> None:
        """Take the usual one of a model's methods, unless the user chose one that it has too."""
        # Another model has another usual way; one that the user chose stays while it can.
        if self.method not in methods or methods[0] != self._usual:
            self.method = methods[0]
        self._usual = methods[0]

    def show_settings(self, config: InferenceConfig, methods: Sequence[str]) -> None:
        """Choose the settings of a run, whose model has these methods."""
        key = method_of(config).key
        self.configs[key].param.update(
            {each.name: getattr(config, each.name) for each in fields(config)}
        )
        self._usual = methods[0]
        self.method = key

    def start_of(self, counts: Counts, spec: ChosenModel) -> RunFolder | None:
        """The newest variational fit of the same model and data, for a sampler to start from."""
        if not METHODS[self.method].takes_start:
            return None
        for run, status in self.history:
            same = run.spec.model == spec and run.spec.fingerprint == counts.fingerprint
            usable = status.state is RunState.DONE and method_of(run.spec.config).starts_others
            if same and usable and run.has_results:
                return run
        return None

    def last_like(self, spec: ChosenModel) -> tuple[RunFolder, RunStatus] | None:
        """The newest run that is done, of such a model and fitted in the chosen way."""
        for run, status in self.history:
            model = run.spec.model
            same = (model.name, model.n_components) == (spec.name, spec.n_components)
            way = method_of(run.spec.config).key == self.method
            if same and way and not run.spec.scores and status.state is RunState.DONE:
                return run, status
        return None

    def stop(self) -> None:
        """End the run at its next checkpoint."""
        if self.run is not None:
            self.store.stop(self.run)
            self.refresh()

    def resume(self) -> None:
        """Go on with the run from its last checkpoint."""
        if self.run is not None:
            self.store.resume(self.run)
            self.refresh()

    def look_at(self, run: RunFolder) -> None:
        """Show ``run`` from now on."""
        try:
            losses, validation = run.traces
        except DamagedRunError:
            losses, validation = np.zeros(0), (np.zeros(0, int), np.zeros(0))
        self.param.update(
            run=run, status=self.store.status(run), losses=losses, validation=validation
        )
        self.refresh()

    def refresh(self) -> None:
        """Copy the news from disk into this session."""
        look = self.store.glance()
        # Progress alone does not count: the list would be drawn anew all the time.
        if look.of_states != self._of_states:
            self._of_states = look.of_states
            self.history = look.runs
            if look.damaged != self.damaged:
                self.damaged = look.damaged
        at_work = _at_work(look.active)
        if at_work != self.at_work:
            self.at_work = at_work
        if self.run is None:
            return
        try:
            self._follow(self.run)
        except DamagedRunError:  # the list says why; or it was deleted
            self.param.update(
                run=None, status=None, stopping=False, losses=np.zeros(0), preview=(0, 0)
            )

    def is_behind(self, look: Look) -> bool:
        """Whether ``look`` has news for this session; may be asked from any thread."""
        run, status = self.run, self.status
        return (
            look.of_states != self._of_states
            or _at_work(look.active) != self.at_work
            or any(
                run is not None and one.id == run.id and now != status for one, now in look.active
            )
        )

    def _follow(self, run: RunFolder) -> None:
        status = self.store.status(run)
        self.preview = (0, 0) if status.state.is_over else run.preview_version
        self.stopping = status.state is RunState.RUNNING and run.stop_asked
        if status != self.status:
            grown: dict[str, Any] = {}
            if status.step != self.losses.size:
                losses, validation = run.traces
                grown = {"losses": losses, "validation": validation}
            self.param.update(status=status, **grown)

    def delete(self, run: RunFolder | DamagedRun) -> None:
        """Remove a run that cannot be read, or was set aside, for good."""
        self.store.delete(run)
        self.refresh()

    def set_aside(self, run: RunFolder) -> RunFolder | None:
        """Take a run out of the list; it can be put back for a day.

        None where somebody works on it, or it is gone already.
        """
        aside = self.store.set_aside(run)
        self.refresh()
        return aside

    def put_back(self, aside: RunFolder) -> bool:
        """Have a run in the list again, and look at it; False where it is gone for good."""
        run = self.store.put_back(aside)
        if run is None:
            return False
        self.look_at(run)
        return True

    def annotate(self, run: RunFolder, note: str) -> None:
        """Write a note to a run that is over."""
        self.store.annotate(run, note)
        self.refresh()

    @property
    def can_stop(self) -> bool:
        """Whether there is something to stop."""
        return self.status is not None and not self.status.state.is_over

    @property
    def can_resume(self) -> bool:
        """Whether the run ended before it was done and can go on."""
        if self.run is None or self.status is None or not self.run.has_checkpoint:
            return False
        unfinished = {RunState.STOPPED, RunState.FAILED, RunState.INTERRUPTED}
        return self.status.state in unfinished


def _at_work(
    active: Sequence[tuple[RunFolder, RunStatus]],
) -> tuple[RunFolder | None, RunStatus | None, int]:
    waiting = sum(status.state is RunState.QUEUED for _, status in active)
    for run, status in active:
        if status.state is RunState.RUNNING:
            return run, status, waiting
    return None, None, waiting
