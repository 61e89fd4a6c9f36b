"""The end of a run's log, folded: what its worker said, with the trace of an error."""

import html

import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.shared.parts import folded

_LOOK = (
    "margin:0;max-height:320px;overflow:auto;font-size:.8rem;line-height:1.4;"
    "white-space:pre-wrap;overflow-wrap:anywhere"
)


class RunLog(pn.viewable.Viewer):
    """Of the run that is looked at; read only while it is unfolded."""

    state = param.ClassSelector(class_=FitState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._text = ui.HTML("", sizing_mode="stretch_width", margin=(8, 12))
        self._details = folded(
            self._text,
            title="Log",
            margin=(12, 0, 0, 0),
        )
        self._details.param.watch(self._show, "collapsed")
        self.state.param.watch(self._show, ["run", "status"])
        self._show()

    def __panel__(self) -> Viewable:
        return self._details

    def _show(self, *_: param.parameterized.Event) -> None:
        run = self.state.run
        self._details.visible = run is not None and run.log_path.exists()
        if run is None or self._details.collapsed:
            return
        lines = html.escape("\n".join(run.log_tail())) or "Nothing was written."
        self._text.object = f'<pre tabindex="0" style="{_LOOK}">{lines}</pre>'
