"""What is missing for a verdict: offered, followed, stopped, and the verdict that follows."""

from dataclasses import replace

import numpy as np
import panel as pn
import pytest
from panel import ui

from scribeviz.criticism.loo import EXACT, PSIS
from scribeviz.fitting.folds import FOLDS, by_folds
from scribeviz.runs.folder import RunFolder, RunState, create_run
from scribeviz.views.compare.compare_state import CompareState, score
from scribeviz.views.compare.scoring_state import ScoringState
from scribeviz.views.compare.scoring_view import ScoringView
from scribeviz.views.explore.explored import load_explored
from scribeviz.views.fit.fit_state import FitState


@pytest.fixture
def runs(store, mixture):
    """Two finished mixtures: copies of one, whose scores can be changed."""
    copies = []
    for name in ("one", "other"):
        run = create_run(store.root / name, mixture.counts, mixture.spec.model, mixture.spec.config)
        run.write_results(mixture.results)
        run.write_critique(mixture.critique)
        run.update_status(state=RunState.DONE, settled=True, started=1.0, ended=13.0)
        copies.append(run)
    return copies


@pytest.fixture
def compared(store, runs):
    """A function: both runs compared, as they are now."""
    state = CompareState(store=store)

    def show():
        ids = [run.id for run in runs]
        explored = state.load(ids)
        state.show(ids, explored, score(explored, {run.id: run for run in runs}))
        return state

    return show


def scored_by(run, method, shift=0.0, k=0.1):
    critique = run.critique
    scores = critique.scores
    rng = np.random.default_rng(0)
    elpd = scores.elpd + shift * (1 + 0.1 * rng.standard_normal(scores.elpd.size))
    high = np.full(elpd.size, k)
    changed = replace(scores, elpd=elpd, pareto_k=high, method=method, halves=None)
    if method in {PSIS, EXACT}:
        run.write_critique(replace(critique, scores=changed))
    else:
        run.write_fold_scores(changed)


def test_mixtures_are_a_first_look_until_folds_have_scored_them(compared, runs):
    for run in runs:
        scored_by(run, PSIS)
    state = compared()
    assert state.is_first_look
    assert sorted(state.to_be_scored) == ["one", "other"]
    scored_by(runs[0], by_folds(FOLDS))
    state = compared()
    assert state.to_be_scored == ["other"]
    assert set(state.table["method"]) == {PSIS}  # like with like
    scored_by(runs[1], by_folds(FOLDS), shift=3.0)
    state = compared()
    assert set(state.table["method"]) == {"5 folds"}
    assert not state.is_first_look
    assert state.to_be_scored == []
    assert state.verdict.startswith("No clear winner")  # two fits of one model
    assert "is how much a score depends on the fit" in state.verdict


def test_what_is_missing_is_queued_once_and_followed(store, runs, html_of):
    fit = FitState(store=store)
    fit.refresh()
    state = ScoringState(store=store)
    view = ScoringView(state=state)
    assert not view._start.visible
    state.ask_for([run.id for run in runs], fit.history)
    assert "these 2 runs by 5-fold cross-validation: about 2 min" in html_of(view)
    state.start()
    state.start()  # a second click
    waiting = [run for run, _ in store.statuses() if run.spec.scores]
    assert sorted(run.spec.scores for run in waiting) == ["one", "other"]
    assert all(run.spec.folds == FOLDS for run in waiting)
    assert view._cancel.visible
    assert not view._start.visible
    first = next(run for run in waiting if run.spec.scores == "one")
    first.update_status(state=RunState.RUNNING, doing="fold 2 of 5: fitting", step=30, n_steps=100)
    fit.refresh()
    state.refresh(fit.history)
    assert "fold 2 of 5: fitting" in html_of(view)
    bars = pn.panel(view).select(ui.LinearProgress)
    assert sorted(bar.value for bar in bars) == [0, 30]
    first.update_status(state=RunState.DONE, doing="")
    fit.refresh()
    state.refresh(fit.history)
    assert state.n_done == 1
    assert state.missing == ["other"]
    state.cancel()  # the other one leaves the queue
    assert state.under_way == []
    assert view._start.visible
    state.start()
    again = [run for run, status in store.statuses() if not status.state.is_over]
    assert [run.spec.scores for run in again] == ["other"]  # the same one goes on
    assert len([run for run, _ in store.statuses() if run.spec.scores]) == 2


def test_why_scores_are_missing_is_said(store, runs, html_of):
    fit = FitState(store=store)
    state = ScoringState(store=store)
    view = ScoringView(state=state)
    scoring = store.submit_scoring(runs[0], FOLDS)
    scoring.update_status(state=RunState.FAILED, error="Cells have parameters of their own.")
    fit.refresh()
    state.ask_for(["one"], fit.history)
    assert "nbdm_mix, K = 2: Cells have parameters of their own." in html_of(view)
    assert view._start.visible


def test_a_run_that_scores_is_no_start_and_no_fit_of_its_own(store, runs):
    fit = FitState(store=store)
    scoring = store.submit_scoring(runs[0], FOLDS)
    started = fit.start(runs[0].counts, runs[0].spec.model)
    assert started.id != scoring.id
    assert RunFolder(scoring.path).counts.n_cells == runs[0].spec.n_cells
    assert load_explored(runs[0].path).counts.n_cells == runs[0].spec.n_cells


def test_the_note_on_genes_says_when_they_disagree(compared, runs):
    for run in runs:
        scored_by(run, PSIS)
    state = compared()
    first, second = state.pair
    ahead = state.table.loc[first, "elpd_loo"]
    state.table.loc[second, "elpd_loo"] = ahead - 50
    genes = state.explored[first].critique.genes
    genes["elpd"] = state.explored[second].critique.genes["elpd"] + 1
    assert f"Both ways {first} is ahead." in state.gene_note
    genes["elpd"] -= 3
    assert f"{second} predicts single counts better" in state.gene_note
    assert f"{first} whole cells, by 50" in state.gene_note
