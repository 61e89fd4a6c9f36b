"""Show the Python: the code that does what is on screen."""

import html

import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.runs.folder import RunFolder
from scribeviz.runs.script import (
    IMPORT,
    explore_code,
    fit_code,
    model_code,
    read_code,
)
from scribeviz.views.compare.compare_state import CompareState
from scribeviz.views.session import Session
from scribeviz.views.shared.parts import folded


class PythonView(pn.viewable.Viewer):
    """The code behind the place that is shown; it follows the place while it is open."""

    session = param.ClassSelector(class_=Session, constant=True)
    compare = param.ClassSelector(class_=CompareState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._shown = ""
        self._code = ui.HTML("", sizing_mode="stretch_width", margin=0)
        self._details = folded(
            self._code,
            title="Show the Python",
            margin=(8, 0, 24, 0),
        )
        self._details.param.watch(lambda _: self.refresh(), "collapsed")

    def __panel__(self) -> Viewable:
        return self._details

    def refresh(self) -> None:
        """Bring the code up to date, if somebody looks at it."""
        if self._details.collapsed:
            return
        code = self.code()
        if code != self._shown:
            self._shown = code
            self._code.object = (
                '<pre style="margin:0;padding:12px 16px;overflow-x:auto;border-radius:8px;'
                'background:rgba(128,128,128,.12);font-size:.85rem;line-height:1.5">'
                f"<code>{html.escape(code)}</code></pre>"
            )

    def code(self) -> str:
        """The code of the place that is shown."""
        session = self.session
        makers = {
            "Data": self._data,
            "Model": self._model,
            "Fit": self._fit,
            "Explore": self._explore,
            "Compare": self._compare,
        }
        return makers[session.place]()

    def _data(self) -> str:
        counts = self.session.data.counts
        if counts is None:
            return "# Open data first."
        return "\n".join([IMPORT, "", read_code(counts), "print(counts.obs.describe())"])

    def _model(self) -> str:
        return "\n".join([IMPORT, "", model_code(self.session.model.spec())])

    def _fit(self) -> str:
        run = self.session.fit.run
        if run is None:
            return "# Start a fit first."
        end = "print(results.loss_history[-1])"
        return "\n".join([IMPORT, "", read_code(run.spec), fit_code(run), end])

    def _explore(self) -> str:
        explore = self.session.explore
        if explore.explored.path is None:
            return "# This result was handed over from Python."
        run = self._run(explore.explored.run_id)
        return explore_code(run, explore.gene, explore.checked)

    def _compare(self) -> str:
        if not self.compare.explored:
            return "# Tick two runs first."
        return self.compare.code()

    def _run(self, run_id: str) -> RunFolder:
        return RunFolder(self.session.fit.store.root / run_id)
