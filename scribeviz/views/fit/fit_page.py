"""Start a fit, watch it, stop it."""

from dataclasses import fields
from functools import partial
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
import param
from holoviews.streams import Pipe
from panel import ui
from panel.viewable import Viewable

from scribeviz.data.counts import Counts
from scribeviz.data.droplets import empty_droplets
from scribeviz.fitting.methods import METHODS, method_of
from scribeviz.plots.figures import Legend
from scribeviz.plots.loss import LEGEND, VALIDATION_LEGEND, loss_curve, thinned_loss
from scribeviz.runs.folder import (
    CHECKING,
    COMPILING,
    READING,
    SCORING,
    RunFolder,
    RunState,
    RunStatus,
)
from scribeviz.views.data.data_state import DataState
from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.fit.live_genes import LiveGenesView
from scribeviz.views.fit.run_list import RunList
from scribeviz.views.fit.run_log import RunLog
from scribeviz.views.model.model_state import ModelState
from scribeviz.views.shared.figures import figure
from scribeviz.views.shared.parts import (
    button,
    card,
    empty,
    flexible,
    folded,
    in_words,
    legend,
    notice,
    number_field,
    page,
    short,
    text_html,
    tiles_html,
    when,
    words,
    words_html,
    wrapping,
)

_SHOWN_AT_ONCE = 2  # settings of a method; the others are under "More"
_PHASES = (
    "display:flex;flex-wrap:wrap;gap:0 22px;list-style:none;margin:0;padding:0;font-size:.9rem"
)
_NOW = "font-weight:600"
_EVERYTHING, _TAIL = "All steps", "Last half"


class FitView(pn.viewable.Viewer):
    """The settings of a fit, its progress with the live loss, and all earlier runs."""

    state = param.ClassSelector(class_=FitState, constant=True)
    data = param.ClassSelector(class_=DataState, constant=True)
    model = param.ClassSelector(class_=ModelState, constant=True)
    go_on = param.Callable(doc="Called when the user wants to explore the result.")

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._offered = ui.Column(sizing_mode="stretch_width", margin=(8, 0, 0, 0))

    def __panel__(self) -> Viewable:
        progress = ProgressView(state=self.state, go_on=self.go_on)
        runs = RunList(state=self.state)
        return page(
            "Fit",
            "It goes on when you close this tab; its address brings you back.",
            wrapping(
                # The settings grow only where they have a line of their own.
                ui.Column(self._settings(), styles=flexible(1, 290)),
                ui.Column(
                    progress,
                    LiveGenesView(state=self.state),
                    runs,
                    styles=flexible(1_000, 400),
                ),
            ),
        )

    def _settings(self) -> Viewable:
        start = button(
            "Start the fit",
            "play_arrow",
            lambda _: self._start(),
            disabled=pn.bind(lambda counts: counts is None, self.data.param.counts),
        )
        what = pn.bind(
            self._what,
            self.data.param.counts,
            self.model.param.likelihood,
            self.model.param.n_components,
        )
        how_long = pn.bind(
            self._how_long,
            self.state.param.history,
            self.state.param.method,
            self.model.param.likelihood,
            self.model.param.n_components,
        )
        picker = ui.RadioBoxGroup(label="", options={}, margin=(0, 0, 6, 0))

        def follow(*_: param.parameterized.Event) -> None:
            keys = self.model.methods
            self.state.offer(keys)
            options = {METHODS[key].label: key for key in keys}
            picker.param.update(options=options, value=self.state.method, visible=len(keys) > 1)

        def take(event: param.parameterized.Event) -> None:
            if event.new is not None:
                self.state.method = event.new

        picker.param.watch(take, "value")

        self.model.param.watch(follow, ["likelihood", "n_components"])
        self.state.param.watch(follow, "method")
        follow()
        return card(
            "Settings",
            ui.HTML(what, margin=(0, 0, 8, 0)),
            pn.bind(_empty_droplets, self.data.param.counts),
            picker,
            pn.bind(self._inputs_of, self.state.param.method),
            ui.HTML(how_long, margin=(0, 0, 8, 0)),
            start,
            self._offered,
        )

    def _how_long(self, *_: object) -> str:
        """What the last such fit took, and on what: what to expect of the next."""
        last = self.state.last_like(self.model.spec())
        if last is None:
            return ""
        run, status = last
        took = f"The last such fit took {in_words(status.seconds)} on {status.device}, "
        return words_html(
            f"{took}for {run.spec.n_cells:,} cells x {run.spec.n_genes:,} genes.", faint=True
        )

    def _inputs_of(self, key: str) -> Viewable:
        names = [f.name for f in fields(METHODS[key].config)]
        first, rest = names[:_SHOWN_AT_ONCE], names[_SHOWN_AT_ONCE:]
        more = folded(
            ui.Column(*self._inputs(key, rest), margin=(10, 10, 4, 10)),
            title="More",
            margin=(0, 0, 10, 0),
        )
        about = pn.bind(
            self._about_method, self.state.param.history, self.data.param.counts, key=key
        )
        return ui.Column(
            ui.HTML(about, margin=(0, 0, 8, 0)),
            *self._inputs(key, first),
            more,
            sizing_mode="stretch_width",
        )

    def _about_method(self, _history: list[Any], counts: Counts | None, *, key: str) -> str:
        text = METHODS[key].doc
        if counts is not None and METHODS[key].takes_start:
            start = self.state.start_of(counts, self.model.spec())
            text += (
                " It starts from the moments of the data: a variational fit of this model before "
                "it would make the warm-up shorter."
                if start is None
                else " It starts from the newest variational fit of this model."
            )
        return words_html(text, faint=True)

    def _inputs(self, key: str, names: list[str]) -> list[Viewable]:
        form = self.state.configs[key]
        return [number_field(form, name, sizing_mode="stretch_width") for name in names]

    def _start(self, *, again: bool = False) -> None:
        counts, spec = self.data.counts, self.model.spec()
        self._offered[:] = []
        try:
            before = None if again else self.state.finished_before(counts, spec)
            if before is None:
                self.state.start(counts, spec)
            else:
                self._offer(before)
        except ValueError as problem:
            pn.state.notifications.error(str(problem), duration=0)

    def _offer(self, before: RunFolder) -> None:
        """The same fit is there: who wants it again says so."""

        def look(_: object) -> None:
            self._offered[:] = []
            self.state.look_at(before)

        text = f"This fit exists: the same data, model and settings, {when(before.spec.created)}."
        self._offered[:] = [
            notice(text, "info"),
            ui.FlexBox(
                button("Look at it", "visibility", look),
                button(
                    "Fit again", "replay", lambda _: self._start(again=True), variant="outlined"
                ),
            ),
        ]

    def _what(self, counts: Counts | None, _likelihood: str, _n_components: int) -> str:
        if counts is None:
            return words_html("Open data first; earlier runs can be looked at already.", faint=True)
        return words_html(f"{self.model.spec().described} on {counts.name}", faint=True)


def _empty_droplets(counts: Counts | None) -> Viewable:
    warning = "" if counts is None else empty_droplets(counts)
    if not warning:
        return ui.Spacer(height=0)
    return notice(f"{warning} The Data page offers to leave them out.", "warning")


class ProgressView(pn.viewable.Viewer):
    """How far the run is: figures, the loss as it falls, and what can be done about it."""

    state = param.ClassSelector(class_=FitState, constant=True)
    go_on = param.Callable(doc="Called when the user wants to explore the result.")
    shown = param.Selector(default=_EVERYTHING, objects=[_EVERYTHING, _TAIL], label="Steps shown")
    log_axes = param.Boolean(False, doc="Draw steps and losses on logarithmic axes.")
    validates = param.Boolean(False, doc="Whether some cells are not trained on.")
    unit = param.String("steps", doc="What the fit counts its steps in.")

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        state = self.state
        self._what = ui.HTML("", sizing_mode="stretch_width", margin=(0, 0, 6, 0))
        self._figures = ui.HTML("", sizing_mode="stretch_width", margin=(0, 0, 6, 0))
        self._bar = ui.LinearProgress(
            value=0, sizing_mode="stretch_width", margin=(4, 0, 12, 0), visible=False
        )
        self._phases = ui.HTML("", sizing_mode="stretch_width", margin=(0, 0, 2, 0))
        self._problem = ui.Column(sizing_mode="stretch_width")
        self._actions = ui.Row()
        self._how_to_read = words("", faint=True)
        self._pipe = Pipe(data=thinned_loss(np.zeros(0)))
        steps = ui.RadioButtonGroup.from_param(
            self.param.shown,
            label="",
            size="small",
            margin=0,
            width=200,
            sx={"& .MuiToggleButton-root": {"whiteSpace": "nowrap"}},
        )
        self._log = ui.Switch.from_param(self.param.log_axes, label="Logarithmic axes")
        self._plot = ui.Column(
            ui.FlexBox(steps, self._log, gap="0 24px"),
            pn.bind(
                lambda validates: legend(VALIDATION_LEGEND if validates else LEGEND),
                self.param.validates,
            ),
            figure(
                pn.bind(self._curve, self.param.log_axes, self.param.validates, self.param.unit),
                "loss",
                make=self._figure,
                height=340,
            ),
            self._how_to_read,
            sizing_mode="stretch_width",
            visible=False,
        )
        self._waiting = empty("The loss will be drawn here, a few seconds after the start.")
        state.param.watch(self._show_status, ["run", "status", "stopping"])
        state.param.watch(self._show_losses, ["losses", "validation"])
        self.param.watch(self._show_losses, "shown")
        self._show_status()
        self._show_losses()

    def __panel__(self) -> Viewable:
        return card(
            "Progress",
            self._what,
            self._problem,
            self._figures,
            self._phases,
            self._bar,
            self._waiting,
            self._plot,
            self._actions,
            RunLog(state=self.state),
        )

    def _show_status(self, *_: param.parameterized.Event) -> None:
        run, status = self.state.run, self.state.status
        if run is None or status is None:
            self._what.object = words_html("Nothing has been started yet.")
            self._figures.object = self._how_to_read.object = self._phases.object = ""
            self._bar.visible = False
            self._problem[:], self._actions[:] = [], []
            return
        doing = "stopping …" if self.state.stopping else _state_in_words(run, status)
        self._what.object = words_html(f"{run.spec.described} on {run.spec.data_name}: {doing}")
        self._how_to_read.object = words_html(method_of(run.spec.config).trace_doc, faint=True)
        self.unit = unit = method_of(run.spec.config).unit
        is_waiting = status.state is RunState.QUEUED and status.step == 0
        self._figures.object = "" if is_waiting else tiles_html(_figures(status, unit))
        phases, how_far_is_known = _phases(run, status)
        self._phases.object = phases
        self._bar.param.update(
            visible=not is_waiting,
            value=status.percent if how_far_is_known else -1,
            variant="determinate" if how_far_is_known else "indeterminate",
            color="error" if status.state is RunState.FAILED else "primary",
        )
        self._problem[:] = [notice(status.error, "error")] if status.error else []
        self._show_waiting()
        self._offer_actions(status)

    def _offer_actions(self, status: RunStatus) -> None:
        state = self.state
        offered = []
        if state.can_stop:
            stop = ("Stop and keep", "stop", lambda _: state.stop())
            offered.append((stop, "error"))
        if state.can_resume:
            offered.append((("Resume", "play_arrow", lambda _: state.resume()), "primary"))
        if state.run is not None and state.run.has_results and status.can_be_explored:
            explore = ("Explore the result", "arrow_forward", lambda _: self.go_on())
            offered.append((explore, "primary"))
        labels = [action[0] for action, _ in offered]
        # Replaced only when they change: a button that is rebuilt under the mouse loses the click.
        if labels != [made.label for made in self._actions]:
            self._actions[:] = [button(*action, color=color) for action, color in offered]

    def _curve(self, log: bool, _validates: bool, unit: str) -> hv.DynamicMap:  # noqa: FBT001  switches
        # Drawn anew when cells are validated: a DynamicMap keeps the parts that it began with.
        draw = partial(loss_curve, log=log, unit=unit, show_legend=False)
        return hv.DynamicMap(draw, streams={"data": self._pipe.param.data})

    def _figure(self) -> tuple[hv.Overlay, Legend]:
        return loss_curve(self._pipe.data, log=self.log_axes, unit=self.unit), ()

    def _show_losses(self, *_: param.parameterized.Event) -> None:
        losses = self.state.losses
        # The energy of a sampler and the loss of a user's own model may be negative.
        self._log.disabled = bool((losses <= 0).any())
        if self._log.disabled:
            self.log_axes = False
        first = losses.size // 2 if self.shown == _TAIL else 0
        validates = self.state.validation[0].size > 0
        data = thinned_loss(losses, first, self.state.validation if validates else None)
        if validates == self.validates:
            self._pipe.send(data)
        else:
            self._pipe = Pipe(data=data)
            self.validates = validates
        self._plot.visible = losses.size > 0
        self._show_waiting()

    def _show_waiting(self) -> None:
        status = self.state.status
        is_over = status is not None and status.state.is_over
        self._waiting.visible = self.state.losses.size == 0 and not is_over


def _state_in_words(run: RunFolder, status: RunStatus) -> str:
    if status.state is RunState.RUNNING:
        return status.doing
    if status.state is RunState.DONE:
        method = method_of(run.spec.config)
        ending = method.settled if status.settled else method.finished
        return ending.format(took=in_words(status.seconds))
    return {
        RunState.QUEUED: "waiting for the run before it",
        RunState.STOPPED: _stopped_in_words(status),
        RunState.FAILED: "failed",
        RunState.INTERRUPTED: "interrupted",
    }[status.state]


def _stopped_in_words(status: RunStatus) -> str:
    if not status.step:
        return "stopped before its first step"
    doing = "" if status.is_settled else f"; {status.doing} …"
    return f"stopped; what was fitted until then is kept{doing}"


def _phases(run: RunFolder, status: RunStatus) -> tuple[str, bool]:
    """The phases of a fit with the one that it is in, as HTML; and whether its bar can say more.

    What a worker is at may be something that is not known here: it is then a phase of its own.
    """
    if status.state is not RunState.RUNNING or run.spec.scores:
        return "", True
    fitting = method_of(run.spec.config).doing
    names = [READING, COMPILING, fitting, CHECKING, SCORING]
    if status.doing in names:
        at = names.index(status.doing)
    elif status.step == 0:
        at = 0
    else:
        names.append(status.doing)
        at = len(names) - 1
    shown = "".join(
        f'<li style="{_NOW if i == at else ""}"{" aria-current=step" if i == at else ""}>'
        f"{'✓ ' if i < at else ''}{text_html(name)}</li>"
        for i, name in enumerate(names)
    )
    return f'<ol style="{_PHASES}">{shown}</ol>', names[at] == fitting


def _figures(status: RunStatus, unit: str) -> dict[str, str]:
    most = f", of at most {status.n_steps:,}" if status.n_steps else ""
    return {
        f"{unit}{most}": f"{status.step:,}",
        "done": f"{status.percent} %",
        "time left": _time_left(status),
        f"{unit} per second": short(status.steps_per_second) if status.step else "-",
        "device": status.device or "-",
    }


def _time_left(status: RunStatus) -> str:
    left = status.most_seconds_left
    return "-" if left is None else f"at most {in_words(left)}"
