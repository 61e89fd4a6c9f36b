"""How far a fit is: a bar on a terminal, in a notebook the loss as it falls."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from scribeviz._screen import is_notebook

_WIDTH, _HEIGHT = 420, 90  # of the loss, in pixels
_MOST_POINTS = 200
_SECONDS_BETWEEN_DRAWINGS = 0.3

type Report = Callable[[Any, np.ndarray], None]
"""Called with a checkpoint and with all losses so far."""


@contextmanager
def progress(n_steps: int, *, shown: bool = True) -> Iterator[Report]:
    """Show how far a fit is; gives what to call with each checkpoint and the losses so far."""
    if not shown:
        yield lambda _checkpoint, _losses: None
    elif is_notebook():
        loss = _LossInCell()
        try:
            yield loss.report
        finally:
            loss.draw()
    else:
        with _bar(n_steps) as report:
            yield report


@contextmanager
def _bar(n_steps: int) -> Iterator[Report]:
    from tqdm import tqdm

    with tqdm(total=n_steps, unit="step") as bar:

        def report(checkpoint: Any, losses: np.ndarray) -> None:
            # Settled early: that is the whole of it.
            bar.total = checkpoint.step if checkpoint.settled else checkpoint.n_steps
            bar.set_postfix_str(f"loss {losses[-50:].mean():,.1f}", refresh=False)
            bar.update(checkpoint.step - bar.n)

        yield report


class _LossInCell:
    """One output of a cell, replaced as the fit goes on."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._drawn = 0.0
        self._last: tuple[Any, np.ndarray] | None = None
        self._handle = display(HTML(loss_html("preparing …", np.zeros(0))), display_id=True)

    def report(self, checkpoint: Any, losses: np.ndarray) -> None:
        """Draw, unless that was done a moment ago."""
        self._last = checkpoint, losses
        if time.monotonic() - self._drawn > _SECONDS_BETWEEN_DRAWINGS:
            self.draw()

    def draw(self) -> None:
        """Draw what was reported last."""
        if self._last is None:
            return
        checkpoint, losses = self._last
        steps, loss = f"{checkpoint.step:,}", f"loss {losses[-50:].mean():,.1f} nats"
        said = (
            f"settled after {steps} steps, {loss}"
            if checkpoint.settled
            else f"{steps} of at most {checkpoint.n_steps:,} steps, {loss}"
        )
        self._handle.update(self._html(loss_html(said, losses)))
        self._drawn = time.monotonic()


def loss_html(said: str, losses: np.ndarray) -> str:
    """A sentence with the loss as a line beneath it, from its lowest to its highest."""
    # The first losses, far above all others, would press the rest flat.
    shown = losses[losses.size // 10 :]
    picture = ""
    if shown.size > 1 and np.isfinite(shown).all():
        chosen = np.unique(np.linspace(0, shown.size - 1, _MOST_POINTS).astype(int))
        span = np.ptp(shown) or 1.0
        x = chosen / (shown.size - 1) * _WIDTH
        y = 2 + (shown.max() - shown[chosen]) / span * (_HEIGHT - 4)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        picture = (
            f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="the loss so far" '
            'style="border-bottom:1px solid rgba(128,128,128,.4);max-width:100%">'
            f'<polyline points="{points}" fill="none" stroke="#0e7fa6" stroke-width="1.5"/></svg>'
        )
    return f'<div style="line-height:1.4"><div>{said}</div>{picture}</div>'
