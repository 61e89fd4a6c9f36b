import asyncio
import os
import time
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scribeviz import CountsError, ModelSpec, Prior, SVIConfig
from scribeviz.criticism.critique import Critique
from scribeviz.data.counts import plain_counts
from scribeviz.models.likelihoods import LIKELIHOODS, PARAMETERIZATIONS
from scribeviz.models.spec import applicable_spec
from scribeviz.networks.cellvae import CELLVAE
from scribeviz.runs.folder import RunState, RunStatus, create_run
from scribeviz.views.data.data_state import DataState, open_data, open_example
from scribeviz.views.explore.explored import load_explored
from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.model.model_state import ModelState, PriorState, numbers_form
from scribeviz.views.session import PLACES, ExploreState, Session, default_folder


@pytest.fixture
def data_folder(tmp_path):
    """A file that is log-normalised in X and keeps its counts in a layer, and one without any."""
    folder = tmp_path / "data"
    folder.mkdir()
    counts = np.random.default_rng(0).poisson(2.0, (30, 6)).astype(np.float32)
    normalised = ad.AnnData(np.log1p(counts * 10 / (1 + counts.sum(axis=1, keepdims=True))))
    normalised.write_h5ad(folder / "lost.h5ad")
    normalised.layers["counts"] = counts
    normalised.write_h5ad(folder / "normalised.h5ad")
    ad.AnnData(counts).write_h5ad(folder / "raw.h5ad")
    return folder


def news_of(state, *names):
    """Collect what a page that watches ``state`` is told."""
    told = []
    state.param.watch(lambda *events: told.extend(event.name for event in events), list(names))
    return told


# Data


def test_the_example_opens_without_a_file(tmp_path):
    state = DataState(folder=tmp_path)
    state.show(open_data(tmp_path, "example"))
    assert (state.counts.n_cells, state.counts.n_genes) == (700, 765)
    assert state.opened.source == "example"
    assert open_example() is open_example()


def test_a_file_of_counts_opens(data_folder):
    state = DataState(folder=data_folder)
    assert [file.name for file in state.files()] == ["lost.h5ad", "normalised.h5ad", "raw.h5ad"]
    state.show(open_data(data_folder, "raw.h5ad"))
    assert state.counts.n_cells == 30
    assert (state.opened.found.layer, state.opened.found.problem) == ("X", "")


def test_a_file_with_its_counts_in_a_layer_says_so_and_the_layer_is_taken(data_folder):
    opened = open_data(data_folder, "normalised.h5ad")
    found = opened.found
    assert found.counts is None
    assert found.use_layer == "counts"
    assert "normalised.h5ad" in found.problem
    assert found.sources["counts"] == ""
    assert found.sources["X"] != ""
    state = DataState(folder=data_folder)
    state.show(opened)
    assert state.counts is None

    state.show(open_data(data_folder, opened.source, opened.found.use_layer))
    raw = open_data(data_folder, "raw.h5ad").found.counts
    np.testing.assert_array_equal(state.counts.matrix.toarray(), raw.matrix.toarray())
    assert (state.opened.found.layer, state.opened.found.problem) == ("counts", "")


def test_a_file_without_counts_offers_nothing(data_folder):
    found = open_data(data_folder, "lost.h5ad").found
    assert (found.counts, found.use_layer) == (None, None)
    assert "lost.h5ad" in found.problem


def test_data_that_are_not_counts_close_what_was_open(data_folder):
    state = DataState(folder=data_folder)
    state.show(open_data(data_folder, "raw.h5ad"))
    state.show(open_data(data_folder, "lost.h5ad"))
    assert state.counts is None


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "nowhere.h5ad", ""])
def test_a_name_outside_the_data_folder_is_refused(data_folder, name):
    (data_folder.parent / "x").write_text("private")
    with pytest.raises(CountsError):
        open_data(data_folder, name)


def test_a_refusal_leaves_open_what_was_open(data_folder):
    state = DataState(folder=data_folder)
    state.show(open_data(data_folder, "raw.h5ad"))
    before = state.counts
    state.refuse("This is no file of counts.")
    assert state.problem == "This is no file of counts."
    assert state.counts is before
    state.show(state.opened)
    assert state.problem == ""


def test_a_refusal_takes_the_place_of_the_one_before_it(data_folder):
    state = DataState(folder=data_folder)
    state.show(open_data(data_folder, "lost.h5ad"))
    state.refuse("This is no file of counts.")
    assert state.problem == "This is no file of counts."
    assert state.opened is None  # else both stand on the page, and one is of another file


async def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110  of other threads too
        await asyncio.sleep(0.01)
    assert condition()


@pytest.fixture
def endless(data_folder):
    """A state whose folder has a pipe into which nobody writes: reading it takes for ever."""
    os.mkfifo(data_folder / "endless.csv")
    return DataState(folder=data_folder)


def test_reading_can_be_cancelled_and_what_was_open_stays(endless, finish):
    async def cancel():
        await endless.read("raw.h5ad")
        reading = asyncio.create_task(endless.read("endless.csv"))
        await until(lambda: endless.busy == "Reading endless.csv …")
        endless.cancel()
        await asyncio.wait_for(reading, 30)

    finish(cancel())
    assert (endless.busy, endless.problem) == ("", "")
    assert endless.counts.name == "raw.h5ad"


def test_what_is_asked_for_later_cancels_what_is_being_read(endless, finish):
    async def ask_twice():
        first = asyncio.create_task(endless.read("endless.csv"))
        await until(lambda: endless.busy)
        await endless.read("normalised.h5ad", "counts")
        await asyncio.wait_for(first, 30)

    finish(ask_twice())
    assert endless.counts.read_by == "scribeviz.read('normalised.h5ad', layer='counts')"
    assert (endless.busy, endless.problem) == ("", "")


def test_a_place_that_is_read_is_named(endless, finish):
    said = []
    endless.param.watch(lambda event: said.append(event.new), "busy")
    finish(endless.read("normalised.h5ad", "counts"))
    finish(endless.read("nowhere.h5ad"))
    assert said == ["Reading counts of normalised.h5ad …", "", "Reading nowhere.h5ad …", ""]
    assert "'nowhere.h5ad' is not in the data folder" in endless.problem
    assert endless.counts is not None


@pytest.mark.parametrize("inside", [".", "data"])
def test_an_upload_is_kept_and_can_be_opened(data_folder, monkeypatch, inside):
    monkeypatch.chdir(data_folder.parent)
    folder = data_folder if inside == "." else type(data_folder)(inside)  # absolute, and relative
    state = DataState(folder=folder)
    name = state.receive("../../mine.csv", b"cell,A,B\nc1,1,2\nc2,0,3\n")
    assert name == "uploads/mine.csv"
    assert open_data(folder, name).found.counts.n_cells == 2


def test_an_upload_over_the_limit_is_refused_by_the_server(data_folder):
    state = DataState(folder=data_folder)
    state.upload_limit_bytes = 10
    with pytest.raises(CountsError, match=r"mine\.csv has 11 bytes, more than the 10 bytes"):
        state.receive("mine.csv", b"x" * 11)
    assert not list(data_folder.rglob("mine*"))


def test_the_data_folder_is_the_one_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SCRIBEVIZ_DATA", str(tmp_path / "a" / ".."))
    assert default_folder() == tmp_path
    monkeypatch.delenv("SCRIBEVIZ_DATA")
    monkeypatch.chdir(tmp_path)
    assert default_folder() == tmp_path


# Model


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("n_components", [1, 2, 20])
def test_priors_are_offered_for_every_parameter(likelihood, n_components):
    state = ModelState(likelihood=likelihood, n_components=n_components)
    spec = ModelSpec(likelihood=likelihood, n_components=n_components)
    assert state.spec() == spec
    assert {key: prior.prior for key, prior in state.priors.items()} == {
        site.key: site.prior for site in spec.sites
    }


def test_everything_that_can_be_fitted_can_be_picked():
    state = ModelState()
    built_in = [*LIKELIHOODS, CELLVAE]  # custom models that other tests registered may follow
    assert state.param.likelihood.objects[: len(built_in)] == built_in
    assert state.param.parameterization.objects == list(PARAMETERIZATIONS)
    assert state.spec() == applicable_spec("nb"), "what is recommended"


@pytest.mark.parametrize("n_components", [0, 21])
def test_the_number_of_components_has_bounds(n_components):
    state = ModelState()
    with pytest.raises(ValueError, match="must be"):
        state.n_components = n_components
    assert state.n_components == 1


def test_a_chosen_prior_is_kept_while_components_change():
    state = ModelState(likelihood="nbdm", n_components=2)
    state.priors["mixing_weights"].prior = Prior("dirichlet", (5.0,))
    state.priors["r"].prior = Prior("gamma", (3.0, 1.0))
    state.n_components = 1
    assert list(state.priors) == ["p", "r"]
    assert state.spec() == ModelSpec(priors={"r": ("gamma", 3, 1)})
    state.n_components = 3
    assert state.spec() == ModelSpec(
        n_components=3, priors={"r": ("gamma", 3, 1), "mixing_weights": ("dirichlet", 5)}
    )


def test_the_page_hears_of_priors_only_when_the_parameters_change():
    state = ModelState()
    told = news_of(state, "priors")
    state.n_components = 2
    state.n_components = 3
    assert told == ["priors"]


def test_the_spec_holds_only_priors_that_differ():
    state = ModelState(likelihood="nbdm")
    state.priors["r"].choose_family("gamma")
    assert [key for key, _ in state.spec().priors] == ["r"]
    state.priors["r"].choose_family("lognormal")
    assert state.spec() == ModelSpec()


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec(),
        ModelSpec(n_components=20),
        ModelSpec(n_components=2, priors={"mixing_weights": ("dirichlet", 3)}),
        ModelSpec(priors={"p": ("beta", 2, 5), "r": ("exponential", 0.5)}),
    ],
)
def test_a_spec_that_is_shown_is_the_spec(spec):
    state = ModelState(n_components=4)
    state.priors["r"].prior = Prior("gamma", (9.0, 9.0))
    state.show(spec)
    assert state.spec() == spec


def test_choosing_a_family_takes_its_own_numbers():
    state = PriorState(ModelSpec().sites[1])
    assert state.prior == Prior("lognormal", (0.0, 1.0))
    numbers_form(state).scale = 3.0
    assert state.prior == Prior("lognormal", (0.0, 3.0))
    state.choose_family("lognormal")  # no change: the numbers stay
    assert state.prior == Prior("lognormal", (0.0, 3.0))
    state.choose_family("gamma")
    assert state.prior == Prior("gamma", (2.0, 1.0))
    state.choose_family("lognormal")
    assert state.prior == Prior("lognormal", (0.0, 1.0))


def test_a_number_out_of_bounds_changes_nothing():
    state = PriorState(ModelSpec().sites[1])
    with pytest.raises(ValueError, match="scale"):
        numbers_form(state).scale = -1.0
    assert state.prior == Prior("lognormal", (0.0, 1.0))


# Fit


@pytest.fixture
def fit(store):
    return FitState(store=store)


def test_a_fit_that_is_started_is_looked_at(fit, counts):
    fit.config.n_steps = 77
    fit.start(counts, ModelSpec(n_components=2))
    [(run, status)] = fit.history
    assert (run, status) == (fit.run, fit.status)
    assert status == RunStatus(state=RunState.QUEUED, n_steps=77)
    assert run.spec.model == ModelSpec(n_components=2)
    assert run.spec.config == SVIConfig(n_steps=77)
    assert run.counts.fingerprint == counts.fingerprint
    assert fit.losses.size == 0


def test_a_fit_that_is_started_twice_is_one(fit, counts):
    first = fit.start(counts, ModelSpec())
    assert fit.start(counts, ModelSpec()) == first
    fit.config.seed = 1
    other = fit.start(counts, ModelSpec())
    assert other != first
    first.update_status(state=RunState.DONE)
    assert fit.start(counts, ModelSpec()) == other
    fit.config.seed = 0
    again = fit.start(counts, ModelSpec())
    assert again not in {first, other}, "what is done may be done again"
    assert len(fit.history) == 3


def test_a_fit_that_is_done_is_found_by_what_it_fits(fit, counts):
    run = fit.start(counts, ModelSpec())
    assert fit.finished_before(counts, ModelSpec()) is None
    run.update_status(state=RunState.DONE)
    assert fit.finished_before(counts, ModelSpec()).id == run.id
    assert fit.finished_before(counts, ModelSpec(n_components=2)) is None
    fit.config.seed += 1
    assert fit.finished_before(counts, ModelSpec()) is None


def test_what_really_runs_is_known_whatever_is_looked_at(fit, counts):
    assert fit.at_work == (None, None, 0)
    first = fit.start(counts, ModelSpec())
    first.update_status(state=RunState.RUNNING, step=30, n_steps=100)
    fit.start(counts, ModelSpec(n_components=2))
    run, status, n_waiting = fit.at_work
    assert (run.id, status.percent, n_waiting) == (first.id, 30, 1)
    first.update_status(state=RunState.STOPPED)
    fit.refresh()
    assert fit.at_work == (None, None, 1)


def test_settings_of_a_run_are_shown_and_stay_when_its_model_is_offered(fit):
    methods = ("exact", "svi", "mcmc")
    fit.show_settings(SVIConfig(n_steps=321, seed=5), methods)
    fit.offer(methods)
    assert fit.config.value() == SVIConfig(n_steps=321, seed=5)
    fit.offer(("svi", "mcmc"))  # whose usual way is another
    assert fit.method == "svi"
    fit.offer(methods)
    assert fit.method == "exact"


def test_a_queued_fit_is_stopped(fit, counts):
    fit.stop()  # nothing to stop yet
    fit.resume()
    fit.start(counts, ModelSpec())
    assert fit.can_stop
    fit.stop()
    assert fit.status.state is RunState.STOPPED
    assert not fit.can_stop


def test_a_running_fit_is_asked_to_stop_and_goes_on_later(fit, counts):
    fit.start(counts, ModelSpec())
    fit.run.update_status(state=RunState.RUNNING)
    assert not fit.stopping
    fit.stop()
    assert fit.run.stop_asked
    assert fit.stopping
    fit.run.update_status(state=RunState.STOPPED)
    fit.refresh()
    assert not fit.stopping
    fit.resume()
    assert fit.status.state is RunState.QUEUED
    assert not fit.run.stop_asked


def test_news_are_told_once(fit, counts):
    fit.refresh()
    fit.start(counts, ModelSpec())
    told = news_of(fit, "run", "status", "losses", "history")
    fit.refresh()
    fit.refresh()
    assert told == []
    fit.run.write_losses(np.float32([3, 2]))
    fit.run.update_status(state=RunState.RUNNING, step=2)
    fit.refresh()
    assert sorted(told) == ["history", "losses", "status"]
    np.testing.assert_array_equal(fit.losses, [3, 2])
    fit.refresh()
    fit.run.update_status(doing="checking every gene")
    fit.refresh()
    fit.refresh()
    assert told[3:] == ["status"]
    fit.run.update_status(state=RunState.DONE)
    fit.refresh()
    assert sorted(told[4:]) == ["history", "status"]
    assert [status for _, status in fit.history] == [fit.status]


def test_another_run_can_be_looked_at(fit, counts):
    fit.start(counts, ModelSpec())
    first = fit.run
    fit.start(counts, ModelSpec(n_components=2))
    assert [run for run, _ in fit.history] == [fit.run, first]
    first.write_losses(np.float32([1]))
    first.update_status(step=1)
    fit.look_at(first)
    assert (fit.run, fit.status.step, fit.losses.size) == (first, 1, 1)


def test_a_finished_run_is_found_with_all_its_losses(finished_store, mixture):
    fit = FitState(store=finished_store)
    fit.refresh()
    assert [(run.id, status.state) for run, status in fit.history] == [("mixture", "done")]
    assert fit.run is None
    fit.look_at(fit.history[0][0])
    assert fit.status.state is RunState.DONE
    assert fit.losses.size == fit.status.step == 200
    assert not fit.can_stop
    assert not fit.can_resume
    assert fit.run == mixture


@pytest.mark.parametrize("state", RunState)
def test_what_can_be_stopped_and_what_can_go_on(tmp_path, store, mixture, state):
    run = create_run(tmp_path / "run", mixture.counts, mixture.spec.model, mixture.spec.config)
    run.update_status(state=state)
    fit = FitState(store=store)
    assert not fit.can_stop
    assert not fit.can_resume
    fit.look_at(run)
    assert fit.can_stop == (state in {"queued", "running"})
    assert not fit.can_resume  # without a checkpoint it would begin anew
    run.write_checkpoint(mixture.read_checkpoint())
    assert fit.can_resume == (state in {"stopped", "failed", "interrupted"})


# Explore


@pytest.fixture
def explore(mixture):
    state = ExploreState()
    state.show(load_explored(mixture.path))
    return state


def test_the_worst_gene_is_shown_first(explore):
    table = explore.explored.critique.genes.set_index("gene")["misfit"]
    assert explore.gene == table.idxmax()
    assert list(explore.explored.left_out_genes) == ["Unseen"]
    assert explore.explored.counts.n_genes == 8


def test_the_chosen_gene_is_kept_when_the_next_run_has_it(explore, hostile):
    explore.gene = hostile
    explored = explore.explored
    explore.show(replace(explored, run_id="another"))
    assert explore.gene == hostile
    others = explored.counts.select_genes(np.arange(1, 8))
    table = explored.critique.genes.iloc[1:].reset_index(drop=True)
    fewer = Critique(draws=explored.critique.draws, genes=table, probabilities=np.ones((60, 1)))
    explore.show(replace(explored, counts=others, critique=fewer))
    assert explore.gene != hostile


@pytest.mark.parametrize(
    ("text", "gene"), [("CD3E", "CD3E"), ("  cd3e ", "CD3E"), ("ensg002", "G0"), ("g5", "G5")]
)
def test_a_gene_is_found_by_any_of_its_names(explore, text, gene):
    assert explore.find_gene(text) == ""
    assert explore.gene == gene


@pytest.mark.parametrize("text", ["", "CD", "Unseen", "ENSG008", "<script>"])
def test_an_unknown_gene_changes_nothing(explore, text):
    before = explore.gene
    assert explore.find_gene(text) == f"No gene of this run is called {text}."
    assert explore.gene == before


def named(explore, *genes):
    """The run, with other names for its first genes."""
    counts, critique = explore.explored.counts, explore.explored.critique
    names = np.array([*genes, *counts.genes[len(genes) :]], dtype=object)
    table = critique.genes.assign(gene=names)
    explore.explored = replace(
        explore.explored,
        counts=replace(counts, genes=names),
        critique=replace(critique, genes=table),
    )


@pytest.mark.parametrize(
    ("text", "gene"), [("CD20", "MS4A1"), ("p-53", "Trp53"), ("Ki67", "MKI67"), ("γδ", None)]
)
def test_a_usual_name_is_told_with_the_symbol(explore, text, gene):
    named(explore, "MS4A1", "Trp53", "MKI67")
    told = explore.find_gene(text)
    if gene is None:
        assert told == f"No gene of this run is called {text}."
        return
    assert told == ""
    assert explore.gene == gene
    assert explore.note == f"No gene of this run is called {text}; it is {gene} here."
    assert explore.find_gene(gene) == ""
    assert explore.note == ""


def test_a_usual_name_of_several_or_of_none_is_said(explore):
    named(explore, "CD3D", "CD3G")
    assert explore.find_gene("CD3") == (
        "No gene of this run is called CD3; it may be CD3D or CD3G: give one of these."
    )
    assert explore.find_gene("PD-L2") == (
        "No gene of this run is called PD-L2; it is PDCD1LG2 or Pdcd1lg2, which is not among them."
    )


def test_an_id_is_found_with_and_without_its_version(explore):
    counts = explore.explored.counts
    ids = counts.gene_ids.copy()
    ids[2] = "ENSG00000156738.17"
    explore.explored = replace(explore.explored, counts=replace(counts, gene_ids=ids))
    for text in ("ENSG00000156738", "ENSG00000156738.17", "ENSG00000156738.2"):
        explore.gene = str(counts.genes[0])
        assert explore.find_gene(text) == ""
        assert explore.gene == str(counts.genes[2])


def test_what_was_asked_for_lately_is_kept_newest_first(explore):
    for gene in ("G0", "G1", "CD3E", "G1"):
        explore.find_gene(gene)
    assert explore.recent == ["G1", "CD3E", "G0"]
    explore.find_gene("nobody")
    assert explore.recent == ["G1", "CD3E", "G0"]
    for gene in ("G2", "G3", "G4", "G5"):
        explore.remember(gene)
    assert explore.recent == ["G5", "G4", "G3", "G2", "G1", "CD3E"]
    explore.recent = ["not of this run", "G2"]
    assert explore.recent_here() == ["G2"]


def test_a_name_of_several_genes_is_said(explore):
    counts = explore.explored.counts
    aliases = np.array(["p40", "p40|old", *[""] * 6], dtype=object)
    explore.explored = replace(explore.explored, counts=replace(counts, aliases=aliases))
    before = explore.gene
    assert "may be any of 2 genes" in explore.find_gene("p40")
    assert explore.gene == before
    assert explore.find_gene("OLD") == ""
    assert explore.gene == str(counts.genes[1])


@pytest.mark.parametrize("index", range(8))
def test_a_gene_is_checked_against_its_own_counts(explore, counts, index):
    explore.gene = str(counts.genes[index])
    check = explore.gene_check()
    own = counts.gene_at(index)
    assert check.observed.sum() == counts.n_cells
    assert check.observed_mean == pytest.approx(own.mean())
    assert check.observed_zeros == pytest.approx((own == 0).mean())


def test_every_cell_has_a_component(explore, counts):
    assert explore.sizes().sum() == counts.n_cells
    assert explore.sizes().size == 2
    assert explore.entropies().shape == (counts.n_cells,)
    assert (explore.entropies() <= np.log(2) + 1e-5).all()


def test_components_are_compared_with_the_chosen_label(explore, counts):
    assert explore.label == "component"  # the first with a few categories
    table = explore.confusion()
    assert table.to_numpy().sum() == counts.n_cells
    assert table.sum(axis=0).tolist() == explore.sizes().tolist()
    truth = counts.obs["component"].value_counts()
    assert table.sum(axis=1).to_dict() == truth.to_dict()
    explore.label = "total"
    assert len(explore.confusion()) == 4
    explore.label = None
    assert explore.confusion() is None
    assert explore.param.label.objects == [None, "component", "total", "<b>batch"]


def test_some_cells_are_checked_by_themselves(explore, counts):
    chosen = np.arange(0, 60, 2)
    explore.choose_cells(chosen[::-1], "by hand")
    assert explore.cells.tolist() == chosen.tolist()
    check = explore.gene_check("CD3E")
    assert check.observed.sum() == 30
    assert check.observed_mean == pytest.approx(counts.gene("CD3E")[chosen].mean())
    assert explore.library().observed.sum() == 30
    weights = explore.explored.critique.probabilities[chosen].mean(axis=0)
    np.testing.assert_allclose(explore._looked_at()[1].natural.weights[0], weights)
    table = explore.judge_chosen()
    assert table["mean"].tolist() == pytest.approx(
        counts.matrix.toarray()[chosen, :8].mean(axis=0).tolist()
    )
    explore.table = table
    explore.choose_cells(chosen[:20], "by hand")
    assert explore.table is explore.explored.critique.genes, "other cells were judged"
    explore.table = table
    explore.choose_all()
    assert explore.cells is None
    assert explore.table is explore.explored.critique.genes
    assert explore.gene_check("CD3E").observed.sum() == 60


def test_a_group_of_cells_fits_better_than_all_in_its_own_check(explore):
    """Cells of one component differ from the mixture of both, and the check knows it."""
    explored = explore.explored
    means = explored.critique.natural.component_means()
    gene = str(explored.counts.genes[np.abs(np.log(means[0] / means[1])).argmax()])
    explore.color_by = "component of the model"
    assert explore.groups() == ["1", "2"]
    large = [i for i, size in enumerate(explore.sizes()) if size >= 10]
    assert large
    for i in large:
        group, of_group = explore.groups()[i], means[i]
        explore.choose_group(group)
        assert explore.chosen_by == f"component of the model: {group}"
        low, _, high = explore.gene_check(gene).mean
        expected = of_group[explored.counts.gene_index(gene)]
        assert low == pytest.approx(expected, rel=0.35)
        assert high == pytest.approx(expected, rel=0.35)


def test_too_few_cells_are_not_checked(explore):
    explore.choose_cells(np.arange(9), "by hand")
    assert explore.cells is None
    assert explore.problem == "9 cells are too few to check a model on; choose 10."
    explore.choose_cells(np.arange(10), "by hand")
    assert explore.problem == ""


def test_cells_are_coloured_by_what_is_known_of_them(explore, counts):
    assert explore.color_by == "component of the model"
    assert explore.groups() == ["1", "2"]
    explore.color_by = "entropy of the assignment"
    np.testing.assert_allclose(explore.colors(), explore.entropies())
    assert explore.groups() == []
    explore.color_by = "total counts of the cell"
    np.testing.assert_allclose(explore.colors(), counts.cell_totals)
    explore.color_by = "<b>batch"
    assert explore.groups() == ["one"]
    explore.color_by = "component"
    assert set(explore.groups()) == set(counts.obs["component"].astype(str))
    explore.color_by = "total"
    assert explore.groups() == []


def test_what_chosen_cells_are(explore, counts):
    assert explore.composition() is None
    labels = counts.obs["component"].astype(str).to_numpy()
    first = np.flatnonzero(labels == labels[0])
    explore.choose_cells(first, "by hand")
    table = explore.composition()
    assert table.loc[labels[0], "chosen"] == 1
    assert table.loc[labels[0], "all"] == pytest.approx(first.size / 60)
    assert table["cells"].sum() == first.size
    explore.label = "total"
    assert explore.composition() is None


def test_components_agree_with_labels_as_sklearn_says(explore, counts):
    from sklearn.metrics import adjusted_rand_score

    labels = counts.obs["component"].astype(str)
    rand, information = explore.agreement()
    assert rand == pytest.approx(adjusted_rand_score(labels, explore.explored.components))
    assert 0 <= information <= 1
    explore.label = None
    assert explore.agreement() is None


def test_another_run_begins_with_all_cells(explore):
    explore.choose_cells(np.arange(20), "by hand")
    explore.show(replace(explore.explored, run_id="another"))
    assert explore.cells is None
    assert explore.chosen_by == ""


def test_labels_of_one_session_are_not_those_of_another(explore):
    assert len(explore.param.label.objects) > 1
    assert ExploreState().param.label.objects == [None]


def test_components_that_follow_depth_are_warned_of(explore, counts):
    explored = explore.explored
    deep = counts.cell_totals > np.median(counts.cell_totals)
    by_depth = replace(
        explored.critique, probabilities=np.stack([~deep, deep], axis=1).astype(np.float32)
    )
    totals = np.where(deep, 100, 1)[:, None] * np.ones((1, 8), int)
    explore.show(
        replace(explored, critique=by_depth, counts=plain_counts(totals, genes=list("abcdefgh")))
    )
    assert "follow sequencing depth" in explore.depth_warning()
    shuffled = replace(explore.explored, counts=explored.counts)
    mixed = np.random.default_rng(0).permutation(by_depth.probabilities)
    explore.show(replace(shuffled, critique=replace(by_depth, probabilities=mixed)))
    assert explore.depth_warning() is None


def test_two_labels_of_the_same_name_are_one(explore):
    obs = pd.DataFrame({"a": pd.Categorical(["x", "y"] * 30), "b": range(60)})
    obs.columns = ["type", "type"]
    explored = explore.explored
    explore.show(replace(explored, counts=replace(explored.counts, obs=obs)))
    assert explore.param.label.objects == [None, "type"]
    assert explore.label == "type"
    assert list(explore.confusion().index) == ["x", "y"]


def test_data_without_labels_can_be_explored(explore):
    explored = explore.explored
    bare = replace(explored.counts, obs=pd.DataFrame(index=explored.counts.cells))
    explore.show(replace(explored, counts=bare))
    assert explore.label is None
    assert explore.confusion() is None


def test_a_run_is_read_once_until_its_results_are_new(tmp_path, mixture):
    run = create_run(tmp_path / "run", mixture.counts, mixture.spec.model, mixture.spec.config)
    run.write_results(mixture.results)
    run.write_critique(mixture.critique)
    first = load_explored(run.path)
    assert load_explored(run.path) is first
    better = replace(mixture.critique, probabilities=np.ones((60, 2)) / 2)
    run.write_critique(better)
    np.testing.assert_array_equal(load_explored(run.path).critique.probabilities, 0.5)


def test_a_run_says_its_model_and_its_data(explore, mixture):
    assert explore.explored.run_id == mixture.id
    assert explore.explored.name.startswith("negative binomial, 2 components on blood ")


# Session


def open_places(session):
    return [place for place in PLACES if session.is_open(place)]


def test_places_open_as_their_inputs_come(tmp_path, store, counts):
    session = Session(store, tmp_path)
    assert session.place == "Data"
    assert open_places(session) == ["Data"]
    session.data.counts = counts
    assert open_places(session) == ["Data", "Model", "Fit", "Compare"]
    session.fit.start(counts, ModelSpec())
    assert open_places(session) == ["Data", "Model", "Fit", "Compare"]


def test_earlier_runs_open_fit_and_explore_without_data(tmp_path, finished_store):
    session = Session(finished_store, tmp_path)
    session.fit.refresh()
    assert open_places(session) == ["Data", "Fit", "Compare"]
    session.fit.look_at(session.fit.history[0][0])
    assert open_places(session) == ["Data", "Fit", "Explore", "Compare"]


def test_sessions_do_not_share_choices(tmp_path, store):
    one, other = Session(store, tmp_path), Session(store, tmp_path)
    one.model.n_components = 3
    one.model.priors["r"].choose_family("gamma")
    one.fit.config.n_steps = 9
    one.explore.log_axis = True
    assert other.model.spec() == applicable_spec("nb")
    assert other.fit.config.value() == SVIConfig()
    assert not other.explore.log_axis
