import json
import time
from dataclasses import replace

import numpy as np
import pytest

from scribeviz import CellFilter, ModelSpec, SVIConfig
from scribeviz._storage import write_json
from scribeviz.fitting.count_models import prepare_fit
from scribeviz.runs.folder import RunFolder, RunSpec, RunState, RunStatus, create_run


@pytest.fixture(scope="module")
def fit(counts):
    return prepare_fit(counts, ModelSpec(), SVIConfig(n_steps=30))


@pytest.fixture(scope="module")
def checkpoints(fit):
    return list(fit.checkpoints())


def test_a_spec_survives_json():
    spec = RunSpec(
        data_name="blood <b>",
        fingerprint="0123456789ab",
        n_cells=3,
        n_genes=2,
        model=ModelSpec(n_components=3, priors={"r": ("gamma", 2, 0.5), "p": ("beta", 1, 9)}),
        config=SVIConfig(n_steps=7, learning_rate=0.01, tolerance=0.0, n_particles=2, seed=5),
        created=1.5,
        versions={"jax": "1.0"},
    )
    assert RunSpec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec


def test_a_run_knows_what_was_left_out_of_its_data(new_run, counts):
    kept = CellFilter(min_counts=10, min_cells=2)
    run = new_run(counts=kept.apply(counts))
    assert [CellFilter.from_dict(each) for each in RunFolder(run.path).spec.filters] == [kept]
    assert run.spec.n_cells < counts.n_cells
    assert RunSpec.from_dict(json.loads(json.dumps(run.spec.as_dict()))) == run.spec


def test_a_run_from_before_filters_can_be_read(new_run):
    run = new_run()
    content = run.spec.as_dict()
    del content["filters"]
    write_json(run.path / "spec.json", content)
    assert RunFolder(run.path).spec == run.spec


@pytest.mark.parametrize("state", RunState)
def test_a_status_survives_the_disk(new_run, state):
    status = RunStatus(
        state=state,
        doing="fitting",
        step=3,
        n_steps=9,
        steps_per_second=1.5,
        settled=True,
        device="CPU (2 cores)",
        pid=1,
        process_started=2.5,
        started=3.5,
        ended=4.5,
        error="It says “no”.",
    )
    run = new_run()
    run.write_status(status)
    assert RunFolder(run.path).status == status
    assert run.update_status(step=4) == run.status == replace(status, step=4)


def test_a_new_run_is_queued_with_a_copy_of_its_data(new_run, counts):
    before = time.time()
    run = new_run(model=ModelSpec(n_components=2), n_steps=123, seed=4)
    found = RunFolder(run.path)
    assert (found.id, found.status) == ("run", RunStatus(state=RunState.QUEUED, n_steps=123))
    assert found.spec.model == ModelSpec(n_components=2)
    assert found.spec.config == SVIConfig(n_steps=123, seed=4)
    assert (found.spec.n_cells, found.spec.n_genes) == (60, 8)
    assert before <= found.spec.created <= time.time()
    assert {"scribeviz", "jax", "numpyro"} <= found.spec.versions.keys()
    assert found.counts.fingerprint == found.spec.fingerprint == counts.fingerprint
    assert not found.has_checkpoint
    assert not found.has_results
    assert found.losses.size == 0


def test_a_folder_with_something_in_it_is_refused(tmp_path, counts):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="give the run a folder of its own"):
        create_run(tmp_path, counts, ModelSpec(), SVIConfig())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_taken(tmp_path, counts):
    run = create_run(tmp_path, counts, ModelSpec(), SVIConfig())
    assert run.status.state is RunState.QUEUED


def test_losses_come_back(new_run):
    run = new_run()
    for losses in (np.float32([3, 2]), np.float32([3, 2, 1.5])):
        run.write_losses(losses)
        np.testing.assert_array_equal(run.losses, losses)
        assert run.losses.dtype == np.float32


def test_a_checkpoint_comes_back_whole(new_run, checkpoints):
    run = new_run()
    run.write_checkpoint(checkpoints[0])
    run.write_checkpoint(checkpoints[1])
    assert run.has_checkpoint
    given, found = checkpoints[1], run.read_checkpoint()
    plain = ("step", "n_steps", "settled", "steps_per_second", "stage", "stage_start")
    for name in plain:
        assert getattr(found, name) == getattr(given, name)
    assert found.params.keys() == given.params.keys()
    ours, theirs = ([one.losses, *one.params.values(), *one.state] for one in (given, found))
    for array, back in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(back, array, strict=True)


def test_a_fit_goes_on_from_a_checkpoint_on_disk(new_run, fit, checkpoints):
    run = new_run()
    run.write_checkpoint(checkpoints[0])
    *_, last = fit.checkpoints(start=run.read_checkpoint())
    assert 0 < checkpoints[0].step < last.step == 30
    np.testing.assert_array_equal(last.losses, checkpoints[-1].losses)


def test_results_and_critique_come_back(new_run, fit, checkpoints):
    run, last = new_run(), checkpoints[-1]
    results = fit.results(last)
    critique = fit.results(last).critique(fit.counts)
    run.write_results(results)
    run.write_critique(critique)
    assert run.has_results
    assert run.results.model_config == results.model_config
    assert list(run.results.genes) == list(results.genes)
    assert list(run.results.left_out_genes) == ["gene 4"]
    for name, value in results.params.items():
        np.testing.assert_array_equal(run.results.params[name], value)
    assert run.critique.genes.equals(critique.genes)
    np.testing.assert_array_equal(run.critique.probabilities, critique.probabilities)
    for name, value in critique.draws.natural.items():
        np.testing.assert_array_equal(run.critique.draws.natural[name], value)


def test_a_write_that_fails_leaves_what_was_there(new_run):
    run = new_run()
    before = sorted(path.name for path in run.path.iterdir())
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(run.path / "status.json", {"state": object()})
    assert run.status.state is RunState.QUEUED
    assert sorted(path.name for path in run.path.iterdir()) == before


@pytest.mark.parametrize(
    ("status", "percent"),
    [
        (RunStatus(state=RunState.QUEUED), 0),
        (RunStatus(state=RunState.RUNNING, step=199, n_steps=1000), 19),
        (RunStatus(state=RunState.RUNNING, step=1000, n_steps=1000), 100),
        (RunStatus(state=RunState.STOPPED, step=500, n_steps=1000), 50),
        (RunStatus(state=RunState.DONE, step=300, n_steps=1000, settled=True), 100),
    ],
)
def test_percent(status, percent):
    assert status.percent == percent


def test_time_left_is_known_only_while_it_runs():
    running = RunStatus(state=RunState.RUNNING, step=100, n_steps=1000, steps_per_second=300.0)
    assert running.most_seconds_left == 3.0
    assert replace(running, steps_per_second=0.0).most_seconds_left is None
    assert replace(running, state=RunState.STOPPED).most_seconds_left is None


def test_seconds_taken():
    status = RunStatus(state=RunState.QUEUED)
    assert status.seconds == 0
    assert replace(status, started=10.0, ended=15.5).seconds == 5.5
    assert 20 <= replace(status, started=time.time() - 20).seconds < 60


def test_what_is_over():
    assert [state for state in RunState if not state.is_over] == ["queued", "running"]


def test_stop_is_asked_and_withdrawn(new_run):
    run = new_run()
    assert not run.stop_asked
    run.ask_to_stop()
    run.ask_to_stop()
    assert RunFolder(run.path).stop_asked
    run.withdraw_stop()
    run.withdraw_stop()
    assert not run.stop_asked
