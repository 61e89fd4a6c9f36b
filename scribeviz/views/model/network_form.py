"""The settings of a network: its layers, its latent space, what counts scatter like."""

import param
from panel import ui
from panel.viewable import Viewable, Viewer

from scribeviz.data.counts import Counts
from scribeviz.views.data.data_state import DataState
from scribeviz.views.model.model_state import ModelState
from scribeviz.views.shared.forms import Form
from scribeviz.views.shared.parts import number_field, row, words

_FIELD = (4, 0, 8, 0)
_NO_COVARIATE = "(none)"
_MOST_LEVELS = 50


class NetworkView(Viewer):
    """The form of a CellVAE."""

    state = param.ClassSelector(class_=ModelState, constant=True)
    data = param.ClassSelector(class_=DataState, constant=True)

    def __panel__(self) -> Viewable:
        form = self.state.network
        return ui.Column(
            words(
                "Each cell gets a place in a latent space; a decoder says which share of the "
                "cell's counts each gene gets there, an encoder finds the place from the counts.",
                faint=True,
            ),
            row(
                ui.Column(
                    _input(form, "likelihood"),
                    _input(form, "library"),
                    self._covariate(),
                    sizing_mode="stretch_width",
                ),
                ui.Column(
                    _input(form, "n_latent"),
                    _input(form, "n_layers"),
                    _input(form, "n_hidden"),
                    sizing_mode="stretch_width",
                ),
                ui.Column(
                    _input(form, "normalization"),
                    _input(form, "dropout"),
                    _input(form, "linear_decoder"),
                    sizing_mode="stretch_width",
                ),
            ),
            sizing_mode="stretch_width",
        )

    def _covariate(self) -> Viewable:
        form = self.state.network
        picker = ui.Select(
            label=form.param.covariate.label,
            description=form.param.covariate.doc,
            options=_columns(self.data.counts, form.covariate),
            value=form.covariate,
            sizing_mode="stretch_width",
            margin=_FIELD,
        )
        picker.param.watch(lambda event: setattr(form, "covariate", event.new or ""), "value")

        def follow(*_: param.parameterized.Event) -> None:
            options = _columns(self.data.counts, "")
            kept = form.covariate if form.covariate in options.values() else ""
            picker.param.update(options=options, value=kept)

        self.data.param.watch(follow, "counts")
        form.param.watch(
            lambda event: picker.param.update(
                options=_columns(self.data.counts, event.new), value=event.new
            ),
            "covariate",
        )
        return picker


def _columns(counts: Counts | None, kept: str) -> dict[str, str]:
    """The columns of obs that divide the cells into a few groups."""
    columns = {_NO_COVARIATE: ""}
    if counts is not None:
        for i, column in enumerate(counts.obs.columns):  # by position: two may share a name
            if 2 <= counts.obs.iloc[:, i].nunique() <= _MOST_LEVELS:
                columns[str(column)] = str(column)
    return columns | ({kept: kept} if kept else {})


def _input(form: Form, name: str) -> Viewable:
    parameter = form.param[name]
    if isinstance(parameter, param.Selector):
        return ui.Select.from_param(parameter, sizing_mode="stretch_width", margin=_FIELD)
    if isinstance(parameter, param.Boolean):
        return ui.Switch.from_param(parameter, margin=_FIELD)
    return number_field(form, name, sizing_mode="stretch_width")
