"""Reports as files: of a run, of a result, or of several runs side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scribeviz.data.readers import as_counts
from scribeviz.results.protocol import Results
from scribeviz.runs.folder import RunFolder
from scribeviz.runs.store import RunStore
from scribeviz.views.compare.compare_state import CompareState, score, trust
from scribeviz.views.explore.explored import Explored, load_explored
from scribeviz.views.notebook.beginning import explored_result
from scribeviz.views.report.document import Report
from scribeviz.views.report.of_comparison import comparison_report
from scribeviz.views.report.of_run import run_report

if TYPE_CHECKING:
    from scribeviz.fitting.fit import Data

type Fit = RunFolder | Results | str | Path


def report(
    fit: Fit | Sequence[RunFolder | str | Path], path: str | Path, counts: "Data | None" = None
) -> Path:
    """Write what is known of a fit, or of several side by side, as one HTML file.

    It opens without a network, runs no script, follows the light or dark mode of who reads it, and
    prints.

    Parameters
    ----------
    fit
        A run (of :func:`scribeviz.submit`, or the folder of one), a result of
        :func:`scribeviz.fit`, or two runs and more of the same data, to compare.
    path
        Where to write it.
    counts
        With a result, the data that it was fitted to, in any form that ``fit`` takes.

    Returns
    -------
    pathlib.Path
        Where it was written.

    Raises
    ------
    ValueError
        If a result comes without its counts, a folder holds no run that can be explored, or runs
        cannot be compared; the message says why.

    Examples
    --------
    >>> import scribeviz
    >>> counts = scribeviz.demo()
    >>> results = scribeviz.fit(counts, "nb", progress=False)
    >>> scribeviz.report(results, "nb.html", counts)  # doctest: +SKIP
    PosixPath('nb.html')
    """
    made = report_of(fit, counts)
    target = Path(path)
    target.write_text(made.html, encoding="utf-8")
    return target


def report_of(fit: Fit | Sequence[RunFolder | str | Path], counts: "Data | None" = None) -> Report:
    """What :func:`report` writes."""
    match fit:
        case RunFolder() | str() | Path():
            return run_report(_explored(fit))
        case Results():
            if counts is None:
                raise ValueError(
                    "a result is judged by the counts that it was fitted to: "
                    "scribeviz.report(results, path, counts)."
                )
            return run_report(explored_result(fit, as_counts(counts)))
    if len(fit) == 1:
        return run_report(_explored(fit[0]))
    return comparison_report(compared([_run(one) for one in fit]))


def compared(runs: Sequence[RunFolder]) -> CompareState:
    """Finished runs of one folder, side by side.

    Raises
    ------
    ValueError
        If they lie in several folders, or are not of the same data.
    """
    roots = {run.path.resolve().parent for run in runs}
    if len(roots) > 1:
        raise ValueError(
            "runs that are compared have to lie in one folder; these lie in "
            f"{', '.join(map(str, sorted(roots)))}."
        )
    for run in runs:
        _explored(run)
    state = CompareState(store=RunStore(roots.pop()))
    ids = [run.id for run in runs]
    explored = state.load(ids)
    named = {name: RunFolder(run.path) for name, run in zip(explored, runs, strict=True)}
    state.show(ids, explored, score(explored, dict(zip(ids, runs, strict=True))), trust(named))
    return state


def _run(fit: RunFolder | str | Path) -> RunFolder:
    return fit if isinstance(fit, RunFolder) else RunFolder(Path(fit))


def _explored(fit: RunFolder | str | Path) -> Explored:
    run = _run(fit)
    if not run.has_results:
        raise ValueError(
            f"{run.path} holds no run with a result: give the folder of a fit that has ended."
        )
    return load_explored(run.path)
