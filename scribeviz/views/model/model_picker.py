"""The models that are offered, each with when to take it."""

import asyncio
from functools import partial

import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.data.counts import Counts
from scribeviz.data.overdispersion import Overdispersion, overdispersion
from scribeviz.fitting.kinds import Offer, offers
from scribeviz.views.data.data_state import DataState
from scribeviz.views.model.model_state import ModelState
from scribeviz.views.shared.newest import Newest, draw
from scribeviz.views.shared.parts import words, words_html

# An entry is a card: its name in bold, and when to take it beneath.
_CARDS = {
    "gap": "8px",
    ".MuiFormControlLabel-root": {
        "alignItems": "flex-start",
        "margin": 0,
        "padding": "6px 12px 8px 4px",
        "border": "1px solid rgba(128, 128, 128, .35)",
        "borderRadius": "8px",
    },
    ".MuiFormControlLabel-root:has(input:checked)": {
        "borderColor": "var(--mui-palette-primary-main)",
        "boxShadow": "inset 0 0 0 1px var(--mui-palette-primary-main)",
    },
    ".MuiFormControlLabel-label": {
        "whiteSpace": "pre-line",
        "fontSize": ".9rem",
        "lineHeight": 1.4,
        "paddingTop": "7px",
    },
    # The browser makes the name bold where it can be told apart (readable.py), else its first line.
    ".MuiFormControlLabel-label b, .MuiFormControlLabel-label::first-line": {
        "fontSize": "1rem",
        "fontWeight": 600,
    },
    ".MuiFormControlLabel-root:last-of-type": {"display": "none"},  # it stands for other groups
}
_ELSEWHERE = {"another model": None}


class ModelPicker(pn.viewable.Viewer):
    """One of the models is chosen; the first is recommended, for a reason in the data."""

    state = param.ClassSelector(class_=ModelState, constant=True)
    data = param.ClassSelector(class_=DataState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._reason = ui.HTML("", sizing_mode="stretch_width", margin=(2, 0, 10, 0))
        self._newest = Newest(self._look_at_data)
        self.data.param.watch(self._new_data, "counts")
        self._new_data()

    def __panel__(self) -> Viewable:
        by_heading: dict[str, dict[str, str]] = {}
        recommended, *_ = offers()
        for key, offer in offers().items():
            text = _in_words(offer, recommended=key == recommended)
            by_heading.setdefault(offer.heading, {})[text] = key
        groups = [self._group(*each) for each in by_heading.items()]
        return ui.Column(self._reason, *groups, sizing_mode="stretch_width")

    def _group(self, heading: str, options: dict[str, str]) -> Viewable:
        # A group of radios has a value always: what is not here has an entry that nobody sees.
        radios = ui.RadioBoxGroup(
            label="", options=options | _ELSEWHERE, value=None, margin=(0, 0, 12, 0), sx=_CARDS
        )

        def follow(*_: param.parameterized.Event) -> None:
            chosen = self.state.likelihood
            radios.value = chosen if chosen in options.values() else None

        def take(event: param.parameterized.Event) -> None:
            if event.new is not None:
                self.state.likelihood = event.new

        follow()
        self.state.param.watch(follow, "likelihood")
        radios.param.watch(take, "value")
        return ui.Column(words(heading, faint=True), radios, sizing_mode="stretch_width")

    def _new_data(self, *_: param.parameterized.Event) -> None:
        counts: Counts | None = self.data.counts
        if counts is None:
            self._reason.object = ""
        elif pn.state.curdoc is None:
            self._show(overdispersion(counts))
        else:  # it looks at every count: other clicks must not wait for it
            self._newest.ask()

    async def _look_at_data(self) -> None:
        counts: Counts | None = self.data.counts
        if counts is None:  # closed meanwhile
            return
        scatter = await asyncio.to_thread(overdispersion, counts)
        if counts is self.data.counts:  # else others are on their way
            await draw(partial(self._show, scatter))

    def _show(self, scatter: Overdispersion | None) -> None:
        self._reason.object = "" if scatter is None else words_html(reason(scatter))


def _in_words(offer: Offer, *, recommended: bool) -> str:
    name = f"{offer.label} (recommended)" if recommended else offer.label
    return f"{name}\n{offer.use_when}"


def reason(scatter: Overdispersion) -> str:
    """Why the recommended model fits these data, or a simpler one would do."""
    asked = f"of the {scatter.n_genes:,} genes with 10 counts or more"
    if not scatter.is_seen:
        return (
            f"Given the depths of the cells, {scatter.share:.0%} {asked} scatter more than chance "
            "(5% would by accident): a Poisson may do, and the recommended model will say so."
        )
    low, high = scatter.ratios
    return (
        f"Given the depths of the cells, {scatter.share:.0%} {asked} scatter more than chance (5% "
        f"would by accident), and not alike: their variance is {max(low, 1):.2g} to {high:.2g} "
        "times their mean. The recommended model gives each gene its own dispersion."
    )
