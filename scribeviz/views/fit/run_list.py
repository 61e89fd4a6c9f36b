"""All runs, newest first: a click looks at one, and each can have a note or be deleted."""

from typing import Any

import pandas as pd
import panel as pn
import param
from bokeh.models.widgets.tables import NumberFormatter
from panel import ui
from panel.viewable import Viewable

from scribeviz.runs.damage import DamagedRun
from scribeviz.runs.folder import RunFolder, RunState, RunStatus
from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.shared.parts import (
    LISTED_AT_ONCE,
    ROWS_CHOOSE,
    TABLE_LOOK,
    button,
    card,
    in_words,
    notice,
    when,
    words,
    words_html,
)

_DAMAGED_SHOWN = 5  # runs that cannot be read; the others are counted
_DELETE, _FOR_GOOD = "Delete it", "Delete it for good"
_ALL_DATA = "All data sets"
_NOTE = "note"
_COLUMNS = ["started", "data", "model", "state", _NOTE, "loss", "steps", "took"]
_COLOURS = {  # seen on white and on black
    RunState.QUEUED: "#7c8591",
    RunState.RUNNING: "#1b88c4",
    RunState.DONE: "#2e9e6b",
    RunState.STOPPED: "#c98a00",
    RunState.FAILED: "#d9534f",
    RunState.INTERRUPTED: "#d9534f",
}


class RunList(pn.viewable.Viewer):
    """All runs, newest first; a click looks at one."""

    state = param.ClassSelector(class_=FitState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._n_listed = LISTED_AT_ONCE
        self._listed: list[tuple[RunFolder, RunStatus]] = []
        self._data = ui.Select(
            label="Data set",
            options=[_ALL_DATA],
            value=_ALL_DATA,
            visible=False,
            max_width=360,
            margin=(4, 0, 10, 0),
        )
        self._listing = ui.Tabulator(
            self._table(),
            show_index=False,
            css_classes=[ROWS_CHOOSE],
            stylesheets=[TABLE_LOOK],
            selectable=False,
            pagination="local",
            page_size=8,
            # As wide as what they hold, and the table scrolls where that is too much.
            layout="fit_data_stretch",
            widths={"data": 140, "model": 190, _NOTE: 130},
            formatters={
                "state": {"type": "html"},  # made of words of ours
                "loss": NumberFormatter(format="0,0"),
                "steps": NumberFormatter(format="0,0"),
            },
            editors=dict.fromkeys(_COLUMNS) | {_NOTE: {"type": "input"}},
            header_tooltips={
                "loss": "Where it is, in nats; models and methods differ in what it is.",
                _NOTE: "Click into the column to write one.",
            },
            text_align={"loss": "right", "steps": "right"},
            sizing_mode="stretch_width",
            margin=0,
        )
        self._listing.on_click(self._look_at)
        self._listing.on_edit(self._annotate)
        self._data.param.watch(self._show, "value")
        self._hint = words("", faint=True)
        self._of_run = ui.Column(sizing_mode="stretch_width", margin=(6, 0, 0, 0))
        self._aside: tuple[RunFolder, str] | None = None
        self._damaged = ui.Column(sizing_mode="stretch_width", margin=(10, 0, 0, 0))
        self._older = button(
            "List older runs", "expand_more", self._list_older, variant="text", visible=False
        )
        self.state.param.watch(self._show, "history")
        self.state.param.watch(self._show_actions, ["run", "history"])
        self.state.param.watch(self._show_damaged, "damaged")
        self._show()
        self._show_actions()
        self._show_damaged()

    def __panel__(self) -> Viewable:
        return card(
            "Runs",
            self._hint,
            self._data,
            self._listing,
            self._of_run,
            self._older,
            self._damaged,
        )

    def _list_older(self, _: object) -> None:
        self._n_listed += LISTED_AT_ONCE
        self._show()

    def _show(self, *_: param.parameterized.Event) -> None:
        history = self.state.history
        names = sorted({run.spec.data_name for run, _ in history})
        if self._data.options != [_ALL_DATA, *names]:
            self._data.options = [_ALL_DATA, *names]
        self._data.visible = len(names) > 1
        some, more = len(history) > 0, len(history) > self._n_listed
        text = "Click a run to look at it." if some else "Runs are listed here, for good."
        if more:
            text += f" The newest {self._n_listed:,} of {len(history):,} are listed."
        self._older.visible = more
        self._hint.object = words_html(text, faint=True)
        self._listing.value = self._table()
        self._listing.visible = some

    def _look_at(self, event: Any) -> None:
        if event.column != _NOTE:
            self.state.look_at(self._listed[event.row][0])

    def _annotate(self, event: Any) -> None:
        run, status = self._listed[event.row]
        if status.is_settled:
            self.state.annotate(run, str(event.value or ""))
        else:
            pn.state.notifications.info("A run takes notes once it is over.")
            self._show()

    def _table(self) -> pd.DataFrame:
        chosen = self._data.value
        newest = self.state.history[: self._n_listed]
        self._listed = [
            pair for pair in newest if chosen in {_ALL_DATA, None, pair[0].spec.data_name}
        ]
        texts = pd.DataFrame(
            {
                "started": [when(run.spec.created) for run, _ in self._listed],
                "data": [run.spec.data_label for run, _ in self._listed],
                "model": [run.spec.described for run, _ in self._listed],
                "state": [_state_html(status) for _, status in self._listed],
                _NOTE: [status.note for _, status in self._listed],
                "took": [
                    in_words(status.seconds) if status.ended else "" for _, status in self._listed
                ],
            },
            dtype=str,  # an empty table would pass for one of numbers, and show NaN ever after
        )
        losses = [status.loss for _, status in self._listed]
        steps = [status.step or None for _, status in self._listed]
        return texts.assign(
            loss=pd.array(losses, dtype=float), steps=pd.array(steps, dtype="Int64")
        )[_COLUMNS]

    def _show_actions(self, *_: param.parameterized.Event) -> None:
        """What can be done with the run that is looked at, and how the last deletion is undone."""
        parts: list[Viewable] = []
        if self._aside is not None:
            parts.append(self._undo(*self._aside))
        run = self.state.run
        settled = {one.id for one, status in self._listed if status.is_settled}
        if run is not None and run.id in settled:
            parts.append(
                button(
                    f"Delete the run of {when(run.spec.created)}",
                    "delete",
                    lambda _: self._set_aside(run),
                    variant="text",
                    color="error",
                )
            )
        self._of_run[:] = parts

    def _set_aside(self, run: RunFolder) -> None:
        label = f"{run.spec.described} on {run.spec.data_label}, {when(run.spec.created)}"
        aside = self.state.set_aside(run)
        self._aside = None if aside is None else (aside, label)
        self._show_actions()

    def _undo(self, aside: RunFolder, label: str) -> Viewable:
        def put_back(_: object) -> None:
            self._aside = None
            if not self.state.put_back(aside):
                pn.state.notifications.warning("The run is gone for good.")
                self._show_actions()

        def delete(_: object) -> None:
            self._aside = None
            self.state.delete(aside)
            self._show_actions()

        return ui.FlexBox(
            notice(f"Deleted: {label}. It is kept for a day.", "quiet"),
            button("Undo", "undo", put_back, variant="outlined"),
            button("Delete for good", "delete_forever", delete, variant="text", color="error"),
            gap="8px",
            align_items="center",
            sizing_mode="stretch_width",
        )

    def _show_damaged(self, *_: param.parameterized.Event) -> None:
        damaged = self.state.damaged
        rows: list[Viewable] = [self._damaged_row(run) for run in damaged[:_DAMAGED_SHOWN]]
        if more := len(damaged) - len(rows):
            rows.append(words(f"And {more:,} more that cannot be read.", faint=True))
        self._damaged[:] = rows

    def _damaged_row(self, run: DamagedRun) -> Viewable:
        kept = ", ".join(run.kept) or "nothing else"
        text = f"Run {run.id} cannot be read. {run.problem} What is still there: {kept}."

        def ask_then_delete(_: object) -> None:
            if delete.label == _FOR_GOOD:
                self.state.delete(run)
            delete.label = _FOR_GOOD

        delete = button(
            _DELETE, "delete", ask_then_delete, color="error", variant="outlined", align="center"
        )
        return ui.Row(notice(text, "warning"), ui.Spacer(width=12), delete)


def _state_html(status: RunStatus) -> str:
    state = status.state
    return f'<span aria-hidden="true" style="color:{_COLOURS[state]}">●</span> {state.value}'
