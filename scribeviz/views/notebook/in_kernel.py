"""What differs where the page lives in a notebook's kernel instead of a server."""

import asyncio
import logging
import weakref
from typing import Any, Protocol

import panel as pn
from panel.io.notebook import JupyterCommJSBinary, JupyterCommManagerBinary

from scribeviz._screen import is_notebook
from scribeviz.views.shared.in_browser import FIGURES_ARE_WAITED_FOR

_LOG = logging.getLogger(__name__)
_EXTENSIONS = ("tabulator", "filedropper")
_REFRESH_SECONDS = 0.25
_ONCE_BOKEH_IS_THERE = """
const look = setInterval(() => {
  if (!window.Bokeh?.Models) return;
  clearInterval(look);
  %s
}, 50);
"""


def load_in_notebook() -> None:
    """Bring Panel's JavaScript into the cell that is about to show something.

    Every time: the page may have been loaded anew since, or the output that brought it cleared.
    Where it is there already, nothing is fetched again.
    """
    if is_notebook():
        from IPython.display import Javascript, display

        JupyterCommManagerBinary.client_comm = _InMainThread
        pn.extension(*_EXTENSIONS, notifications=True)
        display(Javascript(_ONCE_BOKEH_IS_THERE % FIGURES_ARE_WAITED_FOR))


class _InMainThread(JupyterCommJSBinary):
    """Messages of a page, handled one after the other by the kernel's main thread.

    JupyterLab 4.4 and newer sends them to threads of their own (subshells).  Panel 1.10 knows
    nothing of that: where a cell and a click change the page at once, the parts of two messages are
    mixed, and from then on the page gets none.
    """

    def _handle_open(self, comm: Any, message: Any) -> None:
        comm._reply_subshell_for = lambda _data, _default: None  # noqa: SLF001  the main thread
        super()._handle_open(comm, message)


class OnScreen(Protocol):
    """What a cell may show, and what has to follow the runs then."""

    @property
    def is_on_screen(self) -> bool:
        """Whether some cell shows it."""

    async def refresh(self) -> None:
        """Bring it up to date."""


def keep_refreshing(shown: OnScreen) -> asyncio.Task[None] | None:
    """Refresh again and again what some cell shows, for as long as somebody holds it.

    In the kernel's own loop: while another cell computes nothing is refreshed, and afterwards all
    that came meanwhile is there at once.

    Returns
    -------
    asyncio.Task or None
        To be held by ``shown``; None where there is no loop: in a script nobody looks.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop.create_task(_keep_refreshing(weakref.ref(shown)))


async def _keep_refreshing(reference: "weakref.ref[OnScreen]") -> None:
    while (shown := reference()) is not None:
        try:
            if shown.is_on_screen:
                await shown.refresh()
        except Exception:  # noqa: BLE001  a disk that is full must not end it
            _LOG.exception("a cell could not be brought up to date")
        del shown
        await asyncio.sleep(_REFRESH_SECONDS)
