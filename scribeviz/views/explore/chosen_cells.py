"""The cells in two dimensions: choose some of them, and see what they are."""

import asyncio
import html
from functools import partial

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import param
from bokeh.models.widgets.tables import NumberFormatter
from holoviews.streams import BoundsXY, Lasso
from panel import ui
from panel.viewable import Viewable

from scribeviz.data.cells import markers
from scribeviz.plots.cell_map import cells_map, group_colors, within
from scribeviz.plots.theme import shortened
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.explore.explored import place_cells
from scribeviz.views.shared.figures import figure
from scribeviz.views.shared.parts import (
    TABLE_LOOK,
    button,
    card,
    heading,
    in_progress,
    in_progress_html,
    legend,
    notice,
    while_shown,
    words,
)

_BY_LASSO, _BY_BOX = "by lasso", "by box"
_DRAWN = {_BY_LASSO, _BY_BOX}
_FIELD = (4, 16, 8, 0)
_RIGHT = dict.fromkeys(["cells", "chosen", "all", "log2_fold", "within", "elsewhere"], "right")
_PERCENT = NumberFormatter(format="0.0 %")


class CellsView(pn.viewable.Viewer):
    """A map of the cells; a lasso, a box or a group restricts every check to some of them."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._explored = self.state.explored
        self._places: np.ndarray | None = None
        self._streams: list[hv.streams.Stream] = []
        self._map = ui.Column(
            in_progress("Placing the cells …", height=430), sizing_mode="stretch_width"
        )
        self._groups = ui.Select(label="Choose a group", options=[], width=240, margin=_FIELD)
        self._groups.param.watch(self._take_group, "value")
        self._markers = ui.Column(sizing_mode="stretch_width")
        self._busy = ui.HTML("", sizing_mode="stretch_width")
        state = self.state
        self._watchers = [
            state.param.watch(self._place_changed, "place"),
            state.param.watch(self._draw, "color_by"),
            state.param.watch(self._chosen_changed, "cells"),
        ]
        self._place_changed()

    def leave(self) -> None:
        """Follow the state no longer: another run is shown."""
        for watcher in self._watchers:
            self.state.param.unwatch(watcher)

    def __panel__(self) -> Viewable:
        state = self.state
        pickers = ui.Row(
            ui.Select.from_param(
                state.param.place, label="Where cells lie", width=240, margin=_FIELD
            ),
            ui.Select.from_param(
                state.param.color_by, label="Coloured by", width=260, margin=_FIELD
            ),
            self._groups,
        )
        side = while_shown(
            state, self._side, state.param.cells, state.param.problem, state.param.label
        )
        return card(
            "Cells",
            words(
                "Draw around cells with the lasso or the box, or choose a group: "
                + (
                    "the chosen gene is then checked in these cells only."
                    if state.can_choose_cells
                    else "what they are is then shown beside them."
                ),
                faint=True,
            ),
            pickers,
            ui.Row(
                self._map,
                ui.Column(side, self._markers, width=430, margin=(0, 0, 0, 16)),
                sizing_mode="stretch_width",
            ),
        )

    # Where the cells lie

    def _is_left(self) -> bool:
        # Watchers that were about to be called when another run was opened are called all the same.
        return self.state.explored is not self._explored

    def _place_changed(self, *_: param.parameterized.Event) -> None:
        if self._is_left():
            return
        explored, place = self.state.explored, self.state.place
        if pn.state.curdoc is None or place in explored.counts.embeddings:
            self._place_at(place_cells(explored, place))
        else:
            self._map[:] = [in_progress("Placing the cells …", height=430)]
            pn.state.execute(self._place)

    async def _place(self) -> None:
        explored, place = self.state.explored, self.state.place
        places = await asyncio.to_thread(place_cells, explored, place)
        if (explored, place) == (self.state.explored, self.state.place):
            pn.state.execute(partial(self._place_at, places), schedule=True)

    def _place_at(self, places: np.ndarray) -> None:
        self._places = places
        self._draw()

    def _draw(self, *_: param.parameterized.Event) -> None:
        if self._places is None or self._is_left():
            return
        state = self.state
        colors = state.colors()
        name = shortened(state.place.removeprefix("X_").split(",")[0])
        picture = cells_map(self._places, colors, (f"{name} 1", f"{name} 2"), state.cells)
        lasso, box = Lasso(source=picture), BoundsXY(source=picture)
        lasso.param.watch(self._lassoed, "geometry")
        box.param.watch(self._boxed, "bounds")
        self._streams = [lasso, box]  # they live as long as somebody holds them
        groups = state.groups()
        colored = group_colors([str(g) for g in colors.cat.categories]) if groups else {}
        self._groups.options = ["", *groups]
        self._groups.visible = bool(groups)
        beside = [(group, color, 0.9) for group, color in colored.items()]
        # As an image, which very many cells are, it has no legend of its own.
        of_file = beside if isinstance(picture, hv.DynamicMap) else ()
        self._map[:] = [
            legend(beside),
            figure(picture, f"cells {state.color_by}", legend=of_file, height=430),
        ]

    # Which of them are looked at

    def _lassoed(self, event: param.parameterized.Event) -> None:
        if event.new is not None and len(event.new) > 2:
            self._take_those_within(np.asarray(event.new), _BY_LASSO)

    def _boxed(self, event: param.parameterized.Event) -> None:
        if event.new is not None:
            left, low, right, high = event.new
            corners = [[left, low], [right, low], [right, high], [left, high]]
            self._take_those_within(np.array(corners), _BY_BOX)

    def _take_those_within(self, outline: np.ndarray, chosen_by: str) -> None:
        if self._places is not None:
            self.state.choose_cells(np.flatnonzero(within(self._places, outline)), chosen_by)

    def _take_group(self, event: param.parameterized.Event) -> None:
        if event.new:
            self.state.choose_group(event.new)

    def _chosen_changed(self, *_: param.parameterized.Event) -> None:
        if self._is_left():
            return
        self._markers[:] = []
        by_group = self.state.chosen_by.startswith(f"{self.state.color_by}: ")
        if not by_group:
            self._groups.value = ""
        if self.state.chosen_by not in _DRAWN:  # the browser marks what was drawn around
            self._draw()
        if self.state.cells is None:
            return
        if pn.state.curdoc is None:
            self._show_markers(self._find_markers())
        else:
            self._markers[:] = [in_progress("Looking for the genes that mark them …", height=160)]
            pn.state.execute(self._mark)

    def _find_markers(self) -> pd.DataFrame | None:
        state = self.state
        n_cells = state.explored.counts.n_cells
        return markers(state.explored.counts, state.cells) if state.cells.size < n_cells else None

    async def _mark(self) -> None:
        cells = self.state.cells
        markers = await asyncio.to_thread(self._find_markers)
        if cells is self.state.cells:
            pn.state.execute(partial(self._show_markers, markers), schedule=True)

    def _show_markers(self, markers: pd.DataFrame | None) -> None:
        if markers is None:
            self._markers[:] = []
            return
        listing = ui.Tabulator(
            markers,
            show_index=False,
            disabled=True,
            stylesheets=[TABLE_LOOK],
            selectable=1,
            layout="fit_columns",
            widths={"gene": 130},
            header_align=_RIGHT,
            text_align=_RIGHT,
            titles={
                "gene": "Gene",
                "log2_fold": "Log2 fold",
                "within": "Here",
                "elsewhere": "Elsewhere",
            },
            formatters={
                "log2_fold": NumberFormatter(format="0.0"),
                "within": _PERCENT,
                "elsewhere": _PERCENT,
            },
            sizing_mode="stretch_width",
            margin=0,
        )
        listing.on_click(
            lambda event: self.state.param.update(gene=str(markers["gene"].iloc[event.row]))
        )
        self._markers[:] = [
            heading("Genes that mark them"),
            words("Shares are of cells with the gene; click one to see its check.", faint=True),
            listing,
        ]

    def _side(self, cells: np.ndarray | None, problem: str, _label: str | None) -> Viewable:
        state = self.state
        messages = [notice(problem, "warning")] if problem else []
        if cells is None:
            return ui.Column(*messages, words("All cells are looked at.", faint=True))
        n_cells = state.explored.counts.n_cells
        sentence = f"{cells.size:,} of {n_cells:,} cells, chosen {state.chosen_by}."
        if not state.can_choose_cells:
            sentence += " This model is checked on all cells all the same."
        actions = [
            button(
                "All cells again", "select_all", lambda _: state.choose_all(), variant="outlined"
            )
        ]
        if state.can_choose_cells:
            actions.insert(0, button("Rank all genes in these cells", "sort", self._rank))
        return ui.Column(
            *messages,
            words(sentence),
            ui.Row(*actions),
            self._busy,
            *self._composition(),
            sizing_mode="stretch_width",
        )

    async def _rank(self, _: object) -> None:
        cells = self.state.cells
        self._busy.object = in_progress_html("Judging all genes by these cells …")
        try:
            table = await asyncio.to_thread(self.state.judge_chosen)
        finally:
            self._busy.object = ""
        if cells is self.state.cells:
            self.state.table = table

    def _composition(self) -> list[Viewable]:
        table = self.state.composition()
        if table is None:
            return []
        listing = ui.Tabulator(
            table[["cells", "chosen", "all"]].reset_index(),
            show_index=False,
            disabled=True,
            stylesheets=[TABLE_LOOK],
            selectable=False,
            layout="fit_columns",
            pagination="local",
            page_size=6,
            widths={"group": 175},
            header_align=_RIGHT,
            text_align=_RIGHT,
            # Tabulator takes titles as HTML, and this one comes from a file.
            titles={
                "group": html.escape(str(self.state.label)),
                "cells": "Cells",
                "chosen": "Here",
                "all": "Of all",
            },
            formatters={"chosen": _PERCENT, "all": _PERCENT},
            sizing_mode="stretch_width",
            margin=(0, 0, 12, 0),
        )
        return [heading("What they are"), listing]
