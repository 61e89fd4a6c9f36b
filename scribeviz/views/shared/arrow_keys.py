"""Up and down within a part of a page, as steps."""

from collections.abc import Callable
from typing import Any

import param
from panel.custom import Child, JSComponent


class ArrowKeys(JSComponent):
    """Its content, of which the arrow keys are told while that has the focus."""

    content = Child(doc="Such as a table.")
    about = param.String("", doc="What the keys do, for those who cannot see it.")

    # Steps that are made while one is on its way are sent together: a key that is held down must
    # not leave a queue behind.
    _esm = """
    export function render({model}) {
      const holder = document.createElement("div")
      holder.tabIndex = 0
      holder.setAttribute("role", "group")
      holder.setAttribute("aria-label", model.about)
      holder.append(model.get_child("content"))
      let steps = 0, waiting = false
      const send = () => {
        waiting = steps !== 0
        if (waiting) model.send_msg(steps)
        steps = 0
      }
      model.on("msg:custom", send)
      const is_own = (event) => event.composedPath()[0].closest(
        "input, select, textarea, button, a, [contenteditable]") === null
      // Not left to what was clicked: a row that is drawn anew loses the focus.
      holder.addEventListener("click", (event) => {
        if (is_own(event)) holder.focus({preventScroll: true})
      })
      holder.addEventListener("keydown", (event) => {
        const step = {ArrowDown: 1, ArrowUp: -1}[event.key]
        const chord = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey
        if (step === undefined || chord || !is_own(event)) return
        event.preventDefault()
        steps += step
        if (!waiting) send()
      })
      return holder
    }
    """

    def __init__(self, step: Callable[[int], None], **params: Any) -> None:
        super().__init__(**params)
        self._step = step

    def _handle_msg(self, steps: Any) -> None:
        try:
            self._step(int(steps))
        finally:
            self._send_msg("taken")
