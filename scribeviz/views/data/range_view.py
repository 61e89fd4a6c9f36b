"""A histogram of a number of each cell, and between which bounds cells are kept."""

from collections.abc import Callable

import holoviews as hv
import param
from holoviews.streams import Pipe
from panel import ui
from panel.viewable import Viewable

from scribeviz.plots.kept_range import kept_span, with_range
from scribeviz.views.data.filter_state import FilterState, KeptRange
from scribeviz.views.shared.number_slider import Scale, number_slider
from scribeviz.views.shared.parts import flexible, heading, number_field

_STEPS = 200
COLUMN = flexible(1, 250)
"""How columns share the width, and lie beneath each other where it is short."""


def range_view(title: str, state: KeptRange, picture: hv.Histogram) -> Viewable:
    """A histogram, a slider with two ends, and a field for each."""
    return ui.Column(
        heading(title),
        _shaded(picture, state, lambda: (state.low or 0.5, state.high)),
        _two_ended(state, f"Range of {title.lower()}"),
        ui.Row(
            number_field(state, "low", sizing_mode="stretch_width"),
            ui.Spacer(width=12),
            number_field(state, "high", sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        ),
        styles=COLUMN,
    )


def share_view(title: str, state: FilterState, picture: hv.Histogram) -> Viewable:
    """The same for mitochondrial shares, of which only large ones are left out."""
    top = state.highest_mt_percent
    scale = Scale(0.0, top, log=False)
    slider = number_slider(state, "max_mt_percent", scale, about=f"Most {title.lower()}", width=180)
    slider.param.update(width=None, sizing_mode="stretch_width", margin=(2, 14, 2, 14))
    return ui.Column(
        heading(title),
        _shaded(picture, state, lambda: (0, state.max_mt_percent)),
        slider,
        number_field(state, "max_mt_percent", step=1.0, sizing_mode="stretch_width"),
        styles=COLUMN,
    )


def _shaded(
    picture: hv.Histogram, state: param.Parameterized, ends: Callable[[], tuple[float, float]]
) -> Viewable:
    pipe = Pipe(data=ends())
    span = hv.DynamicMap(lambda ends: kept_span(*ends), streams={"ends": pipe.param.data})
    names = [name for name in ("low", "high", "max_mt_percent") if name in state.param]
    state.param.watch(lambda *_: pipe.send(ends()), names)
    return ui.HoloViews(with_range(picture, span), sizing_mode="stretch_width", height=190)


def _two_ended(state: KeptRange, about: str) -> ui.IntRangeSlider:
    scale = Scale(max(state.lowest, 1), state.highest, log=True)

    def positions() -> tuple[int, int]:
        return scale.position(state.low), scale.position(state.high)

    slider = ui.IntRangeSlider(
        label=about,
        start=0,
        end=_STEPS,
        step=1,
        value=positions(),
        show_value=False,
        size="small",
        tooltips=False,  # positions say nothing to people; the fields beneath say the numbers
        sx={"& > .MuiFormLabel-root": {"display": "none"}},  # still what it is called
        sizing_mode="stretch_width",
        margin=(2, 14, 2, 14),
    )

    def take(event: param.parameterized.Event) -> None:
        # Only the end that was moved: the other may be a number between two positions.
        for name, new, old in zip(("low", "high"), event.new, positions(), strict=True):
            if new != old:
                setattr(state, name, _number(state, scale, new))

    def follow(*_: param.parameterized.Event) -> None:
        if slider.value != positions():
            slider.value = positions()

    slider.param.watch(take, "value")
    state.param.watch(follow, ["low", "high"])
    return slider


def _number(state: KeptRange, scale: Scale, position: int) -> int:
    # The ends are those of the data, which three digits would miss.
    if position in (0, _STEPS):
        return state.lowest if position == 0 else state.highest
    return round(scale.number(position))
