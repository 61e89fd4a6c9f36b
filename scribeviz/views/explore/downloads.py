"""What can be taken away from a run that is explored: its genes, its data, its report."""

import asyncio
from collections.abc import Callable
from io import BytesIO, StringIO
from zipfile import ZIP_DEFLATED, ZipFile

import panel as pn
import param
from panel import ui
from panel.viewable import Viewable

from scribeviz.plots.figures import FigureFile
from scribeviz.runs.export import as_h5ad
from scribeviz.runs.folder import RunFolder
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.report.of_run import run_report
from scribeviz.views.shared.figures import FigureButton, plain_name
from scribeviz.views.shared.parts import download, in_progress_html


class DownloadsView(pn.viewable.Viewer):
    """Buttons for files, each made when it is asked for."""

    state = param.ClassSelector(class_=ExploreState, constant=True)

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self._writing = ui.HTML("", align="center", margin=(0, 0, 0, 12))

    def __panel__(self) -> Viewable:
        explored = self.state.explored
        name = explored.run_id or "scribeviz"
        buttons = [
            download("Table as CSV", "genes.csv", self.as_csv),
            download("Report as HTML", f"{name}.html", self.as_html),
        ]
        if explored.path is not None:  # else in Python's memory, where .to_anndata writes it
            buttons.append(download("AnnData with the results", "scribeviz.h5ad", self.as_h5ad))
        all_figures = FigureButton(
            label="All figures …", ending="zip", name_of_file=lambda: name, make=self.as_zip
        )
        return ui.Column(
            ui.FlexBox(*buttons, self._writing, sizing_mode="stretch_width"),
            all_figures,
            margin=(8, 0, 0, 0),
            sizing_mode="stretch_width",
        )

    def as_csv(self) -> StringIO:
        """The genes that are listed."""
        return StringIO(self.state.listed().to_csv(index=False))

    async def as_html(self) -> BytesIO:
        """What is known of the fit."""
        explored = self.state.explored
        return await self._written(
            "Writing the report …", lambda: BytesIO(run_report(explored).html.encode())
        )

    def as_zip(self, file: FigureFile) -> bytes:
        """The pictures of the report, each as a file."""
        written = BytesIO()
        with ZipFile(written, "w", ZIP_DEFLATED) as archive:
            for i, picture in enumerate(run_report(self.state.explored).pictures, start=1):
                name = f"{i:02}-{plain_name(picture.title)}.{file.kind}"
                archive.writestr(name, picture.file(file))
        return written.getvalue()

    async def as_h5ad(self) -> BytesIO:
        """The counts and what was found."""
        run = RunFolder(self.state.explored.path)
        return await self._written("Writing the AnnData file …", lambda: as_h5ad(run))

    async def _written(self, doing: str, make: Callable[[], BytesIO]) -> BytesIO:
        # It takes seconds: other clicks must not wait for it.
        self._writing.object = in_progress_html(doing)
        try:
            return await asyncio.to_thread(make)
        finally:
            self._writing.object = ""
