import io
import os
import re
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import scribeviz.fitting.count_models
import scribeviz.results.count_results
import scribeviz.runs.worker
from scribeviz import CustomModel, ModelSpec, NUTSConfig, SVIConfig, register_model
from scribeviz.data.counts import plain_counts
from scribeviz.inference.svi import LossNotFiniteError
from scribeviz.models.custom.registry import CustomSpec
from scribeviz.runs.folder import (
    CHECKING,
    COMPILING,
    READING,
    SCORING,
    RunFolder,
    RunState,
    create_run,
)
from scribeviz.runs.worker import main, work


@pytest.fixture(scope="module")
def finished(tmp_path_factory, counts):
    """A run whose loss has settled, and every checkpoint that was reported."""
    run = create_run(
        tmp_path_factory.mktemp("finished") / "run", counts, ModelSpec(), SVIConfig(n_steps=5_000)
    )
    reports = []
    work(run, reports.append)
    return RunFolder(run.path), reports


def test_a_run_is_done_when_its_loss_has_settled(finished):
    run, _ = finished
    status = run.status
    assert (status.state, status.error, status.doing) == (RunState.DONE, "", "")
    assert status.settled
    assert 400 < status.step < status.n_steps == 5_000
    assert status.percent == 100
    assert status.pid == os.getpid()
    assert status.started < status.ended
    assert re.fullmatch(r"CPU \(\d+ cores\)|GPU \(.+\)", status.device)


def test_the_losses_are_kept_and_fall(finished):
    run, _ = finished
    assert run.losses.size == run.status.step
    assert np.isfinite(run.losses).all()
    assert run.losses[-100:].mean() < run.losses[:100].mean()
    assert run.status.loss == run.last_loss == pytest.approx(run.losses[-200:].mean())


def test_every_checkpoint_is_reported(finished):
    run, reports = finished
    steps = [report.step for report in reports]
    assert len(steps) >= 3
    assert steps == sorted(set(steps))
    assert [report.losses.size for report in reports] == steps
    assert steps[-1] == run.status.step


def test_the_results_can_be_read(finished):
    run, reports = finished
    results, critique = run.results, run.critique
    assert results.settled
    np.testing.assert_array_equal(results.loss_history, run.losses)
    for name, value in reports[-1].params.items():
        np.testing.assert_array_equal(results.params[name], value)
    assert list(results.left_out_genes) == ["gene 4"]
    assert list(critique.genes["gene"]) == list(results.genes)
    assert len(results.genes) == 7
    assert critique.probabilities.shape == (60, 1)


def test_its_status_says_what_is_done_and_genes_come_before_scores(new_run, monkeypatch):
    run, doing, judged = new_run(n_steps=200), [], []
    update = RunFolder.update_status

    def told(self, **changes):
        if changes.get("doing") == SCORING:
            judged.append((self.critique.scores, self.status.can_be_explored))
        doing.append(changes.get("doing"))
        return update(self, **changes)

    monkeypatch.setattr(RunFolder, "update_status", told)
    work(run)
    said = [words for words in dict.fromkeys(doing) if words]
    assert said == [READING, COMPILING, "fitting", CHECKING, SCORING]
    assert judged[0] == (None, False)  # the genes are on disk, and about to be announced
    assert judged[1][0] is not None
    assert judged[1][1]
    assert run.critique.scores is not None


def test_genes_are_judged_while_a_fit_goes_on(new_run, monkeypatch):
    seen = []

    def look(self, path):
        seen.append((path.name, self.genes, self.natural.n_draws))

    monkeypatch.setattr(scribeviz.runs.worker, "_SECONDS_BETWEEN_PREVIEWS", 0.0)
    monkeypatch.setattr(scribeviz.runs.worker, "_SHARE_OF_PREVIEWS", 0.5)
    monkeypatch.setattr(scribeviz.fitting.count_models.Critique, "save", look)
    run = new_run(n_steps=5_000)
    work(run)
    previews = [entry for entry in seen if entry[0] == "preview.h5"]
    last, judged, _ = seen[-1]
    assert last == "critique.h5"
    assert {n_draws for _, _, n_draws in previews} == {2}
    genes = previews[-1][1]
    assert list(genes["gene"]) == list(judged["gene"])
    np.testing.assert_allclose(genes["predicted_mean"], judged["predicted_mean"], rtol=0.2)
    assert not run.preview_path.exists()


def test_judging_takes_a_tenth_of_the_time_of_a_fit(monkeypatch, tmp_path):
    clock = SimpleNamespace(now=0.0)
    saved = []

    class Slow:
        def preview(self, checkpoint):
            clock.now += 3.0
            return SimpleNamespace(save=lambda path: saved.append((checkpoint, path)))

    fake = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr(scribeviz.runs.worker, "time", fake)
    previews = scribeviz.runs.worker._Previews(RunFolder(tmp_path), Slow())
    for checkpoint in range(2_000):
        clock.now += 0.2
        previews.follow(checkpoint)
    assert len(saved) > 10
    assert len(saved) * 3.0 <= 0.1 * clock.now


def test_a_look_at_the_genes_that_fails_ends_no_fit(monkeypatch, tmp_path, capsys):
    clock = SimpleNamespace(now=0.0)
    looks = []

    class Broken:
        def preview(self, checkpoint):
            looks.append(checkpoint)
            raise ValueError("no depths")

    monkeypatch.setattr(scribeviz.runs.worker, "time", SimpleNamespace(monotonic=lambda: clock.now))
    previews = scribeviz.runs.worker._Previews(RunFolder(tmp_path), Broken())
    for checkpoint in range(50):
        clock.now += 1.0
        previews.follow(checkpoint)
    assert len(looks) == 1
    assert "ValueError: no depths" in capsys.readouterr().err


def test_a_stop_before_the_first_checkpoint_keeps_that_one(new_run):
    run = new_run()
    run.ask_to_stop()
    work(run)
    status = run.status
    assert (status.state, status.error) == (RunState.STOPPED, "")
    assert 0 < status.step < 100
    assert run.losses.size == status.step
    assert run.has_checkpoint
    assert run.has_results
    assert run.results.loss_history.size == status.step
    assert not run.results.settled


def test_a_stopped_run_goes_on_as_if_it_had_never_stopped(new_run, finished):
    run = new_run()
    run.ask_to_stop()
    work(run)
    before = run.losses
    run.withdraw_stop()
    reports = []
    work(run, reports.append)
    assert run.status.state is RunState.DONE
    assert reports[0].step > before.size
    np.testing.assert_array_equal(run.losses[: before.size], before)
    straight, _ = finished
    np.testing.assert_array_equal(run.losses, straight.losses)
    assert run.results.settled
    for name, value in straight.results.params.items():
        np.testing.assert_array_equal(run.results.params[name], value)


def test_a_finished_run_that_goes_on_is_still_done(finished, tmp_path):
    run = RunFolder(shutil.copytree(finished[0].path, tmp_path / "run"))
    reports = []
    work(run, reports.append)
    assert (run.status.state, reports) == (RunState.DONE, [])
    assert run.status.settled
    np.testing.assert_array_equal(run.losses, finished[0].losses)


def test_a_mixture_has_assignments(new_run):
    run = new_run(model=ModelSpec(n_components=2), n_steps=50)
    work(run)
    assert (run.status.state, run.status.step) == (RunState.DONE, 50)
    assert not run.status.settled
    probabilities = run.critique.probabilities
    assert probabilities.shape == (60, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def broken_after(n_checkpoints):
    """The real fit, whose loss is said to be NaN after some checkpoints."""
    real = scribeviz.fitting.count_models.svi_checkpoints

    def checkpoints(*args, **settings):
        for _, checkpoint in zip(range(n_checkpoints), real(*args, **settings), strict=False):
            yield checkpoint
        raise LossNotFiniteError("The loss was no longer finite at step 11 of 5,000.")

    return checkpoints


def test_a_loss_that_is_not_finite_fails_and_keeps_the_last_checkpoint(
    new_run, monkeypatch, capsys
):
    monkeypatch.setattr(scribeviz.fitting.count_models, "svi_checkpoints", broken_after(1))
    run = new_run()
    work(run)
    status = run.status
    assert status.state is RunState.FAILED
    assert status.error == (
        "The loss was no longer finite at step 11 of 5,000. "
        f"The fit up to step {status.step} is kept."
    )
    assert 0 < status.step == run.losses.size
    assert run.has_checkpoint
    assert run.has_results
    assert "LossNotFiniteError" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_at_once_keeps_nothing(new_run, monkeypatch):
    monkeypatch.setattr(scribeviz.fitting.count_models, "svi_checkpoints", broken_after(0))
    run = new_run()
    work(run)
    assert run.status.state is RunState.FAILED
    assert run.status.error == "The loss was no longer finite at step 11 of 5,000."
    assert not run.has_checkpoint
    assert not run.has_results


@pytest.mark.parametrize(
    ("matrix", "model", "says"),
    [
        (np.zeros((4, 3)), ModelSpec(), "counts holds no counts at all: there is nothing to fit."),
        (
            np.ones((4, 3)),
            ModelSpec(n_components=5),
            "5 components need at least as many cells; counts has 4.",
        ),
    ],
)
def test_data_that_cannot_be_fitted_fail_with_the_sentence(new_run, matrix, model, says):
    run = new_run(plain_counts(matrix), model)
    work(run)
    assert (run.status.state, run.status.error) == (RunState.FAILED, says)
    assert run.status.ended >= run.status.started > 0
    assert not run.has_results


NO_MEMORY = "There was not enough memory for this fit; fewer components or genes need less."


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (KeyError("boom"), "Something unexpected happened (KeyError: 'boom')."),
        (MemoryError(), NO_MEMORY),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory on GPU 0"), NO_MEMORY),
    ],
)
def test_the_unexpected_is_told_in_words_and_logged_in_full(
    new_run, monkeypatch, capsys, problem, says
):
    def broken(*_):
        raise problem

    monkeypatch.setattr(scribeviz.results.count_results, "criticise", broken)
    run = new_run(n_steps=10)
    work(run)
    status = run.status
    assert (status.state, status.error, status.doing) == (RunState.FAILED, says, "")
    assert "Traceback" not in str(status)
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    assert run.has_checkpoint  # the fit itself is not lost
    assert not run.has_results


@pytest.mark.usefixtures("registry")
def test_a_custom_model_that_cannot_predict_fails_before_the_first_step(new_run):
    def model(n_cells, n_genes, counts=None):
        rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
        if counts is not None:
            every = dist.Poisson(rate).expand([n_cells, n_genes]).to_event(2)
            numpyro.sample("counts", every, obs=counts)

    def guide(n_cells, n_genes, counts=None):
        del n_cells, n_genes, counts
        numpyro.sample("rate", dist.LogNormal(numpyro.param("loc", 0.0), 0.1))

    mine = CustomModel(key="mine", model=model, guide=guide, param_spec={"loc": {"type": "global"}})
    register_model(mine)
    run = new_run(model=CustomSpec("mine"))
    work(run)
    assert run.status.state is RunState.FAILED
    assert "samples no 'counts' when counts is None" in run.status.error
    assert run.status.step == 0
    assert not run.has_checkpoint


def test_a_worker_that_is_told_nothing_ends(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    monkeypatch.chdir(tmp_path)
    assert main() is None
    assert list(tmp_path.iterdir()) == []


def test_a_sampler_that_does_not_move_has_failed(tmp_path, counts):
    # One transition is too few to find a step size: every proposal is refused.
    config = NUTSConfig(n_warmup=1, n_samples=20, n_chains=2, max_tree_depth=1)
    run = create_run(tmp_path / "run", counts, ModelSpec(), config)
    work(run)
    assert run.status.state is RunState.FAILED
    assert run.status.error.startswith("The sampler does not move: in 2 of 2 chains")
    assert run.results.notes[0] == run.status.error
    assert not run.has_results  # nothing to explore: draws that say nothing are not judged


def test_a_stopped_run_is_over_before_it_is_judged(new_run, monkeypatch):
    run = new_run(n_steps=300, tolerance=0.0)
    seen = []
    monkeypatch.setattr(
        scribeviz.runs.worker, "_conclude", lambda folder, *_: seen.append(folder.status) or ""
    )
    work(run, lambda _: run.ask_to_stop())
    [judged] = seen
    assert (judged.state, judged.doing) == (RunState.STOPPED, "checking every gene")
    assert judged.ended
    assert not judged.is_settled
    status = run.status
    assert (status.state, status.doing, status.ended) == (RunState.STOPPED, "", judged.ended)
    assert status.is_settled
    assert run.has_checkpoint

    def resume(folder, *_):
        folder.update_status(state=RunState.QUEUED)
        return ""

    monkeypatch.setattr(scribeviz.runs.worker, "_conclude", resume)
    work(run)
    assert run.status.state is RunState.QUEUED
