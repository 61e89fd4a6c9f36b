"""The page that compares runs, without a browser."""

import re
from dataclasses import replace

import numpy as np
import panel as pn
import pytest
from panel import ui

from scribeviz import CellFilter, ModelSpec, NUTSConfig, SVIConfig
from scribeviz.fitting.methods import method_of
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.runs.folder import RunState, create_run
from scribeviz.runs.worker import work
from scribeviz.views.compare.compare_page import CompareView, _trust_card
from scribeviz.views.compare.compare_state import (
    CompareState,
    check_same,
    distinct,
    family,
    finished,
    score,
    settings_of,
    trust,
)
from scribeviz.views.data.data_state import DataState
from scribeviz.views.explore.explored import load_explored
from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.model.model_state import ModelState


@pytest.fixture(scope="module")
def finished_runs(tmp_path_factory, counts):
    """Two mixtures and a plain model of the same data."""
    folder = tmp_path_factory.mktemp("compared")
    specs = {
        "mixture": ModelSpec(n_components=2),
        "captured": ModelSpec(likelihood="nbvcp", n_components=2),
        "plain": ModelSpec(),
    }
    found = [
        create_run(folder / name, counts, spec, SVIConfig(n_steps=200))
        for name, spec in specs.items()
    ]
    for run in found:
        work(run)
    return found


@pytest.fixture
def fit_state(store, finished_runs):
    state = FitState(store=type(store)(finished_runs[0].path.parent))
    state.refresh()
    return state


@pytest.fixture
def state(fit_state, finished_runs):
    """The three runs, compared."""
    state = CompareState(store=fit_state.store)
    runs = [run.id for run in finished_runs]
    explored = state.load(runs)
    state.show(runs, explored, score(explored, {run.id: run for run in finished_runs}))
    return state


def test_runs_are_ranked_by_their_scores(state, finished_runs):
    table = state.table
    assert len(table) == 3
    assert (np.diff(table["elpd_loo"]) <= 0).all()
    assert table["difference"].iloc[0] == 0
    assert table["weight"].sum() == pytest.approx(1, abs=1e-6)
    for run in finished_runs:
        label = load_explored(run.path).label
        scores = run.critique.scores
        assert table.loc[label, "elpd_loo"] == pytest.approx(scores.elpd.sum())
    assert state.verdict
    assert state.pair == tuple(table.index[:2])


def test_genes_are_ranked_by_how_much_they_differ(state):
    genes = state.gene_differences()
    assert (np.diff(genes["difference"].abs()) <= 0).all()
    first, second = (state.explored[name].critique.genes for name in state.pair)
    expected = (first["elpd"] - second["elpd"]).sum()
    assert genes["difference"].sum() == pytest.approx(expected)
    assert state.gene == genes["gene"][0]


def test_a_gene_is_shown_with_the_same_bars_under_both(state):
    for gene in state.gene_differences()["gene"]:
        state.gene = gene
        one, other = state.checks().values()
        np.testing.assert_array_equal(one.edges, other.edges)
        np.testing.assert_array_equal(one.observed, other.observed)


def test_only_what_differs_is_listed(state):
    settings = state.differing_settings()
    assert {"likelihood", "n components"} <= set(settings.index)
    assert "learning rate" not in settings.index
    assert list(settings.columns) == list(state.explored)


def test_what_was_left_out_is_a_setting(counts, tmp_path):
    kept = CellFilter(min_counts=5, min_cells=2)
    run = create_run(tmp_path / "some", kept.apply(counts), ModelSpec(), SVIConfig())
    words = "at least 5 counts, genes seen in at least 2 cells"
    assert settings_of(run)["cells and genes"] == words
    every = create_run(tmp_path / "every", counts, ModelSpec(), SVIConfig())
    assert settings_of(every)["cells and genes"] == "all cells and genes"
    assert run.spec.data_label == f"{counts.name}, {run.spec.n_cells} cells"
    assert every.spec.data_label == counts.name


def test_runs_of_other_cells_say_which(state):
    one, other = list(state.explored.values())[:2]
    some = CellFilter(min_counts=5).apply(other.counts)
    with pytest.raises(ValueError, match=r"one: all cells and genes; for the other: at least 5 c"):
        check_same(one, replace(other, counts=some, fingerprint=some.fingerprint))


def test_entropies_only_of_two_mixtures(state):
    mixtures = tuple(name for name, one in state.explored.items() if one.model.is_mixture)
    state.pair = mixtures
    first, second = state.entropies()
    assert first.shape == second.shape == (60,)
    plain = next(name for name in state.explored if name not in mixtures)
    state.pair = (mixtures[0], plain)
    assert state.entropies() is None


def unscored(critique):
    """As of a model whose probabilities are not known."""
    return replace(critique, scores=None, genes=critique.genes.assign(elpd=np.nan))


def test_a_fit_and_its_sampled_double_say_what_to_trust(finished_runs, counts, tmp_path):
    plain = next(run for run in finished_runs if run.spec.model == ModelSpec())
    config = NUTSConfig(n_warmup=30, n_samples=40, n_chains=1)
    sampled = create_run(tmp_path / "sampled", counts, ModelSpec(), config)
    work(sampled)
    runs = {run.id: run for run in finished_runs}
    assert trust(runs) is None
    name, table = trust(runs | {"sampled": sampled})
    assert name == plain.id
    assert list(table.index) == ["p", "r"]
    assert np.isfinite(table["spread"]).all()
    shown = pn.panel(_trust_card(name, table)).select(ui.Tabulator)[0].value
    assert shown["verdict"].tolist() == table["verdict"].tolist()


def test_a_run_that_had_not_settled_is_said(state, finished_runs):
    runs = {run.id: run for run in finished_runs}
    assert set(state.table["state"]) == {
        "settled" if run.status.settled else "not settled" for run in finished_runs
    }
    early = finished_runs[0]
    before = early.status
    name = next(n for n, one in state.explored.items() if one.run_id == early.id)
    try:
        early.update_status(state=RunState.STOPPED)
        state.table = score(state.explored, runs)
        assert f"{name} (stopped)" in state.warning
    finally:
        early.update_status(state=before.state)
    state.table = state.table.assign(state="settled")
    assert state.warning == ""


def test_a_family_is_ticked_as_it_finishes(fit_state, finished_runs, monkeypatch):
    # The comparison itself is a coroutine, which would need a server.
    monkeypatch.setattr(CompareView, "_ticked", lambda *_: None)
    state = CompareState(store=fit_state.store)
    data = DataState(folder=fit_state.store.root, counts=finished_runs[0].counts)
    view = CompareView(state=state, data=data, model=ModelState(), fit=fit_state)
    history = fit_state.history
    fit_state.history = [entry for entry in history if entry[0].id == "plain"]
    queue = iter(finished_runs)
    monkeypatch.setattr(fit_state, "start", lambda *_: next(queue))
    monkeypatch.setattr("scribeviz.views.compare.compare_page.family", lambda _: range(2))
    view._fit_family(None)
    assert view._awaited == {"mixture", "captured"}
    assert view._listing.selection == []
    fit_state.history = history
    ticked = {view._shown[i] for i in view._listing.selection}
    assert ticked == {"mixture", "captured"}
    assert view._awaited == set()


def test_models_without_scores_are_listed_last(fit_state, finished_runs):
    state = CompareState(store=fit_state.store)
    runs = [run.id for run in finished_runs]
    known = {run.id: run for run in finished_runs}
    explored = state.load(runs)
    for n_scored in (1, 0):
        kept = list(explored)[:n_scored]
        partly = {
            name: one if name in kept else replace(one, critique=unscored(one.critique))
            for name, one in explored.items()
        }
        table = score(partly, known)
        state.show(runs, partly, table)
        assert list(table.index[:n_scored]) == kept
        assert table["elpd_loo"].notna().sum() == n_scored
        assert state.pair == ("", "")


def test_runs_of_other_data_or_genes_are_refused(state):
    one, other, _ = state.explored.values()
    with pytest.raises(ValueError, match="fits of different data"):
        check_same(one, replace(other, fingerprint="another"))
    fewer = other.counts.select_genes(np.arange(5))
    with pytest.raises(ValueError, match="fitted to 8 genes and the other to 5"):
        check_same(one, replace(other, counts=fewer))


def test_the_family_keeps_the_settings_that_apply():
    priors = {"p": ("beta", 2, 3)}
    spec = ModelSpec(likelihood="nbvcp", n_components=3, total_mrna=1e5, priors=priors)
    found = family(spec)
    assert [one.likelihood for one in found] == list(LIKELIHOODS)
    assert all(one.n_components == 3 for one in found)
    captured = [entry.has_capture for entry in LIKELIHOODS.values()]
    assert [one.total_mrna > 0 for one in found] == captured
    for one in found:
        has_p = any(site.key == "p" for site in one.sites)
        assert {key: prior.numbers for key, prior in one.priors} == ({"p": (2, 3)} if has_p else {})


def test_a_link_names_runs_and_a_gene(store):
    state = CompareState(store=store)
    assert state.recall(["a", "b"], "CD3E", {"a", "b", "c"}) == ""
    assert (state.runs, state.gene) == (["a", "b"], "CD3E")
    told = state.recall(["../../etc", "b", "a"], "", {"a", "b"})
    assert told.startswith("1 of the 3 runs of this link cannot be compared")
    assert "etc" not in told
    assert state.runs == ["b", "a"]
    assert state.recall(["gone"], "", set()).startswith("The run of this link cannot")


def test_the_gene_of_a_link_stays_chosen(state, finished_runs):
    runs = [run.id for run in finished_runs]
    gene = state.gene_differences()["gene"].iloc[-1]
    explored, table = state.explored, state.table
    state.recall(runs, gene, set(runs))
    state.show(runs, explored, table)
    assert state.gene == gene


def test_equal_names_are_numbered():
    assert distinct(["a", "b", "a"]) == ["a (1)", "b", "a (2)"]


@pytest.fixture
def view(fit_state, tmp_path, counts):
    data = DataState(folder=tmp_path)
    data.counts = counts
    return CompareView(
        state=CompareState(store=fit_state.store), data=data, model=ModelState(), fit=fit_state
    )


def test_ticked_runs_are_compared_on_the_page(view, html_of, finished_runs, hostile, finish):
    shown = pn.panel(view)
    assert "Tick two runs" in html_of(shown)
    assert len(view._listing.value) == len(finished(view.fit.history)) == 3
    finish(view.compare([run.id for run in finished_runs]))
    shown = pn.panel(view)
    text = html_of(shown)
    assert "elpd" in text
    assert hostile not in text
    tables = [t.value for t in shown.select(ui.Tabulator)]
    assert any("elpd_loo" in table for table in tables)


def test_one_run_is_not_compared(view, html_of, finished_runs, finish):
    finish(view.compare([finished_runs[0].id]))
    assert view.state.table is None
    assert "Tick two runs" in html_of(pn.panel(view))


@pytest.fixture
def steps(view, monkeypatch):
    """What the page says while it compares, in order; ``leave_at`` cancels there."""
    said, leave_at = [], []
    read, score_ = CompareState.read, score

    def note():
        said.append(re.sub("<style>.*?</style>|<[^>]+>", "", view._doing.object, flags=re.DOTALL))
        assert view._waiting.visible
        assert not view._result.visible
        if len(said) in leave_at:
            view._leave(None)

    def reading(state, run):
        note()
        return read(state, run)

    def scoring(explored, runs):
        note()
        return score_(explored, runs)

    monkeypatch.setattr(CompareState, "read", reading)
    monkeypatch.setattr("scribeviz.views.compare.compare_page.score", scoring)
    return said, leave_at


def test_it_is_said_what_is_being_compared(view, finished_runs, finish, steps):
    said, _ = steps
    finish(view.compare([run.id for run in finished_runs]))
    labels = [run.spec.label for run in finished_runs]
    assert said == [
        f"Comparing 3 runs: reading run 1 of 3, {labels[0]} …",
        f"Comparing 3 runs: reading run 2 of 3, {labels[1]} …",
        f"Comparing 3 runs: reading run 3 of 3, {labels[2]} …",
        "Comparing 3 runs: scoring how they predict each cell …",
    ]
    assert view._doing.object == ""
    assert not view._waiting.visible
    assert view._result.visible


def test_a_comparison_that_is_left_goes_back_to_the_one_before(view, finished_runs, finish, steps):
    said, leave_at = steps
    runs = [run.id for run in finished_runs]
    leave_at.append(2)
    finish(view.compare(runs))
    assert len(said) == 2, "what was left went on"
    assert view.state.table is None
    assert view.state.runs == view._listing.selection == []
    assert view._result.visible

    leave_at.clear()
    finish(view.compare(runs[:2]))
    before = view.state.table
    leave_at.append(len(said) + 3)
    finish(view.compare(runs))
    assert view.state.table is before
    assert sorted(view.state.runs) == sorted(runs[:2])
    assert [view._shown[i] for i in view._listing.selection] == [
        run for run in view._shown if run in runs[:2]
    ]


def test_fits_that_are_started_end_a_comparison(view, finished_runs, finish, monkeypatch):
    read = CompareState.read

    def reading(state, run):
        view._fit_family(None)
        return read(state, run)

    monkeypatch.setattr(CompareState, "read", reading)
    monkeypatch.setattr("scribeviz.views.compare.compare_page.family", lambda _: [])
    finish(view.compare([run.id for run in finished_runs]))
    assert view.state.table is None
    assert "fits are queued" in view._note.object
    assert view._result.visible


def test_a_broken_run_is_a_sentence(view, finished_runs, monkeypatch, finish):
    def broken(_self, _run):
        raise OSError("truncated")

    monkeypatch.setattr(CompareState, "read", broken)
    finish(view.compare([run.id for run in finished_runs]))
    assert "cannot be read" in view.state.problem


def test_the_family_of_a_model_with_a_way_of_its_own(view):
    view.model.likelihood = "nb"
    view.fit.method = "exact"
    view._fit_family(None)
    queued = [run.spec for run, status in view.fit.history if not status.state.is_over]
    ways = {spec.model.likelihood: method_of(spec.config).key for spec in queued}
    assert ways == {key: "exact" if key == "nb" else "svi" for key in LIKELIHOODS}


def test_the_family_is_queued_at_once(view, monkeypatch):
    monkeypatch.setattr(pn.state, "_notifications", None, raising=False)
    view._fit_family(None)
    view._fit_family(None)  # a second click queues nothing more
    queued = [run for run, status in view.fit.history if not status.state.is_over]
    awaited = [run.spec.model.likelihood for run in queued if run.id in view._awaited]
    assert sorted(awaited) == sorted(LIKELIHOODS)
