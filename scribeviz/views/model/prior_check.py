"""What the priors expect of a gene, before any fit, beside what was counted."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import holoviews as hv
import pandas as pd
import panel as pn
import param
from holoviews.streams import Pipe
from panel import ui
from panel.viewable import Viewable

from scribeviz.criticism.misfit import AS_EXPECTED
from scribeviz.criticism.predictive import GeneCheck, check_gene
from scribeviz.criticism.prior_predictive import prior_draws, typical_gene
from scribeviz.data.counts import Counts
from scribeviz.data.overdispersion import moment_dispersions
from scribeviz.inference.exact import learn_from_some
from scribeviz.models.depth import depths_in
from scribeviz.models.gene_priors import GenePriors
from scribeviz.models.spec import ModelSpec
from scribeviz.plots.genes import mean_dispersion
from scribeviz.plots.ppc import LEGEND, ppc_histogram
from scribeviz.views.data.data_state import DataState
from scribeviz.views.model.model_state import ModelState
from scribeviz.views.shared.figures import figure
from scribeviz.views.shared.newest import Newest, draw
from scribeviz.views.shared.parts import (
    empty,
    heading,
    in_progress,
    legend,
    short,
    words,
    words_html,
)

_LEAD = (
    "What data sets would look like if the priors were all that is known: wide bands are as they "
    "should be; counts far outside of them mean that a prior is too sure."
)
_LEAD_LEARNED = (
    "What data sets would look like for a gene of which nothing is known but the priors learned "
    "from all genes. Counts outside of the bands mean a gene unlike most, not a bad prior."
)

_ALL_GENES = (
    "Each point is a gene, by the moments of its counts, given the depths of the cells. The line "
    "is the trend that is learned from all of them, the band holds nine in ten: it is the prior of "
    "a gene with that mean, and where its counts say little it stays there."
)


class _Learned(NamedTuple):
    """What was learned of a data set, before any fit."""

    spec: ModelSpec
    counts: Counts
    priors: GenePriors
    moments: pd.DataFrame


class PriorCheckView(pn.viewable.Viewer):
    """One gene against data sets drawn from the priors; follows every change of a prior."""

    model = param.ClassSelector(class_=ModelState, constant=True)
    data = param.ClassSelector(class_=DataState, constant=True)
    gene = param.String("", doc="The gene that is shown.")

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._lead = words("", faint=True)
        self._about = ui.HTML("", sizing_mode="stretch_width", margin=(0, 0, 8, 0))
        # Of the gene, then of all genes, in one column: a second one, empty at first and filled
        # while the page arrives, now and then stays empty in the browser.
        self._pictures = ui.Column(
            in_progress("Asking the priors …", height=300), sizing_mode="stretch_width"
        )
        self._pipe: Pipe | None = None  # of the picture, once there is one
        self._newest = Newest(self._update)
        self._learned: _Learned | None = None
        self._drawn: _Learned | None = None
        self._compiled: set[tuple[ModelSpec, tuple[str, ...]]] = set()
        self._search = ui.AutocompleteInput(
            label="Gene",
            options=[],
            lazy_search=True,
            case_sensitive=False,
            search_strategy="includes",
            min_characters=1,
            restrict=True,
            width=260,
            margin=(4, 0, 8, 0),
        )
        self._search.param.watch(self._chosen, "value")
        self._watched: list[tuple[param.Parameterized, object]] = []
        self.model.param.watch(self._follow_priors, "priors")
        self.model.param.watch(
            self._changed,
            [
                *("likelihood", "n_components", "component_specific_params"),
                *("total_mrna", "depth_column", "guide_rank"),
            ],
        )
        self.data.param.watch(self._new_data, "counts")
        self._follow_priors()
        self._new_data()

    def __panel__(self) -> Viewable:
        return ui.Column(
            self._lead,
            self._search,
            self._about,
            legend(LEGEND),
            self._pictures,
            sizing_mode="stretch_width",
        )

    def _new_data(self, *_: param.parameterized.Event) -> None:
        counts: Counts | None = self.data.counts
        if counts is None:
            self._pipe = None
            self._pictures[:] = [empty("Open data first: then a gene is shown here.")]
            return
        self._search.options = [str(gene) for gene in counts.genes]
        self.gene = str(counts.genes[typical_gene(counts.gene_totals / counts.n_cells)])
        self._search.value = self.gene
        self._changed()

    def _chosen(self, event: param.parameterized.Event) -> None:
        counts = self.data.counts
        if event.new == self.gene:
            return
        places = [] if counts is None else counts.lookup.positions(event.new or "", any_case=True)
        if counts is not None and len(places) == 1:
            self.gene = str(counts.genes[places[0]])
            self._changed()

    def _follow_priors(self, *_: param.parameterized.Event) -> None:
        for prior, watcher in self._watched:
            prior.param.unwatch(watcher)
        self._watched = [
            (prior, prior.param.watch(self._changed, "prior"))
            for prior in self.model.priors.values()
        ]
        self._changed()

    def _changed(self, *_: param.parameterized.Event) -> None:
        spec, counts = self.model.spec(), self.data.counts
        if counts is None or not self.model.kind.has_priors or not self.gene:
            return
        if not counts.lookup.positions(self.gene):  # of the data before; a gene of these follows
            return
        if pn.state.curdoc is None:
            self._show(self._check(spec, counts, self.gene), self.gene, spec)
        else:
            # The first check compiles for seconds: other clicks must not wait for it.
            self._newest.ask()

    async def _update(self) -> None:
        spec, counts, gene = self.model.spec(), self.data.counts, self.gene
        if counts is None or not self.model.kind.has_priors:  # chosen meanwhile
            return
        families = tuple(state.prior.family for state in self.model.priors.values())
        kind = replace(spec, priors=()), families
        is_known = not spec.learns_priors or self._has_learned(spec, counts)
        if kind in self._compiled and is_known:  # less than to go to a thread and back takes
            check = self._check(spec, counts, gene)
        else:
            check = await asyncio.to_thread(self._check, spec, counts, gene)
            self._compiled.add(kind)
        if gene == self.gene:  # else another one is on its way
            await draw(partial(self._show, check, gene, spec))

    def _check(self, spec: ModelSpec, counts: Counts, gene: str) -> GeneCheck:
        return check_before(spec, counts, gene, self._learned_priors(spec, counts))

    def _learned_priors(self, spec: ModelSpec, counts: Counts) -> GenePriors | None:
        """About what would be learned from these data; learned anew for other data or priors."""
        if not spec.learns_priors:
            return None
        if self._learned is None or not self._has_learned(spec, counts):
            priors = learn_from_some(counts, spec)
            self._learned = _Learned(spec, counts, priors, moment_dispersions(counts))
        return self._learned.priors

    def _has_learned(self, spec: ModelSpec, counts: Counts) -> bool:
        learned = self._learned
        return learned is not None and (learned.spec, learned.counts) == (spec, counts)

    def _show(self, check: GeneCheck, gene: str, spec: ModelSpec) -> None:
        low, _, high = check.zeros
        learned = self._learned if spec.learns_priors else None
        before = "its own counts" if learned else "any data"
        with pn.io.hold():  # one message to the browser, one drawing
            self._lead.object = words_html(_LEAD_LEARNED if learned else _LEAD, faint=True)
            self._about.object = words_html(
                f"{check.observed_zeros:.1%} of the cells lack {gene}; before {before} the model "
                f"expects {low:.1%} to {high:.1%}. Its mean is {short(check.observed_mean)}, "
                f"expected {short(check.mean[0])} to {short(check.mean[2])}."
            )
            if self._pipe is None:
                pipe = self._pipe = Pipe(data=check)
                picture = hv.DynamicMap(_draw, streams={"check": pipe.param.data})
                of_gene = figure(
                    picture,
                    lambda: f"{self.gene} before the fit",
                    make=lambda: (_draw(pipe.data), LEGEND),
                    height=300,
                )
                self._pictures[:] = [of_gene, *_all_genes(learned)]
            else:
                self._pipe.send(check)
                if learned is not self._drawn:
                    self._pictures[:] = [self._pictures[0], *_all_genes(learned)]
            self._drawn = learned


def _all_genes(learned: _Learned | None) -> list[Viewable]:
    """Moments of the genes, and the prior that all of them tell."""
    if learned is None or learned.moments.empty:
        return []
    genes = learned.moments.assign(misfit=0.0, problem=AS_EXPECTED)
    _, picture = mean_dispersion(genes, learned.priors.dispersions)
    return [
        heading("Means and dispersions of all genes"),
        words(_ALL_GENES, faint=True),
        figure(picture, "means and dispersions by moments", height=320),
    ]


def check_before(
    spec: ModelSpec, counts: Counts, gene: str, gene_priors: GenePriors | None = None
) -> GeneCheck:
    """The counts of ``gene`` against the priors of ``spec``, learned ones as given."""
    index = counts.gene_index(gene)
    depths = depths_in(counts, spec.depth_column)
    draws = prior_draws(spec, cell_totals=depths, gene_priors=gene_priors)
    return check_gene(counts.gene_at(index), draws, 0)


def _draw(check: GeneCheck) -> hv.Rectangles:
    return ppc_histogram(check.edges, check.observed, check.bands, log=False)
