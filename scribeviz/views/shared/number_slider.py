"""A slider for a number, in step with other widgets of the same number."""

import math
from dataclasses import dataclass

import param
from panel import ui

from scribeviz.models.priors import PriorParameter
from scribeviz.views.shared.parts import short

_STEPS = 200
_WAIT_MS = 5
_DECADES, _REACH = 2, 6.0  # to either side of where a slider begins


@dataclass(frozen=True, slots=True)
class Scale:
    """The numbers that a slider goes through, from its left to its right end."""

    low: float
    high: float
    log: bool

    @classmethod
    def around(cls, parameter: PriorParameter, number: float) -> "Scale":
        """The sensible numbers about ``number``: decades where only positive ones are allowed."""
        low, high = parameter.bounds
        if low > 0:
            most = 10**_DECADES
            return cls(max(low, number / most), min(high, number * most), log=True)
        return cls(max(low, number - _REACH), min(high, number + _REACH), log=False)

    def number(self, position: int) -> float:
        """What a position stands for, to three digits."""
        share = position / _STEPS
        if self.log:
            rounded = float(f"{self.low * (self.high / self.low) ** share:.3g}")
        else:
            rounded = round(self.low + share * (self.high - self.low), 2)
        return min(max(rounded, self.low), self.high)

    def position(self, number: float) -> int:
        """The position closest to a number; an end of the slider for one beyond."""
        within = min(max(number, self.low), self.high)
        if self.log:
            share = math.log(within / self.low) / math.log(self.high / self.low)
        else:
            share = (within - self.low) / (self.high - self.low)
        return round(share * _STEPS)


def number_slider(
    state: param.Parameterized, name: str, scale: Scale, *, about: str, width: int
) -> ui.IntSlider:
    """A slider for the number ``name`` of ``state``.

    A number between two positions, or beyond the ends, is left as it is until the slider is moved.
    """
    slider = ui.IntSlider(
        label=about,
        start=0,
        end=_STEPS,
        step=1,
        value=scale.position(getattr(state, name)),
        value_label=short(getattr(state, name)),
        show_value=False,
        size="small",
        width=width,
        sx={"& > .MuiFormLabel-root": {"display": "none"}},  # still what it is called
        margin=(4, 0, 8, 16),
        align="center",
    )

    # Panel waits this long for further changes before it tells of one.
    slider._debounce = _WAIT_MS  # noqa: SLF001  no public way, and a third of the whole delay

    def take(event: param.parameterized.Event) -> None:
        if event.new != scale.position(getattr(state, name)):
            setattr(state, name, scale.number(event.new))

    def follow(event: param.parameterized.Event) -> None:
        slider.param.update(value=scale.position(event.new), value_label=short(event.new))

    slider.param.watch(take, "value")
    state.param.watch(follow, name)
    return slider
