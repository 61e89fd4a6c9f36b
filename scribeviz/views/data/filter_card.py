"""Filter cells and genes: three histograms with ranges, what they keep, Apply and Undo."""

import asyncio

import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.data.cell_filter import CellFilter
from scribeviz.data.counts import Counts
from scribeviz.data.droplets import above_knee, empty_droplets, knee_of, looks_unfiltered
from scribeviz.plots.kept_range import barcodes_by_rank, cells_by, cells_by_share
from scribeviz.views.data.filter_state import NO_COLUMN, FilterState
from scribeviz.views.data.range_view import COLUMN, range_view, share_view
from scribeviz.views.shared.figures import figure
from scribeviz.views.shared.newest import Newest, draw
from scribeviz.views.shared.parts import (
    GAP,
    button,
    card,
    folded,
    heading,
    in_progress,
    notice,
    number_field,
    words,
    words_html,
)

_NO_MT = (
    "No gene is recognised as mitochondrial: by a symbol that begins with MT- or mt-, an id of "
    "Ensembl (man and mouse), or a column of var such as 'mt'."
)


class FilterCard(pn.viewable.Viewer):
    """A card that is closed until somebody wants it, and what is said of it meanwhile."""

    state = param.ClassSelector(class_=FilterState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._content = ui.Column(sizing_mode="stretch_width", margin=(12, 14))
        self._sentence = ui.HTML("", sizing_mode="stretch_width", margin=(0, 0, 4, 0))
        self._why_not = ui.HTML("", margin=(0, 0, 0, 4), align="center")
        self._apply = button("Apply", "filter_alt", self._apply_it)
        self._undo = button("Undo", "undo", lambda _: self.state.undo(), variant="outlined")
        self._details = folded(
            self._content,
            title="Filter cells and genes",
            margin=(0, 0, GAP, 0),
        )
        self._newest = Newest(self._look)
        state = self.state
        self._details.param.watch(self._opened, "collapsed")
        state.data.param.watch(self._opened, "opened")
        state.param.watch(self._set, "settings")
        state.param.watch(self._tell, "outcome")

    def __panel__(self) -> Viewable:
        state = self.state
        return ui.Column(
            pn.bind(self._droplets, state.data.param.counts),
            pn.bind(self._applied, state.data.param.filter),
            self._details,
            pn.bind(in_progress, state.param.busy),
            sizing_mode="stretch_width",
            visible=pn.bind(
                lambda opened: opened is not None and opened.found.counts is not None,
                state.data.param.opened,
            ),
        )

    def _droplets(self, counts: Counts | None) -> Viewable:
        if counts is None or not looks_unfiltered(counts):
            return ui.Spacer(height=0)
        picture = barcodes_by_rank(counts.cell_totals, knee_of(counts))
        return card(
            "Empty droplets",
            notice(empty_droplets(counts), "warning"),
            figure(picture, "barcodes by rank", height=220),
            button(
                f"Keep the {above_knee(counts):,} cells above the knee",
                "filter_alt",
                self._keep_above_knee,
            ),
        )

    def _applied(self, kept: CellFilter) -> Viewable:
        counts = self.state.data.counts
        if kept.keeps_all or counts is None:
            return ui.Spacer(height=0)
        return notice(counts.notes[-1], "info")

    def _opened(self, *_: param.parameterized.Event) -> None:
        """Fill the card when it is opened, and again when other data are."""
        state = self.state
        if self._details.collapsed or state.counts is None or state.begun is state.data.opened:
            return
        self._content[:] = [in_progress("Looking at the cells …")]
        if pn.state.curdoc is None:
            self._fill()
        else:
            pn.state.execute(self._look_and_fill)

    async def _look_and_fill(self) -> None:
        """Look in a thread: with hundreds of thousands of cells it takes a moment."""
        state = self.state
        await asyncio.to_thread(lambda: (state.qc, state.columns))
        await draw(self._fill)

    def _fill(self) -> None:
        if self.state.begun is not self.state.data.opened:
            self.state.begin()
            self._content[:] = self._parts()
            self._tell()

    def _parts(self) -> list[Viewable]:
        state = self.state
        qc, log_y = state.qc, looks_unfiltered(state.counts)
        pictures = {
            "counts": cells_by(qc.counts, xlabel="counts (UMIs) per cell", log_y=log_y),
            "genes": cells_by(qc.genes.astype(float), xlabel="genes seen per cell", log_y=log_y),
        }
        parts = [
            range_view(f"{name.capitalize()} per cell", state.ranges[name], picture)
            for name, picture in pictures.items()
        ]
        if qc.mt_share is None:
            parts.append(ui.Column(heading("Mitochondrial share"), words(_NO_MT), styles=COLUMN))
        else:
            label = "percent of the cell's counts"
            picture = cells_by_share(100 * qc.mt_share, xlabel=label, log_y=log_y)
            parts.append(share_view("Mitochondrial share", state, picture))
        return [
            ui.FlexBox(*parts, gap="8px 22px", sizing_mode="stretch_width"),
            ui.FlexBox(
                ui.Column(
                    number_field(state, "min_cells", sizing_mode="stretch_width"), styles=COLUMN
                ),
                *self._labels(),
                gap="0 22px",
                sizing_mode="stretch_width",
            ),
            self._sentence,
            ui.FlexBox(self._apply, self._undo, self._why_not, sizing_mode="stretch_width"),
        ]

    def _labels(self) -> list[Viewable]:
        state = self.state
        if not state.columns:
            return []
        names = {"whatever their label": NO_COLUMN} | {
            f"{name} (calls)" if column.is_call else name: name
            for name, column in state.columns.items()
        }
        column = ui.Select(
            label="Choose cells by a column of obs",
            options=names,
            value=state.column,
            sizing_mode="stretch_width",
            margin=(4, 0, 8, 0),
        )
        column.param.watch(lambda event: state.choose_column(event.new), "value")
        values = ui.MultiChoice(
            label="Values to keep", options={}, sizing_mode="stretch_width", margin=(4, 0, 8, 0)
        )

        def follow(*_: param.parameterized.Event) -> None:
            sizes = state.columns[state.column].cells if state.column else {}
            options = {f"{value} ({size:,})": value for value, size in sizes.items()}
            column.value = state.column
            values.param.update(options=options, value=state.values, visible=bool(sizes))

        values.param.watch(lambda event: setattr(state, "values", event.new), "value")
        state.param.watch(follow, ["column", "values"])
        follow()
        return [ui.Column(column, styles=COLUMN), ui.Column(values, styles=COLUMN)]

    def _set(self, *_: param.parameterized.Event) -> None:
        if self.state.begun is None:
            return
        if pn.state.curdoc is None:
            self.state.look()
        else:
            self._newest.ask()

    async def _look(self) -> None:
        """Work it out in a thread: with hundreds of thousands of cells it takes a moment."""
        state, opened = self.state, self.state.begun
        found = await asyncio.to_thread(state.work_out)

        def show() -> None:
            if state.data.opened is opened:
                state.outcome = found

        await draw(show)

    def _tell(self, *_: param.parameterized.Event) -> None:
        state = self.state
        if state.outcome is None:
            return
        self._sentence.object = words_html(state.sentence)
        self._why_not.object = words_html(state.why_not, faint=True) if state.why_not else ""
        self._apply.disabled = state.to_keep is None
        self._undo.disabled = state.data.filter.keeps_all

    async def _apply_it(self, _: object) -> None:
        if self.state.to_keep is not None:
            await self._keep(self.state.to_keep)

    async def _keep_above_knee(self, _: object) -> None:
        await self._keep(self.state.above_knee)

    async def _keep(self, kept: CellFilter) -> None:
        state, opened = self.state, self.state.data.opened
        counts = state.counts
        if counts is None:
            return
        state.busy = "Filtering the cells …"
        try:
            some = await asyncio.to_thread(kept.apply, counts)
        except ValueError as problem:
            state.data.refuse(str(problem))
            return
        finally:
            state.busy = ""
        if state.data.opened is opened:  # else other data came meanwhile
            state.data.keep(kept, some)
