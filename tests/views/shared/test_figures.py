"""The button beneath a picture, without a browser."""

import io
import zipfile

import numpy as np
import panel as pn
from bokeh.document import Document
from panel import ui
from panel.io.state import set_curdoc

from scribeviz.plots.figures import FigureFile
from scribeviz.plots.mixtures import component_sizes
from scribeviz.plots.ppc import LEGEND
from scribeviz.views.explore.downloads import DownloadsView
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.explore.explored import load_explored
from scribeviz.views.explore.one_gene import GeneView
from scribeviz.views.report.document import Report, Section, titled
from scribeviz.views.shared.figures import FigureButton, figure

PICTURE = component_sizes(np.array([3, 4]))


def button_of(view):
    [found] = [part for part in pn.panel(view).select(ui.Button) if "…" in part.label]
    return found


def give_of(view):
    [found] = pn.panel(view).select(ui.FileDownload)
    return found


def opened(view):
    made = pn.panel(view)
    button_of(made).clicks += 1
    return made


def field(view, label):
    return next(w for w in view.select() if getattr(w, "label", None) == label)


def test_the_form_is_made_when_it_is_asked_for():
    view = pn.panel(figure(PICTURE, "sizes"))
    assert not view.select(ui.FileDownload)
    assert len(opened(view).select(ui.FileDownload)) == 1
    button_of(view).clicks += 1
    [form] = [part for part in view.select(ui.FlexBox) if len(part)]
    assert not form.visible


def test_a_picture_is_given_as_chosen(finish):
    view = opened(figure(PICTURE, "Sizes of <b>", legend=LEGEND))
    give = give_of(view)
    assert finish(give.callback()).getvalue().startswith(b"%PDF")
    assert give.filename == "sizes-of-b.pdf"
    field(view, "File").value = "svg"
    field(view, "Unit").value = "in"
    field(view, "Width").value = 2.0
    svg = finish(give.callback()).getvalue().decode()
    assert 'width="144pt"' in svg
    assert "predicted median" in svg
    assert give.filename == "sizes-of-b.svg"
    assert not any("Drawing" in part.object for part in view.select(ui.HTML))


def test_what_was_chosen_stays_for_the_next_figure_of_the_page():
    with set_curdoc(Document()):
        first, second = (FigureButton(name_of_file=lambda: "a", make=bytes) for _ in range(2))
        first._chosen.width = 17.0
        assert second._chosen.width == 17.0
    with set_curdoc(Document()):
        other = FigureButton(name_of_file=lambda: "a", make=bytes)
    assert other._chosen.width == 8.5


def test_the_figure_of_a_gene_is_the_one_that_is_shown(mixture, finish):
    state = ExploreState()
    state.show(load_explored(mixture.path))
    view = opened(GeneView(state=state))
    give = give_of(view)
    field(view, "File").value = "svg"
    state.gene, state.kind = "CD3E", "Cumulative"
    svg = finish(give.callback()).getvalue().decode()
    assert "share of cells" in svg
    assert give.filename == "cd3e-cumulative.svg"


def test_all_figures_of_a_run_are_those_of_its_report(mixture, monkeypatch):
    state = ExploreState()
    state.show(load_explored(mixture.path))
    pictures = [titled(PICTURE, "Sizes"), titled(PICTURE, "<b>/..")]
    report = Report(
        title="", lead="", figures={}, sections=[Section(key="a", title="A", pictures=pictures)]
    )
    monkeypatch.setattr("scribeviz.views.explore.downloads.run_report", lambda _: report)
    view = DownloadsView(state=state)
    archive = zipfile.ZipFile(io.BytesIO(view.as_zip(FigureFile(kind="svg"))))
    assert archive.namelist() == ["01-sizes.svg", "02-b.svg"]
    assert archive.read("01-sizes.svg").startswith(b"<?xml")
