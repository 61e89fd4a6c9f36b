"""Pictures of all genes of a finished run at once."""

import holoviews as hv
import pandas as pd
import panel as pn
import param
from holoviews.streams import Selection1D
from panel import ui
from panel.viewable import Viewable

from scribeviz.criticism.misfit import residuals_of_all
from scribeviz.plots.figures import Legend
from scribeviz.plots.genes import LEGEND as GENES_LEGEND
from scribeviz.plots.genes import coverage, mean_variance, mean_zeros
from scribeviz.plots.ppc import LEGEND as PPC_LEGEND
from scribeviz.plots.ppc import library_histogram, ppc_histogram, residual_histogram
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.shared.figures import figure
from scribeviz.views.shared.parts import (
    card,
    heading,
    legend,
    notice,
    row,
    while_shown,
    words,
)

_AT_ONCE = 9


class AllGenesView(pn.viewable.Viewer):
    """Every gene as a point, against what the model expects at its mean; a tap shows one."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __panel__(self) -> Viewable:
        return card(
            "All genes",
            words(
                "Each point is a gene. The line is what the model expects of genes with that mean. "
                "Tap a point to see its gene; draw around some to list them.",
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
            shown.append(_titled(title, "", overlay, 320, GENES_LEGEND))
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
        return _titled(gene, check.problem, drawn, 200, PPC_LEGEND)


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
                legend_of_file=PPC_LEGEND,
            ),
        )
        return ui.Column(*which, pictures, sizing_mode="stretch_width")


def _titled(
    title: str,
    about: str,
    picture: hv.core.Dimensioned,
    height: int = 300,
    legend_of_file: Legend = (),
) -> Viewable:
    return ui.Column(
        heading(title),
        *([words(about, faint=True)] if about else []),
        figure(picture, title, legend=legend_of_file, height=height),
        sizing_mode="stretch_width",
    )
