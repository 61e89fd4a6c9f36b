"""The whole application in a cell of a notebook, and what Python and the page tell each other."""

from pathlib import Path
from typing import Any

import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.criticism.critique import Critique
from scribeviz.data.counts import Counts
from scribeviz.results.protocol import Results
from scribeviz.runs.folder import RunFolder
from scribeviz.runs.run import Run, store_of
from scribeviz.runs.store import RunStore
from scribeviz.views.notebook.beginning import begin, held, show_result, show_run
from scribeviz.views.notebook.exchange import Exchange, Names
from scribeviz.views.notebook.in_kernel import keep_refreshing, load_in_notebook
from scribeviz.views.session import Session, default_folder
from scribeviz.views.shell import Shell


class Dashboard(pn.viewable.Viewer):
    """The application in a notebook's cell.

    Its parameters follow the page, and the page follows them: read them, set them, or have a
    function called with ``dashboard.param.watch(function, "selection")``.

    Parameters
    ----------
    what
        Raw counts in any form that :func:`scribeviz.fit` takes, a result, a :class:`Run`, or
        nothing: then the page begins with the choice of data.
    data
        The counts that a result was fitted to.
    layer
        Where the counts are, unless in ``X``.
    runs
        The folder that runs are kept in; the user's own when left out.
    height
        Of the cell's output, in pixels.

    Raises
    ------
    CountsError
        If the data are not raw counts.
    ValueError
        If a result comes without data.

    Examples
    --------
    >>> dashboard = scribeviz.Dashboard(adata)  # doctest: +SKIP
    >>> dashboard.selection = adata.obs_names[adata.obs["leiden"] == "3"]  # doctest: +SKIP
    """

    selection = Names(None, allow_None=True, doc="Names of the chosen cells; None: all.")
    gene = param.String("", doc="The gene that is looked at.")
    genes = Names([], doc="Genes that the table is narrowed to; if none, it lists all.")
    run = param.ClassSelector(class_=RunFolder, doc="The run that is looked at.")
    result = param.Parameter(None, doc="What was found by what Explore shows.")
    critique = param.ClassSelector(class_=Critique, constant=True, doc="What it is judged by.")
    height = param.Integer(780, bounds=(200, None), doc="Of the cell's output, in pixels.")

    def __init__(
        self,
        what: Any = None,
        data: Any = None,
        *,
        layer: str | None = None,
        runs: RunStore | str | Path | None = None,
        height: int = 780,
    ) -> None:
        super().__init__(height=height)
        load_in_notebook()
        fitted = isinstance(what, RunFolder | Results)
        self._data = data if fitted else what
        counts = None if self._data is None else held(self._data, layer)
        self._shell = Shell(session=Session(store_of(runs), default_folder()), compact=True)
        self._exchange = Exchange(self, self._shell)
        begin(self._shell, what, counts)
        self._view = ui.Column(
            self._shell,
            sizing_mode="stretch_width",
            height=height,
            scroll="y",
            styles={"border": "1px solid rgba(128,128,128,.4)", "border-radius": "8px"},
        )
        self.param.watch(lambda event: setattr(self._view, "height", event.new), "height")
        self._refreshing = keep_refreshing(self)

    def __panel__(self) -> Viewable:
        return self._view

    def __repr__(self, *_: object) -> str:
        counts, explored = self.counts, self._shell.session.explore.explored
        data = "no data" if counts is None else repr(counts).splitlines()[0]
        chosen = "all" if self.selection is None else f"{len(self.selection):,}"
        looked_at = "" if explored is None else f" · {self.gene} in {chosen} cells"
        return f"Dashboard at {self._shell.session.place}\n  {data}{looked_at}"

    def __str__(self) -> str:
        return repr(self)

    @property
    def is_on_screen(self) -> bool:
        """Whether some cell shows it."""
        return bool(self._view._models)  # noqa: SLF001  no public way

    async def refresh(self) -> None:
        """Bring the page up to date with the runs; on a timer while it is on the screen."""
        await self._shell.refresh()

    @property
    def counts(self) -> Counts | None:
        """The counts that are open, filtered as on the Data page."""
        return self._shell.session.data.counts

    def look_at(self, what: RunFolder | Results) -> None:
        """Show a run or a result on the Explore page."""
        if isinstance(what, RunFolder):
            show_run(self._shell, what)
        else:
            show_result(self._shell, what)

    def to_obs(self, key: str, adata: Any = None) -> None:
        """Write the chosen cells into ``adata.obs[key]``: True for them, False for all others.

        Parameters
        ----------
        key
            Name of the column; one that is there is replaced.
        adata
            Where to; the AnnData that the dashboard was opened on when left out.

        Raises
        ------
        ValueError
            If there is no AnnData to write to, or one with other cells.
        """
        target = self._data if adata is None else adata
        if not hasattr(target, "obs_names"):
            raise ValueError(
                f"dashboard.to_obs({key!r}) writes into the AnnData that the dashboard was opened "
                "on, and it was opened on none: give one, as in "
                f"dashboard.to_obs({key!r}, adata)."
            )
        chosen = list(target.obs_names) if self.selection is None else self.selection
        inside = target.obs_names.isin(chosen)
        if inside.sum() != len(chosen):
            raise ValueError(
                f"{len(chosen) - int(inside.sum()):,} of the {len(chosen):,} chosen cells are not "
                "in this AnnData by their names (or two share one: "
                "adata.obs_names_make_unique() before the dashboard is opened)."
            )
        target.obs[key] = inside

    def wait(self, timeout: float | None = None) -> Run:
        """Wait for the run that is looked at, then show its result; see :meth:`Run.wait`."""
        if self.run is None:
            raise ValueError("no run is looked at: start a fit, or set dashboard.run.")
        run = Run(self.run.path).wait(timeout)
        self.look_at(run)
        return run
