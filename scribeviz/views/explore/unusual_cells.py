"""Unusual cells of a run's data: an autoencoder is trained beside the page, and shown."""

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.explore.explored import Explored, place_cells, unusual_cells
from scribeviz.views.explore.reconstruction import AbnormalityView
from scribeviz.views.shared.parts import button, card, in_progress, notice, words

if TYPE_CHECKING:
    from scribeviz.networks.unusual import Unusual

_LOG = logging.getLogger(__name__)


class UnusualView(pn.viewable.Viewer):
    """Which cells are not like the others, whatever model was fitted."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._explored: Explored = self.state.explored
        self._place = self.state.place
        self._shown = ui.Column(self._offer(), sizing_mode="stretch_width")

    def __panel__(self) -> Viewable:
        return self._shown

    def _offer(self) -> Viewable:
        return card(
            "Unusual cells",
            words(
                "An autoencoder of the 100 most variable genes learns what cells usually look "
                "like, from four fifths of them; what it cannot reconstruct is unusual. It takes "
                "some seconds, and knows nothing of the model above.",
                faint=True,
            ),
            button("Find unusual cells", "troubleshoot", lambda _: self._start()),
        )

    def _start(self) -> None:
        self._place = self.state.place
        if pn.state.curdoc is None:
            self._show(unusual_cells(self._explored), place_cells(self._explored, self._place))
            return
        self._shown[:] = [in_progress("Training an autoencoder …", height=430)]
        pn.state.execute(self._find)

    async def _find(self) -> None:
        try:
            unusual = await asyncio.to_thread(unusual_cells, self._explored)
            places = await asyncio.to_thread(place_cells, self._explored, self._place)
        except ValueError as problem:
            _LOG.exception("no unusual cells could be found")
            pn.state.execute(partial(self._refuse, str(problem)), schedule=True)
        except Exception:  # noqa: BLE001  the border of the page: it must not wait for ever
            _LOG.exception("no unusual cells could be found")
            message = "No autoencoder could be trained on these cells; the server's log says why."
            pn.state.execute(partial(self._refuse, message), schedule=True)
        else:
            pn.state.execute(partial(self._show, unusual, places), schedule=True)

    def _refuse(self, problem: str) -> None:
        self._shown[:] = [notice(problem, "warning"), self._offer()]

    def _show(self, unusual: "Unusual", places: object) -> None:
        counts = self._explored.counts
        name = self._place.removeprefix("X_").split(",")[0]
        better = 1 - unusual.error / unusual.error_of_means
        message = (
            f"On the {unusual.n_test:,} cells that were kept for last its error is "
            f"{better:.0%} below that of each gene's mean."
            if better > 0
            else f"On the {unusual.n_test:,} cells that were kept for last it does no better than "
            "each gene's mean: what is large below is far from the mean, and no more."
        )
        view = AbnormalityView(
            x=unusual.x,
            reconstruction=unusual.reconstruction,
            genes=[str(gene) for gene in unusual.genes],
            obs=counts.obs,
            places=places,
            axes=(f"{name} 1", f"{name} 2"),
        )
        self._shown[:] = [notice(message, "info" if better > 0 else "warning"), view]
