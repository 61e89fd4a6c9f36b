"""What a fit gets wrong over all genes, and what to try next."""

from typing import Any

import pandas as pd
import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.criticism.next_step import Digest, digest, next_step
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.shared.parts import GAP, button, while_shown, words, words_html


class DigestView(pn.viewable.Viewer):
    """Genes by what is off, as chips that list them; and a model to try, with its reason."""

    state = param.ClassSelector(class_=ExploreState, constant=True)
    try_model = param.Callable(doc="Called with the model that the user wants to try.")

    def __panel__(self) -> Viewable:
        return ui.Column(
            while_shown(self.state, self._chips, self.state.param.table),
            self._next_step(),
            sizing_mode="stretch_width",
        )

    def _chips(self, genes: pd.DataFrame) -> Viewable:
        state = self.state
        n_cells = state.explored.counts.n_cells if state.cells is None else state.cells.size
        return ui.FlexBox(
            *(self._chip(entry, len(genes)) for entry in digest(genes, n_cells)),
            sizing_mode="stretch_width",
        )

    def _chip(self, entry: Digest, n_genes: int) -> Viewable:
        share = f" ({len(entry.genes) / n_genes:.0%})"
        return button(
            f"{entry.problem}: {len(entry.genes):,}{share}",
            "",
            lambda _: self.state.param.update(picked=entry.genes),
            variant="outlined",
            size="small",
            disabled=not entry.genes,
        )

    def _next_step(self) -> Viewable:
        explored = self.state.explored
        if not explored.has_priors:  # no model of counts
            return ui.Spacer(height=0)
        model: Any = explored.model
        step = next_step(model, explored.critique.genes, explored.counts)
        if step is None:
            return words("No other model is called for by what these checks see.", faint=True)
        return ui.FlexBox(
            ui.HTML(words_html(step.why), styles={"flex": "1 1 420px"}, margin=(0, 12, 0, 0)),
            button(
                f"Try {step.model.described}", "arrow_forward", lambda _: self.try_model(step.model)
            ),
            align_items="center",
            margin=(4, 0, GAP, 0),
            sizing_mode="stretch_width",
        )
