"""A fit in the background, as an object: followed, stopped and resumed from Python."""

import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scribeviz._cards import Card, shown_as
from scribeviz._screen import on_screen
from scribeviz.fitting.fit import counts_to_fit
from scribeviz.fitting.kinds import chosen_by, kind_of
from scribeviz.fitting.methods import method_of
from scribeviz.results.protocol import Results
from scribeviz.runs.damage import DamagedRunError
from scribeviz.runs.folder import RunFolder, RunState
from scribeviz.runs.store import RunStore, default_root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scribeviz.fitting.fit import Data

_SECONDS_BETWEEN_LOOKS = 0.1
_WORST = 5  # genes that are named


@cache
def tended_store(root: Path) -> RunStore:
    """The runs under ``root``, looked after for as long as this process lives."""
    store = RunStore(root)
    store.keep_tending()
    return store


def store_of(runs: RunStore | str | Path | None) -> RunStore:
    """The runs in a folder; the user's own (:func:`default_root`) when left out."""
    if isinstance(runs, RunStore):
        return runs
    return tended_store((default_root() if runs is None else Path(runs)).resolve())


def _card(run: "Run") -> Card:
    """Read from the folder's small files only."""
    try:
        spec, status = run.spec, run.status
    except DamagedRunError as problem:
        return Card(title="Run", summary=run.id, facts={"cannot be read": str(problem)})
    unit = method_of(spec.config).unit
    ended = {True: ", settled", False: ", not settled"} if status.state is RunState.DONE else {}
    facts = {
        "data": f"{spec.data_label}, {spec.n_cells:,} cells x {spec.n_genes:,} genes",
        "state": f"{status.state.value}{ended.get(status.settled, '')}, {status.step:,} {unit} in "
        f"{status.seconds:,.0f} s",
    }
    if status.device:
        facts["device"] = status.device
    if run.has_results:
        worst = run.critique.genes.nlargest(_WORST, "misfit")["gene"]
        facts["worst genes"] = ", ".join(map(str, worst))
    return Card(
        title="Run",
        summary=f"{spec.described}: {status.state.value}",
        facts=facts | {"id": run.id},
        notes=[status.error] if status.error else [],
        next_step="scribeviz.Dashboard(run)" if run.has_results else "run.live()",
    )


@shown_as(_card)
class Run(RunFolder):
    """A fit in a worker process, and what it left behind.

    Every property reads the run's folder: it is as new as the files are, also in another process or
    after a restart.

    Examples
    --------
    >>> run = scribeviz.submit(counts, "nb")  # doctest: +SKIP
    >>> run.wait().results.gene_table(counts)  # doctest: +SKIP
    """

    @property
    def state(self) -> RunState:
        """Where it is on its way: text such as ``"running"`` or ``"done"``."""
        return self.status.state

    @property
    def _store(self) -> RunStore:
        return tended_store(self.path.parent.resolve())

    def stop(self) -> None:
        """End it at its next checkpoint, and keep what it has."""
        self._store.stop(self)

    def resume(self) -> None:
        """Go on from the last checkpoint."""
        self._store.resume(self)

    def wait(self, timeout: float | None = None) -> "Run":
        """Wait until it is over; an interrupt (Ctrl-C, the kernel's stop button) only ends that.

        Parameters
        ----------
        timeout
            Seconds to wait at most; for ever when left out.

        Raises
        ------
        TimeoutError
            If it is not over by then; it goes on.
        RuntimeError
            If it failed; the message says why.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not (status := self.status).is_settled:
            if until is not None and time.monotonic() > until:
                raise TimeoutError(f"{self.id} is still {status.state.value}; it goes on.")
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        if status.state is RunState.FAILED:
            raise RuntimeError(status.error)
        return self

    @property
    def result(self) -> Results:
        """What was found.

        Raises
        ------
        RuntimeError
            If there is nothing yet.
        """
        if not self.results_path.exists():
            raise RuntimeError(
                f"this run is {self.state.value} and has no result; run.wait() waits for it."
            )
        return self.results

    def view(self, gene: str) -> Any:
        """One gene's counts against what the model expects: a Panel ``Viewer``.

        Raises
        ------
        KeyError
            If no gene has that name.
        """
        return on_screen("view")(self, gene)

    def views(self) -> Any:
        """Views that belong together: as of a result, with the data of the run."""
        return on_screen("views")(self)

    def live(self) -> Any:
        """The loss, growing, with what can be done about the fit: a Panel ``Viewer``."""
        return on_screen("live")(self)


def submit(
    data: "Data",
    model: Any = "nb",
    *,
    n_components: int | None = None,
    priors: "Mapping[str, Any] | None" = None,
    layer: str | None = None,
    inference_method: str | None = None,
    runs: RunStore | str | Path | None = None,
    **settings: Any,
) -> Run:
    """Fit in the background, in a process of its own; returns at once.

    Parameters
    ----------
    data, model, n_components, priors, layer, inference_method, **settings
        As of :func:`scribeviz.fit`.
    runs
        The folder that runs are kept in; the user's own, which the dashboard shows, when left out.

    Returns
    -------
    Run
        Queued: one fit runs at a time.

    Raises
    ------
    CountsError, ValueError
        As :func:`scribeviz.fit`.

    Examples
    --------
    ::

        run = scribeviz.submit(counts, "nbvcp")  # goes on in the background
        run.wait()
        run.result
    """
    chosen = chosen_by(model, n_components, priors)
    config = kind_of(chosen).config(inference_method, settings)
    counts = counts_to_fit(data, layer)
    return Run(store_of(runs).submit(counts, chosen, config).path)
