"""Networks as runs: fitted by a worker, gone on with, told as code, written for scanpy."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pytest

import scribeviz
from scribeviz import CellVAE, ModelSpec, NetworkModel, SVIConfig, TrainingConfig, simulate
from scribeviz.fitting.kinds import chosen_from_dict, kind_of
from scribeviz.fitting.methods import METHODS
from scribeviz.models.custom.registry import CustomSpec, register_model
from scribeviz.networks.building import build_cellvae
from scribeviz.runs.export import as_h5ad
from scribeviz.runs.folder import RunFolder, RunState, create_run
from scribeviz.runs.script import IMPORT, compare_code, fit_code, read_code
from scribeviz.runs.worker import work

SMALL = CellVAE(n_latent=2, n_hidden=8)
SHORT = TrainingConfig(max_epochs=4, batch_size=32, seed=2)


@pytest.fixture(scope="module")
def cells():
    found, _ = simulate("nbdm_mix", n_cells=80, n_genes=10, seed=0)
    code = 'scribeviz.simulate("nbdm_mix", n_cells=80, n_genes=10, seed=0)[0]'
    return replace(found, read_by=code)


@pytest.fixture(scope="module")
def network(cells, tmp_path_factory):
    """A finished run of a network."""
    run = create_run(tmp_path_factory.mktemp("runs") / "network", cells, SMALL, SHORT)
    work(run)
    assert run.status.state is RunState.DONE, run.status.error
    return run


@pytest.mark.parametrize("spec", [ModelSpec(n_components=2), SMALL, CustomSpec("mine")])
def test_a_choice_comes_back_from_what_a_run_keeps(spec):
    assert chosen_from_dict(spec.as_dict()) == spec


def test_every_kind_of_model_is_fitted_in_known_ways():
    for spec in (ModelSpec(), SMALL):
        assert set(kind_of(spec).methods) <= set(METHODS)
    assert not kind_of(ModelSpec()).has_latent_space
    assert kind_of(SMALL).has_latent_space


def test_a_worker_trains_a_network_and_tells_both_losses(network, cells):
    status, (after, validation) = network.status, network.validation
    assert status.step == network.losses.size > 0
    assert after.tolist() == [2, 4, 6, 8]  # 72 cells make two steps of 32 an epoch
    assert validation.shape == (4,)
    results = network.results
    np.testing.assert_array_equal(results.loss_history, network.losses)
    assert results.best_epoch == 1 + validation.argmin()
    assert results.get_latent_representation(cells).shape == (80, 2)
    critique = network.critique
    assert critique.genes["gene"].tolist() == results.genes.tolist()
    np.testing.assert_array_equal(critique.scores.cells, results.split.validation)
    assert not critique.can_choose_cells


def test_a_training_that_goes_on_is_the_one_that_never_stopped(network, cells, tmp_path):
    run = create_run(tmp_path / "run", cells, SMALL, SHORT)
    work(run, report=lambda checkpoint: run.ask_to_stop())
    assert run.status.state is RunState.STOPPED
    assert run.results.get_latent_representation(cells).shape == (80, 2)
    run.withdraw_stop()
    work(run)
    np.testing.assert_array_equal(run.losses, network.losses)
    np.testing.assert_array_equal(run.validation[1], network.validation[1])


def test_the_shown_code_gives_the_same_losses(network):
    code = "\n".join([IMPORT, read_code(network.spec), fit_code(network)])
    names: dict = {}
    exec(compile(code, "<shown>", "exec"), names)  # noqa: S102  that is what is tested
    np.testing.assert_array_equal(names["results"].loss_history, network.losses)


def test_a_network_is_compared_with_a_mixture_on_unseen_cells(network, cells):
    mixture = create_run(
        network.path.parent / "mixture", cells, ModelSpec(n_components=2), SVIConfig(n_steps=60)
    )
    work(mixture)
    scores = {"network": network.critique.scores, "mixture": mixture.critique.scores}
    # Eight cells are too few to compare on, and that is said.
    with pytest.raises(ValueError, match="only 8"):
        scribeviz.compare(scores)
    assert 'scores["network"]' in compare_code({"network": network}).replace("'", '"')


def test_a_trained_network_is_one_file_for_scanpy(network, tmp_path):
    path = tmp_path / "out.h5ad"
    path.write_bytes(as_h5ad(network).read())
    found = ad.read_h5ad(path)
    assert found.obsm["scribeviz_latent"].shape == (80, 2)
    assert found.obs["scribeviz_trained"].sum() == 72
    assert "scribeviz_misfit" in found.var
    assert found.uns["scribeviz"]["model"] == "cellvae"


@pytest.mark.usefixtures("registry")
def test_a_registered_network_is_trained_by_its_name(cells, tmp_path):
    register_model(
        NetworkModel(
            key="mine", make=lambda n_genes, *, rngs: build_cellvae(SMALL, n_genes, seed=3)
        )
    )
    run = create_run(tmp_path / "run", cells, CustomSpec("mine"), SHORT)
    work(run)
    assert run.status.state is RunState.DONE, run.status.error
    again = RunFolder(run.path).results
    assert again.model_type == "mine"
    assert again.get_latent_representation(cells).shape == (80, 2)


def test_a_way_that_does_not_fit_the_model_is_refused_in_words(cells, tmp_path):
    run = create_run(tmp_path / "run", cells, SMALL, SVIConfig(n_steps=5))
    work(run)
    assert run.status.state is RunState.FAILED
    assert "cannot be fitted by variational inference" in run.status.error
