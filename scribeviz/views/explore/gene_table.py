"""All genes of a finished run as a table, worst first."""

from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import param
from bokeh.models.widgets.tables import HTMLTemplateFormatter, NumberFormatter
from panel import ui
from panel.viewable import Viewable

from scribeviz.criticism.misfit import TENTHS
from scribeviz.plots.strips import residual_strips
from scribeviz.views.explore.downloads import DownloadsView
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.shared.arrow_keys import ArrowKeys
from scribeviz.views.shared.glossary import titles_html
from scribeviz.views.shared.parts import (
    PRIMARY,
    ROWS_CHOOSE,
    TABLE_LOOK,
    button,
    card,
    words,
    words_html,
)

_TITLES = {
    "gene": "Gene",
    "misfit": "Misfit",
    "problem": "Problem",
    "fdr": "FDR",
    "residuals": "Residuals",
    "mean": "Mean",
    "predicted_mean": "Model mean",
    "zeros": "Zeros",
    "predicted_zeros": "Model zeros",
    "scatter": "Var / mean",
    "over_poisson": "vs Poisson",
}
_TO_THE_LEFT = ("gene", "problem", "residuals")
_WIDTHS = {
    "gene": 98,
    "misfit": 74,
    "problem": 120,
    "fdr": 72,
    "residuals": 82,
    "scatter": 66,
    "over_poisson": 66,
}
_NUMBER = 62  # pixels
# Of a share; 0.000 would say that it is zero.
_SMALL = """<%= Number.isFinite(value) ? value < 0.001 ? "&lt; 0.001" : value.toFixed(3) : "-" %>"""
_LEAST_NEEDED_LAST = (
    "mean",
    "zeros",
    "predicted_mean",
    "predicted_zeros",
    "over_poisson",
    "scatter",
)
_PAGE = 12  # genes
_LOOK = f"""
.tabulator-row.tabulator-selected {{ box-shadow: inset 4px 0 {PRIMARY}; }}
.tabulator-row.tabulator-selected [tabulator-field="gene"] {{ font-weight: 600; }}
"""


class GeneTable(pn.viewable.Viewer):
    """All genes, worst first; a click shows one."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._listing = ui.Tabulator(
            self._ranked(),
            show_index=False,
            disabled=True,
            css_classes=[ROWS_CHOOSE],
            titles=titles_html(_TITLES),
            pagination="remote",
            page_size=_PAGE,
            selectable=1,
            layout="fit_columns",
            widths=_WIDTHS,
            header_align={name: "left" if name in _TO_THE_LEFT else "right" for name in _TITLES},
            sortable={"residuals": False},
            stylesheets=[TABLE_LOOK, _LOOK],
            configuration={
                "columnDefaults": {"headerWordWrap": True},
                # What the picture of the gene says too is the first to go where it is narrow.
                "responsiveLayout": "hide",
                "columns": [
                    {"field": name, "responsive": rank, "minWidth": _NUMBER}
                    for rank, name in enumerate(_LEAST_NEEDED_LAST, start=1)
                ],
            },
            margin=0,
            formatters={
                "residuals": {"type": "html"},  # made of numbers alone
                "mean": NumberFormatter(format="0,0.00"),
                "predicted_mean": NumberFormatter(format="0,0.00"),
                "zeros": NumberFormatter(format="0.0 %"),
                "predicted_zeros": NumberFormatter(format="0.0 %"),
                "misfit": NumberFormatter(format="0.0 %"),
                "fdr": HTMLTemplateFormatter(template=_SMALL),
                "scatter": NumberFormatter(format="0,0.0"),
                "over_poisson": NumberFormatter(format="0,0"),
            },
            text_align={name: "right" for name in _TITLES if name not in _TO_THE_LEFT},
            sizing_mode="stretch_width",
        )
        self._listing.on_click(self._clicked)
        self._which_cells = words("", faint=True)
        self._all_genes = button(
            "All genes again",
            "list",
            lambda _: self.state.param.update(picked=[]),
            variant="outlined",
            size="small",
            visible=False,
        )
        self._answer = ui.HTML("", sizing_mode="stretch_width", margin=0)
        self._recent = ui.FlexBox(sizing_mode="stretch_width", margin=(0, 0, 8, 0))
        self._watchers = [
            self.state.param.watch(self._judged_anew, ["table", "cells", "picked"]),
            self.state.param.watch(self._follow_gene, "gene"),
            self.state.param.watch(self._show_recent, ["gene", "recent"]),
        ]
        self._follow_gene()
        self._show_recent()

    def leave(self) -> None:
        """Follow the table no longer: another run is shown."""
        for watcher in self._watchers:
            self.state.param.unwatch(watcher)

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
            self._answer,
            self._recent,
            words(
                f"{len(explored.critique.genes):,} genes, worst first; click one to see it, and go "
                "on with the keys ↑ and ↓. The misfit is the share of cells that would have to "
                f"show another count for the gene to look as the model expects, less what chance "
                f"does.{note}",
                faint=True,
            ),
            self._which_cells,
            self._all_genes,
            ArrowKeys(
                self._step,
                content=self._listing,
                about="Genes; the arrow keys go up and down the list",
                sizing_mode="stretch_width",
                margin=0,
            ),
            DownloadsView(state=self.state),
        )

    def _ranked(self) -> pd.DataFrame:
        listed = self.state.listed()
        scatter = listed["variance"] / listed["mean"].where(listed["mean"] > 0)
        cells = self.state.explored.counts.n_cells
        if self.state.table is not self.state.explored.critique.genes:
            cells = self.state.cells.size
        strips = residual_strips(listed[list(TENTHS)].to_numpy(float), cells)
        shown = listed.assign(scatter=scatter, residuals=strips)
        # What only exact fits know takes the place of what every fit shows.
        left_out = "scatter" if "over_poisson" in shown else "over_poisson"
        names = [name for name in _TITLES if name in shown and name != left_out]
        return shown[names].reset_index(drop=True)

    def _step(self, steps: int) -> None:
        """Go on by so many rows, in the order of the table as it is sorted."""
        genes = self._listing.current_view["gene"].to_numpy()
        [at] = np.nonzero(genes == self.state.gene)
        after = at[0] + steps if at.size else 0
        self.state.gene = str(genes[np.clip(after, 0, genes.size - 1)])

    def _follow_gene(self, *_: param.parameterized.Event) -> None:
        """Highlight the gene that is shown, on the page where it is."""
        genes = self._listing.current_view["gene"]
        [at] = np.nonzero(genes.to_numpy() == self.state.gene)
        rows = [int(row) for row in genes.index[at]]
        pages = [int(row) // _PAGE + 1 for row in at] or [self._listing.page]
        self._listing.param.update(page=pages[0], selection=rows)

    def _judged_anew(self, *events: param.parameterized.Event) -> None:
        state = self.state
        if any(event.name != "cells" for event in events):
            self._listing.param.update(value=self._ranked(), page=1)
            genes = self._listing.value["gene"].to_numpy()
            self._listing.selection = np.flatnonzero(genes == state.gene).tolist()
        self._all_genes.visible = bool(state.picked)
        of_all = state.table is state.explored.critique.genes
        if of_all:
            message = "" if state.cells is None else "Judged by all cells."
        else:
            message = f"Judged by the {state.cells.size:,} chosen cells."
        if state.picked:
            message = f"{len(state.picked):,} picked genes. {message}"
        self._which_cells.object = words_html(message, faint=True)

    def _clicked(self, event: Any) -> None:
        self.state.gene = gene = str(self._listing.value["gene"].iloc[event.row])
        self.state.remember(gene)

    def _search(self, text: str | None) -> None:
        if text:
            problem = self.state.find_gene(text)
            self._answer.object = _answer_html(problem or self.state.note)

    def _show_recent(self, *events: param.parameterized.Event) -> None:
        if any(event.name == "gene" for event in events):
            self._answer.object = ""  # it was about the gene before
        genes = [gene for gene in self.state.recent_here() if gene != self.state.gene]
        self._recent[:] = [self._again(gene) for gene in genes]
        self._recent.visible = bool(genes)

    def _again(self, gene: str) -> Viewable:
        return button(
            gene,
            "",
            lambda _: self.state.find_gene(gene),
            variant="outlined",
            size="small",
        )


def _answer_html(sentence: str) -> str:
    """What the search says, to those who cannot see it too."""
    return f'<div role="status">{words_html(sentence) if sentence else ""}</div>'
