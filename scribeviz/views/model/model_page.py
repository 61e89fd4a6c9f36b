"""Choose a model and its priors."""

from collections.abc import Callable

import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.data.counts import Counts
from scribeviz.fitting.kinds import offers
from scribeviz.models.capture import ORGANISMS
from scribeviz.models.depth import depth_columns
from scribeviz.views.data.data_state import DataState
from scribeviz.views.model.model_picker import ModelPicker
from scribeviz.views.model.model_state import ModelState, PriorState
from scribeviz.views.model.network_form import NetworkView
from scribeviz.views.model.prior_check import PriorCheckView
from scribeviz.views.model.prior_form import PriorView
from scribeviz.views.shared.parts import (
    button,
    card,
    flexible,
    folded,
    notice,
    number_field,
    page,
    row,
    words,
    words_html,
    wrapping,
)

_IN_SIGHT = {"position": "sticky", "top": "16px", "align-self": "flex-start"}


class ModelView(pn.viewable.Viewer):
    """The likelihood, the components, what carries the priors, and a prior for every parameter."""

    state = param.ClassSelector(class_=ModelState, constant=True)
    data = param.ClassSelector(class_=DataState, constant=True)
    go_on = param.Callable(doc="Called when the user wants to fit.")

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._known: dict[tuple[str, PriorState], Viewable] = {}

    def __panel__(self) -> Viewable:
        state = self.state
        return page(
            "Model",
            "How counts arise: in one group of cells, in several, or cell by cell.",
            row(
                card("Kind of model", self._likelihood()),
                ui.Column(
                    self._of_counts("Components", self._components),
                    self._card_when(lambda: state.has_capture, "Capture", self._capture),
                    self._card_when(lambda: state.takes_depth, "Depth of the cells", self._depth),
                    self._card_when(lambda: state.kind.has_settings, "Network", self._network),
                    sizing_mode="stretch_width",
                ),
                width=330,
            ),
            self._of_counts("Parameterization and posterior", self._parameterization),
            wrapping(
                ui.Column(self._of_counts("Priors", self._prior_cards), styles=flexible(1, 330)),
                # In sight while the sliders of all priors are gone through.
                ui.Column(
                    self._of_counts("Before any data", self._prior_check),
                    styles=flexible(1, 330) | _IN_SIGHT,
                ),
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

    def _of_counts(
        self, title: str, content: Callable[[], Viewable], **options: object
    ) -> Viewable:
        """A card that only models of counts have a use for."""
        return self._card_when(lambda: self.state.kind.has_priors, title, content, **options)

    def _card_when(
        self,
        applies: Callable[[], bool],
        title: str,
        content: Callable[[], Viewable],
        **options: object,
    ) -> Viewable:
        """A card that is shown while the chosen model has a use for it."""
        shown = card(title, content(), **options)

        def follow(*_: param.parameterized.Event) -> None:
            shown.visible = applies()

        self.state.param.watch(follow, "likelihood")
        follow()
        return shown

    def _network(self) -> Viewable:
        return NetworkView(state=self.state, data=self.data)

    def _likelihood(self) -> Viewable:
        return ui.Column(
            ModelPicker(state=self.state, data=self.data),
            ui.HTML(pn.bind(self._details, self.state.param.likelihood), margin=(6, 0)),
            folded(
                ui.HTML(
                    pn.bind(
                        self._maths,
                        self.state.param.likelihood,
                        self.state.param.parameterization,
                    ),
                    margin=10,
                ),
                title="The maths",
                margin=(4, 0),
            ),
            sizing_mode="stretch_width",
        )

    def _details(self, key: str) -> str:
        details = offers()[key].details
        return words_html(details, faint=True) if details else ""

    def _maths(self, key: str, parameterization: str) -> str:
        formula, *rest = offers()[key].maths
        chosen = self.state.parameterizations.get(parameterization)
        lines = [formula, *([chosen.formula] if chosen is not None else []), *rest]
        return "".join(words_html(line, faint=True) for line in lines)

    def _components(self) -> Viewable:
        state = self.state
        switch = ui.Switch.from_param(
            state.param.component_specific_params,
            visible=pn.bind(
                lambda *_: state.components_can_differ,
                state.param.likelihood,
                state.param.parameterization,
                state.param.n_components,
            ),
        )
        return ui.Column(
            number_field(state, "n_components", width=200),
            pn.bind(self._hint, state.param.n_components, state.param.likelihood),
            switch,
            sizing_mode="stretch_width",
        )

    def _hint(self, n_components: int, _likelihood: str) -> Viewable:
        if n_components == 1:
            return words("One group: all cells share the same expression profile.", faint=True)
        text = words(
            f"A mixture: every cell belongs to one of {n_components} groups, each with its own "
            "profile. The groups are found from the counts alone.",
            faint=True,
        )
        if self.state.knows_depth:
            return text
        return ui.Column(
            text,
            notice(
                "Without a capture probability per cell, groups often follow sequencing depth "
                "instead of cell type. Choose a distribution with capture.",
                "warning",
            ),
            sizing_mode="stretch_width",
        )

    def _capture(self) -> Viewable:
        state = self.state
        cells = {"Left open": 0.0} | {
            f"{cell.label}, about {cell.mrna_per_cell:,.0f}": cell.mrna_per_cell
            for key, cell in ORGANISMS.items()
            if key != "mouse"  # the same number as human
        }
        cells = {label.replace("Human", "Human or mouse"): n for label, n in cells.items()}
        chosen = state.total_mrna if state.total_mrna in cells.values() else 0.0
        picker = ui.Select(
            label="Cells of", options=cells, value=chosen, width=240, margin=(4, 12, 8, 0)
        )
        picker.param.watch(lambda event: state.param.update(total_mrna=event.new), "value")
        return ui.Column(
            words(
                "Counts only tell how capture and expression multiply. Their level stays open, "
                "unless it is known how many mRNA molecules a cell holds. Left open, ratios "
                "between genes and between cells can be compared, levels cannot.",
                faint=True,
            ),
            ui.Row(picker, number_field(state, "total_mrna", step=1_000.0, width=220)),
            sizing_mode="stretch_width",
        )

    def _depth(self) -> Viewable:
        state = self.state
        totals = {"total counts": ""}
        picker = ui.Select(label="Depth from", options=totals, width=280, margin=(4, 0, 8, 0))

        def offer(*_: param.parameterized.Event) -> None:
            counts = self.data.counts
            columns = [] if counts is None else depth_columns(counts)
            picker.options = totals | {f"obs: {column}": column for column in columns}
            if state.depth_column not in columns:
                state.depth_column = ""
            picker.value = state.depth_column

        picker.param.watch(lambda event: state.param.update(depth_column=event.new or ""), "value")
        state.param.watch(lambda event: picker.param.update(value=event.new), "depth_column")
        self.data.param.watch(offer, "counts")
        offer()
        return ui.Column(
            words(
                "The mean of a gene in a cell is proportional to the cell's depth: its total "
                "counts, or size factors that came with the data.",
                faint=True,
            ),
            picker,
            sizing_mode="stretch_width",
        )

    def _parameterization(self) -> Viewable:
        state = self.state
        picker = ui.Select(label="Parameterization", options={}, width=260, margin=(4, 0, 8, 0))

        def follow(*_: param.parameterized.Event) -> None:
            entries = state.parameterizations
            options = {entry.label: key for key, entry in entries.items()}
            value = state.parameterization if state.parameterization in entries else None
            value = next(iter(entries), None) if value is None else value
            picker.param.update(options=options, value=value, visible=len(options) > 1)

        def take(event: param.parameterized.Event) -> None:
            if event.new is not None and len(picker.options) > 1:
                state.parameterization = event.new

        picker.param.watch(take, "value")
        state.param.watch(follow, ["likelihood", "parameterization"])
        follow()
        return wrapping(
            ui.Column(
                picker,
                ui.Switch.from_param(state.param.unconstrained, margin=(4, 0)),
                styles=flexible(0, 290),
            ),
            ui.Column(
                ui.HTML(
                    pn.bind(
                        self._about_parameters, state.param.likelihood, state.param.parameterization
                    ),
                    sizing_mode="stretch_width",
                    margin=(0, 0, 10, 0),
                ),
                number_field(state, "guide_rank", width=280),
                ui.HTML(
                    pn.bind(self._about_rank, state.param.likelihood, state.param.n_components),
                    sizing_mode="stretch_width",
                    margin=(0, 0, 8, 0),
                ),
                styles=flexible(1, 290),
            ),
        )

    def _about_parameters(self, _likelihood: str, key: str) -> str:
        entries = self.state.parameterizations
        chosen = entries.get(key, next(iter(entries.values()), None))
        return "" if chosen is None else words_html(chosen.doc)

    def _about_rank(self, _likelihood: str, _n_components: int) -> str:
        text = (
            "The rank of the covariance: 0 treats every parameter as independent of the others, "
            "which is quick and makes some intervals too narrow; 5 is a good first choice for "
            "honest ones."
        )
        if self.state.methods[0] != "svi":
            text = f"Only for fits by gradients: an exact posterior takes its own shape. {text}"
        return words_html(text, faint=True)

    def _prior_cards(self) -> Viewable:
        return ui.Column(
            words("What is believed before the data are seen; the data usually win.", faint=True),
            pn.bind(self._priors, self.state.param.priors),
            sizing_mode="stretch_width",
        )

    def _prior_check(self) -> Viewable:
        return PriorCheckView(model=self.state, data=self.data)

    def _priors(self, priors: dict[str, PriorState]) -> Viewable:
        for key, prior in priors.items():
            # Made once: a second one would be drawn beside the first ever after.
            if (key, prior) not in self._known:
                self._known[key, prior] = pn.panel(PriorView(state=prior, model=self.state))
        views = [self._known[each] for each in priors.items()]
        return ui.Column(*views, sizing_mode="stretch_width")

    def _in_short(self, _likelihood: str, _n_components: int, counts: Counts | None) -> str:
        kind = self.state.spec().described
        if counts is None:
            return words_html(kind)
        genes = int((counts.gene_totals > 0).sum())
        return words_html(f"{kind}, on {counts.n_cells:,} cells and {genes:,} genes", faint=True)
