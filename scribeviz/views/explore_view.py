"""See where a model fails: gene by gene, and cell by cell in a mixture."""

import holoviews as hv
import numpy as np
import panel as pn
import param
from bokeh.models.widgets.tables import NumberFormatter
from holoviews.streams import Pipe, Selection1D
from panel import ui
from panel.viewable import Viewable

from scribeviz.criticism.predictive import GeneCheck
from scribeviz.plots.genes import LEGEND as GENES_LEGEND
from scribeviz.plots.genes import mean_variance, mean_zeros
from scribeviz.plots.mixtures import component_sizes, cross_heatmap, entropy_histogram
from scribeviz.plots.ppc import LEGEND, ppc_histogram
from scribeviz.views.explored import Explored
from scribeviz.views.parts import (
    card,
    empty,
    heading,
    heading_html,
    legend,
    notice,
    page,
    row,
    short,
    tiles,
    tiles_html,
    words,
    words_html,
)
from scribeviz.views.state import ExploreState

_TITLES = {
    "gene": "Gene",
    "misfit": "Misfit",
    "problem": "Problem",
    "mean": "Mean",
    "predicted_mean": "Model mean",
    "zeros": "Zeros",
    "predicted_zeros": "Model zeros",
    "largest": "Max",
}
_WORDS = ("gene", "problem")  # set to the left; numbers to the right


class ExploreView(pn.viewable.Viewer):
    """The gene table, the chosen gene's check, and the assignments of a mixture."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._gene_view: GeneView | None = None

    def __panel__(self) -> Viewable:
        return page(
            "Explore",
            "Which genes does the model get wrong, and how sure is it of its groups?",
            pn.bind(self._explored, self.state.param.explored),
        )

    def _explored(self, explored: Explored | None) -> Viewable:
        if self._gene_view is not None:
            self._gene_view.leave()
        if explored is None:
            return empty("Start a fit, or choose a run that has ended on the Fit page.")
        self._gene_view = GeneView(state=self.state)
        parts = [
            words(explored.name, faint=True),
            *(notice(text, "info") for text in explored.critique.notes),
            ui.Row(
                ui.Column(GeneTable(state=self.state), width=660),
                ui.Column(self._gene_view, sizing_mode="stretch_width", margin=(0, 0, 0, 16)),
                sizing_mode="stretch_width",
            ),
        ]
        parts.append(AllGenesView(state=self.state))
        if explored.model.is_mixture:
            parts.append(AssignmentView(state=self.state))
        return ui.Column(*parts, sizing_mode="stretch_width")


class GeneTable(pn.viewable.Viewer):
    """All genes, worst first; a click shows one."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __panel__(self) -> Viewable:
        explored = self.state.explored
        table = explored.critique.genes.sort_values("misfit", ascending=False)[list(_TITLES)]
        table = table.reset_index(drop=True)
        search = ui.AutocompleteInput(
            label="Search a gene",
            options=[str(gene) for gene in table["gene"]],
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
        listing = ui.Tabulator(
            table,
            show_index=False,
            disabled=True,
            titles=_TITLES,
            pagination="remote",
            page_size=12,
            selectable=1,
            layout="fit_columns",
            widths={"gene": 105, "problem": 125, "largest": 60},
            header_align={name: "left" if name in _WORDS else "right" for name in _TITLES},
            configuration={"columnDefaults": {"headerWordWrap": True}},
            margin=0,
            formatters={
                "mean": NumberFormatter(format="0,0.00"),
                "predicted_mean": NumberFormatter(format="0,0.00"),
                "zeros": NumberFormatter(format="0.0 %"),
                "predicted_zeros": NumberFormatter(format="0.0 %"),
                "misfit": NumberFormatter(format="0.0 %"),
            },
            text_align={name: "right" for name in _TITLES if name not in _WORDS},
            sizing_mode="stretch_width",
        )
        listing.on_click(lambda event: self.state.param.update(gene=str(table["gene"][event.row])))
        left_out = len(explored.left_out_genes)
        note = f" Without counts, and left out: {left_out:,}." if left_out else ""
        return card(
            "Genes",
            search,
            words(
                f"{len(table):,} genes, worst first; click one to see it. The misfit is the share "
                "of cells that would have to show another count for the gene to look as the "
                f"model expects, less what chance does.{note}",
                faint=True,
            ),
            listing,
        )

    def _search(self, text: str | None) -> None:
        if text and not self.state.find_gene(text):
            pn.state.notifications.warning(f"No gene of this run is called {text}.")


class AllGenesView(pn.viewable.Viewer):
    """Every gene as a point, against what the model expects at its mean; a tap shows one."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __panel__(self) -> Viewable:
        genes = self.state.explored.critique.genes
        pictures = []
        for title, picture in (
            ("Scatter and mean", mean_variance),
            ("Zeros and mean", mean_zeros),
        ):
            points, overlay = picture(genes)
            tapped = Selection1D(source=points)
            tapped.param.watch(self._tapped, "index")
            pictures.append(
                ui.Column(
                    heading(title),
                    ui.HoloViews(overlay, sizing_mode="stretch_width", height=320),
                    sizing_mode="stretch_width",
                )
            )
        return card(
            "All genes",
            words(
                "Each point is a gene. The line is what the model expects of genes with that mean; "
                "tap a point to see its gene above.",
                faint=True,
            ),
            legend(GENES_LEGEND),
            row(*pictures),
        )

    def _tapped(self, event: param.parameterized.Event) -> None:
        if event.new:
            self.state.gene = str(self.state.explored.critique.genes["gene"].iloc[event.new[0]])


class GeneView(pn.viewable.Viewer):
    """One gene: observed counts against replicated data sets."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._check = self.state.gene_check()
        self._pipe = Pipe(data=self._check)
        self._about = ui.HTML(self._sentence(), sizing_mode="stretch_width", margin=(0, 0, 8, 0))
        self._title = heading(self.state.gene)
        self._figures = tiles(self._numbers())
        self._watcher = self.state.param.watch(self._show_gene, "gene")

    def leave(self) -> None:
        """Follow the chosen gene no longer: another run is shown."""
        self.state.param.unwatch(self._watcher)

    def __panel__(self) -> Viewable:
        n_draws = self.state.explored.critique.draws.n_draws
        log = ui.Switch.from_param(self.state.param.log_axis, label="Logarithmic")
        picture = ui.HoloViews(
            pn.bind(self._picture, self.state.param.log_axis),
            sizing_mode="stretch_width",
            height=400,
        )
        return ui.Paper(
            self._title,
            self._about,
            self._figures,
            legend(LEGEND),
            picture,
            log,
            words(
                f"Bars are the data. Blue is what {n_draws} data sets drawn from the fitted model "
                "look like: half of them within the dark band, 90 % within the light one.",
                faint=True,
            ),
            variant="outlined",
            elevation=0,
            sx={"padding": "16px", "borderRadius": "10px"},
            sizing_mode="stretch_width",
            margin=(0, 0, 16, 0),
        )

    def _picture(self, log: bool) -> hv.DynamicMap:  # noqa: FBT001  a switch's value
        def draw(check: GeneCheck) -> hv.Rectangles:
            bands = np.stack([check.low90, check.low50, check.median, check.high50, check.high90])
            return ppc_histogram(check.edges, check.observed, bands, log=log)

        return hv.DynamicMap(draw, streams={"check": self._pipe.param.data})

    def _show_gene(self, *_: param.parameterized.Event) -> None:
        self._check = self.state.gene_check()
        with pn.io.hold():  # one message to the browser, one drawing
            self._pipe.send(self._check)
            self._title.object = heading_html(self.state.gene)
            self._about.object = self._sentence()
            self._figures.object = tiles_html(self._numbers())

    def _numbers(self) -> dict[str, str]:
        check = self._check
        return {
            "mean": short(check.observed_mean),
            "mean, model (90 %)": f"{short(check.mean[0])} to {short(check.mean[2])}",
            "cells without it": f"{check.observed_zeros:.1%}",
            "without it, model (90 %)": f"{check.zeros[0]:.1%} to {check.zeros[2]:.1%}",
        }

    def _sentence(self) -> str:
        return words_html(self._check.verdict)


class AssignmentView(pn.viewable.Viewer):
    """How sure the mixture is, how large its components are, and what they go along with."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __panel__(self) -> Viewable:
        state = self.state
        k = state.explored.model.n_components
        entropies = state.entropies()
        sure = (entropies < 0.05 * np.log(k)).mean()
        label = ui.Select.from_param(
            state.param.label,
            label="Compare with",
            options=self._labels(),
            width=260,
            margin=(4, 0, 8, 0),
        )
        warning = state.depth_warning()
        return card(
            "Assignments",
            *([notice(warning, "warning")] if warning else []),
            words(
                f"{sure:.1%} of the cells are assigned with near certainty. With hundreds of genes "
                "the likelihoods differ so much that probabilities are nearly always 0 or 1: "
                "certainty says that the model sees a difference, not that it is right.",
                faint=True,
            ),
            row(
                ui.Column(
                    heading("How sure"),
                    ui.HoloViews(
                        entropy_histogram(entropies, k), sizing_mode="stretch_width", height=280
                    ),
                    sizing_mode="stretch_width",
                ),
                ui.Column(
                    heading("Component sizes"),
                    ui.HoloViews(
                        component_sizes(state.sizes()), sizing_mode="stretch_width", height=280
                    ),
                    sizing_mode="stretch_width",
                ),
            ),
            heading("Against labels"),
            label,
            pn.bind(self._confusion, state.param.label),
        )

    def _labels(self) -> dict[str, str | None]:
        names = [name for name in self.state.param.label.objects if name is not None]
        return {"nothing": None} | {name: name for name in names}

    def _confusion(self, label: str | None) -> Viewable:
        table = self.state.confusion()
        if label is None or table is None:
            return words("Choose a column of obs, such as a cell type or a batch.", faint=True)
        if len(table) > 60:
            return words(f"{label} has {len(table)} different values: too many to compare.")
        return ui.HoloViews(cross_heatmap(table), sizing_mode="stretch_width")
