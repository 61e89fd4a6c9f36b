"""Choose a model and its priors."""

import holoviews as hv
import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.data.counts import Counts
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.parameterizations import PARAMETERIZATIONS
from scribeviz.models.priors import POSITIVE, PRIOR_FAMILIES, Prior, families_on
from scribeviz.plots.priors import prior_density
from scribeviz.views.parts import button, card, number_field, page, row, words, words_html
from scribeviz.views.state import DataState, ModelState, PriorState, prior_numbers


class PriorView(pn.viewable.Viewer):
    """One prior: its family, its numbers, and its density."""

    state = param.ClassSelector(class_=PriorState, constant=True)
    model = param.ClassSelector(class_=ModelState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._inputs = ui.Column(*self._number_inputs())
        self.state.param.watch(self._follow, "prior")

    def __panel__(self) -> Viewable:
        site = self.state.site
        families = {family.label: family.key for family in families_on(site.support)}
        family = ui.Select(
            label="Family",
            options=families,
            value=self.state.prior.family,
            width=170,
            margin=(4, 0, 6, 0),
        )
        family.param.watch(lambda event: self.state.choose_family(event.new), "value")
        picture = ui.HoloViews(
            pn.bind(self._density, self.state.param.prior, self.model.param.n_components),
            sizing_mode="stretch_width",
            height=180,
        )
        return ui.Column(
            words(f"{site.label}. {site.doc}"),
            ui.Row(
                ui.Column(family, self._inputs, width=200), picture, sizing_mode="stretch_width"
            ),
            sizing_mode="stretch_width",
        )

    def _number_inputs(self) -> list[Viewable]:
        family = PRIOR_FAMILIES[self.state.prior.family]
        numbers = prior_numbers(self.state)
        return [
            number_field(numbers, parameter.name, step=0.1, width=170)
            for parameter in family.parameters
        ]

    def _follow(self, event: param.parameterized.Event) -> None:
        # New inputs only for another family: replacing them would take the focus from the field.
        if event.new.family != event.old.family:
            self._inputs[:] = self._number_inputs()

    def _density(self, prior: Prior, n_components: int) -> hv.Area:
        site = self.state.site
        values, density = prior.density(n_components)
        return prior_density(values, density, label=site.label, log_axis=site.support == POSITIVE)


class ModelView(pn.viewable.Viewer):
    """The likelihood, the number of components, and a prior for every parameter."""

    state = param.ClassSelector(class_=ModelState, constant=True)
    data = param.ClassSelector(class_=DataState, constant=True)
    go_on = param.Callable(doc="Called when the user wants to fit.")

    def __panel__(self) -> Viewable:
        state = self.state
        return page(
            "Model",
            "How counts arise: one distribution for all genes, in one or several groups of cells.",
            row(
                card("Count distribution", self._likelihood(), self._parameterization()),
                card(
                    "Components", self._components(), pn.bind(self._hint, state.param.n_components)
                ),
            ),
            card(
                "Priors",
                words(
                    "What is believed before the data are seen; the data usually win.", faint=True
                ),
                pn.bind(self._priors, state.param.priors),
            ),
            ui.Row(
                button("Go to the fit", "arrow_forward", lambda _: self.go_on()),
                ui.HTML(
                    pn.bind(
                        self._in_short,
                        state.param.likelihood,
                        state.param.n_components,
                        self.data.param.counts,
                    ),
                    margin=(8, 12),
                ),
            ),
        )

    def _likelihood(self) -> Viewable:
        options = {entry.label: entry.key for entry in LIKELIHOODS.values()}
        picker = ui.RadioBoxGroup.from_param(
            self.state.param.likelihood, label="", options=options, margin=0
        )
        return ui.Column(
            picker,
            ui.HTML(pn.bind(self._about_likelihood, self.state.param.likelihood), margin=(6, 0)),
            sizing_mode="stretch_width",
        )

    def _parameterization(self) -> Viewable:
        options = {entry.label: entry.key for entry in PARAMETERIZATIONS.values()}
        if len(options) == 1:
            return ui.Spacer(height=0)
        return ui.Select.from_param(
            self.state.param.parameterization, label="Parameterization", options=options
        )

    def _components(self) -> Viewable:
        return number_field(self.state, "n_components", width=200)

    def _about_likelihood(self, key: str) -> str:
        entry = LIKELIHOODS[key]
        return words_html(entry.use_when) + words_html(entry.formula, faint=True)

    def _hint(self, n_components: int) -> Viewable:
        if n_components == 1:
            return words("One group: all cells share the same expression profile.", faint=True)
        return words(
            f"A mixture: every cell belongs to one of {n_components} groups, each with its own "
            "profile. The groups are found from the counts alone.",
            faint=True,
        )

    def _priors(self, priors: dict[str, PriorState]) -> Viewable:
        views = [PriorView(state=prior, model=self.state) for prior in priors.values()]
        return ui.Column(*views, sizing_mode="stretch_width")

    def _in_short(self, _likelihood: str, _n_components: int, counts: Counts | None) -> str:
        kind = self.state.spec().described
        if counts is None:
            return words_html(kind)
        genes = int((counts.gene_totals > 0).sum())
        return words_html(f"{kind}, on {counts.n_cells:,} cells and {genes:,} genes", faint=True)
