"""How far the data moved every parameter: priors behind posteriors."""

import asyncio

import panel as pn
import param
from holoviews.streams import Selection1D
from panel import ui
from panel.viewable import Viewable

from scribeviz.criticism.overlap import PriorPosterior
from scribeviz.models.parameterizations import Site
from scribeviz.models.priors import POSITIVE
from scribeviz.plots.densities import prior_and_posteriors
from scribeviz.plots.genes import mean_dispersion
from scribeviz.plots.theme import OBSERVED, PREDICTED, component_color
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.explore.explored import learned_prior, posterior_draws
from scribeviz.views.shared.figures import figure
from scribeviz.views.shared.parts import (
    card,
    heading,
    in_progress,
    legend,
    row,
    while_shown,
    words,
)

_SAME = 0.5  # overlap from which the prior says as much as the data
_PER_ROW = 3


class ParametersView(pn.viewable.Viewer):
    """Prior and posterior of every parameter, those of genes for the chosen gene."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._shown = ui.Column(
            in_progress("Drawing from the posterior …", height=420), sizing_mode="stretch_width"
        )
        if pn.state.curdoc is None:
            self._show()
        else:
            pn.state.execute(self._draw)

    async def _draw(self) -> None:
        # The first draws are compiled for seconds: other clicks must not wait for them.
        explored = self.state.explored
        await asyncio.to_thread(posterior_draws, explored)
        if self.state.explored is explored:
            pn.state.execute(self._show, schedule=True)

    def _show(self) -> None:
        pictures = pn.panel(while_shown(self.state, self._pictures, self.state.param.gene))
        self._shown[:] = [pictures, *self._all_genes()]

    def _all_genes(self) -> list[Viewable]:
        """Means and dispersions of all genes, where their prior was learned from them."""
        learned = learned_prior(self.state.explored)
        if learned is None:
            return []
        genes, priors = learned
        points, picture = mean_dispersion(genes, priors.dispersions)
        tapped = Selection1D(source=points)
        tapped.param.watch(self._tapped, "index")
        return [
            heading("Means and dispersions of all genes"),
            words(
                "Each point is a gene, at the medians of its posterior. The line is the trend that "
                "all genes follow, the band holds nine in ten of them: it is the prior of a gene "
                "with that mean. Tap a point to see its gene.",
                faint=True,
            ),
            figure(picture, "means and dispersions", height=360),
        ]

    def _tapped(self, event: param.parameterized.Event) -> None:
        if len(event.new or []) == 1:
            self.state.gene = str(self.state.explored.critique.genes["gene"].iloc[event.new[0]])

    def __panel__(self) -> Viewable:
        return card(
            "Parameters",
            words(
                "The prior is what was assumed, or learned from all genes; the posterior what the "
                "data made of it, both drawn to one height. Where they overlap, the prior still "
                "speaks.",
                faint=True,
            ),
            legend(_legend(self.state.explored.model.n_components)),
            self._shown,
        )

    def _pictures(self, gene: str) -> Viewable:
        shown = [
            self._picture(site, estimates, gene) for site, estimates in self.state.moved().values()
        ]
        rows = [row(*shown[i : i + _PER_ROW]) for i in range(0, len(shown), _PER_ROW)]
        return ui.Column(*rows, sizing_mode="stretch_width")

    def _picture(self, site: Site, estimates: list[PriorPosterior], gene: str) -> Viewable:
        of_gene = "genes" in site.axes
        widest = max(estimates, key=lambda one: one.values.size)
        picture = prior_and_posteriors(
            (widest.values, widest.prior),
            [(one.values, one.posterior) for one in estimates],
            label=site.label,
            log_axis=site.support == POSITIVE,
        )
        title = f"{site.label} of {gene}" if of_gene else site.label
        return ui.Column(
            heading(title),
            words(_overlap_in_words(estimates), faint=True),
            figure(picture, title, legend=_legend(len(estimates)), height=220),
            sizing_mode="stretch_width",
        )


def _legend(k: int) -> list[tuple[str, str, float]]:
    """The prior, and the posterior of each of ``k`` values."""
    posteriors = (
        [("posterior", PREDICTED, 0.5)]
        if k == 1
        else [(f"component {i + 1}", component_color(i), 0.5) for i in range(k)]
    )
    return [("prior", OBSERVED, 0.4), *posteriors]


def _overlap_in_words(estimates: list[PriorPosterior]) -> str:
    shares = [one.overlap for one in estimates]
    listed = " · ".join(f"{share:.0%}" for share in shares)
    strong = max(shares) >= _SAME
    return f"Overlap {listed}: " + ("the prior still speaks." if strong else "the data decide.")
