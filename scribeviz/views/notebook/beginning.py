"""What a dashboard begins with: data, a result or a run, as they lie in Python's memory."""

from functools import lru_cache
from typing import Any

from scribeviz.data.counts import Counts
from scribeviz.data.held import held_counts, hold
from scribeviz.data.opening import Opened
from scribeviz.data.readers import as_counts
from scribeviz.fitting.kinds import choice_of
from scribeviz.results.fitted_counts import fitted_counts
from scribeviz.results.protocol import Results
from scribeviz.runs.folder import RunFolder
from scribeviz.views.data.data_state import OpenedData
from scribeviz.views.explore.explored import Explored, load_explored
from scribeviz.views.shell import Shell

IN_MEMORY = "data in memory"


def held(data: Any, layer: str | None = None) -> Counts:
    """Checked counts that every run of them is then looked at with: there is no second copy."""
    return hold(as_counts(data, layer=layer))


def begin(shell: Shell, what: Any, counts: Counts | None) -> None:
    """Put what was handed over on the page, and turn to the place where one goes on from it.

    Raises
    ------
    ValueError
        If a result comes without the data that it was fitted to.
    """
    if counts is not None:
        found = Opened(sources={"X": ""}, layer="X", counts=counts)
        shell.session.data.show(OpenedData(IN_MEMORY, found))
        shell.session.place = "Model"
    if isinstance(what, RunFolder):
        show_run(shell, what)
    elif isinstance(what, Results):
        show_result(shell, what)


def show_run(shell: Shell, run: RunFolder) -> None:
    """Look at a run: on Explore where it has a result, else on Fit."""
    data = shell.session.data
    if data.counts is None:
        counts = held_counts(run.spec.fingerprint) or hold(run.counts)
        data.show(OpenedData(IN_MEMORY, Opened(sources={"X": ""}, layer="X", counts=counts)))
    shell.session.fit.look_at(run)
    if run.has_results:
        shell.explore(load_explored(run.path))
    else:
        shell.session.place = "Fit"


def show_result(shell: Shell, results: Results) -> None:
    """Look at a result that was fitted here; judging it takes seconds."""
    counts = shell.session.data.counts
    if counts is None:
        raise ValueError(
            "a result is judged by the counts that it was fitted to: "
            "scribeviz.Dashboard(results, data=adata)."
        )
    shell.explore(explored_result(results, counts))


@lru_cache(maxsize=4)
def explored_result(results: Results, counts: Counts) -> Explored:
    """What pictures need of a result in memory."""
    fitted = fitted_counts(counts, results.genes)
    return Explored(
        run_id="",
        path=None,
        label=results.model_type,
        name=f"{results.model_type} on {counts.name}",
        fingerprint=counts.fingerprint,
        model=choice_of(results),
        counts=fitted,
        critique=results.critique(fitted),
        left_out_genes=results.left_out_genes,
        results=results,
    )
