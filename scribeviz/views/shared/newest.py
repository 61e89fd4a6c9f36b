"""Keep a picture up with a control that moves faster than the picture can be drawn."""

import asyncio
from collections.abc import Awaitable, Callable

import panel as pn

_GAP_SECONDS = 0.03  # for messages that have come meanwhile, and other clicks
_GONE_SECONDS = 10  # a page that has not drawn by then was closed


class Newest:
    """Work that is done for what was chosen last; what is chosen meanwhile is done next, once.

    Parameters
    ----------
    work
        Looks at what is chosen, and shows what comes of it.
    after_seconds
        To wait with it, where something else that follows the same control comes first.
    """

    def __init__(self, work: Callable[[], Awaitable[None]], after_seconds: float = 0.0) -> None:
        self._work, self._after_seconds = work, after_seconds
        self._asked = self._at_work = False

    def ask(self) -> None:
        """Something else was chosen."""
        self._asked = True
        if not self._at_work:
            self._at_work = True
            pn.state.execute(self._go_on)

    async def _go_on(self) -> None:
        try:
            while self._asked:
                await asyncio.sleep(self._after_seconds)
                self._asked = False
                await self._work()
                await asyncio.sleep(_GAP_SECONDS)
        finally:
            self._at_work = False


async def draw(callback: Callable[[], None]) -> None:
    """Change the page, and wait until that is done.

    As a callback of the document it waits for the message that brings the page: sent before it, the
    change would speak of elements that the browser does not know yet.
    """
    done = asyncio.Event()

    def change() -> None:
        try:
            callback()
        finally:
            done.set()

    pn.state.execute(change, schedule=True)
    await asyncio.wait([asyncio.ensure_future(done.wait())], timeout=_GONE_SECONDS)
