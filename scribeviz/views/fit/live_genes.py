"""Genes becoming right while a fit goes on, by the means of its posterior so far."""

import asyncio
from functools import partial

import panel as pn
import param
from holoviews import DynamicMap, Rectangles
from holoviews.streams import Pipe
from panel import ui
from panel.viewable import Viewable

from scribeviz.criticism.critique import Critique
from scribeviz.criticism.predictive import GeneCheck, check_gene
from scribeviz.data.counts import Counts
from scribeviz.plots.ppc import LEGEND, ppc_histogram
from scribeviz.runs.folder import RunFolder
from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.shared.figures import figure
from scribeviz.views.shared.gone import UNREADABLE, why_unreadable
from scribeviz.views.shared.newest import Newest, draw
from scribeviz.views.shared.parts import card, legend, words, words_html

_WORST = 8
_REPLICATES = 100


class LiveGenesView(pn.viewable.Viewer):
    """The worst genes of a fit that is under way, and one of them against its counts.

    The gene that is shown stays: it is watched becoming right.
    """

    state = param.ClassSelector(class_=FitState, constant=True)
    gene = param.String("", doc="The gene that is shown; the worst at first.")

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._run: RunFolder | None = None
        self._counts: Counts | None = None
        self._pipe: Pipe | None = None
        self._newest = Newest(self._update)
        self._about = ui.HTML("", sizing_mode="stretch_width", margin=(0, 0, 6, 0))
        self._picker = ui.Select(
            label="Gene, worst first", options=[], width=260, margin=(4, 0, 8, 0)
        )
        self._picker.param.watch(self._chosen, "value")
        self._picture = ui.Column(sizing_mode="stretch_width")
        self._card = card(
            "Genes so far",
            words(
                "The worst genes by the means of the posterior so far, anew every few seconds. "
                "Bands are of chance alone.",
                faint=True,
            ),
            self._picker,
            self._about,
            legend(LEGEND),
            self._picture,
            visible=False,
        )
        self.state.param.watch(self._follow, "preview")
        self._follow()

    def __panel__(self) -> Viewable:
        return self._card

    def _follow(self, *_: param.parameterized.Event) -> None:
        if not any(self.state.preview):  # none yet, or the fit is over
            self._card.visible = False
            self._pipe, self.gene = None, ""
        elif pn.state.curdoc is None:
            read = self._read(self.state.run, self.gene)
            if read is not None:
                self._show(*read)
        else:
            self._newest.ask()

    def _chosen(self, event: param.parameterized.Event) -> None:
        if event.new and event.new != self.gene:
            self.gene = event.new
            self._follow()

    async def _update(self) -> None:
        run, gene = self.state.run, self.gene
        if run is None:
            return
        read = await asyncio.to_thread(self._read, run, gene)
        if read is not None and run is self.state.run and gene == self.gene:
            await draw(partial(self._show, *read))

    def _read(self, run: RunFolder, gene: str) -> tuple[list[str], str, GeneCheck] | None:
        """The worst genes, the one to show, and its check; None if the fit has ended meanwhile."""
        try:
            critique = Critique.load(run.preview_path)
            if run is not self._run or self._counts is None:
                self._run, self._counts = run, run.counts
        except UNREADABLE as problem:
            if run.preview_path.exists():
                why_unreadable(problem)  # into the log; the page goes on without
            return None
        genes = critique.genes
        worst = genes.sort_values("misfit", ascending=False)["gene"].astype(str)
        gene = gene if gene in set(worst) else str(worst.iloc[0])
        row = int((genes["gene"].astype(str) == gene).to_numpy().argmax())
        observed = self._counts.gene_at(self._counts.gene_index(gene))
        check = check_gene(observed, critique.natural.of_gene(row, _REPLICATES), 0)
        return list(dict.fromkeys([gene, *worst[:_WORST]])), gene, check

    def _show(self, worst: list[str], gene: str, check: GeneCheck) -> None:
        with pn.io.hold():  # one message to the browser, one drawing
            self.gene = gene
            self._picker.param.update(options=worst, value=gene)
            self._about.object = words_html(f"{gene}: {check.verdict}")
            if self._pipe is None:
                pipe = self._pipe = Pipe(data=check)
                picture = DynamicMap(_draw, streams={"check": pipe.param.data})
                self._picture[:] = [
                    figure(
                        picture,
                        lambda: self.gene,
                        make=lambda: (_draw(pipe.data), LEGEND),
                        height=300,
                    )
                ]
            else:
                self._pipe.send(check)
            self._card.visible = any(self.state.preview)


def _draw(check: GeneCheck) -> Rectangles:
    return ppc_histogram(check.edges, check.observed, check.bands, log=False)
