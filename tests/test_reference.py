"""The reference's own call, argument by argument."""

import jax.numpy as jnp
import numpy as np
import pytest

import scribeviz as scribe

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
        ({"model_type": "poisson"}, "'poisson' is not known; choose 'nbdm'"),
        ({"mu_prior": (0, 1)}, "has no parameter 'mu'; its priors are p_prior, r_prior"),
        ({"organism": "human"}, "nbdm has no capture probability"),
        ({"variable_capture": True, "organism": "moon"}, "organism='moon' is not known"),
        ({"n_components": 2, "mixing_prior": (1, 2)}, "one concentration"),
        ({"inference_method": "vb"}, "inference_method='vb' is not known"),
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


def test_mcmc_starts_from_a_fit(counts):
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
