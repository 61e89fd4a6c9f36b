"""What the header of every page says, in frames."""

import html

from scribeviz.data.counts import Counts
from scribeviz.runs.folder import RunStatus


def data_chip(counts: Counts | None) -> str:
    """The data that are open."""
    if counts is None:
        return _chip("no data yet")
    return _chip(f"{counts.n_cells:,} cells x {counts.n_genes:,} genes", name=counts.name)


def job_chip(status: RunStatus | None) -> str:
    """How far the run is that is looked at."""
    if status is None:
        return ""
    if status.state.is_over:
        return _chip(f"fit {status.state.value}")
    return _chip(f"fit {status.state.value} · {status.percent} %")


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
