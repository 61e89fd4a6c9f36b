"""Changes of a page that Panel would leave unsent.

Panel 1.10 queues changes while a socket is being written to.  Where the writer of earlier ones ends
in the turn of the event loop in which more are queued, it takes down the sign that these wait for:
they stay until something else changes, and the page says "Reading counts …" for good.
"""

import threading
import time
from functools import cache, partial

from bokeh.document import Document
from panel.io import document

_SECONDS_BETWEEN_LOOKS = 0.25


@cache
def keep_sending() -> threading.Thread:
    """Look for such changes of all pages, from one thread for as long as the server lives."""

    def loop() -> None:
        before: set[int] = set()
        while True:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            before = send_left_over(before)

    thread = threading.Thread(target=loop, name="unsent", daemon=True)
    thread.start()
    return thread


def send_left_over(before: set[int]) -> set[int]:
    """Send what waits now and waited at the look before.

    Parameters
    ----------
    before
        What the look before gave.

    Returns
    -------
    waiting
        The documents that have something unsent, by their identity.
    """
    references = document._WRITE_EVENTS.keyrefs()  # noqa: SLF001  a copy: others write into it
    waiting = {id(doc): doc for doc in (reference() for reference in references) if doc is not None}
    for key in before & waiting.keys():
        doc = waiting[key]
        doc.add_next_tick_callback(partial(_send, doc))
    return set(waiting)


def _send(doc: Document) -> None:
    if doc in document._WRITE_EVENTS:  # noqa: SLF001  there is no other way in
        document.schedule_write_events(doc, [], [])  # nothing more, but all that is queued
