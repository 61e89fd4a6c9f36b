"""Pictures of the page as files for a paper: one button beneath each, with a choice of size."""

import asyncio
from collections.abc import Callable
from io import BytesIO
from typing import Any
from weakref import WeakKeyDictionary

import holoviews as hv
import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.plots.figures import FigureFile, Legend, figure_bytes
from scribeviz.views.shared.forms import Form, form_for
from scribeviz.views.shared.parts import in_progress_html, number_field

# What was chosen last on a page is what the next figure there begins with.
_CHOSEN: WeakKeyDictionary[Any, Form] = WeakKeyDictionary()
_NUMBERS = {"width": 0.5, "height": 0.5, "font_size": 0.5}


class FigureButton(pn.viewable.Viewer):
    """A button that asks how large a figure should be, and gives it as a file."""

    label = param.String("Figure …", constant=True)
    name_of_file = param.Callable(doc="Gives the name of the file, without its ending.")
    make = param.Callable(doc="From a FigureFile to the bytes; called in a thread of its own.")
    ending = param.String("", constant=True, doc="Of the file, where it is not that of a figure.")

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._chosen: Any = _chosen_on_this_page()
        self._form = ui.FlexBox(
            gap="0 10px", align_items="center", sizing_mode="stretch_width", visible=False
        )
        self._writing = ui.HTML("", margin=(0, 0, 0, 12))
        self._give = ui.FileDownload(
            callback=self._file,
            filename=self._named(),
            label="Download",
            size="small",
            margin=(4, 0, 8, 0),
        )

    def __panel__(self) -> Viewable:
        open_form = ui.Button(
            label=self.label,
            icon="image",
            variant="text",
            size="small",
            margin=0,
            on_click=self._toggle,
        )
        return ui.Column(open_form, self._form, sizing_mode="stretch_width")

    def _toggle(self, _: object) -> None:
        """Show the form or hide it; it is made when it is first asked for."""
        if not len(self._form):
            self._form[:] = self._fields()
        self._form.visible = not self._form.visible

    def _fields(self) -> list[Viewable]:
        chosen = self._chosen
        choices = [
            ui.Select.from_param(chosen.param[name], width=105, margin=(4, 0, 8, 0))
            for name in ("kind", "unit")
        ]
        kind, unit = choices
        numbers = [
            number_field(chosen, name, step=step, width=105) for name, step in _NUMBERS.items()
        ]
        width, height, letters = numbers
        return [kind, width, height, unit, letters, self._give, self._writing]

    def _named(self) -> str:
        return f"{plain_name(self.name_of_file())}.{self.ending or self._chosen.kind}"

    async def _file(self) -> BytesIO:
        self._writing.object = in_progress_html("Drawing …")
        self._give.filename = self._named()  # of what is shown now
        self._give.data = None  # the browser saves what is new to it, and not the same file again
        try:
            return BytesIO(await asyncio.to_thread(self.make, self._chosen.value()))
        finally:
            self._writing.object = ""


def figure(
    picture: Any,
    name: str | Callable[[], str],
    *,
    legend: Legend = (),
    make: Callable[[], tuple[hv.core.Dimensioned, Legend]] | None = None,
    **options: Any,
) -> Viewable:
    """A picture, and beneath it the button that gives it as a file.

    Parameters
    ----------
    picture
        What is shown; it may be bound.
    name
        Of the file, without its ending.
    legend
        What stands beside the picture on the page, and within the file.
    make
        Gives the picture and its legend, where these change with what is chosen.
    **options
        Of the pane, such as its ``height``.
    """

    def drawn(file: FigureFile) -> bytes:
        shown, parts = (picture, legend) if make is None else make()
        return figure_bytes(shown, file, legend=parts)

    name_of_file = name if callable(name) else lambda: name
    return ui.Column(
        ui.HoloViews(picture, **({"sizing_mode": "stretch_width"} | options)),
        FigureButton(name_of_file=name_of_file, make=drawn),
        sizing_mode="stretch_width",
    )


def plain_name(name: str) -> str:
    """A name that every file system takes.

    Examples
    --------
    >>> plain_name("Means of HLA-DRA <b>"), plain_name("../..")
    ('means-of-hla-dra-b', 'figure')
    """
    letters = "".join(c if c.isalnum() or c in "-_" else " " for c in name.lower())
    return "-".join(letters.split())[:80] or "figure"


def _chosen_on_this_page() -> Form:
    document = pn.state.curdoc
    if document is None:
        return form_for(FigureFile)
    if document not in _CHOSEN:
        _CHOSEN[document] = form_for(FigureFile)
    return _CHOSEN[document]
