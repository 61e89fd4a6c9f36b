"""Changes of a page that Panel would leave unsent.

Panel 1.10 queues changes while a socket is being written to.  Where the writer of earlier ones ends
in the turn of the event loop in which more are queued, it takes down the sign that these wait for:
they stay until something else changes, and the page says "Reading counts …" for good.
"""

from bokeh.document import Document
from panel.io import document


def send_left_over(doc: Document | None) -> None:
    """Send what waits; nothing if nothing does."""
    if doc is not None and doc in getattr(document, "_WRITE_EVENTS", ()):
        document.schedule_write_events(doc, [], [])  # nothing more, but all that is queued
