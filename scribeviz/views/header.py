"""What the header says, on every page: the data, and what really runs."""

import html

from scribeviz.data.counts import Counts
from scribeviz.runs.folder import RunFolder, RunStatus


def data_chip(counts: Counts | None) -> str:
    """The data that are open, with their size."""
    if counts is None:
        return _chip("no data yet")
    return _chip(f"{counts.n_cells:,} cells x {counts.n_genes:,} genes", name=counts.name)


def job_chip(
    at_work: tuple[RunFolder | None, RunStatus | None, int], looked_at: RunStatus | None
) -> str:
    """What is being fitted, whichever run is looked at; how that ended where nothing is."""
    run, status, n_waiting = at_work
    if run is None or status is None:
        if looked_at is None or not looked_at.state.is_over:
            return ""
        return _chip(f"fit {looked_at.state.value}")
    behind = f" · {n_waiting} waiting" if n_waiting else ""
    return _chip(f"fitting {run.spec.label} · {status.percent} %{behind}")


def _chip(text: str, name: str = "") -> str:
    """A framed word or two; a long ``name`` before them is cut, and whole where the mouse rests."""
    cut = "display:inline-block;max-width:25vw;overflow:hidden;text-overflow:ellipsis"
    named = (
        f'<span title="{html.escape(name)}" style="{cut};vertical-align:bottom">'
        f"{html.escape(name)}</span>"
    )
    content = (
        f'{named}<span class="detail"> · {html.escape(text)}</span>' if name else html.escape(text)
    )
    return (
        '<span style="color:#fff;border:1px solid #ffffff99;border-radius:14px;padding:4px 12px;'
        f'font-size:.85rem;opacity:.9;white-space:nowrap">{content}</span>'
    )
