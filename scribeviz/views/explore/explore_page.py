"""See where a model fails: gene by gene, and cell by cell in a mixture."""

import asyncio
from functools import partial
from typing import Any

import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz._screen import is_notebook
from scribeviz.views.explore.all_genes import AllGenesView, CalibrationView, SeveralGenesView
from scribeviz.views.explore.chosen_cells import CellsView
from scribeviz.views.explore.digest import DigestView
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.explore.explored import Explored
from scribeviz.views.explore.gene_table import GeneTable
from scribeviz.views.explore.mixture import AssignmentView
from scribeviz.views.explore.one_gene import GeneView
from scribeviz.views.explore.parameters import ParametersView
from scribeviz.views.explore.unusual_cells import UnusualView
from scribeviz.views.shared.newest import draw
from scribeviz.views.shared.parts import (
    GAP,
    button,
    empty,
    flexible,
    in_progress,
    in_progress_html,
    notice,
    page,
    place_html,
    wrapping,
)

# Share and least width of the columns: the gene, all genes, the tabs.  The first two are beside
# each other from 1,200 pixels of the window on, all three from 2,000.
_WIDTHS = ((4, 400), (5, 500), (6, 800))
_UNTIL_SEEN = 0.05  # seconds: what is said to be coming has left for the browser by then


class ExploreView(pn.viewable.Viewer):
    """The chosen gene and the gene table; in tabs all genes, all cells, the groups."""

    state = param.ClassSelector(class_=ExploreState, constant=True)
    try_model = param.Callable(doc="Called with a model that the user wants to try next.")
    cancel = param.Callable(doc="Called when the user waits for a run no longer.")

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._shown: list[GeneTable | GeneView | CellsView] = []

    def __panel__(self) -> Viewable:
        opening = self.state.param.opening
        return page(
            "Explore",
            pn.bind(_lead, self.state.param.explored, opening),
            pn.panel(pn.bind(self._waiting, opening)),
            # What was looked at before is not what is being opened.
            ui.Column(
                pn.bind(self._explored, self.state.param.explored),
                sizing_mode="stretch_width",
                visible=pn.bind(lambda opening: not opening, opening),
            ),
        )

    def _waiting(self, opening: str) -> Viewable:
        """What is being opened, in the shape that it will have."""
        if not opening:
            return ui.Spacer(height=0)
        return ui.Column(
            ui.FlexBox(
                ui.HTML(in_progress_html(opening), margin=0),
                button("Cancel", "close", lambda _: self.cancel(), variant="outlined"),
                align_items="center",
                gap=f"0 {GAP}px",
                margin=(0, 0, 12, 0),
                sizing_mode="stretch_width",
            ),
            wrapping(
                *(
                    ui.Column(
                        ui.HTML(place_html(700), sizing_mode="stretch_width", margin=0),
                        styles=flexible(share, width),
                    )
                    for share, width in _WIDTHS
                )
            ),
            sizing_mode="stretch_width",
        )

    def _explored(self, explored: Explored | None) -> Viewable:
        for view in self._shown:
            view.leave()
        if explored is None:
            return empty("Start a fit, or choose a run that has ended on the Fit page.")
        state = self.state
        table, gene = GeneTable(state=state), GeneView(state=state)
        self._shown = [table, gene]
        digest = DigestView(state=state, try_model=self.try_model)
        columns: list[list[Any]] = [[gene], [digest, table], [self._tabs(explored)]]
        return ui.Column(
            *(notice(text, "info") for text in explored.critique.notes),
            wrapping(
                *(
                    ui.Column(*parts, styles=flexible(share, width))
                    for parts, (share, width) in zip(columns, _WIDTHS, strict=True)
                )
            ),
            sizing_mode="stretch_width",
        )

    def _tabs(self, explored: Explored) -> Viewable:
        """Made when they are first opened: pictures of all genes and cells take a moment."""
        makers = {
            "All genes": AllGenesView,
            "All counts": CalibrationView,
            "Several genes": SeveralGenesView,
            "Cells": CellsView,
            "Unusual cells": UnusualView,
        }
        if explored.model.is_mixture:
            makers = {"Assignments": AssignmentView} | makers
        if explored.has_priors:
            makers["Parameters"] = ParametersView
        places = [ui.Column(sizing_mode="stretch_width", margin=(12, 0)) for _ in makers]
        tabs = ui.Tabs(*zip(makers, places, strict=True), sizing_mode="stretch_width")

        def make(active: int) -> None:
            if explored is not self.state.explored:  # left meanwhile
                return
            view = list(makers.values())[active](state=self.state)
            if isinstance(view, CellsView):
                self._shown.append(view)
            places[active][:] = [view]

        async def make_later(active: int) -> None:
            await asyncio.sleep(_UNTIL_SEEN)
            await draw(partial(make, active))

        def fill(*_: param.parameterized.Event) -> None:
            place = places[tabs.active]
            if len(place):
                return
            # A kernel does one thing after the other: what is drawn later does not follow there.
            if pn.state.curdoc is None or is_notebook():
                make(tabs.active)
                return
            place[:] = [in_progress(f"Drawing: {list(makers)[tabs.active]} …", height=420)]
            pn.state.execute(partial(make_later, tabs.active))

        tabs.param.watch(fill, "active")
        fill()
        return tabs


def _lead(explored: Explored | None, opening: str) -> str:
    if explored is None or opening:
        return "Which genes does the model get wrong, and how sure is it of its groups?"
    return explored.name
