"""The pages, built without a server."""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import panel as pn
import psutil
import pytest
from bokeh.document import Document
from panel import ui
from panel.io.state import set_curdoc

from scribeviz import ModelSpec
from scribeviz.data import reading_process
from scribeviz.data.counts import plain_counts
from scribeviz.data.opening import Opened
from scribeviz.data.waiting_readers import WaitingReaders
from scribeviz.fitting.kinds import offers
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.priors import PRIOR_FAMILIES, Prior
from scribeviz.networks.cellvae import CELLVAE
from scribeviz.runs.folder import RunState
from scribeviz.views import shell
from scribeviz.views.data.data_page import DataView
from scribeviz.views.data.data_state import DataState, OpenedData, open_data
from scribeviz.views.explore.explore_page import ExploreView
from scribeviz.views.explore.explored import load_explored
from scribeviz.views.fit.fit_page import FitView
from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.model.model_page import ModelView
from scribeviz.views.model.model_state import ModelState
from scribeviz.views.model.prior_check import PriorCheckView
from scribeviz.views.session import ExploreState, Session

ROOT = Path(__file__).parents[2]


def widget(view, label):
    """The only widget of that label."""
    [found] = [part for part in pn.panel(view).select() if getattr(part, "label", None) == label]
    return found


# Data


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return DataState(folder=folder)


def test_an_empty_data_page_says_how_to_begin(data, html_of, labels_of):
    view = DataView(state=data)
    assert "to begin" in html_of(view)
    assert "No count matrix lies in the data folder" in html_of(view)
    assert "Open the example" in labels_of(view)
    assert "Open the file" not in labels_of(view)


def test_files_of_the_folder_are_offered_by_name_and_size(data, labels_of):
    (data.folder / "mine.csv").write_text("cell,A\nc1,1\n")
    view = DataView(state=data)
    assert "Open the file" in labels_of(view)
    assert widget(view, "File").options == {"mine.csv  (12 bytes)": "mine.csv"}


def test_the_file_that_is_open_is_the_one_that_is_chosen(data, finish):
    for name in ("a.csv", "b.csv"):
        (data.folder / name).write_text("cell,CD3E,LYZ\nc1,1,0\nc2,0,2\n")
    view = pn.panel(DataView(state=data))
    finish(data.read("b.csv"))
    assert widget(view, "File").value == "b.csv"
    assert widget(DataView(state=data), "File").value == "b.csv"


def test_opened_counts_are_summed_up(data, html_of, labels_of):
    view = pn.panel(DataView(state=data))
    data.show(open_data(data.folder, "example"))
    shown = html_of(view)
    assert "PBMC 68k (example)" in shown
    assert "raw counts" in shown
    for figure in ("700", "765", "counts per cell (median)", "entries that are zero"):
        assert figure in shown
    assert "Choose a model" in labels_of(view)


def test_names_and_problems_of_files_cannot_speak_html(data, counts, html_of, hostile):
    view = pn.panel(DataView(state=data))
    noted = replace(counts, notes=(f"The gene {hostile} was renamed.",))
    data.show(OpenedData(hostile, Opened(sources={"X": ""}, layer="X", counts=noted)))
    data.problem = f"{hostile} is no file of counts."
    shown = html_of(view)
    assert hostile not in shown
    for text in ("blood %s</h2>", "The gene %s was renamed.", "%s is no file of counts."):
        assert text % "&lt;img src=x onerror=alert(1)&gt;" in shown


def test_a_layer_that_holds_the_counts_is_offered_and_taken(data, html_of, labels_of, finish):
    counts = np.random.default_rng(0).poisson(2.0, (30, 6)).astype(np.float32)
    adata = ad.AnnData(np.log1p(counts / 3))
    adata.layers["counts"] = counts
    adata.write_h5ad(data.folder / "layered.h5ad")
    view = DataView(state=data)
    data.show(open_data(data.folder, "layered.h5ad"))
    assert {"Use counts", "Counts are in"} <= labels_of(view)
    assert "layered.h5ad" in html_of(view)
    finish(data.read(data.opened.source, data.opened.found.use_layer))
    assert data.counts.n_cells == 30
    assert (data.busy, data.problem) == ("", "")
    assert "Use counts" not in labels_of(view)


def test_what_is_read_is_told_beside_a_way_out(data, html_of, labels_of):
    view = pn.panel(DataView(state=data))
    assert "Cancel" not in labels_of(view)
    data.busy = "Reading a.h5ad …"
    assert "Reading a.h5ad …" in html_of(view)
    widget(view, "Cancel").clicks += 1
    assert data.busy == ""
    assert "Cancel" not in labels_of(view)


def test_the_page_says_that_another_file_is_read_first(data, monkeypatch, finish):
    (data.folder / "a.csv").write_text("cell,A,B\nc1,1,2\nc2,0,3\n")
    readers = WaitingReaders(1)
    monkeypatch.setattr(reading_process, "_READERS", readers)
    another = readers.take(lambda: False)
    said = []

    def note(event):
        said.append(event.new)
        if event.new.startswith("Waiting"):
            readers.give_back(another)

    data.param.watch(note, "busy")
    finish(data.read("a.csv"))
    readers.take(lambda: False).end()
    assert data.counts.n_cells == 2
    assert said[:2] == [
        "Reading a.csv …",
        "Waiting for another file to be read. Reading a.csv …",
    ]
    assert said[-1] == ""


def test_closing_the_page_ends_what_it_reads(data, monkeypatch):
    document = Document()
    monkeypatch.setenv("SCRIBEVIZ_DATA", str(data.folder))
    endless = data.folder / "endless.csv"
    os.mkfifo(endless)  # nobody writes into it: reading it takes for ever
    sessions = []
    monkeypatch.setattr(
        shell, "Session", lambda *given: sessions.append(Session(*given)) or sessions[-1]
    )
    with set_curdoc(document):
        shell.serve_page()
    [session] = sessions
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(asyncio.run, session.data.read("endless.csv"))
        while not (forks := forks_that_read()):
            time.sleep(0.05)
            assert not reading.done()
        for leave in document.session_destroyed_callbacks:
            leave(None)
        reading.result(30)
    psutil.wait_procs(forks, timeout=30)
    assert not forks_that_read()
    assert (session.data.busy, session.data.problem) == ("", "")


def forks_that_read():
    """The processes that read a file for this one."""
    readers = [p for p in psutil.Process().children() if "reading_child" in " ".join(p.cmdline())]
    return [fork for reader in readers for fork in reader.children()]


def test_an_upload_is_opened_and_not_kept_in_memory(data, finish):
    view = DataView(state=data)
    dropper = ui.FileDropper(value={"mine.csv": "cell,A,B\nc1,1,2\nc2,0,3\n"})
    finish(view._receive(dropper, dropper.value))
    assert dropper.value == {}
    assert (data.counts.n_cells, data.opened.source) == (2, "uploads/mine.csv")
    finish(view._receive(dropper, {}))
    assert data.problem == ""


@pytest.mark.parametrize(
    ("filename", "content", "says"),
    [
        ("big.csv", b"x" * 101, "more than the 100 bytes that may be uploaded"),
        ("photo.png", b"x", "of no format that can be uploaded"),
        ("empty.csv", b"", "is empty"),
        ("broken.h5ad", b"not an HDF5 file", "broken.h5ad"),
    ],
)
def test_an_upload_that_cannot_be_opened_is_refused_in_words(data, filename, content, says, finish):
    data.upload_limit_bytes = 100
    view = DataView(state=data)
    finish(view._receive(ui.FileDropper(), {filename: content}))
    assert says in data.problem
    assert data.counts is None
    assert data.busy == ""


# Model


@pytest.fixture
def model_view(data):
    return ModelView(state=ModelState(), data=data)


def test_every_likelihood_is_in_the_picker(model_view):
    radios = pn.panel(model_view).select(ui.RadioBoxGroup)
    offered = {text: key for each in radios for text, key in each.options.items() if key}
    # Custom models that other tests registered may follow.
    assert {*LIKELIHOODS, CELLVAE} <= set(offered.values())
    for text, key in offered.items():
        name, use_when = text.split("\n")
        assert name.removesuffix(" (recommended)") == offers()[key].label
        assert name.endswith(" (recommended)") == (key == "nb")
        assert use_when == offers()[key].use_when


def test_one_model_is_chosen_whatever_its_heading(model_view):
    radios = pn.panel(model_view).select(ui.RadioBoxGroup)
    chosen = [each.value for each in radios if each.value is not None]
    assert chosen == [model_view.state.likelihood] == ["nb"]
    [scribe] = [each for each in radios if "nbvcp" in each.options.values()]
    scribe.value = "nbvcp"
    assert model_view.state.likelihood == "nbvcp"
    assert [each.value for each in radios if each.value is not None] == ["nbvcp"]


def test_what_is_recommended_has_its_reason_in_the_data(model_view, data, html_of):
    panel = pn.panel(model_view)
    assert "scatter more than chance" not in html_of(panel)
    rng = np.random.default_rng(0)
    mean = rng.lognormal(0, 1, 200)
    data.counts = plain_counts(rng.poisson(rng.gamma(1.0, mean, (300, 200))))
    assert "and not alike: their variance is" in html_of(panel)
    assert "Means and dispersions of all genes" in html_of(panel)
    model_view.state.likelihood = "nbdm"
    assert "Means and dispersions of all genes" not in html_of(panel)
    data.counts = plain_counts(rng.poisson(mean, (300, 200)))
    assert "a Poisson may do" in html_of(panel)


def test_the_model_page_shows_its_controls(model_view, labels_of, html_of):
    model_view.state.likelihood = "nbdm"
    assert {"Number of components", "Family", "log median", "alpha"} <= labels_of(model_view)
    shown = html_of(model_view)
    assert "all cells share the same expression profile" in shown


def test_the_model_page_follows_the_number_of_components(model_view, html_of):
    panel = pn.panel(model_view)
    assert "Mixing weights" not in html_of(panel)
    widget(panel, "Number of components").value = 3
    assert model_view.state.n_components == 3
    assert "Mixing weights" in html_of(panel)
    assert "3 components" in html_of(panel)


def test_a_prior_is_chosen_on_the_page(model_view, labels_of):
    model_view.state.likelihood = "nbdm"
    panel = pn.panel(model_view)
    families = [part for part in panel.select() if getattr(part, "label", "") == "Family"]
    [of_r] = [select for select in families if select.value == "lognormal"]
    assert set(of_r.options.values()) == {
        key for key, family in PRIOR_FAMILIES.items() if family.support == "positive"
    }
    of_r.value = "gamma"
    assert {"shape", "rate"} <= labels_of(panel)
    widget(panel, "shape").value = 4.0
    widget(panel, "rate").value = None  # an empty field
    assert model_view.state.spec() == ModelSpec(priors={"r": ("gamma", 4, 1)})


def test_the_model_page_counts_what_takes_part(model_view, data, counts, html_of):
    data.counts = counts
    assert "on 60 cells and 8 genes" in html_of(model_view)


# Fit


@pytest.fixture
def fit(store):
    return FitState(store=store)


@pytest.fixture
def fit_view(fit, data):
    return FitView(state=fit, data=data, model=ModelState(likelihood="nbdm"))


def test_the_fit_page_shows_every_setting(fit_view, labels_of):
    wanted = {"At most (steps)", "Learning rate", "Tolerance", "Particles", "Seed"}
    assert wanted <= labels_of(fit_view)
    assert "Start the fit" in labels_of(fit_view)


def test_a_fit_is_started_only_with_data(fit_view, data, counts):
    start = widget(fit_view, "Start the fit")
    assert start.disabled
    data.counts = counts
    assert not start.disabled


def test_empty_droplets_are_not_fitted_without_a_word(fit_view, data, counts, html_of):
    panel = pn.panel(fit_view)
    data.counts = counts
    assert "empty droplets" not in html_of(panel)
    totals = np.concatenate([np.full(50, 2_000), np.random.default_rng(0).poisson(5, 400)])
    data.counts = plain_counts(totals[:, None], name="raw")
    assert "400 of the 450 barcodes of raw look like empty droplets" in html_of(panel)


def test_the_settings_of_the_page_are_those_of_the_run(fit_view, data, counts):
    panel = pn.panel(fit_view)
    data.counts = counts
    widget(panel, "At most (steps)").value = 123
    widget(panel, "Seed").value = 5
    widget(panel, "Start the fit").clicks += 1
    config = fit_view.state.run.spec.config
    assert (config.n_steps, config.seed) == (123, 5)


def test_progress_is_followed(fit_view, data, counts, html_of, labels_of, hostile):
    panel = pn.panel(fit_view)
    assert "Nothing has been started yet" in html_of(panel)
    data.counts = counts
    state = fit_view.state
    state.start(counts, ModelSpec())
    assert "waiting for the run before it" in html_of(panel)
    assert "Stop and keep" in labels_of(panel)

    state.run.write_losses(np.float32([3, 2, 1]))
    state.run.update_status(
        state=RunState.RUNNING,
        doing="fitting",
        step=3,
        n_steps=12,
        steps_per_second=3.0,
        device="CPU (2 cores)",
    )
    state.refresh()
    shown = html_of(panel)
    for text in ("fitting", "25 %", "at most 3 s", "CPU (2 cores)", "of at most 12"):
        assert text in shown

    state.run.update_status(state=RunState.FAILED, error=f"{hostile} broke.", ended=9.0)
    state.refresh()
    assert "&lt;img src=x onerror=alert(1)&gt; broke." in html_of(panel)
    assert hostile not in html_of(panel)
    assert "Stop and keep" not in labels_of(panel)
    assert not {"Resume", "Explore the result"} & labels_of(panel)


def test_buttons_stay_while_a_fit_goes_on(fit_view, data, counts, html_of):
    panel = pn.panel(fit_view)
    data.counts = counts
    state = fit_view.state
    state.start(counts, ModelSpec())
    stop = widget(panel, "Stop and keep")
    for step in (1, 2, 3):
        state.run.update_status(state=RunState.RUNNING, step=step)
        state.refresh()
        assert widget(panel, "Stop and keep") is stop
    stop.clicks += 1
    assert state.run.stop_asked
    assert "stopping …" in html_of(panel)


def test_a_fit_that_leaves_the_queue_promises_no_curve(fit_view, data, counts, html_of):
    panel = pn.panel(fit_view)
    data.counts = counts
    fit_view.state.start(counts, ModelSpec())
    [promise] = [
        part for part in panel.select(ui.HTML) if "The loss will be drawn here" in part.object
    ]
    assert promise.visible
    widget(panel, "Stop and keep").clicks += 1
    assert "stopped before its first step" in html_of(panel)
    assert not promise.visible


def test_a_run_that_is_damaged_while_it_is_looked_at_leaves_nothing_behind(
    fit_view, data, counts, html_of, labels_of
):
    panel = pn.panel(fit_view)
    data.counts = counts
    state = fit_view.state
    state.start(counts, ModelSpec())
    (state.run.path / "status.json").write_text("")
    state.refresh()
    assert "Nothing has been started yet" in html_of(panel)
    assert "of at most" not in html_of(panel)
    assert "Stop and keep" not in labels_of(panel)
    assert "cannot be read" in html_of(panel)


def test_a_finished_run_is_listed_and_can_be_explored(finished_store, data, labels_of, html_of):
    fit = FitState(store=finished_store)
    went = []
    view = pn.panel(
        FitView(state=fit, data=data, model=ModelState(), go_on=lambda: went.append("Explore"))
    )
    fit.refresh()
    [listing] = view.select(ui.Tabulator)
    [state] = listing.value["state"]
    assert state.endswith("> done")
    assert listing.value["model"].tolist() == ["negative binomial, 2 components"]
    fit.look_at(fit.history[0][0])
    assert "all steps are done" in html_of(view)
    assert "Stop and keep" not in labels_of(view)
    widget(view, "Explore the result").clicks += 1
    assert went == ["Explore"]


# Explore


@pytest.fixture
def explore(mixture):
    state = ExploreState()
    state.show(load_explored(mixture.path))
    return state


def test_explore_says_what_is_missing(html_of):
    assert "Start a fit" in html_of(ExploreView(state=ExploreState()))


def test_the_explore_page_shows_genes_and_assignments(explore, labels_of, html_of):
    view = pn.panel(ExploreView(state=explore))
    assert {"Search a gene", "Compare with", "Logarithmic"} <= labels_of(view)
    [listing] = view.select(ui.Tabulator)
    gaps = listing.value["misfit"].to_numpy()
    assert (np.diff(gaps) <= 0).all()
    assert listing.value["gene"][0] == explore.gene
    shown = html_of(view)
    assert "left out" in shown
    assert "near certainty" in shown


def test_a_gene_is_searched_on_the_page(explore, html_of):
    view = pn.panel(ExploreView(state=explore))
    widget(view, "Search a gene").value = "ensg001"
    assert explore.gene == "CD3E"
    assert ">CD3E</h2>" in html_of(view)


def test_the_search_answers_beneath_and_remembers(explore, html_of, labels_of):
    view = pn.panel(ExploreView(state=explore))
    search = widget(view, "Search a gene")
    search.value = "G3"
    search.value = "<b>nobody"
    assert "No gene of this run is called &lt;b&gt;nobody." in html_of(view)
    assert explore.gene == "G3"
    search.value = "CD3"  # the example has one of the three
    assert "No gene of this run is called CD3; it is CD3E here." in html_of(view)
    assert "G3" in labels_of(view)
    widget(view, "G3").clicks += 1
    assert explore.gene == "G3"
    assert "it is CD3E here" not in html_of(view)
    assert "CD3E" in labels_of(view)


def test_names_of_files_and_genes_cannot_speak_html(explore, html_of, hostile):
    view = pn.panel(ExploreView(state=explore))
    explore.gene = hostile
    shown = html_of(view)
    assert hostile not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;</h2>" in shown
    assert "blood &lt;img src=x" in shown


def test_the_comparison_follows_the_label(explore, html_of):
    view = pn.panel(ExploreView(state=explore))
    widget(view, "Compare with").value = None
    assert "Choose a column of obs" in html_of(view)
    widget(view, "Compare with").value = "<b>batch"
    assert "Choose a column of obs" not in html_of(view)
    assert explore.label == "<b>batch"


def test_the_picture_is_drawn_on_either_axis(explore):
    view = pn.panel(ExploreView(state=explore))
    widget(view, "Logarithmic").value = True
    assert explore.log_axis
    assert view.select(ui.HoloViews)


def test_the_served_script_is_only_a_door():
    assert len((ROOT / "app" / "main.py").read_text().splitlines()) <= 12


def test_the_prior_check_follows_priors_and_data(model_view, counts, monkeypatch):
    model_view.data.counts = counts
    view = PriorCheckView(model=model_view.state, data=model_view.data)
    assert view.gene in set(counts.genes)
    shown = []
    monkeypatch.setattr(view, "_show", lambda check, *_, **__: shown.append(check.zeros[1]))
    model_view.state.priors["r"].prior = Prior("lognormal", (3.0, 0.1))
    model_view.state.priors["r"].prior = Prior("lognormal", (-3.0, 0.1))
    assert len(shown) >= 2
    assert shown[-1] > shown[-2], "quieter genes have more zeros"
    monkeypatch.undo()
    view._search.value = "CD3E"
    assert view.gene == "CD3E"
    assert "lack CD3E" in view._about.object
