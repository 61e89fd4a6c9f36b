"""One gene of a finished run: its counts against what the model expects."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import holoviews as hv
import panel as pn
import param
from holoviews.streams import Pipe
from panel import ui
from panel.viewable import Viewable

from scribeviz.criticism.predictive import GeneCheck
from scribeviz.plots.figures import Legend
from scribeviz.plots.ppc import (
    CUMULATIVE_LEGEND,
    LEGEND,
    RESIDUALS_LEGEND,
    ROOTOGRAM_LEGEND,
    ppc_cumulative,
    ppc_histogram,
    residual_histogram,
    rootogram,
)
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.shared.figures import figure
from scribeviz.views.shared.parts import (
    folded,
    heading,
    heading_html,
    legend,
    numbers_html,
    short,
    words,
    words_html,
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A way to draw one gene's check."""

    draw: Callable[..., hv.Rectangles]
    legend: tuple[tuple[str, str, float], ...]
    how_to_read: str


def _counts(check: GeneCheck, *, log: bool) -> hv.Rectangles:
    return ppc_histogram(check.edges, check.observed, check.bands, log=log)


def _cumulative(check: GeneCheck, **_: bool) -> hv.Rectangles:
    return ppc_cumulative(check.edges, check.observed, check.cumulative)


def _rootogram(check: GeneCheck, **_: bool) -> hv.Rectangles:
    return rootogram(check.edges, check.observed, check.bands)


def _residuals(check: GeneCheck, **_: bool) -> hv.Rectangles:
    return residual_histogram(check.residuals, int(check.observed.sum()))


_KINDS = {
    "Counts": _Kind(
        _counts,
        LEGEND,
        "Bars are the data. Blue is what {n_draws} data sets drawn from the fitted model look "
        "like: half of them within the dark band, 90 % within the light one.",
    ),
    "Cumulative": _Kind(
        _cumulative,
        CUMULATIVE_LEGEND,
        "The share of cells with at most so many counts. Where the orange line leaves the bands, "
        "more or fewer cells lie below than in {n_draws} data sets from the model.",
    ),
    "Rootogram": _Kind(
        _rootogram,
        ROOTOGRAM_LEGEND,
        "In a rootogram bars hang from the prediction; square roots make rare counts as visible as "
        "common ones. A bar that ends below the band has too many cells, one that ends above it "
        "too few.",
    ),
    "Residuals": _Kind(
        _residuals,
        RESIDUALS_LEGEND,
        "Where each cell's count lies within its prediction. Flat is right; high ends mean that "
        "counts vary more than predicted, a hill in the middle that they vary less.",
    ),
}


class GeneView(pn.viewable.Viewer):
    """One gene: observed counts against replicated data sets."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._check = self.state.gene_check()
        self._pipe = Pipe(data=self._check)
        self._about = ui.HTML(self._sentence(), sizing_mode="stretch_width", margin=(0, 0, 8, 0))
        self._title = heading(self.state.gene)
        self._figures = ui.HTML(self._numbers(), sizing_mode="stretch_width", margin=(0, 0, 10, 0))
        self._watcher = self.state.param.watch(self._show_gene, ["gene", "cells"])

    def leave(self) -> None:
        """Follow the chosen gene no longer: another run is shown."""
        self.state.param.unwatch(self._watcher)

    def __panel__(self) -> Viewable:
        n_draws = self.state.explored.critique.draws.n_draws
        state = self.state
        kind = ui.RadioButtonGroup.from_param(
            state.param.kind,
            label="",
            size="small",
            margin=(0, 0, 8, 0),
            sx={"& .MuiToggleButton-root": {"whiteSpace": "nowrap"}},
        )
        log = ui.Switch.from_param(
            state.param.log_axis,
            label="Logarithmic",
            visible=pn.bind(lambda kind: kind == "Counts", state.param.kind),
        )
        picture = figure(
            pn.bind(self._picture, state.param.kind, state.param.log_axis),
            lambda: f"{state.gene} {state.kind}",
            make=self._figure,
            height=400,
        )

        return ui.Paper(
            self._title,
            self._about,
            self._figures,
            ui.FlexBox(kind, log, gap="0 16px", align_items="center", sizing_mode="stretch_width"),
            pn.bind(lambda kind: legend(_KINDS[kind].legend), state.param.kind),
            picture,
            folded(
                pn.bind(
                    lambda kind: words(
                        _KINDS[kind].how_to_read.format(n_draws=n_draws), faint=True
                    ),
                    state.param.kind,
                ),
                title="How to read it",
                margin=(4, 0, 0, 0),
            ),
            variant="outlined",
            elevation=0,
            sx={"padding": "16px", "borderRadius": "10px"},
            sizing_mode="stretch_width",
            margin=(0, 0, 16, 0),
        )

    def _picture(self, kind: str, log: bool) -> hv.DynamicMap:  # noqa: FBT001  a switch's value
        draw = partial(_KINDS[kind].draw, log=log)
        return hv.DynamicMap(draw, streams={"check": self._pipe.param.data})

    def _figure(self) -> tuple[hv.Rectangles, Legend]:
        kind = _KINDS[self.state.kind]
        return kind.draw(self._check, log=self.state.log_axis), kind.legend

    def _show_gene(self, *_: param.parameterized.Event) -> None:
        self._check = self.state.gene_check()
        with pn.io.hold():  # one message to the browser, one drawing
            self._pipe.send(self._check)
            self._title.object = heading_html(self.state.gene)
            self._about.object = self._sentence()
            self._figures.object = self._numbers()

    def _numbers(self) -> str:
        check = self._check
        mean, zeros = check.mean, check.zeros
        return numbers_html(
            ["observed", "model (90 %)"],
            {
                "mean": [short(check.observed_mean), f"{short(mean[0])} to {short(mean[2])}"],
                "cells without it": [
                    f"{check.observed_zeros:.1%}",
                    f"{zeros[0]:.1%} to {zeros[2]:.1%}",
                ],
            },
        )

    def _sentence(self) -> str:
        cells = self.state.checked
        where = "" if cells is None else f"In the {cells.size:,} chosen cells. "
        return words_html(where + self._check.verdict)
