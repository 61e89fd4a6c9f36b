"""Choose the data, and see what they are."""

import numpy as np
import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.data.counts import Counts
from scribeviz.data.opening import Opened
from scribeviz.data.reading_process import Reading
from scribeviz.data.uploads import size_in_words
from scribeviz.plots.matrix import log_histogram
from scribeviz.views.data.data_state import (
    DataState,
    OpenedData,
    open_data,
    open_example,
)
from scribeviz.views.data.filter_card import FilterCard
from scribeviz.views.data.filter_state import FilterState
from scribeviz.views.shared.figures import figure
from scribeviz.views.shared.parts import (
    GAP,
    button,
    card,
    empty,
    in_progress,
    notice,
    page,
    row,
    tiles,
    words,
)

# As light or dark as what it stands in: in the primary colour it is hard to read on a dark page.
_BROWSE_LOOK = ":host .filepond--label-action { color: inherit; }"


class DataView(pn.viewable.Viewer):
    """Three ways to open data, and a check-list of what was found."""

    state = param.ClassSelector(class_=DataState, constant=True)
    go_on = param.Callable(doc="Called when the user wants to choose a model.")

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._filter = pn.panel(FilterCard(state=FilterState(data=self.state)))

    def __panel__(self) -> Viewable:
        return page(
            "Data",
            "Raw counts of cells and genes: nothing normalised, nothing log-transformed.",
            row(self._example_card(), self._file_card(), self._upload_card()),
            pn.bind(self._waiting, self.state.param.busy),
            pn.bind(self._refusal, self.state.param.problem),
            pn.bind(self._opened, self.state.param.opened),
        )

    def _example_card(self) -> Viewable:
        async def open_it(_: object) -> None:
            await self.state.open("Opening the example …", lambda _: open_example())

        return card(
            "Try the example",
            words("700 blood cells, 765 genes: raw counts from 10x Genomics.", faint=True),
            button("Open the example", "science", open_it),
        )

    def _file_card(self) -> Viewable:
        files = self.state.files()
        if not files:
            text = (
                "No count matrix lies in the data folder. Put a .h5ad, .h5, .loom, .zarr, .csv, "
                "a 10x folder or an archive of one there and reload, or upload one."
            )
            return card("Open a file on this server", words(text, faint=True))
        options = {f"{file.name}  ({size_in_words(file.size)})": file.name for file in files}
        picker = ui.Select(
            label="File", options=options, sizing_mode="stretch_width", margin=(4, 0, 8, 0)
        )

        def follow(*_: param.parameterized.Event) -> None:
            opened = self.state.opened
            if opened is not None and opened.source in options.values():
                picker.value = opened.source

        async def open_it(_: object) -> None:
            await self.state.read(picker.value)

        follow()
        self.state.param.watch(follow, "opened")
        return card(
            "Open a file on this server", picker, button("Open the file", "folder_open", open_it)
        )

    def _upload_card(self) -> Viewable:
        limit = size_in_words(self.state.upload_limit_bytes)
        dropper = ui.FileDropper(
            multiple=False,
            height=100,
            sizing_mode="stretch_width",
            max_file_size="500MB",
            stylesheets=[_BROWSE_LOOK],
            margin=0,
        )

        async def receive(event: param.parameterized.Event) -> None:
            await self._receive(dropper, event.new)

        dropper.param.watch(receive, "value")
        text = f"h5ad, h5mu, 10x h5, loom, CSV or TSV, or a zip or tar of one, up to {limit}."
        return card("Upload", words(text, faint=True), dropper)

    async def _receive(self, dropper: Viewable, files: dict[str, str | bytes]) -> None:
        if not files:
            return
        [(filename, content)] = files.items()
        dropper.value = {}  # the widget would keep the whole file in memory
        raw = content.encode() if isinstance(content, str) else content

        def receive_and_open(reading: Reading) -> OpenedData:
            name = self.state.receive(filename, raw)
            return open_data(self.state.folder, name, reading=reading)

        await self.state.open(f"Reading {filename} …", receive_and_open)

    def _waiting(self, doing: str) -> Viewable:
        if not doing:
            return ui.Spacer(height=0)
        return ui.FlexBox(
            in_progress(doing),
            button("Cancel", "close", lambda _: self.state.cancel()),
            align_items="center",
            gap=f"0 {GAP}px",
            margin=(0, 0, GAP, 0),
            sizing_mode="stretch_width",
        )

    def _refusal(self, problem: str) -> Viewable:
        return notice(problem, "error") if problem else ui.Spacer(height=0)

    def _opened(self, opened: OpenedData | None) -> Viewable:
        if opened is None:
            return empty("Open the example, a file of this server, or one of yours to begin.")
        found = opened.found
        parts = []
        if len(found.sources) > 1:
            parts.append(self._layer_picker(opened.source, found))
        if found.counts is None:
            parts.append(self._not_counts(opened.source, found))
        else:
            summary = pn.bind(self._summary, self.state.param.counts)
            parts += [*self._checklist(found.counts), self._filter, summary]
        return ui.Column(*parts, sizing_mode="stretch_width")

    def _layer_picker(self, source: str, found: Opened) -> Viewable:
        options = {
            f"{name}: {problem or 'counts'}": name for name, problem in found.sources.items()
        }
        # A link may name a place that is not there.
        chosen = found.layer if found.layer in found.sources else None
        picker = ui.Select(
            label="Counts are in",
            options=options,
            value=chosen,
            sizing_mode="stretch_width",
            margin=(0, 0, 10, 0),
        )

        async def take(event: param.parameterized.Event) -> None:
            await self.state.read(source, event.new)

        picker.param.watch(take, "value")
        return picker

    def _not_counts(self, source: str, found: Opened) -> Viewable:
        parts = [notice(found.problem, "error")]
        layer = found.use_layer
        if layer is not None:

            async def take(_: object) -> None:
                await self.state.read(source, layer)

            parts.append(button(f"Use {layer}", "check", take))
        if found.can_round:

            async def make_whole(_: object) -> None:
                await self.state.read(source, found.layer, "stochastic")

            parts.append(button("Round to whole counts, at random", "casino", make_whole))
        return ui.Column(*parts, sizing_mode="stretch_width")

    def _summary(self, counts: Counts | None) -> Viewable:
        if counts is None:
            return ui.Spacer(height=0)
        depth = log_histogram(counts.cell_totals, xlabel="counts per cell")
        genes = log_histogram(
            np.diff(counts.matrix.indptr).astype(float), xlabel="genes seen per cell"
        )
        return card(
            counts.name,
            tiles(
                {
                    "cells": f"{counts.n_cells:,}",
                    "genes": f"{counts.n_genes:,}",
                    "genes with counts": f"{int((counts.gene_totals > 0).sum()):,}",
                    "counts per cell (median)": f"{np.median(counts.cell_totals):,.0f}",
                    "entries that are zero": f"{counts.sparsity:.1%}",
                }
            ),
            row(
                figure(depth, "counts per cell"),
                figure(genes, "genes per cell"),
            ),
            button("Choose a model", "arrow_forward", lambda _: self.go_on()),
        )

    def _checklist(self, counts: Counts) -> list[Viewable]:
        fine = notice("All values are whole numbers of at least zero: raw counts.", "success")
        return [fine, *(notice(note, "info") for note in counts.notes)]
