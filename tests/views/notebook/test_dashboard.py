"""The dashboard of a notebook without a browser: what Python reads, sets and is told."""

import anndata
import numpy as np
import panel as pn
import pytest

import scribeviz
from scribeviz.data.held import held_counts
from scribeviz.runs.run import Run
from scribeviz.views.explore.explored import load_explored
from scribeviz.views.notebook.beginning import held

_CHOSEN = slice(5, 25)


@pytest.fixture
def adata(counts):
    made = anndata.AnnData(counts.matrix.astype(np.float32), obs=counts.obs.copy())
    made.var_names = counts.genes
    made.var["gene_ids"] = counts.gene_ids
    return made


@pytest.fixture
def dashboard(mixture, finished_store):
    return scribeviz.Dashboard(Run(mixture.path), runs=finished_store)


def test_nothing_begins_with_the_choice_of_data(store):
    dashboard = scribeviz.Dashboard(runs=store)
    assert repr(dashboard) == "Dashboard at Data\n  no data"
    assert dashboard.run is None
    with pytest.raises(ValueError, match="nothing is explored yet: wait for a fit"):
        dashboard.gene = "CD3E"
    assert dashboard.gene == ""


def test_data_lead_to_the_choice_of_a_model(adata, store):
    dashboard = scribeviz.Dashboard(adata, runs=store)
    assert repr(dashboard).splitlines()[0] == "Dashboard at Model"
    assert dashboard.counts.n_genes == adata.n_vars


def test_what_holds_no_counts_is_refused(adata, store):
    adata.X = adata.X / 3
    with pytest.raises(scribeviz.CountsError):
        scribeviz.Dashboard(adata, runs=store)


def test_a_run_is_explored(dashboard, mixture, hostile):
    assert repr(dashboard).splitlines()[0] == "Dashboard at Explore"
    assert dashboard.run.id == mixture.id
    assert dashboard.result.model_type == "nbdm_mix"
    assert set(dashboard.critique.genes["gene"]) >= {hostile, "CD3E"}
    assert dashboard.selection is None
    assert dashboard.counts.fingerprint == mixture.spec.fingerprint  # to go on with other models
    assert pn.panel(dashboard) is not None


def test_a_gene_is_set_by_any_of_its_names_and_read_by_its_own(dashboard):
    dashboard.gene = "cd3e"
    assert dashboard.gene == "CD3E"
    dashboard.gene = "ENSG002"
    assert dashboard.gene == "G0"
    dashboard._shell.session.explore.gene = "G4"
    assert dashboard.gene == "G4"


def test_names_of_cells_are_a_choice_and_the_other_way_round(dashboard, counts):
    told = []
    dashboard.param.watch(lambda event: told.append(event.new), "selection")
    dashboard.selection = counts.obs.index[_CHOSEN]  # as pandas has them
    explore = dashboard._shell.session.explore
    np.testing.assert_array_equal(explore.cells, np.arange(60)[_CHOSEN])
    explore.choose_cells(np.arange(30), "by lasso")
    assert dashboard.selection == list(counts.cells[:30])
    dashboard.selection = None
    assert explore.cells is None
    assert [None if one is None else len(one) for one in told] == [20, 30, None]


def test_a_list_of_genes_narrows_the_table(dashboard):
    dashboard.genes = ["ENSG001", "G2"]
    assert dashboard.genes == ["CD3E", "G2"]
    assert set(dashboard._shell.session.explore.listed()["gene"]) == {"CD3E", "G2"}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("gene", "NOPE", "No gene of this run is called NOPE"),
        ("genes", ["G2", "NOPE"], "no gene is called 'NOPE'"),
        ("genes", "G2", r"takes several names, as a list: \['G2'\]"),
        ("selection", ["nobody"], "1 of 1 names are of no cell of these data, such as 'nobody'"),
        ("selection", ["cell 1", "cell 2"], "2 cells are too few to check a model on; choose 10"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_all_stays(dashboard, name, value, why):
    dashboard.param.update(gene="G1", genes=["G1", "G2"], selection=list(dashboard.counts.cells))
    before = getattr(dashboard, name)
    with pytest.raises((ValueError, KeyError, TypeError), match=why):
        setattr(dashboard, name, value)
    assert getattr(dashboard, name) == before


def test_chosen_cells_become_a_column_of_obs(adata, mixture, finished_store):
    dashboard = scribeviz.Dashboard(adata, runs=finished_store)
    dashboard.run = Run(mixture.path)
    dashboard.selection = adata.obs_names[_CHOSEN]
    dashboard.to_obs("mine")
    np.testing.assert_array_equal(np.flatnonzero(adata.obs["mine"]), np.arange(60)[_CHOSEN])
    with pytest.raises(ValueError, match="20 of the 20 chosen cells are not in this AnnData"):
        dashboard.to_obs("mine", adata[30:].copy())


def test_without_an_anndata_there_is_no_obs_to_write_to(dashboard):
    with pytest.raises(ValueError, match="it was opened on none"):
        dashboard.to_obs("mine")


def test_a_result_needs_the_counts_it_was_fitted_to(mixture, counts, store):
    results = mixture.results
    with pytest.raises(ValueError, match="judged by the counts"):
        scribeviz.Dashboard(results, runs=store)
    dashboard = scribeviz.Dashboard(results, counts, runs=store)
    assert dashboard.result is results
    assert len(dashboard.critique.genes) == 8
    assert "handed over from Python" in dashboard._shell._python.code()


def test_runs_of_held_data_are_shown_without_a_second_copy(adata, mixture, finished_store):
    first = scribeviz.Dashboard(adata, runs=finished_store)
    second = scribeviz.Dashboard(adata, runs=finished_store)
    assert first.counts.matrix is second.counts.matrix
    load_explored.__globals__["_read_explored"].cache_clear()
    second.run = Run(mixture.path)
    assert held_counts(mixture.spec.fingerprint) is second.counts
    # One gene has no counts: of that one alone the fitted counts differ.
    assert second._shell.session.explore.explored.counts.n_genes == adata.n_vars - 1


def test_held_data_are_called_what_they_were_when_the_run_was_made(adata, mixture, finished_store):
    dashboard = scribeviz.Dashboard(adata, runs=finished_store)
    load_explored.__globals__["_read_explored"].cache_clear()
    dashboard.run = Run(mixture.path)
    shown = dashboard._shell.session.explore.explored.counts
    assert shown.name == mixture.spec.data_name != dashboard.counts.name


def test_held_counts_are_forgotten_with_their_last_holder():
    counts, _ = scribeviz.simulate("nbdm", n_cells=12, n_genes=3)
    kept = held(counts)
    fingerprint = kept.fingerprint
    assert held_counts(fingerprint) is kept
    del kept, counts
    assert held_counts(fingerprint) is None


def test_views_of_a_fit_share_what_is_chosen(mixture, html_of):
    views = Run(mixture.path).views()
    gene = views.gene("CD3E")
    assert "CD3E" in html_of(gene)
    views.state.choose_cells(np.arange(20), "by lasso")
    assert "In the 20 chosen cells" in html_of(gene)
    assert html_of(views.assignments())
    assert pn.panel(views.genes()) is not None
    with pytest.raises(KeyError, match="No gene of this run is called NOPE"):
        Run(mixture.path).view("NOPE")


def test_a_result_shows_its_genes(mixture, counts, html_of):
    assert "G3" in html_of(mixture.results.view("G3", counts))


def test_a_run_shows_its_loss_and_then_its_genes(mixture, labels_of):
    live = Run(mixture.path).live()
    assert "Explore the result" in labels_of(live)
    live._explore()
    assert "Explore the result" not in labels_of(live)
