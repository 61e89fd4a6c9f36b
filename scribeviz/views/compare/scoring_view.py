"""What is missing for a verdict: an offer to run it, and how far it is."""

import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.fitting.folds import FOLDS
from scribeviz.views.compare.scoring_state import Scoring, ScoringState
from scribeviz.views.shared.parts import button, in_words, notice, words_html


class ScoringView(pn.viewable.Viewer):
    """Offers to score runs by cross-validation; while that goes on, progress and a way to stop."""

    state = param.ClassSelector(class_=ScoringState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        state = self.state
        self._offer = ui.HTML("", sizing_mode="stretch_width", margin=(8, 0, 4, 0))
        self._start = button("Score them", "balance", lambda _: state.start())
        self._bars = ui.Column(sizing_mode="stretch_width")
        self._cancel = button(
            "Stop scoring", "stop", lambda _: state.cancel(), color="error", variant="outlined"
        )
        self._problem = ui.Column(sizing_mode="stretch_width")
        self._rows: list[tuple[ui.HTML, ui.LinearProgress]] = []
        state.param.watch(self._show, ["missing", "under_way", "problem"])
        self._show()

    def __panel__(self) -> Viewable:
        return ui.Column(
            self._problem,
            self._offer,
            self._bars,
            ui.Row(self._start, self._cancel),
            sizing_mode="stretch_width",
        )

    def _show(self, *_: param.parameterized.Event) -> None:
        state = self.state
        runs = bool(state.under_way)
        self._start.visible = self._offer.visible = bool(state.missing) and not runs
        self._cancel.visible = self._bars.visible = runs
        if self._offer.visible:
            n, took = len(state.missing), in_words(state.seconds())
            which = "this run" if n == 1 else f"these {n} runs"
            self._offer.object = words_html(
                f"Score {which} by {FOLDS}-fold cross-validation: about {took}. Each fold is a fit "
                "that has not seen the cells that it scores; the scores are kept with the run."
            )
            self._start.label = "Score it" if n == 1 else "Score them"
        self._problem[:] = [notice(state.problem, "error")] if state.problem else []
        self._show_bars(state.under_way)

    def _show_bars(self, under_way: list[Scoring]) -> None:
        # Made anew only when there are others: a bar that is replaced all the time flickers.
        if len(self._rows) != len(under_way):
            self._rows = [
                (
                    ui.HTML("", sizing_mode="stretch_width", margin=(6, 0, 2, 0)),
                    ui.LinearProgress(
                        value=0, variant="determinate", sizing_mode="stretch_width", margin=0
                    ),
                )
                for _ in under_way
            ]
            self._bars[:] = [part for each in self._rows for part in each]
        for (text, bar), one in zip(self._rows, under_way, strict=True):
            text.object = words_html(f"{one.label}: {one.doing}", faint=True)
            bar.value = one.percent
