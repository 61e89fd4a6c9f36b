"""What Panel would leave unsent is sent."""

import asyncio
from types import SimpleNamespace

import pytest
from bokeh.document import Document
from panel.io import document

from scribeviz.views.shared.unsent import send_left_over


@pytest.fixture
def written(monkeypatch):
    """What is written to sockets, each of which takes a turn of the event loop."""
    found = []

    def write(_doc, _connections, events, *, run):
        assert not run
        found.extend(events)
        return [asyncio.ensure_future(asyncio.sleep(0))] if events else []

    monkeypatch.setattr(document, "write_events", write)
    return found


class Live(Document):
    """A document whose callbacks are called at once, as a session's on the event loop."""

    def add_next_tick_callback(self, callback):
        callback()


def test_changes_that_came_while_others_were_written_are_sent(written, finish):
    doc, connection = Live(), SimpleNamespace(_socket=None)

    async def race():
        document.schedule_write_events(doc, [connection], ["first"])
        await asyncio.sleep(0)  # it is being written
        document._WRITE_EVENTS[doc] = [([connection], ["second"])]
        await asyncio.sleep(0.05)
        assert written == ["first"], "Panel sends it by itself now: this can go"
        waiting = send_left_over(set())
        await asyncio.sleep(0.05)
        assert written == ["first"], "what has only come may be on its way"
        send_left_over(waiting)
        await asyncio.sleep(0.05)

    finish(race())
    assert written == ["first", "second"]
    assert doc not in document._WRITE_EVENTS


def test_nothing_is_done_where_nothing_waits(monkeypatch):
    monkeypatch.setattr(document, "schedule_write_events", lambda *_: pytest.fail("asked"))
    assert id(Document()) not in send_left_over({1, 2})
