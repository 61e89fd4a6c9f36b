"""A page that is brought up to date when something has changed, and while somebody looks at it."""

from collections.abc import Awaitable, Callable

import panel as pn
import param
from bokeh.document import Document

from scribeviz.views.shared.in_browser import LOOKED_AT


class Upkeep:
    """Calls ``refresh`` a moment after something changed.

    A timer on every page would cost each idle visitor as much as a busy one, and Bokeh never
    discards the session of a closed page whose timer waits for the document at that moment.

    Parameters
    ----------
    refresh
        Brings the page up to date; it may be called once more than needed.
    document
        The page's; without one, as in a notebook or a test, nothing is called.
    """

    def __init__(self, refresh: Callable[[], Awaitable[None]], document: Document | None) -> None:
        self._refresh, self._document = refresh, document
        self._asked = False
        # What the browser says; a part of the page, though nobody sees it.
        self.switch = pn.widgets.Checkbox(value=True, visible=False, tags=[LOOKED_AT])
        self.switch.param.watch(self.ask, "value")

    def ask(self, *_: object) -> None:
        """Have the page brought up to date, at once or when it is looked at; from any thread."""
        document = self._document
        if document is None or self._asked or not self.switch.value:
            return
        self._asked = True
        document.add_next_tick_callback(self._go_on)

    def follow(self, *states: param.Parameterized) -> None:
        """Ask whenever a parameter of one of these changes."""
        for state in states:
            state.param.watch(self.ask, list(state.param))

    def stop(self) -> None:
        """The page was closed."""
        self._document = None

    async def _go_on(self) -> None:
        self._asked = False
        await self._refresh()
