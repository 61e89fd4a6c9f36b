"""The reference's own call, argument by argument."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer import TraceMeanField_ELBO

import scribeviz as scribe
from scribeviz.models.priors import Prior

SPEC = {
    "alpha_p": {"type": "global"},
    "beta_p": {"type": "global"},
    "mu_r": {"type": "gene-specific"},
    "sigma_r": {"type": "gene-specific"},
}


@pytest.fixture(scope="module")
def counts():
    r = np.array([0.5, 1, 2, 4, 8, 3])
    return scribe.simulate("nbdm", n_cells=150, n_genes=6, values={"p": 0.6, "r": r})[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({}, "nbdm"),
        ({"zero_inflated": True}, "zinb"),
        ({"variable_capture": True, "n_components": 2}, "nbvcp_mix"),
        ({"model_type": "zinbvcp_mix"}, "zinbvcp_mix"),
    ],
)
def test_flags_and_names_say_the_same_models(counts, said, name):
    results = scribe.run_scribe(counts, n_steps=2, progress=False, **said)
    assert results.model_type == name
    assert results.loss_history.size == 2


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"model_type": "nbdm", "zero_inflated": True}, "contradicts zero_inflated=True"),
        ({"model_type": "nbdm", "n_components": 3}, "contradicts n_components=3"),
        ({"mixture_model": False, "n_components": 3}, "mixture_model=False contradicts"),
        ({"model_type": "gauss"}, "'gauss' is not known; choose 'nb', 'nbdm'"),
        ({"mu_prior": (0, 1)}, "has no parameter 'mu'; its priors are p_prior, r_prior"),
        ({"organism": "human"}, "nbdm has no capture probability"),
        ({"variable_capture": True, "organism": "moon"}, "organism='moon' is not known"),
        ({"n_components": 2, "mixing_prior": (1, 2)}, "one concentration"),
        ({"inference_method": "vb"}, "inference_method='vb' is not known"),
        ({"inference_method": "vb"}, "choose one of 'svi', 'mcmc', 'vae'"),
        ({"batch_size": 1_000}, "more than the 150 cells"),
        ({"r_prior": (0, 1), "prior_params": {"r_prior": (0, 2)}}, "given twice"),
        ({"custom_model": lambda counts: None}, "needs custom_model, custom_guide and param_spec"),
        ({"cells_axis": 2}, "neither 0"),
    ],
)
def test_contradictions_name_both_sides(counts, said, sentence):
    with pytest.raises(ValueError, match=sentence):
        scribe.run_scribe(counts, progress=False, **said)


def test_priors_are_numbers_or_families(counts):
    results = scribe.run_scribe(
        counts,
        r_prior=("gamma", 2, 0.1),
        p_prior=(2, 3),
        mixing_prior=(1.5, 1.5, 1.5),
        n_components=3,
        n_steps=2,
        progress=False,
    )
    priors = {key: (p.family, p.numbers) for key, p in results.model_config.priors}
    assert priors["r"] == ("gamma", (2.0, 0.1))
    assert priors["p"] == ("beta", (2.0, 3.0))
    assert priors["mixing_weights"] == ("dirichlet", (1.5,))
    assert results.prior_params["mixing_prior"] == (1.5,)


def test_priors_come_as_arrays_too(counts):
    results = scribe.run_scribe(
        counts,
        n_components=2,
        mixing_prior=jnp.ones(2),
        prior_params={"r_prior": np.array([0.0, 2.0]), "p_prior": [2, 3]},
        n_steps=2,
        progress=False,
    )
    priors = {key: (p.family, p.numbers) for key, p in results.model_config.priors}
    assert priors == {
        "mixing_weights": ("dirichlet", (1.0,)),
        "r": ("lognormal", (0.0, 2.0)),
        "p": ("beta", (2.0, 3.0)),
    }


@pytest.mark.parametrize("make", [jnp.array, np.array, list, tuple], ids=lambda make: make.__name__)
def test_a_model_config_takes_them_too(make):
    spec = scribe.ModelConfig("nbdm_mix", r_param_prior=make([0.0, 2.0]))
    assert dict(spec.priors)["r"].numbers == (0.0, 2.0)


@pytest.mark.parametrize("one", [jnp.ones(()), np.float32(1), np.ones(1), 1])
def test_a_single_number_of_any_kind(one):
    spec = scribe.ModelConfig(
        "nbdm_mix", mixing_param_prior=one, r_param_prior=("gamma", jnp.asarray(2.0), one)
    )
    priors = {key: (p.family, p.numbers) for key, p in spec.priors}
    assert priors == {"mixing_weights": ("dirichlet", (1.0,)), "r": ("gamma", (2.0, 1.0))}


@pytest.mark.parametrize("prior", [jnp.ones((2, 2)), np.array([True]), object()])
def test_what_is_no_prior_is_refused(prior):
    with pytest.raises(ValueError, match="a prior is a family with its numbers"):
        scribe.ModelConfig("nbdm", r_param_prior=prior)


@pytest.mark.slow
def test_the_tutorial_runs_as_written(counts, tutorial):
    matrix = jnp.asarray(counts.matrix.toarray())
    results = scribe.run_scribe(
        counts=matrix,
        custom_model=tutorial.model,
        custom_guide=tutorial.guide,
        custom_args={"total_counts": jnp.sum(matrix, axis=1)},
        param_spec=SPEC,
        n_steps=3_000,
        batch_size=64,
        prior_params={"p_prior": (1, 1), "r_prior": (0, 1)},
        get_distributions_fn=lambda params, backend="scipy": {"said": backend},
        custom_log_likelihood_fn=lambda counts, params: counts.sum() + params["mu_r"].sum(),
        progress=False,
    )
    assert isinstance(results, scribe.CustomResults)
    samples = results.get_posterior_samples(n_samples=1000)
    assert samples["r"].shape == (1000, 6)
    np.testing.assert_allclose(samples["p"].mean(), 0.6, atol=0.08)
    results.get_posterior_samples(n_samples=7)
    assert results.get_predictive_samples().shape == (7, 150, 6)
    assert results.get_ppc_samples(n_samples=3)["predictive_samples"].shape == (3, 150, 6)
    assert results.get_distributions() == {"said": "scipy"}
    assert np.isfinite(results.log_likelihood(matrix))
    subset = results[["gene-2", "gene-4"]] if "gene-2" in results.genes else results[[1, 3]]
    assert subset.get_ppc_samples(n_samples=2)["predictive_samples"].shape == (2, 150, 2)
    np.testing.assert_array_equal(subset.params["mu_r"], results.params["mu_r"][[1, 3]])
    further = scribe.rerun_scribe(results, matrix, n_steps=50, batch_size=64, progress=False)
    assert further.loss_history.size == 3_050
    np.testing.assert_array_equal(further.loss_history[:3_000], results.loss_history)


@pytest.mark.slow
def test_custom_results_come_back_from_a_file(counts, tutorial, tmp_path):
    matrix = counts.matrix.toarray()
    results = scribe.run_scribe(
        matrix,
        custom_model=tutorial.model,
        custom_guide=tutorial.guide,
        custom_args={"total_counts": matrix.sum(axis=1)},
        param_spec=SPEC,
        n_steps=5,
        progress=False,
    )
    with pytest.raises(ValueError, match="without get_distributions_fn"):
        results.get_distributions()
    results.save(tmp_path / "own.h5")
    back = scribe.CustomResults.load(tmp_path / "own.h5", results.custom_model)
    np.testing.assert_array_equal(back.params["mu_r"], results.params["mu_r"])
    assert back.get_predictive_samples().shape == (100, 150, 6)


def test_rerun_goes_on_and_appends(counts):
    results = scribe.run_scribe(counts, n_steps=300, progress=False)
    further = scribe.rerun_scribe(results, counts, n_steps=100, progress=False)
    assert further.loss_history.size == 400
    assert further.loss_history[-50:].mean() < results.loss_history[:50].mean()


def elbo(results, counts, particles=400):
    """The loss with draws that rerun_scribe did not choose by, and its standard error."""
    model = results.model
    loss = TraceMeanField_ELBO()
    keys = jax.random.split(jax.random.PRNGKey(987), particles)
    tables = model.tables(counts.seen_genes())
    params = {name: jnp.asarray(value) for name, value in results.params.items()}
    losses = jax.lax.map(lambda key: loss.loss(key, params, model.model, model.guide, tables), keys)
    return losses.mean(), losses.std() / particles**0.5


def test_rerunning_a_settled_fit_never_makes_it_worse(counts):
    settled = scribe.run_scribe(counts, progress=False)
    assert settled.settled
    before, error = elbo(settled, counts)
    for seed in range(3):
        further = scribe.rerun_scribe(
            settled, counts, n_steps=200, rng_key=jax.random.PRNGKey(seed), progress=False
        )
        assert further.loss_history.size == settled.loss_history.size + 200
        # The steps themselves did not leave the level either: the rate was as small as at the end.
        level = settled.loss_history[-200:]
        assert further.loss_history[-200:].mean() < level.mean() + 3 * level.std() / 200**0.5
        assert elbo(further, counts)[0] <= before + error


def test_steps_that_make_it_worse_are_thrown_away_and_logged(counts, caplog):
    from numpyro.optim import Adam

    before = scribe.run_scribe(counts, n_steps=400, progress=False)
    after = scribe.rerun_scribe(
        before, counts, n_steps=5, optimizer=Adam(1.0), seed=3, progress=False
    )
    assert after.loss_history.size == 405
    for name, value in before.params.items():
        np.testing.assert_array_equal(after.params[name], value)
    assert "the parameters before these steps are returned" in caplog.text


def test_only_variational_fits_go_on(counts):
    with pytest.raises(TypeError, match="goes on with a variational fit; str is none"):
        scribe.rerun_scribe("results", counts)
    results = scribe.run_scribe(counts, n_steps=2, progress=False)
    with pytest.raises(ValueError, match=r"custom_args=\['total_counts'\] are of a model of your"):
        scribe.rerun_scribe(results, counts, custom_args={"total_counts": 1}, progress=False)


@pytest.mark.slow
def test_a_rerun_takes_other_arguments_of_a_custom_model(counts, tutorial):
    matrix = counts.matrix.toarray()
    totals = matrix.sum(axis=1)
    results = scribe.run_scribe(
        matrix,
        custom_model=tutorial.model,
        custom_guide=tutorial.guide,
        custom_args={"total_counts": totals},
        param_spec=SPEC,
        n_steps=5,
        progress=False,
    )
    others = totals.astype(np.float32)
    further = scribe.rerun_scribe(
        results, matrix, n_steps=5, custom_args={"total_counts": others}, progress=False
    )
    assert further.custom_model.custom_args["total_counts"] is others
    assert further.loss_history.size == 10


def test_vae_names_the_autoencoder(counts):
    results = scribe.run_scribe(
        counts,
        inference_method="vae",
        zero_inflated=True,
        n_steps=8,
        batch_size=32,
        progress=False,
    )
    assert isinstance(results, scribe.CellVAEResults)
    assert results.spec == scribe.CellVAE(likelihood="zinb")
    assert results.loss_history.size == 8


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"variable_capture": True}, "variable_capture"),
        ({"model_type": "zinbvcp_mix"}, "model_type"),
        ({"n_components": 3, "guide_rank": 2}, "n_components, guide_rank"),
        ({"parameterization": "linked"}, "parameterization"),
        ({"r_prior": jnp.ones(2)}, "r_prior"),
        ({"optimizer": object()}, "optimizer"),
    ],
)
def test_an_autoencoder_contradicts_what_it_does_not_have(counts, said, named):
    with pytest.raises(ValueError, match=f"contradicts {named}; leave"):
        scribe.run_scribe(counts, inference_method="vae", progress=False, **said)


@pytest.fixture(scope="module")
def sampled(counts):
    before = scribe.run_scribe(counts, n_steps=500, progress=False)
    return scribe.run_scribe(
        counts, inference_method="mcmc", n_warmup=100, n_samples=200, start_from=before,
        progress=False,
    )  # fmt: skip


def test_quantiles_of_draws(sampled):
    found = sampled.get_posterior_quantiles("r")
    assert list(found) == [0.025, 0.5, 0.975]
    np.testing.assert_allclose(found[0.5], np.median(sampled.get_samples()["r"], axis=0))
    assert sampled.get_posterior_quantiles("mu", (0.1,))[0.1].shape == (6,)
    with pytest.raises(KeyError, match="'phi' is no parameter of nbdm"):
        sampled.get_posterior_quantiles("phi")


def test_data_sets_from_the_priors_alone(sampled):
    spec = dataclasses.replace(sampled.model_config, priors=(("p", Prior("beta", (40.0, 60.0))),))
    results = dataclasses.replace(sampled, model_config=spec)
    drawn = results.get_prior_predictive_samples(n_samples=400)
    assert drawn.shape == (400, 150, 6)
    assert results.prior_predictive_samples is drawn
    # r ~ LogNormal(0, 1), p ~ Beta(40, 60): the mean of r p / (1 - p).
    expected = np.exp(0.5) * 40 / 59
    np.testing.assert_allclose(drawn.mean(), expected, rtol=0.15)
    other = results.get_prior_predictive_samples(jax.random.PRNGKey(1), 2, None, False)
    assert other.shape == (2, 150, 6)
    assert results.prior_predictive_samples is drawn


@pytest.mark.slow
def test_sampled_results_from_numpyro_and_anndata(counts, sampled):
    import anndata as ad
    from numpyro.infer import MCMC, NUTS

    model = sampled.model
    mcmc = MCMC(NUTS(model.model), num_warmup=20, num_samples=30, progress_bar=False)
    mcmc.run(jax.random.PRNGKey(0), model.tables(counts), extra_fields=("potential_energy",))
    adata = ad.AnnData(counts.matrix.toarray())
    adata.var_names = [f"g{i}" for i in range(6)]
    made = scribe.mcmc.ScribeMCMCResults.from_anndata(
        mcmc, adata, "nbdm", model.spec, {"r_prior": (0, 1)}
    )
    np.testing.assert_array_equal(made.get_samples()["r"], mcmc.get_samples()["r"])
    assert made["g3"].get_posterior_quantiles("r")[0.5].shape == (1,)
    assert made.loss_history.shape == (30,)
    with pytest.raises(ValueError, match="model_type='zinb' contradicts"):
        made.from_anndata(mcmc, adata, "zinb", model.spec, {})
    other = dataclasses.replace(model.spec, parameterization="odds_ratio")
    with pytest.raises(ValueError, match="mcmc has no draws of phi"):
        made.from_anndata(mcmc, adata, "nbdm", other, {})


DOCUMENTED = {
    "assignment_entropy_map": "counts return_by batch_size cells_axis temperature use_mean verbose "
    "dtype",
    "cell_type_probabilities": "counts batch_size cells_axis ignore_nans dtype fit_distribution "
    "temperature weights weight_type verbose",
    "cell_type_probabilities_map": "counts batch_size cells_axis dtype temperature weights "
    "weight_type use_mean verbose",
    "get_component": "component_index",
    "get_distributions": "backend split",
    "get_map": "use_mean canonical verbose",
    "get_posterior_samples": "rng_key n_samples store_samples",
    "get_ppc_samples": "rng_key n_samples batch_size store_samples",
    "get_predictive_samples": "rng_key batch_size store_samples",
    "log_likelihood": "counts batch_size return_by cells_axis ignore_nans split_components weights "
    "weight_type dtype",
    "log_likelihood_map": "counts batch_size gene_batch_size return_by cells_axis split_components "
    "weights weight_type use_mean verbose dtype",
    "mixture_component_entropy": "counts return_by batch_size cells_axis ignore_nans temperature "
    "dtype",
    "normalize_counts": "rng_key n_samples_dirichlet fit_distribution store_samples sample_axis "
    "return_concentrations backend verbose",
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_arguments_by_place_as_documented(name):
    parameters = list(inspect.signature(getattr(scribe.ScribeSVIResults, name)).parameters.values())
    assert [p.name for p in parameters[1:]] == DOCUMENTED[name].split()
    assert {p.kind for p in parameters} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}


def test_run_inference_by_place():
    parameters = inspect.signature(scribe.svi.SVIInferenceEngine.run_inference).parameters
    documented = (
        "model_config count_data n_cells n_genes optimizer loss n_steps batch_size seed "
        "stable_update"
    )
    assert list(parameters) == documented.split()
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}


def test_what_was_drawn_may_be_set_and_nothing_else(counts, sampled):
    fitted = scribe.run_scribe(counts, n_steps=2, progress=False)
    for results in (fitted, sampled):
        results.get_posterior_samples(jax.random.PRNGKey(1), 7, False)
        assert results.posterior_samples is None or len(results.posterior_samples["p"]) != 7
        results.get_posterior_samples(jax.random.PRNGKey(1), 7, True)
        assert len(results.posterior_samples["p"]) == 7
        results.posterior_samples = None
        results.predictive_samples = None
        assert results.posterior_samples is None
        with pytest.raises(dataclasses.FrozenInstanceError):
            results.loss_history = None


def test_a_fit_put_together_by_hand_is_saved(counts, tmp_path):
    spec = scribe.ModelConfig("nbdm_mix", n_components=2)
    fitted = scribe.svi.SVIInferenceEngine.run_inference(
        spec, counts.matrix.toarray(), 150, 6, None, None, 3, None, 1, False
    )
    results = scribe.svi.SVIResultsFactory.create_results(
        fitted, spec, None, None, 150, 6, "nbdm_mix", 2, {"mixing_prior": jnp.ones(2), "p_prior": 1}
    )
    results.save(tmp_path / "fit.h5")
    back = scribe.ScribeSVIResults.load(tmp_path / "fit.h5")
    assert back.prior_params == {"mixing_prior": (1.0, 1.0), "p_prior": (1.0,)}


def test_mcmc_starts_from_a_fit(counts, tmp_path):
    before = scribe.run_scribe(counts, n_steps=500, progress=False)
    results = scribe.run_scribe(
        counts, inference_method="mcmc", n_warmup=100, n_samples=200, start_from=before,
        progress=False,
    )  # fmt: skip
    assert results.get_samples()["r"].shape == (200, 6)
    assert results.get_samples(group_by_chain=True)["p"].shape == (1, 200)
    off = np.log(results.get_map()["r"]) - np.log(before.get_map()["r"])
    assert np.abs(off).max() < 0.3
    with pytest.raises(ValueError, match="cannot be the start of"):
        scribe.run_scribe(counts, zero_inflated=True, start_from=before, progress=False)
    results.save(tmp_path / "chains.h5")
    back = scribe.ScribeMCMCResults.load(tmp_path / "chains.h5")
    assert back.prior_params == results.prior_params
    assert back.prior_params
    assert back.settled


def test_numpyros_optimizer_and_loss_are_taken(counts):
    from numpyro.infer import Trace_ELBO
    from numpyro.optim import Adam

    results = scribe.run_scribe(
        counts, optimizer=Adam(1e-2), loss=Trace_ELBO(), n_steps=40, progress=False
    )
    assert results.loss_history.size == 40
    assert results.loss_history[-1] < results.loss_history[0] * 1.1


def test_cells_may_be_columns(counts):
    matrix = counts.matrix.toarray()
    rows = scribe.run_scribe(matrix, n_steps=3, progress=False)
    columns = scribe.run_scribe(matrix.T, cells_axis=1, n_steps=3, progress=False)
    np.testing.assert_array_equal(rows.loss_history, columns.loss_history)


def test_the_references_model_config():
    spec = scribe.ModelConfig(
        base_model="nbvcp_mix", n_components=3, guide_rank=2, r_param_prior=(0, 2)
    )
    assert (spec.base_model, spec.n_components, spec.guide_rank) == ("nbvcp_mix", 3, 2)
    assert dict(spec.priors)["r"].numbers == (0.0, 2.0)
