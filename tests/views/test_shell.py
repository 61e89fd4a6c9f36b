"""Opening runs beside the page, and what the address says."""

import asyncio
import gc
import weakref
from dataclasses import replace
from types import SimpleNamespace

import anndata
import numpy as np
import panel as pn
import pytest

from scribeviz import CellFilter, ModelSpec
from scribeviz.runs.folder import RunFolder, RunState
from scribeviz.views import header
from scribeviz.views import shell as shell_module
from scribeviz.views.data.data_page import DataView
from scribeviz.views.explore.explore_page import ExploreView
from scribeviz.views.session import Session
from scribeviz.views.shell import Shell, follow_link


@pytest.fixture
def told(monkeypatch):
    """The sentences that would be shown for a while."""
    sentences = []
    monkeypatch.setattr(shell_module, "_tell", lambda text: text and sentences.append(text))
    return sentences


@pytest.fixture
def shell(finished_store, tmp_path, mixture, monkeypatch):
    """A page that looks at the finished run; what it would do in the background waits."""
    session = Session(finished_store, tmp_path)
    session.fit.look_at(mixture)
    made = Shell(session=session)
    made.waiting = []

    def execute(callback, schedule="auto"):
        del schedule
        made.waiting.append(callback)

    monkeypatch.setattr(pn.state, "execute", execute)
    return made


@pytest.fixture
def go_on(shell, finish):
    """Do what waits, and what comes of it."""

    def go():
        while shell.waiting:
            outcome = shell.waiting.pop(0)()
            if asyncio.iscoroutine(outcome):
                finish(outcome)

    return go


def test_a_run_is_opened_beside_the_page(shell, html_of, told, go_on):
    shell.go("Explore")
    explore = shell.session.explore
    assert shell.session.place == "Explore"
    assert explore.explored is None
    assert explore.opening.startswith("Opening negative binomial, 2 components on blood")
    view = pn.panel(ExploreView(state=explore))
    assert "Opening negative binomial" in html_of(view)
    assert "<img" not in html_of(view)
    go_on()
    assert explore.explored is not None
    assert "Opening" not in html_of(view)
    assert not told


def test_the_run_that_was_asked_for_last_is_opened(shell, tmp_path, mixture, go_on):
    damaged = RunFolder(tmp_path / "damaged")
    damaged.path.mkdir()
    for name in ("spec.json", "status.json"):
        (damaged.path / name).write_bytes((mixture.path / name).read_bytes())
    for path in mixture.path.glob("*.h5"):
        (damaged.path / path.name).write_bytes(b"")
    shell.session.fit.run = damaged
    shell.go("Explore")
    shell.session.fit.run = mixture
    shell.go("Explore", "CD3E")
    go_on()
    assert shell.session.explore.explored.run_id == mixture.id
    assert shell.session.explore.gene == "CD3E"
    assert shell.session.explore.opening == ""


def test_damaged_results_are_a_sentence(shell, told, monkeypatch, go_on):
    def broken(_path):
        raise OSError("truncated")

    monkeypatch.setattr(shell_module, "load_explored", broken)
    shell.go("Explore")
    go_on()
    assert told == ["The files of this run are damaged: it cannot be read."]
    assert shell.session.explore.opening == ""


def test_a_model_is_tried_on_the_data_of_the_run(shell, counts, told, go_on):
    shell.go("Explore")
    go_on()
    spec = ModelSpec(likelihood="nbvcp", n_components=2)
    shell.try_model(spec)
    assert shell.session.place == "Explore"
    assert told == ["Open the data of this run first, on the Data page: others are open now."]
    shell.session.data.counts = counts
    shell.try_model(spec)
    assert shell.session.place == "Fit"
    assert shell.session.model.spec() == spec


@pytest.fixture
def follow(shell, finish, go_on):
    """Open a link."""

    def to(**query):
        finish(follow_link(shell, query))
        go_on()

    return to


def test_a_link_brings_back_runs_and_gene(shell, mixture, told, monkeypatch, follow):
    monkeypatch.setattr(shell_module, "CompareView", lambda **_: pn.Spacer())
    follow(place="Compare", compare=f"{mixture.id},gone,../up", gene="CD3E")
    assert shell.session.place == "Compare"
    assert shell.compare.runs == [mixture.id]
    assert shell.compare.gene == "CD3E"
    [sentence] = told
    assert sentence.startswith("2 of the 3 runs of this link cannot be compared")
    assert "up" not in sentence


def test_an_unknown_gene_of_a_link_is_told(shell, mixture, told, follow):
    follow(place="Explore", run=mixture.id, gene="NONSENSE")
    assert shell.session.explore.explored is not None
    assert told == ["No gene of this run is called NONSENSE."]


def test_a_link_brings_back_what_was_left_out(shell, told, follow):
    follow(data="example", filter="counts:600-,seen:3,obs:phase=G1/S")
    data = shell.session.data
    assert data.filter == CellFilter(
        min_counts=600, min_cells=3, obs_column="phase", obs_values=["G1", "S"]
    )
    assert data.counts.fingerprint == data.filter.apply(data.opened.found.counts).fingerprint
    assert 0 < data.counts.n_cells < 700
    assert not told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("counts:lots", "cannot be applied, and all cells are shown: counts needs two bounds"),
        ("counts:999999-", "no cells of PBMC 68k (example) would be kept"),
        ("obs:patient=7", "no column 'patient' in obs"),
        (7, "'7' is no part of a filter"),
    ],
)
def test_a_filter_that_cannot_be_applied_is_a_sentence(shell, told, text, says, follow):
    follow(data="example", filter=text)
    [sentence] = told
    assert says in sentence
    assert shell.session.data.counts.n_cells == 700
    assert shell.session.data.filter == CellFilter()


def test_a_filter_of_data_that_are_gone_is_nothing_more(shell, told, follow):
    follow(data="gone.h5ad", filter="counts:600-")
    assert shell.session.data.counts is None
    assert "gone.h5ad" in shell.session.data.problem
    assert not told


def test_the_address_says_what_was_left_out(shell, monkeypatch, follow):
    follow(data="example", filter="counts:600-,obs:phase=G1/S")
    monkeypatch.setattr(type(pn.state), "location", SimpleNamespace(search=""))
    shell._say_where()
    assert pn.state.location.search.endswith(
        "&data=example&run=mixture&filter=counts:600-,obs:phase=G1/S"
    )
    follow(data="example")
    shell._say_where()
    assert "filter" not in pn.state.location.search


def test_a_link_names_the_layer_and_what_was_rounded(shell, monkeypatch, follow):
    folder = shell.session.data.folder
    counts = np.random.default_rng(0).poisson(2.0, (40, 10)) * 1.0
    adata = anndata.AnnData(np.log1p(counts), layers={"counts": counts, "soup": counts * 0.93})
    adata.write_h5ad(folder / "layers.h5ad")
    monkeypatch.setattr(type(pn.state), "location", SimpleNamespace(search=""))
    follow(data="layers.h5ad", layer="counts")
    data = shell.session.data
    np.testing.assert_array_equal(data.counts.matrix.toarray(), counts)
    assert data.counts.read_by == "scribeviz.read('layers.h5ad', layer='counts')"
    shell._say_where()
    assert "&data=layers.h5ad&layer=counts&" in f"{pn.state.location.search}&"
    follow(data="layers.h5ad", layer="soup", rounding="nearest")
    np.testing.assert_array_equal(data.counts.matrix.toarray(), np.rint(counts * 0.93))
    shell._say_where()
    assert "&data=layers.h5ad&layer=soup&rounding=nearest" in pn.state.location.search
    follow(data="layers.h5ad", layer="nope", rounding="up")
    assert data.counts is None
    assert "has no layer 'nope'; choose one of 'X', 'counts', 'soup'" in data.opened.found.problem
    DataView(state=data).__panel__()
    follow(data="example")
    shell._say_where()
    assert "layer" not in pn.state.location.search


def test_the_server_does_not_keep_the_pages_of_those_who_left(shell):
    page = weakref.ref(shell.__panel__())
    gc.collect()
    assert page() is None


def test_a_link_to_a_run_brings_back_its_settings(shell, finish, mixture):
    session = shell.session
    session.model.n_components = 7
    finish(follow_link(shell, {"run": mixture.id}))
    assert session.model.spec() == mixture.spec.model
    assert session.fit.config.value() == mixture.spec.config


def test_the_header_says_what_runs(mixture):
    status = mixture.status
    running = replace(status, state=RunState.RUNNING, progress=0.25, step=20)
    chip = header.job_chip
    assert "fitting nbdm_mix, K = 2 · 25 % · 1 waiting" in chip((mixture, running, 1), status)
    assert "fit done" in chip((None, None, 0), status)
    assert not chip((None, None, 1), None)
