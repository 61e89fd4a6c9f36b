"""The tabs beneath the gene: groups of cells, several genes, all counts, and the Python."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import panel as pn
import pytest
from panel import ui

from scribeviz import ModelSpec, SVIConfig, simulate
from scribeviz.criticism.next_step import NextStep
from scribeviz.data.cells import PCA
from scribeviz.inference.exact import ExactConfig
from scribeviz.runs.folder import create_run
from scribeviz.runs.worker import work
from scribeviz.views.compare.compare_state import CompareState
from scribeviz.views.explore import digest as digest_module
from scribeviz.views.explore.all_genes import AllGenesView, CalibrationView, SeveralGenesView
from scribeviz.views.explore.chosen_cells import CellsView
from scribeviz.views.explore.digest import DigestView
from scribeviz.views.explore.downloads import DownloadsView
from scribeviz.views.explore.explore_page import ExploreView
from scribeviz.views.explore.explore_state import ExploreState
from scribeviz.views.explore.explored import learned_prior, load_explored
from scribeviz.views.explore.gene_table import GeneTable
from scribeviz.views.explore.parameters import ParametersView
from scribeviz.views.python_code import PythonView
from scribeviz.views.session import Session


@pytest.fixture
def explore(mixture):
    state = ExploreState()
    state.show(load_explored(mixture.path))
    return state


def named(view, label):
    """The widget with that label."""
    return next(w for w in pn.panel(view).select() if getattr(w, "label", None) == label)


def texts(view):
    html = " ".join(str(part.object) for part in pn.panel(view).select(ui.HTML))
    return re.sub(r"</?dfn\b[^>]*>", "", html)  # the marks of words that are explained


def test_a_tab_is_made_when_it_is_opened(explore):
    view = pn.panel(ExploreView(state=explore))
    [tabs] = view.select(ui.Tabs)
    assert [len(place) for place in tabs] == [1, 0, 0, 0, 0, 0, 0]
    for i in range(7):
        tabs.active = i
    assert [len(place) for place in tabs] == [1] * 7


def test_cells_are_chosen_on_the_map(explore):
    view = CellsView(state=explore)
    assert explore.place == PCA, "these data came without an embedding"
    places = view._places
    right = places[:, 0] > np.median(places[:, 0])
    left, low = places.min(axis=0) - 1
    _, high = places.max(axis=0) + 1
    lasso, box = view._streams
    lasso.event(
        geometry=np.array(
            [
                [left, low],
                [left, high],
                [np.median(places[:, 0]), high],
                [np.median(places[:, 0]), low],
            ]
        )
    )
    assert set(explore.cells) <= set(np.flatnonzero(~right))
    assert explore.cells.size >= 28
    assert "chosen by lasso" in texts(view)
    assert "Genes that mark them" in texts(view)
    box.event(bounds=(np.median(places[:, 0]), low, places[:, 0].max() + 1, high))
    assert set(explore.cells) <= set(np.flatnonzero(places[:, 0] >= np.median(places[:, 0])))
    named(view, "All cells again").clicks += 1
    assert explore.cells is None
    assert "All cells are looked at" in texts(view)
    lasso, _ = view._streams  # the map was drawn anew, without the outline
    lasso.event(geometry=np.array([[left, low], [left, low + 0.1], [left + 0.1, low]]))
    assert "0 cells are too few" in texts(view)


def test_cells_are_chosen_by_group(explore, hostile):
    view = CellsView(state=explore)
    groups = named(view, "Choose a group")
    assert groups.options == ["", "1", "2"], "a mixture begins with its components"
    explore.color_by = "entropy of the assignment"
    assert not groups.visible, "entropies are no groups"
    explore.color_by = "component"
    assert groups.visible
    chosen = max(groups.options[1:], key=lambda g: (explore.colors().astype(str) == g).sum())
    groups.value = chosen
    assert explore.cells.size == (explore.colors().astype(str) == chosen).sum()
    assert f"chosen component: {chosen}" in texts(view)
    assert "What they are" in texts(view)
    assert hostile not in texts(view)
    view.leave()
    explore.choose_all()
    assert groups.value == chosen, "a view that was left does not follow"


def test_the_table_says_by_which_cells_it_judges(explore):
    view = GeneTable(state=explore)
    explore.choose_cells(np.arange(0, 60, 2), "by hand")
    assert "Judged by all cells." in texts(view)
    before = view._listing.value["mean"].tolist()
    explore.table = explore.judge_chosen()
    assert "Judged by the 30 chosen cells." in texts(view)
    assert view._listing.value["mean"].tolist() != before
    explore.choose_all()
    assert "Judged by" not in texts(view)
    assert view._listing.value["mean"].tolist() == before
    csv = DownloadsView(state=explore).as_csv().read()
    assert csv.startswith("gene,misfit,p_value,problem")
    assert len(csv.splitlines()) == 9


def test_several_genes_are_any(explore):
    view = pn.panel(SeveralGenesView(state=explore))
    chosen = named(view, "Genes")
    assert chosen.value == explore.table.sort_values("misfit", ascending=False)["gene"].tolist()
    assert len(view.select(pn.pane.HoloViews)) == 8
    chosen.value = ["CD3E", "G1"]
    assert len(view.select(pn.pane.HoloViews)) == 2


def test_all_counts_follow_the_chosen_cells(explore):
    view = pn.panel(CalibrationView(state=explore))
    assert len(view.select(pn.pane.HoloViews)) == 3
    before = view.select(pn.pane.HoloViews)[-1].object.data["y1"].sum()
    explore.choose_cells(np.arange(30), "by hand")
    assert view.select(pn.pane.HoloViews)[-1].object.data["y1"].sum() < before


def test_arrow_keys_step_through_the_genes_as_they_are_sorted(explore):
    view = GeneTable(state=explore)
    ranked = explore.listed()["gene"].tolist()
    assert view._listing.selection == [0]
    view._step(2)
    assert explore.gene == ranked[2]
    assert view._listing.selection == [2]
    view._step(-5)
    assert explore.gene == ranked[0]
    view._listing.sorters = [{"field": "mean", "dir": "asc"}]
    quiet = explore.table.sort_values("mean")["gene"].tolist()
    explore.gene = quiet[0]
    view._step(1)
    assert explore.gene == quiet[1]
    assert view._listing.value["gene"][view._listing.selection[0]] == quiet[1]
    view._listing.sorters = []
    explore.picked = [gene for gene in ranked if gene != explore.gene]
    assert view._listing.selection == []
    view._step(1)
    assert explore.gene == view._listing.value["gene"][0]


def test_the_table_turns_to_the_page_of_the_gene(explore, monkeypatch):
    monkeypatch.setattr("scribeviz.views.explore.gene_table._PAGE", 3)
    view = GeneTable(state=explore)
    ranked = explore.listed()["gene"].tolist()
    view._step(4)
    assert (view._listing.page, view._listing.selection) == (2, [4])
    explore.gene = ranked[7]
    assert (view._listing.page, view._listing.selection) == (3, [7])
    view.leave()
    explore.gene = ranked[0]
    assert view._listing.page == 3, "a view that was left does not follow"


def test_every_row_has_a_picture_of_numbers(explore, hostile):
    pictures = GeneTable(state=explore)._listing.value["residuals"]
    assert len(pictures) == 8
    assert pictures.str.startswith("<svg").all()
    assert not pictures.str.contains(hostile, regex=False).any()


@pytest.fixture
def session(store, tmp_path, counts):
    made = Session(store, tmp_path)
    made.data.counts = counts
    return made


def test_the_python_follows_the_place_while_it_is_open(session, explore, mixture, monkeypatch):
    view = PythonView(session=session, compare=CompareState(store=session.fit.store))
    view.refresh()
    assert view._code.object == "", "nobody looks"
    view._details.collapsed = False
    seen = {}
    for place in ("Data", "Model", "Fit", "Compare"):
        session.place = place
        view.refresh()
        seen[place] = view._code.object
    assert "60 cells x 9 genes" in seen["Data"]
    assert "scribeviz.ModelSpec(likelihood=&#x27;nb&#x27;" in seen["Model"]
    assert "Start a fit first" in seen["Fit"]
    assert "Tick two runs first" in seen["Compare"]
    assert "<img" not in seen["Data"]
    session.explore = explore
    session.place = "Explore"
    monkeypatch.setattr(view, "_run", lambda _: mixture)
    view.refresh()
    assert "n_components=2" in view._code.object
    explore.choose_cells(np.arange(12), "by hand")
    view.refresh()
    assert "critique.of_cells(cells)" in view._code.object


def test_a_digest_lists_genes_by_what_is_off(explore):
    genes = explore.table.assign(problem=["too many zeros"] * 3 + ["as expected"] * 5)
    explore.table = genes
    view = pn.panel(DigestView(state=explore, try_model=lambda _: None))
    assert named(view, "as expected: 5 (62%)")
    named(view, "too many zeros: 3 (38%)").clicks += 1
    assert set(explore.listed()["gene"]) == set(genes["gene"][:3])


def test_the_next_step_is_a_model_to_try(explore, monkeypatch):
    tried = []
    step = NextStep("Depths differ.", ModelSpec(likelihood="nbvcp", n_components=2))
    monkeypatch.setattr(digest_module, "next_step", lambda *_: step)
    view = pn.panel(DigestView(state=explore, try_model=tried.append))
    assert "Depths differ." in texts(view)
    named(view, f"Try {step.model.described}").clicks += 1
    assert tried == [step.model]
    monkeypatch.setattr(digest_module, "next_step", lambda *_: None)
    view = pn.panel(DigestView(state=explore, try_model=tried.append))
    assert "No other model is called for" in texts(view)


def test_the_prior_that_genes_share_is_drawn_behind_them(explore, counts, tmp_path):
    assert learned_prior(explore.explored) is None
    spec = ModelSpec(likelihood="nb")
    run = create_run(tmp_path / "exact", counts, spec, ExactConfig())
    work(run)
    state = ExploreState()
    state.show(load_explored(run.path))
    genes, priors = learned_prior(state.explored)
    results = run.results
    np.testing.assert_array_equal(genes["dispersion"], results.get_map()["r"])
    assert priors == results.gene_priors
    view = ParametersView(state=state)
    assert "Means and dispersions of all genes" in texts(view)
    view._tapped(SimpleNamespace(new=[3]))
    assert state.gene == genes["gene"][3]


def test_genes_picked_in_a_picture_are_listed(explore):
    table, pictures = GeneTable(state=explore), AllGenesView(state=explore)
    pn.panel(pictures)
    genes = explore.table["gene"].tolist()
    pictures._tapped(SimpleNamespace(new=[3]))
    assert explore.gene == genes[3]
    assert len(table._listing.value) == 8
    pictures._tapped(SimpleNamespace(new=[5, 2, 6]))
    assert set(table._listing.value["gene"]) == {genes[5], genes[2], genes[6]}
    assert (np.diff(table._listing.value["misfit"]) <= 0).all()
    assert "3 picked genes." in texts(table)
    assert len(DownloadsView(state=explore).as_csv().read().splitlines()) == 4
    pictures._tapped(SimpleNamespace(new=[]))
    assert len(table._listing.value) == 3, "an empty tap changes nothing"
    named(table, "All genes again").clicks += 1
    assert len(table._listing.value) == 8
    assert "picked" not in texts(table)


def test_priors_stand_behind_posteriors(explore):
    view = pn.panel(ParametersView(state=explore))
    shown = texts(view)
    assert "the data decide" in shown
    assert len(view.select(pn.pane.HoloViews)) == 3
    moved = explore.moved()
    assert {key: len(found) for key, (_, found) in moved.items()} == {
        "p": 1,
        "r": 2,
        "mixing_weights": 2,
    }
    explore.gene = "CD3E"
    assert "of CD3E" in texts(view)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A finished run of fewer cells and other genes; not among those that are listed."""
    counts, _ = simulate("nbdm", n_cells=45, n_genes=5, seed=1)
    folder = tmp_path_factory.mktemp("other")
    run = create_run(folder / "run", counts, ModelSpec(), SVIConfig(n_steps=100))
    work(run)
    return run


def test_opening_another_run_leaves_the_parts_of_the_first_alone(explore, other):
    view = pn.panel(ExploreView(state=explore))
    [tabs] = view.select(ui.Tabs)
    for i in range(6):
        tabs.active = i
    explore.color_by = "component of the model"
    explore.choose_group(explore.groups()[0])
    explore.label = "<b>batch"
    explore.show(load_explored(other.path))
    explore.choose_cells(np.arange(20), "by hand")
    explore.gene = str(explore.explored.counts.genes[-1])
    explore.color_by = explore.param.color_by.objects[0]
    assert "20 chosen cells" in texts(view)


def test_a_heading_from_a_file_stays_text(explore):
    explore.label = "<b>batch"
    explore.choose_cells(np.arange(30), "by hand")
    titles = [
        table.titles for table in pn.panel(CellsView(state=explore)).select(pn.widgets.Tabulator)
    ]
    told = [shown["group"] for shown in titles if "group" in shown]
    assert told == ["&lt;b&gt;batch"]


def test_very_many_groups_are_drawn_as_few(explore):
    obs = explore.explored.counts.obs
    barcodes = [f"AC{i}" for i in range(len(obs))]
    counts = replace(explore.explored.counts, obs=obs.assign(barcode=barcodes))
    explore.show(replace(explore.explored, counts=counts))
    explore.color_by = "barcode"
    assert len(explore.groups()) == 50
    assert "(all others)" in explore.groups()
