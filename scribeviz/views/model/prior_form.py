"""One prior: its family, its numbers, its density, and what it means."""

from functools import partial

import holoviews as hv
import numpy as np
import panel as pn
import param
from holoviews.streams import Pipe
from panel import ui
from panel.viewable import Viewable

from scribeviz.models.parameterizations import families_for
from scribeviz.models.priors import POSITIVE, SIMPLEX, prior_family
from scribeviz.plots.densities import prior_density
from scribeviz.views.model.model_state import ModelState, PriorState, numbers_form
from scribeviz.views.model.prior_words import prior_in_words
from scribeviz.views.shared.newest import Newest, draw
from scribeviz.views.shared.number_slider import Scale, number_slider
from scribeviz.views.shared.parts import number_field, words, words_html

_AFTER_SECONDS = 0.05  # the picture of the data, which says more, is drawn first
_FIELD_WIDTH, _SLIDER_WIDTH = 170, 180
_LEARNED_WIDTH = 230  # of a choice with a longer name among the others


class PriorView(pn.viewable.Viewer):
    """One prior: its family, a field and a slider for each number, its density."""

    state = param.ClassSelector(class_=PriorState, constant=True)
    model = param.ClassSelector(class_=ModelState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._inputs = ui.Column(*self._number_inputs())
        self._meaning = words("", faint=True)
        self._pipe = Pipe(data=self._curve())
        self._newest = Newest(self._draw, _AFTER_SECONDS)
        self.state.param.watch(self._follow, "prior")
        if self.state.site.support is SIMPLEX:
            self.model.param.watch(self._shares_changed, "n_components")
        self._show()

    def __panel__(self) -> Viewable:
        site = self.state.site
        families = {family.label: family.key for family in families_for(site)}
        family = ui.Select(
            label="Family",
            options=families,
            value=self.state.prior.family,
            width=_LEARNED_WIDTH if site.prior.is_learned else _FIELD_WIDTH,
            margin=(4, 0, 6, 0),
        )
        family.param.watch(lambda event: self.state.choose_family(event.new), "value")
        draw = partial(prior_density, label=site.label, log_axis=site.support == POSITIVE)
        picture = hv.DynamicMap(
            lambda curve: draw(*curve), streams={"curve": self._pipe.param.data}
        )
        drawn = ui.HoloViews(
            picture,
            sizing_mode="stretch_width",
            height=150,
            visible=pn.bind(lambda prior: not prior.is_learned, self.state.param.prior),
        )
        return ui.Column(
            words(f"{site.label}. {site.doc}"),
            ui.FlexBox(
                family,
                pn.bind(self._guide_choice, self.model.param.guide_rank),
                gap="0 12px",
                sizing_mode="stretch_width",
            ),
            self._inputs,
            self._meaning,
            drawn,
            sizing_mode="stretch_width",
        )

    def _guide_choice(self, _: int) -> Viewable | None:
        guides = self.model.guides_of(self.state.site)
        if len(guides) == 1:
            return None
        return ui.Select.from_param(
            self.state.param.guide,
            label="Posterior",
            options=guides,
            width=_FIELD_WIDTH,
            margin=(4, 0, 6, 0),
        )

    def _number_inputs(self) -> list[Viewable]:
        prior, usual = self.state.prior, self.state.site.prior
        family = prior_family(prior.family)
        numbers = numbers_form(self.state)
        made = []
        for i, parameter in enumerate(family.parameters):
            begin = usual.numbers[i] if prior.family == usual.family else parameter.default
            about = f"{parameter.label} of {self.state.site.label}"
            scale = Scale.around(parameter, begin)
            made.append(
                ui.Row(
                    number_field(numbers, parameter.name, step=0.1, width=_FIELD_WIDTH),
                    number_slider(numbers, parameter.name, scale, about=about, width=_SLIDER_WIDTH),
                )
            )
        return made

    def _follow(self, event: param.parameterized.Event) -> None:
        # New inputs only for another family: replacing them would take the focus from the field.
        if event.new.family != event.old.family:
            self._inputs[:] = self._number_inputs()
        self._changed()

    def _shares_changed(self, *_: param.parameterized.Event) -> None:
        if self.model.is_mixture:  # one component has no shares
            self._changed()

    def _changed(self, *_: param.parameterized.Event) -> None:
        if pn.state.curdoc is None:
            self._show()
        else:
            self._newest.ask()

    async def _draw(self) -> None:
        await draw(self._show)

    def _show(self) -> None:
        state = self.state
        with pn.io.hold():
            message = prior_in_words(state.site, state.prior, self.model.n_components)
            self._meaning.object = words_html(message, faint=True)
            self._pipe.send(self._curve())

    def _curve(self) -> tuple[np.ndarray, np.ndarray]:
        if self.state.prior.is_learned:  # nothing is drawn before there is a fit
            return np.array([0.1, 10.0]), np.ones(2)  # a single value has no range on a log axis
        return self.state.prior.density(self.model.n_components)
