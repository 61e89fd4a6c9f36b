"""Parts of the application on their own, for a cell or for a layout of the user's."""

from typing import Any

import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.data.readers import as_counts
from scribeviz.results.protocol import Results
from scribeviz.runs.folder import RunFolder
from scribeviz.runs.run import store_of
from scribeviz.views.explore.chosen_cells import CellsView
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.explore.explored import Explored, load_explored
from scribeviz.views.explore.gene_table import GeneTable
from scribeviz.views.explore.mixture import AssignmentView
from scribeviz.views.explore.one_gene import GeneView
from scribeviz.views.fit.fit_page import ProgressView
from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.notebook.beginning import explored_result
from scribeviz.views.notebook.in_kernel import keep_refreshing, load_in_notebook
from scribeviz.views.shared.theme import THEME


class SingleView(pn.viewable.Viewer):
    """A part of the application with its colours, outside of its pages."""

    part = param.Parameter(constant=True, doc="A view.")

    def __panel__(self) -> Viewable:
        return ui.Column(self.part, theme_config=THEME, sizing_mode="stretch_width")


class Views:
    """Views of one fit.  They belong together: cells chosen in one are those of all others.

    Parameters
    ----------
    explored
        The fit, with its data and its criticism.
    """

    def __init__(self, explored: Explored) -> None:
        load_in_notebook()
        self.state = ExploreState()
        self.state.show(explored)

    def __repr__(self) -> str:
        return (
            f"Views of {self.state.explored.name}\n"
            "  .gene(name) · .genes() · .cells() · .assignments()"
        )

    def gene(self, name: str = "") -> SingleView:
        """One gene's counts against what the model expects; the worst gene when left out.

        Raises
        ------
        KeyError
            If no gene has that name.
        """
        if name and (problem := self.state.find_gene(name)):
            raise KeyError(problem)
        return SingleView(part=GeneView(state=self.state))

    def genes(self) -> SingleView:
        """All genes, worst first; a click shows one in :meth:`gene`."""
        return SingleView(part=GeneTable(state=self.state))

    def cells(self) -> SingleView:
        """A map of the cells; a lasso, a box or a group chooses some."""
        return SingleView(part=CellsView(state=self.state))

    def assignments(self) -> SingleView:
        """How sure a mixture is, and what its components go along with.

        Raises
        ------
        ValueError
            If the model is no mixture.
        """
        explored = self.state.explored
        if not explored.model.is_mixture:
            raise ValueError(f"{explored.label} is no mixture: it assigns no cells.")
        return SingleView(part=AssignmentView(state=self.state))


class LiveView(pn.viewable.Viewer):
    """The loss of a run, growing, with Stop and Resume; at its end a click explores the result."""

    run = param.ClassSelector(class_=RunFolder, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        load_in_notebook()
        self._state = FitState(store=store_of(self.run.path.parent))
        self._state.look_at(self.run)
        progress = ProgressView(state=self._state, go_on=self._explore)
        self._view = ui.Column(progress, theme_config=THEME, sizing_mode="stretch_width")
        self._refreshing = keep_refreshing(self)

    def __panel__(self) -> Viewable:
        return self._view

    @property
    def is_on_screen(self) -> bool:
        """Whether some cell shows it."""
        return bool(self._view._models)  # noqa: SLF001  no public way

    async def refresh(self) -> None:
        """Bring it up to date with the run; on a timer while it is on the screen."""
        self._state.refresh()

    def _explore(self) -> None:
        shown = Views(load_explored(self.run.path))
        self._view[:] = [shown.genes(), shown.gene()]


def views(fit: Results | RunFolder, counts: Any = None) -> Views:
    """Views of a run, or of a result and the counts that it was fitted to."""
    if isinstance(fit, RunFolder):
        return Views(load_explored(fit.path))
    return Views(explored_result(fit, as_counts(counts)))


def view(fit: Results | RunFolder, gene: str, counts: Any = None) -> SingleView:
    """One gene of a fit."""
    return views(fit, counts).gene(gene)


def live(run: RunFolder) -> LiveView:
    """The loss of a run."""
    return LiveView(run=run)
