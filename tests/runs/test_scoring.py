"""Cross-validation as one run: kept with what it scores, stopped and gone on with."""

from dataclasses import replace

import numpy as np
import pytest

import scribeviz
from scribeviz import ModelSpec
from scribeviz.fitting.folds import Folds
from scribeviz.runs.folder import RunState, create_run, create_scoring
from scribeviz.runs.script import fit_code
from scribeviz.runs.worker import work

pytestmark = pytest.mark.slow

FOLDS = 3
STEPS = 400


@pytest.fixture(scope="module")
def scored(tmp_path_factory, counts):
    """A finished mixture."""
    config = scribeviz.SVIConfig(n_steps=STEPS, tolerance=0)
    spec = ModelSpec(n_components=2)
    run = create_run(tmp_path_factory.mktemp("scored") / "mixture", counts, spec, config)
    work(run)
    return run


@pytest.fixture(scope="module")
def done(scored):
    """Its cross-validation, without a break."""
    run = create_scoring(scored.path.parent / "folds", scored, FOLDS)
    work(run)
    return run


def test_scores_are_kept_with_the_run_that_is_scored(scored, done, counts):
    status = done.status
    assert (status.state, status.error) == (RunState.DONE, "")
    assert status.percent == 100
    assert "3-fold cross-validation" in done.spec.described
    assert not done.has_results
    scores = scored.fold_scores
    assert scores.method == "3 folds"
    assert scores.scored == counts.depths_fingerprint
    assert scores.elpd.shape == (counts.n_cells,)
    assert np.isfinite(scores.elpd).all()
    assert scores.draw_error > 0
    np.testing.assert_array_equal(done.counts.cell_totals, counts.cell_totals)


def test_python_gives_the_same_scores(scored, done, counts):
    settings = {"n_steps": STEPS, "tolerance": 0}
    model, results = ModelSpec(n_components=2), scored.results
    [ours] = scribeviz.cross_validate(
        counts, {"m": model}, folds=FOLDS, start_from={"m": results}, **settings
    ).values()
    np.testing.assert_array_equal(ours.elpd, scored.fold_scores.elpd)
    np.testing.assert_array_equal(ours.halves, scored.fold_scores.halves)
    code = fit_code(done)
    assert "scribeviz.cross_validate(" in code
    assert "'nbdm_mix, K = 2': results" in code
    compile(code, "script", "exec")


@pytest.mark.parametrize("at", [1, 7])
def test_one_that_was_stopped_goes_on_to_the_same_scores(at, scored, done):
    """In the first fold, and in a later one."""
    run = create_scoring(scored.path.parent / f"stopped-{at}", scored, FOLDS)
    seen = []

    def stop_once(checkpoint):
        seen.append(checkpoint)
        if len(seen) == at:
            run.ask_to_stop()

    work(run, stop_once)
    status = run.status
    assert status.state is RunState.STOPPED
    assert 0 < status.percent < 100
    missing = np.isnan(run.fold_scores.elpd).any() if run.fold_scores is not None else True
    assert missing
    run.withdraw_stop()
    work(run)
    assert run.status.state is RunState.DONE
    np.testing.assert_array_equal(run.fold_scores.elpd, done.fold_scores.elpd)


def test_a_run_without_what_it_scores_says_so(scored, tmp_path):
    lost = create_scoring(tmp_path / "lost", scored, FOLDS)  # the other one lies elsewhere
    work(lost)
    assert lost.status.state is RunState.FAILED
    assert "has been deleted; fit it again" in lost.status.error
    assert fit_code(lost).startswith("# The run that it scores has been deleted")


def test_the_folds_of_a_data_set_are_the_same_for_all(counts):
    folds, again = Folds.of(counts, 5), Folds.of(counts, 5)
    np.testing.assert_array_equal(folds.of_cell, again.of_cell)
    assert np.bincount(folds.of_cell).tolist() == [12] * 5
    other = replace(counts, cells=counts.cells[::-1])
    assert (Folds.of(other, 5).of_cell != folds.of_cell).any()


def test_genes_of_one_fold_alone_are_not_scored(counts):
    folds = Folds.of(counts, 5)
    matrix = counts.matrix.toarray()
    matrix[:, 0] = 0
    matrix[folds.cells(2), 0] = 4
    shown = replace(counts, matrix=type(counts.matrix)(matrix))
    assert 0 in folds.genes
    assert 3 not in folds.genes  # nobody shows it
    of_cell = folds.of_cell
    fingerprint = counts.fingerprint
    object.__setattr__(shown, "fingerprint", fingerprint)  # of the same cells, so the same folds
    changed = Folds.of(shown, 5)
    np.testing.assert_array_equal(changed.of_cell, of_cell)
    assert 0 not in changed.genes
