"""Networks as runs: fitted by a worker, gone on with, told as code, written for scanpy."""

import ast
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest

import scribeviz
from scribeviz import CellVAE, ModelSpec, NetworkModel, SVIConfig, TrainingConfig, simulate
from scribeviz.fitting.kinds import chosen_from_dict, chosen_named, kind_of, offers
from scribeviz.fitting.methods import METHODS
from scribeviz.models.custom.arguments import CustomModelError
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


@pytest.mark.slow
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


@pytest.mark.slow
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


# Classes that stand for a kind of model, or for what only one kind has.
OF_ONE_KIND = {
    "ModelSpec",
    "CustomSpec",
    "CustomModel",
    "CellVAE",
    "NetworkModel",
    "Amortized",
    "CountResults",
    "ScribeSVIResults",
    "ScribeMCMCResults",
    "CustomResults",
    "CellVAEResults",
    "SVIConfig",
    "NUTSConfig",
    "TrainingConfig",
    "CELLVAE",
}
EXCEPTIONS = {
    # The first SCRIBE had two kinds, and its sampler: they go on, each in its way.
    "reference/run.py": 3,
}


def asked(path):
    """Lines that ask what kind of model something is."""
    lines = []
    for node in ast.walk(ast.parse(path.read_text())):
        told_apart = []
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {
            "isinstance",
            "issubclass",
        }:
            told_apart = [node.args[1]]
        if isinstance(node, ast.Compare):
            told_apart = [node.left, *node.comparators]
        if isinstance(node, ast.MatchClass):
            told_apart = [node.cls]
        names = {
            leaf.id if isinstance(leaf, ast.Name) else leaf.attr
            for part in told_apart
            for leaf in ast.walk(part)
            if isinstance(leaf, ast.Name | ast.Attribute)
        }
        if names & OF_ONE_KIND:
            lines.append(node.lineno)
    return lines


def test_nobody_above_asks_what_kind_a_model_is():
    package = Path(scribeviz.__file__).parent
    folders = ("reference", "runs", "plots", "views")
    above = [
        package / "cli.py",
        package / "fitting" / "fit.py",
        package / "fitting" / "validation.py",
    ]
    above += [path for folder in folders for path in (package / folder).rglob("*.py")]
    found = {}
    for path in above:
        if lines := asked(path):
            found[path.relative_to(package).as_posix()] = lines
    assert {path: len(lines) for path, lines in found.items()} == EXCEPTIONS, found
    assert sum(EXCEPTIONS.values()) <= 5


def test_the_kinds_are_told_apart_where_they_are_known():
    path = Path(scribeviz.__file__).parent / "fitting" / "kinds.py"
    assert asked(path), "this test no longer sees what it looks for"


def test_every_offer_can_be_chosen_and_written_as_code():
    for key, offer in offers().items():
        choice = chosen_named(key)
        assert kind_of(choice) is offer.kind
        assert offer.label
        assert offer.use_when
        names: dict = {}
        exec(f"import scribeviz\n{offer.kind.code(choice)}", names)  # noqa: S102
        assert names["model"] == choice


@pytest.mark.slow
@pytest.mark.usefixtures("tutorial")
def test_a_custom_model_is_fitted_like_any_other(small_counts):
    model = scribeviz.registered_model("nbdm-lognormal")
    counts = small_counts.seen_genes()
    by_name = scribeviz.fit(counts, "nbdm-lognormal", n_steps=30, progress=False)
    results = scribeviz.fit(counts, model, n_steps=30, progress=False)
    np.testing.assert_array_equal(by_name.loss_history, results.loss_history)
    assert isinstance(results, scribeviz.Results)
    plain = scribeviz.fit(counts, "nbdm", n_steps=30, progress=False)
    assert isinstance(plain, scribeviz.Results)
    table = scribeviz.compare({"mine": results.loo(counts), "nbdm": plain.loo(counts)})
    assert set(table.index) == {"mine", "nbdm"}
    assert set(results.gene_table(counts)["gene"]) == set(counts.genes)
    assert results.to_datatree(20)["posterior"].sizes["draw"] == 20
    adata = ad.AnnData(counts.matrix, var=pd.DataFrame(index=counts.genes))
    assert results.to_anndata(adata, misfit=True) is None
    assert adata.var["scribeviz_misfit"].notna().all()
    with pytest.raises(ValueError, match="custom models cannot be fitted by sampling"):
        scribeviz.fit(counts, model, inference_method="mcmc")
    with pytest.raises(ValueError, match="custom models cannot be fitted by sampling"):
        scribeviz.check_posterior(counts, model)


def test_a_custom_model_that_cannot_predict_is_refused_before_the_first_step(small_counts):
    def model(n_cells, n_genes, counts=None):
        rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
        if counts is not None:
            every = dist.Poisson(rate).expand([n_cells, n_genes]).to_event(2)
            numpyro.sample("counts", every, obs=counts)

    def guide(n_cells, n_genes, counts=None):
        del n_cells, n_genes, counts
        loc = numpyro.param("loc", 0.0)
        numpyro.sample("rate", dist.LogNormal(loc, 0.1))

    mine = scribeviz.CustomModel(
        key="mine", model=model, guide=guide, param_spec={"loc": {"type": "global"}}
    )
    with pytest.raises(CustomModelError, match="samples no 'counts' when counts is None"):
        scribeviz.fit(small_counts, mine, n_steps=5, progress=False)


def test_settings_of_another_kind_are_refused_by_name(small_counts):
    with pytest.raises(ValueError, match="Variational inference has no setting 'max_epochs'"):
        scribeviz.fit(small_counts, "nbdm", max_epochs=3)
    with pytest.raises(ValueError, match="networks cannot be fitted by sampling"):
        scribeviz.fit(small_counts, CellVAE(), inference_method="mcmc")
