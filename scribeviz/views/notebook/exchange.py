"""Keeps the parameters of a dashboard and what its pages show the same, both ways."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import param

from scribeviz.data.counts import Counts
from scribeviz.data.remembered import once_per_counts
from scribeviz.results.protocol import Results
from scribeviz.runs.folder import RunFolder
from scribeviz.runs.run import Run
from scribeviz.views.explore.explored import Explored, fitted_results
from scribeviz.views.notebook.beginning import show_result, show_run
from scribeviz.views.shared.gone import UNREADABLE, why_unreadable
from scribeviz.views.shell import Shell

_BY_PYTHON = "in Python"
_NAMED = 3  # unknown names in a message


@once_per_counts
def _cells_of(counts: Counts) -> pd.Index:
    """The names of the cells, to be looked up; made once, for it takes as long as all the rest."""
    return pd.Index(counts.cells, dtype=object)


class Names(param.List):
    """Names as a list, from whatever holds some: a list, a pandas Index, an array."""

    def __set__(self, owner: param.Parameterized, names: Any) -> None:
        if isinstance(names, str):
            raise TypeError(f"{self.name} takes several names, as a list: [{names!r}].")
        super().__set__(owner, None if names is None else [str(name) for name in names])


class Exchange:
    """Between a dashboard's parameters and the states of its pages.

    What Python sets is checked, shown, or refused with a sentence; then the parameter is as it was
    before.
    """

    def __init__(self, dashboard: param.Parameterized, shell: Shell) -> None:
        self._dashboard, self._shell = dashboard, shell
        self._quiet = False
        explore, fit = shell.session.explore, shell.session.fit
        explore.param.watch(self._explored_changed, "explored")
        explore.param.watch(self._from_page, ["gene", "picked", "cells"])
        fit.param.watch(self._from_page, "run")
        setters: dict[str, Callable[[Any], None]] = {
            "selection": self._choose,
            "gene": self._show_gene,
            "genes": self._pick,
            "run": self._look_at_run,
            "result": self._look_at_result,
        }
        for name, set_on_page in setters.items():
            dashboard.param.watch(self._from_python(set_on_page), name)

    @contextmanager
    def _silence(self) -> Iterator[None]:
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    # From the page to Python

    def _explored_changed(self, _: param.parameterized.Event) -> None:
        explored: Explored | None = self._shell.session.explore.explored
        found = None
        if explored is not None:
            try:
                found = fitted_results(explored)
            except UNREADABLE as problem:  # deleted meanwhile: the log says why
                why_unreadable(problem)
        with self._silence(), param.edit_constant(self._dashboard):
            self._dashboard.param.update(
                result=found, critique=None if explored is None else explored.critique
            )
        self._from_page()

    def _from_page(self, *_: param.parameterized.Event) -> None:
        session = self._shell.session
        explore, run = session.explore, session.fit.run
        explored, cells = explore.explored, explore.cells
        now: dict[str, Any] = {"gene": explore.gene, "genes": list(explore.picked)}
        now["run"] = None if run is None else Run(run.path)
        now["selection"] = (
            None if explored is None or cells is None else explored.counts.cells[cells].tolist()
        )
        before = self._dashboard.param.values()
        changed = {name: value for name, value in now.items() if value != before[name]}
        with self._silence():
            self._dashboard.param.update(**changed)

    # From Python to the page

    def _from_python(self, show: Callable[[Any], None]) -> Callable[..., None]:
        def take(event: param.parameterized.Event) -> None:
            if self._quiet:
                return
            try:
                show(event.new)
            except Exception:
                with self._silence():
                    setattr(self._dashboard, event.name, event.old)
                raise
            self._from_page()  # as it is called there, such as a gene that was named by its id

        return take

    def _explored(self) -> Explored:
        explored = self._shell.session.explore.explored
        if explored is None:
            raise ValueError(
                "nothing is explored yet: wait for a fit (dashboard.wait()), or set dashboard.run "
                "to one that has ended."
            )
        return explored

    def _choose(self, names: Any) -> None:
        explore, counts = self._shell.session.explore, self._explored().counts
        if names is None:
            explore.choose_all()
            return
        positions = _cells_of(counts).get_indexer(pd.Index(names, dtype=object))
        unknown = np.flatnonzero(positions < 0)
        if unknown.size:
            named = ", ".join(repr(str(names[i])) for i in unknown[:_NAMED])
            raise ValueError(
                f"{unknown.size:,} of {len(names):,} names are of no cell of these data, such as "
                f"{named}; dashboard.selection takes obs_names."
            )
        explore.choose_cells(np.unique(positions), _BY_PYTHON)
        if explore.problem:
            raise ValueError(explore.problem)

    def _show_gene(self, name: str) -> None:
        self._explored()
        if problem := self._shell.session.explore.find_gene(name):
            raise ValueError(problem)

    def _pick(self, names: list[str]) -> None:
        counts = self._explored().counts
        picked = [str(counts.genes[counts.gene_index(str(name))]) for name in names]
        self._shell.session.explore.picked = picked

    def _look_at_run(self, run: RunFolder) -> None:
        show_run(self._shell, run)

    def _look_at_result(self, results: Results) -> None:
        show_result(self._shell, results)
