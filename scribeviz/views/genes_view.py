"""All genes of a finished run: a table, worst first, and pictures of all at once."""

import asyncio
from io import BytesIO, StringIO
from typing import Any

import holoviews as hv
import pandas as pd
import panel as pn
import param
from bokeh.models.widgets.tables import NumberFormatter
from holoviews.streams import Selection1D
from panel import ui
from panel.viewable import Viewable

from scribeviz.criticism.misfit import residuals_of_all
from scribeviz.plots.genes import LEGEND as GENES_LEGEND
from scribeviz.plots.genes import coverage, mean_variance, mean_zeros
from scribeviz.plots.ppc import LEGEND as PPC_LEGEND
from scribeviz.plots.ppc import library_histogram, ppc_histogram, residual_histogram
from scribeviz.runs.export import as_h5ad
from scribeviz.runs.folder import RunFolder
from scribeviz.views.explore_state import ExploreState
from scribeviz.views.parts import (
    button,
    card,
    download,
    heading,
    legend,
    notice,
    row,
    while_shown,
    words,
    words_html,
)

_TITLES = {
    "gene": "Gene",
    "misfit": "Misfit",
    "problem": "Problem",
    "mean": "Mean",
    "predicted_mean": "Model mean",
    "zeros": "Zeros",
    "predicted_zeros": "Model zeros",
    "scatter": "Var / mean",
}
_AT_ONCE = 9
_WORDS = ("gene", "problem")  # set to the left; numbers to the right


class GeneTable(pn.viewable.Viewer):
    """All genes, worst first; a click shows one."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._listing = ui.Tabulator(
            self._ranked(),
            show_index=False,
            disabled=True,
            titles=_TITLES,
            pagination="remote",
            page_size=12,
            selectable=1,
            layout="fit_columns",
            widths={"gene": 105, "problem": 125, "scatter": 75},
            header_align={name: "left" if name in _WORDS else "right" for name in _TITLES},
            configuration={"columnDefaults": {"headerWordWrap": True}},
            margin=0,
            formatters={
                "mean": NumberFormatter(format="0,0.00"),
                "predicted_mean": NumberFormatter(format="0,0.00"),
                "zeros": NumberFormatter(format="0.0 %"),
                "predicted_zeros": NumberFormatter(format="0.0 %"),
                "misfit": NumberFormatter(format="0.0 %"),
                "scatter": NumberFormatter(format="0,0.0"),
            },
            text_align={name: "right" for name in _TITLES if name not in _WORDS},
            sizing_mode="stretch_width",
        )
        self._listing.on_click(self._clicked)
        self._which_cells = words("", faint=True)
        self._writing = ui.HTML("", align="center", margin=(0, 0, 0, 12))
        self._all_genes = button(
            "All genes again",
            "list",
            lambda _: self.state.param.update(picked=[]),
            variant="outlined",
            size="small",
            visible=False,
        )
        self._watcher = self.state.param.watch(self._judged_anew, ["table", "cells", "picked"])

    def leave(self) -> None:
        """Follow the table no longer: another run is shown."""
        self.state.param.unwatch(self._watcher)

    def __panel__(self) -> Viewable:
        explored = self.state.explored
        search = ui.AutocompleteInput(
            label="Search a gene",
            options=[str(gene) for gene in explored.counts.genes],
            lazy_search=True,
            case_sensitive=False,
            search_strategy="includes",
            min_characters=1,
            placeholder="CD3E, MS4A1, an Ensembl id …",
            restrict=False,
            margin=(4, 0, 8, 0),
            sizing_mode="stretch_width",
        )
        search.param.watch(lambda event: self._search(event.new), "value")
        left_out = len(explored.left_out_genes)
        note = f" Without counts, and left out: {left_out:,}." if left_out else ""
        return card(
            "Genes",
            search,
            words(
                f"{len(explored.critique.genes):,} genes, worst first; click one to see it. The "
                "misfit is the share of cells that would have to show another count for the gene "
                f"to look as the model expects, less what chance does.{note}",
                faint=True,
            ),
            self._which_cells,
            self._all_genes,
            self._listing,
            ui.Row(
                download("Table as CSV", "genes.csv", self._as_csv),
                download("AnnData with the results", "scribeviz.h5ad", self._as_h5ad),
                self._writing,
                margin=(8, 0, 0, 0),
            ),
        )

    def _ranked(self) -> pd.DataFrame:
        listed = self.state.listed()
        scatter = listed["variance"] / listed["mean"].where(listed["mean"] > 0)
        return listed.assign(scatter=scatter)[list(_TITLES)].reset_index(drop=True)

    def _judged_anew(self, *events: param.parameterized.Event) -> None:
        state = self.state
        if any(event.name != "cells" for event in events):
            self._listing.param.update(value=self._ranked(), page=1)
        self._all_genes.visible = bool(state.picked)
        of_all = state.table is state.explored.critique.genes
        if of_all:
            told = "" if state.cells is None else "Judged by all cells."
        else:
            told = f"Judged by the {state.cells.size:,} chosen cells."
        if state.picked:
            told = f"{len(state.picked):,} genes, picked in a picture. {told}"
        self._which_cells.object = words_html(told, faint=True)

    def _clicked(self, event: Any) -> None:
        self.state.gene = str(self._listing.value["gene"].iloc[event.row])

    def _as_csv(self) -> StringIO:
        return StringIO(self.state.listed().to_csv(index=False))

    async def _as_h5ad(self) -> BytesIO:
        # It reads and writes every count: other clicks must not wait for it.
        run = RunFolder(self.state.explored.path)
        self._writing.object = words_html("Writing the AnnData file …", faint=True)
        try:
            return await asyncio.to_thread(as_h5ad, run)
        finally:
            self._writing.object = ""

    def _search(self, text: str | None) -> None:
        if text and not self.state.find_gene(text):
            pn.state.notifications.warning(f"No gene of this run is called {text}.")


class AllGenesView(pn.viewable.Viewer):
    """Every gene as a point, against what the model expects at its mean; a tap shows one."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __panel__(self) -> Viewable:
        return card(
            "All genes",
            words(
                "Each point is a gene. The line is what the model expects of genes with that mean. "
                "Tap a point to see its gene above; draw around some to list them.",
                faint=True,
            ),
            legend(GENES_LEGEND),
            while_shown(self.state, self._pictures, self.state.param.table),
        )

    def _pictures(self, genes: pd.DataFrame) -> Viewable:
        shown = []
        for title, picture in (
            ("Scatter and mean", mean_variance),
            ("Zeros and mean", mean_zeros),
        ):
            points, overlay = picture(genes)
            tapped = Selection1D(source=points)
            tapped.param.watch(self._tapped, "index")
            shown.append(_titled(title, "", overlay, 320))
        return row(*shown)

    def _tapped(self, event: param.parameterized.Event) -> None:
        genes = [str(gene) for gene in self.state.table["gene"].iloc[event.new or []]]
        if len(genes) == 1:
            self.state.gene = genes[0]
        elif genes:
            self.state.picked = genes


class SeveralGenesView(pn.viewable.Viewer):
    """Some genes side by side, at first the nine worst."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __panel__(self) -> Viewable:
        genes = self.state.table.sort_values("misfit", ascending=False)["gene"].astype(str)
        chosen = ui.MultiChoice(
            label="Genes",
            value=list(genes[:_AT_ONCE]),
            options=list(genes),
            searchable=True,
            max_items=_AT_ONCE,
            sizing_mode="stretch_width",
            margin=(4, 0, 8, 0),
        )
        return card(
            "Several genes",
            words(f"The worst, or any {_AT_ONCE} that you choose.", faint=True),
            chosen,
            legend(PPC_LEGEND),
            while_shown(self.state, self._pictures, chosen, self.state.param.cells),
        )

    def _pictures(self, genes: list[str], _cells: object) -> Viewable:
        shown = [self._picture(gene) for gene in genes]
        rows = [row(*shown[i : i + 3]) for i in range(0, len(shown), 3)]
        return ui.Column(*rows, sizing_mode="stretch_width")

    def _picture(self, gene: str) -> Viewable:
        check = self.state.gene_check(gene)
        drawn = ppc_histogram(check.edges, check.observed, check.bands, log=False, height=200)
        return _titled(gene, check.problem, drawn, 200)


class CalibrationView(pn.viewable.Viewer):
    """Whether predictions are as sure as they should be, over all genes and cells."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __panel__(self) -> Viewable:
        return card(
            "All counts",
            while_shown(self.state, self._pictures, self.state.param.table, self.state.param.cells),
        )

    def _pictures(self, genes: pd.DataFrame, _cells: object) -> Viewable:
        library, checked = self.state.library(), self.state.checked
        which = []
        if checked is not None and genes is self.state.explored.critique.genes:
            which = [
                notice(
                    f"Total counts are of the {checked.size:,} chosen cells. Residuals and coverage"
                    " are of all cells until all genes are ranked in the chosen ones, on the Cells"
                    " tab.",
                    "info",
                )
            ]
        pictures = row(
            _titled(
                "Residuals of all genes",
                "Where each count lies within its prediction: flat is right, high ends mean that "
                "counts vary more than predicted.",
                residual_histogram(residuals_of_all(genes), 0, height=300),
            ),
            _titled(
                "Nominal and true coverage",
                "How many counts lie within the central intervals of their prediction: on average "
                "over genes (line), and in nine of ten genes (band). Dashed is right.",
                coverage(genes),
            ),
            _titled(
                "Total counts of cells",
                "Whether the model knows how deep cells are; bands as for a gene.",
                library_histogram(library.edges, library.observed, library.bands),
            ),
        )
        return ui.Column(*which, pictures, sizing_mode="stretch_width")


def _titled(title: str, about: str, picture: hv.core.Dimensioned, height: int = 300) -> Viewable:
    return ui.Column(
        heading(title),
        *([words(about, faint=True)] if about else []),
        ui.HoloViews(picture, sizing_mode="stretch_width", height=height),
        sizing_mode="stretch_width",
    )
