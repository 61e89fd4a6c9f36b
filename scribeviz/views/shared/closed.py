"""What is kept of a page that was closed, and should not be."""

import ctypes
import sys
import threading

from bokeh.document import Document
from panel.io.state import state

_SECONDS_LATER = 20.0  # Panel collects garbage some seconds after a session has ended

_waiting = threading.Lock()


def forget_views(document: Document | None) -> None:
    """Have Panel forget what it still shows on a page that nobody can see any more.

    Panel 1.10 forgets the views of a session that it knows by the session's document; its area for
    notifications is not among them, and holds the document for as long as the server lives.
    """
    for key, (_, _, of_document, _) in list(state._views.items()):  # noqa: SLF001  no other way in
        if of_document is document:
            state._views.pop(key, None)  # noqa: SLF001


def give_memory_back() -> None:
    """Give free memory back to the system a little later: the C library keeps it (Linux only)."""
    if not sys.platform.startswith("linux") or not _waiting.acquire(blocking=False):
        return

    def trim() -> None:
        _waiting.release()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in every C library
        if trim is not None:
            trim(0)

    timer = threading.Timer(_SECONDS_LATER, trim)
    timer.daemon = True
    timer.start()
