"""Every documented shape and error of the results, for one component and for three."""

from dataclasses import replace

import anndata as ad
import jax
import numpy as np
import pytest
import scipy.stats as st

import scribeviz
from scribeviz.criticism.budget import MemoryBudgetError
from scribeviz.models.parameterizations import SHARED_ODDS
from scribeviz.reference.engine import SVIInferenceEngine, SVIResultsFactory
from scribeviz.results.variational import ScribeSVIResults

C, G, K, S = 40, 6, 3, 5


def fitted(**settings):
    spec = scribeviz.ModelSpec(**settings)
    rng = np.random.default_rng(0)
    counts = scribeviz.simulate(
        spec.likelihood, n_cells=C, n_genes=G,
        values={"p": 0.6, "r": rng.lognormal(1.0, 0.5, G)},
    )[0]  # fmt: skip
    results = scribeviz.fit(counts, spec, n_steps=20, progress=False)
    results.get_posterior_samples(n_samples=S)
    return counts, results


@pytest.fixture(scope="module")
def single():
    return fitted()


@pytest.fixture(scope="module")
def mixture():
    return fitted(likelihood="nbvcp", n_components=K)


def test_shapes_of_one_component(single):
    counts, results = single
    assert results.log_likelihood(counts).shape == (S, C)
    assert results.log_likelihood(counts, return_by="gene").shape == (S, G)
    assert results.log_likelihood_map(counts).shape == (C,)
    assert results.log_likelihood_map(counts, return_by="gene").shape == (G,)
    assert results.get_predictive_samples().shape == (S, C, G)
    ppc = results.get_ppc_samples(n_samples=2)
    assert ppc["predictive_samples"].shape == (2, C, G)
    assert ppc["parameter_samples"]["r"].shape == (2, G)
    results.get_posterior_samples(n_samples=S)
    assert results.normalize_counts()["samples"].shape == (S, G)
    many = results.normalize_counts(
        n_samples_dirichlet=4, fit_distribution=True, return_concentrations=True
    )
    assert many["samples"].shape == (S, G, 4)
    assert many["concentrations"].shape == many["mean_probabilities"].shape == (G,)
    assert many["original_concentrations"].shape == (S, G)
    np.testing.assert_allclose(many["samples"].sum(axis=1), 1, rtol=1e-5)


@pytest.mark.slow
def test_shapes_of_a_mixture(mixture):
    counts, results = mixture
    assert results.n_components == K
    split = results.log_likelihood(counts, split_components=True)
    assert split.shape == (S, C, K)
    whole = results.log_likelihood(counts)
    np.testing.assert_allclose(np.logaddexp.reduce(split, axis=-1), whole, rtol=1e-4)
    by_gene = results.log_likelihood(counts, return_by="gene", split_components=True)
    assert by_gene.shape == (S, G, K)
    assert results.mixture_component_entropy(counts).shape == (S, G)
    assert results.mixture_component_entropy(counts, return_by="cell").shape == (S, C)
    assert results.assignment_entropy_map(counts).shape == (G,)
    cool = results.assignment_entropy_map(counts, return_by="cell")
    warm = results.assignment_entropy_map(counts, return_by="cell", temperature=50.0)
    assert cool.shape == (C,)
    assert cool.mean() < warm.mean() <= np.log(K) + 1e-6
    types = results.cell_type_probabilities(counts)
    assert types["sample_probabilities"].shape == (S, C, K)
    assert types["concentration"].shape == types["mean_probabilities"].shape == (C, K)
    assert results.cell_type_probabilities(counts, fit_distribution=False).keys() == {
        "sample_probabilities"
    }
    at_map = results.cell_type_probabilities_map(counts, use_mean=True)["probabilities"]
    assert at_map.shape == (C, K)
    np.testing.assert_allclose(at_map.sum(axis=1), 1, rtol=1e-5)
    normal = results.normalize_counts(n_samples_dirichlet=2, fit_distribution=True)
    assert normal["samples"].shape == (S, K, G, 2)
    assert normal["mean_probabilities"].shape == (K, G)
    assert len(normal["distributions"]) == K
    samples = results.get_posterior_samples(n_samples=S)
    assert samples["p_hat"].shape == samples["p_capture"].shape == (S, C)
    assert samples["mu"].shape == samples["r"].shape == (S, K, G)


@pytest.mark.parametrize("kind", ["multiplicative", "additive"])
def test_weights_work_for_mixtures_too(mixture, kind):
    """Fault 7 of the reference: a shape error."""
    counts, results = mixture
    weights = np.linspace(0.5, 1.5, G)
    found = results.log_likelihood(counts, weights=weights, weight_type=kind)
    assert found.shape == (S, C)
    assert not np.allclose(found, results.log_likelihood(counts))


def test_an_argument_wins_over_what_was_stored(single):
    """Fault 11: ``get_ppc_samples(n_samples=5)`` ignored its argument once samples were kept."""
    _, results = single
    results.get_posterior_samples(n_samples=9)
    assert results.get_ppc_samples(n_samples=5)["predictive_samples"].shape[0] == 5
    results.get_posterior_samples(n_samples=S)


def test_what_needs_a_mixture_says_so(single):
    counts, results = single
    for call in (
        lambda: results.mixture_component_entropy(counts),
        lambda: results.assignment_entropy_map(counts),
        lambda: results.cell_type_probabilities(counts),
        lambda: results.cell_type_probabilities_map(counts),
        lambda: results.get_component(0),
    ):
        with pytest.raises(ValueError, match="no mixture"):
            call()
    with pytest.raises(ValueError, match="needs components"):
        results.log_likelihood(counts, split_components=True)


def test_what_needs_draws_says_so(single):
    counts, results = single
    fresh = ScribeSVIResults(
        params=results.params, loss_history=results.loss_history, n_cells=C, n_genes=G,
        model_type="nbdm", model_config=results.model_config, prior_params={},
    )  # fmt: skip
    for call in (
        lambda: fresh.log_likelihood(counts.matrix),
        fresh.get_predictive_samples,
        fresh.normalize_counts,
    ):
        with pytest.raises(ValueError, match="nothing has been drawn yet"):
            call()


def test_too_much_is_refused_before_it_is_made(single):
    _, results = single
    with pytest.raises(MemoryBudgetError, match=r"GB.*check_gene"):
        results.get_ppc_samples(n_samples=10_000_000)


def test_construction_is_checked(single):
    _, results = single
    common = {
        "params": results.params, "loss_history": np.zeros(1), "n_cells": C, "n_genes": G,
        "model_type": "nbdm", "model_config": results.model_config, "prior_params": {},
    }  # fmt: skip
    with pytest.raises(ValueError, match="contradicts model_config"):
        ScribeSVIResults(**(common | {"model_type": "zinb"}))
    with pytest.raises(ValueError, match="should begin with"):
        ScribeSVIResults(**(common | {"n_genes": G + 1}))
    with pytest.raises(ValueError, match="params has no 'r_loc'"):
        ScribeSVIResults(**(common | {"params": {"p_alpha": 1.0, "p_beta": 1.0}}))


def test_a_component_is_a_result_of_its_own(mixture):
    counts, results = mixture
    one = results.get_component(1)
    assert one.n_components is None
    assert one.model_type == "nbvcp"
    np.testing.assert_array_equal(one.params["r_loc"], results.params["r_loc"][1])
    assert one.get_posterior_samples(n_samples=2)["r"].shape == (2, G)
    assert one.log_likelihood(counts).shape == (2, C)
    assert one[:2].get_map()["r"].shape == (2,)
    with pytest.raises(IndexError, match="no component 3"):
        results.get_component(3)


def test_the_posterior_of_the_weights_goes_with_them(mixture):
    _, results = mixture
    spec = replace(results.model_config, guides={"mixing_weights": "dirichlet", "r": "lognormal"})
    one = replace(results, model_config=spec, posterior_samples=None).get_component(0)
    assert dict(one.model_config.guides) == {"r": "lognormal"}


@pytest.mark.parametrize(
    ("index", "columns"),
    [
        (2, [2]),
        (slice(1, 3), [1, 2]),
        (np.arange(G) % 2 == 0, [0, 2, 4]),
        ([3, 1], [3, 1]),
    ],
)
def test_genes_are_chosen_in_every_way(mixture, index, columns):
    _, results = mixture
    results.get_posterior_samples(n_samples=S)
    some = results[index]
    np.testing.assert_array_equal(some.params["r_loc"], results.params["r_loc"][:, columns])
    np.testing.assert_array_equal(
        some.posterior_samples["mu"], results.posterior_samples["mu"][..., columns]
    )
    assert some.n_genes == len(columns)
    assert results[list(results.genes[columns])].genes.tolist() == some.genes.tolist()


# Every two of the three settings together, not all three: each case compiles a fit of its own.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameterization", "free", "rank"),
    [
        (parameterization, free, 2 * ((i + free) % 2))
        for i, parameterization in enumerate(SHARED_ODDS)
        for free in (False, True)
    ],
)
def test_points_distributions_and_draws_agree(parameterization, free, rank):
    _, results = fitted(
        likelihood="nbvcp", parameterization=parameterization, unconstrained=free, guide_rank=rank
    )
    plain = results.get_distributions()
    split = results.get_distributions(split=True)
    draws = results.get_posterior_samples(n_samples=2_000)
    assert {"p", "r", "mu", "p_hat"} <= set(draws)
    point = results.get_map(use_mean=True)
    assert {"p", "r", "mu", "p_capture", "p_hat"} <= set(point)
    for key, oracle in results.get_distributions(backend="scipy").items():
        level = st.kstest(
            np.asarray(draws[key], float).reshape(2_000, -1)[:, 0],
            lambda x, fn=oracle: np.asarray([fn.cdf(v).ravel()[0] for v in np.atleast_1d(x)]),
        ).pvalue
        assert level > 1e-4, key
        assert np.shape(plain[key].mean) == np.shape(point[key])
        if np.ndim(point[key]):
            assert len(split[key]) == len(point[key])


def test_a_mode_that_does_not_exist_is_nan_or_the_mean(single):
    _, results = single
    params = dict(results.params) | {"p_alpha": np.float32(0.5), "p_beta": np.float32(2.0)}
    flat = ScribeSVIResults(
        params=params, loss_history=np.zeros(1), n_cells=C, n_genes=G, model_type="nbdm",
        model_config=results.model_config, prior_params={},
    )  # fmt: skip
    assert np.isnan(flat.get_map(canonical=False)["p"])
    np.testing.assert_allclose(flat.get_map(use_mean=True)["p"], 0.2, rtol=1e-6)
    assert flat.get_map(canonical=False).keys() == {"p", "r"}


def test_results_come_back_from_a_file(mixture, tmp_path):
    _, results = mixture
    results.save(tmp_path / "r.h5")
    back = ScribeSVIResults.load(tmp_path / "r.h5")
    assert back.model_config == results.model_config
    assert back.prior_params == results.prior_params
    for name, value in results.get_map().items():
        np.testing.assert_array_equal(back.get_map()[name], value)


def test_anndata_gets_what_it_is_promised(mixture, tmp_path):
    counts, results = mixture
    adata = ad.AnnData(counts.matrix)
    adata.obs_names, adata.var_names = list(counts.cells), list(counts.genes)
    before = adata.X.copy()
    results.to_anndata(adata, key_added="fit")
    assert (before != adata.X).nnz == 0
    assert {"fit_capture", "fit_component", "fit_entropy"} <= set(adata.obs)
    assert {"fit_mean", "fit_dispersion"} <= set(adata.var)
    assert adata.obsm["fit_probabilities"].shape == (C, K)
    assert adata.varm["fit_component_means"].shape == (G, K)
    observed = np.asarray(counts.matrix.mean(axis=0)).ravel()
    assert np.corrcoef(np.log(observed), np.log(adata.var["fit_mean"]))[0, 1] > 0.9
    adata.write_h5ad(tmp_path / "fit.h5ad")
    assert ad.read_h5ad(tmp_path / "fit.h5ad").uns["fit"]["model"] == "nbvcp_mix"
    with pytest.raises(scribeviz.CountsError, match="cells were fitted"):
        results.to_anndata(adata[:5].copy())


def named(counts):
    """As AnnData, with names of its own."""
    adata = ad.AnnData(counts.matrix.astype(np.float32))
    adata.var_names = [f"G{i}" for i in range(counts.n_genes)]
    return adata


@pytest.fixture(scope="module")
def of_named(mixture):
    return scribeviz.fit(named(mixture[0]), "nbvcp", n_steps=50, progress=False)


def test_genes_in_another_order_are_the_same_genes(mixture, of_named):
    adata = named(mixture[0])
    expected = of_named.log_likelihood_map(adata)
    np.testing.assert_allclose(of_named.log_likelihood_map(adata[:, ::-1].copy()), expected)
    np.testing.assert_allclose(of_named.log_likelihood_map(adata.X), expected)  # by place
    other = adata.copy()
    other.var_names = [f"H{i}" for i in range(adata.n_vars)]
    with pytest.raises(scribeviz.CountsError, match="lack 6, such as 'G0'"):
        of_named.log_likelihood_map(other)


def test_counts_of_a_layer_are_written_about(mixture):
    counts, results = mixture
    adata = ad.AnnData(np.log1p(counts.matrix.toarray()), layers={"counts": counts.matrix})
    adata.var_names = list(counts.genes)
    with pytest.raises(scribeviz.CountsError):
        results.to_anndata(adata, "key", misfit=True)
    assert not any(name.startswith("key") for name in [*adata.obs, *adata.var, *adata.varm])
    results.to_anndata(adata, "key", misfit=True, layer="counts")
    assert adata.var["key_misfit"].notna().any()


def test_genes_with_symbols_are_found_again(mixture):
    adata = named(mixture[0])
    symbols = [f"S{i}" for i in range(adata.n_vars)]
    adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]
    adata.var["feature_name"] = symbols
    results = scribeviz.fit(adata, "nbdm", n_steps=50, progress=False)
    assert set(results.genes) <= set(symbols)
    results.to_anndata(adata, "key", misfit=True)
    assert adata.var["key_mean"].notna().sum() == results.n_genes
    assert (adata.var["key_problem"] != "not fitted").sum() == results.n_genes


def test_every_gene_is_judged_and_written(mixture):
    counts, results = mixture
    table = results.gene_table(counts, n_samples=40)
    assert table["gene"].tolist() == results.genes.tolist()
    assert table["misfit"].between(0, 1).all()
    adata = ad.AnnData(counts.matrix)
    adata.var_names = [str(name) for name in counts.genes]
    results.to_anndata(adata, "key", misfit=True)
    assert adata.var["key_misfit"].notna().sum() == results.n_genes
    assert set(adata.var["key_problem"]) <= {"not fitted", *table["problem"], "as expected"}


def test_models_are_compared_by_their_scores(mixture):
    counts, results = mixture
    scores = results.loo(counts, n_samples=50)
    assert scores.elpd.shape == (C,)
    table = scribeviz.compare({"mixture": scores})
    assert table.loc["mixture", "elpd_loo"] == pytest.approx(scores.elpd.sum())


def test_arviz_gets_a_tree(mixture):
    _, results = mixture
    tree = results.to_datatree(n_samples=4)
    assert tree["posterior"]["r"].dims == ("chain", "draw", "component", "gene")
    assert tree["posterior"]["r"].shape == (1, 4, K, G)
    assert tree["posterior"]["p_capture"].dims == ("chain", "draw", "cell")


def test_the_references_engine_and_factory(single):
    counts, results = single
    run = SVIInferenceEngine.run_inference(
        results.model_config, counts.matrix, C, G, n_steps=30, seed=1
    )
    assert run.losses.shape == (30,)
    made = SVIResultsFactory.create_results(
        run, results.model_config, None, counts.matrix, C, G, "nbdm", None, {}
    )
    assert made.get_map()["r"].shape == (G,)
    with pytest.raises(ValueError, match="n_cells and n_genes"):
        SVIInferenceEngine.run_inference(results.model_config, counts.matrix, C, G + 1, n_steps=1)


def test_what_takes_depths_as_given_is_put_together_with_them():
    counts, _ = scribeviz.simulate("poisson", n_cells=C, n_genes=G, seed=2)
    spec = scribeviz.ModelSpec(likelihood="poisson")
    run = SVIInferenceEngine.run_inference(spec, counts.matrix, C, G, n_steps=30)
    made = SVIResultsFactory.create_results(
        run, spec, None, counts.matrix, C, G, "poisson", None, {}
    )
    assert made.depth == scribeviz.fit(counts, spec, n_steps=5, progress=False).depth
    assert made.loo(counts, 30).elpd.shape == (C,)
    adata = ad.AnnData(counts.matrix)
    of_adata = ScribeSVIResults.from_anndata(adata, made.params, made.loss_history, spec)
    assert of_adata.depth == made.depth


def test_notes_say_what_is_open(mixture, single):
    assert any("level of capture is open" in note for note in mixture[1].notes)
    assert single[1].notes == []


def test_draws_follow_their_key(single):
    _, results = single
    first, again = (results.get_posterior_samples(n_samples=3)["r"] for _ in range(2))
    other = results.get_posterior_samples(jax.random.PRNGKey(1), n_samples=3)["r"]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    results.get_posterior_samples(n_samples=S)
