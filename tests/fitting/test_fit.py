import anndata as ad
import jax
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scipy.stats as st
from sklearn.metrics import adjusted_rand_score

from scribeviz import CountsError, ModelSpec, NotOfferedError, SamplerWarning, fit, simulate
from scribeviz.criticism.assignments import assigned, assignment_probabilities
from scribeviz.data.counts import plain_counts
from scribeviz.data.tables import cell_rows
from scribeviz.fitting.count_models import prepare_fit
from scribeviz.fitting.progress import progress
from scribeviz.inference.svi import Checkpoint, SVIConfig
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.spec import model_spec

QUICK = {"n_steps": 60, "progress": False}


def interval(draws, rate=0.9):
    return np.quantile(draws, [(1 - rate) / 2, (1 + rate) / 2], axis=0)


@pytest.fixture(scope="module")
def one_type():
    r = np.random.default_rng(7).lognormal(0, 1, 200)
    return simulate("nbdm", n_cells=400, n_genes=200, values={"p": 0.6, "r": r}, seed=7)


@pytest.fixture(scope="module")
def fitted(one_type):
    return fit(one_type[0], "nbdm", progress=False)


def test_the_fit_settles(fitted):
    assert fitted.settled
    assert fitted.loss_history[-100:].mean() < fitted.loss_history[:100].mean()


def test_intervals_of_r_cover_the_truth(fitted, one_type):
    low, high = interval(fitted.get_posterior_samples(n_samples=2_000)["r"])
    truth = one_type[1]["r"][np.isin(one_type[0].genes, fitted.genes)]
    assert 0.80 < np.mean((low <= truth) & (truth <= high)) < 0.97


def test_p_comes_back(fitted):
    draws = fitted.get_posterior_samples(n_samples=2_000)["p"]
    np.testing.assert_allclose(draws.mean(), 0.6, atol=0.01)


def test_predicted_means_are_the_observed_ones(fitted, one_type):
    found = fitted.get_map()
    predicted = found["r"] * found["p"] / (1 - found["p"])
    counts = one_type[0].seen_genes()
    loud = counts.gene_totals > 200
    np.testing.assert_allclose(predicted[loud], counts.gene_totals[loud] / counts.n_cells, rtol=0.1)


def clear_types(seed):
    """210 + 90 cells of two clearly different types over 60 genes."""
    rng = np.random.default_rng(seed)
    base = rng.gamma(2.0, 1.0, 60)
    r = np.stack([base, base * np.exp(rng.choice([-1.5, 1.5], 60))])
    types = np.repeat([0, 1], [210, 90])
    return plain_counts(rng.negative_binomial(r[types], 0.5)), types, r


def responsibilities_of(results, counts):
    seen = counts.seen_genes()
    values = results.get_posterior_samples(n_samples=5)
    return assignment_probabilities(results.model, cell_rows(seen), values)


@pytest.mark.slow
def test_two_clear_types_come_apart_from_every_start():
    scores, sizes = [], []
    for seed in range(20):
        counts, types, _ = clear_types(seed % 2)  # two data sets compile two programs
        results = fit(counts, "nbdm_mix", seed=seed, n_steps=500, progress=False)
        components = assigned(responsibilities_of(results, counts))
        scores.append(adjusted_rand_score(types, components))
        sizes.append(sorted(np.bincount(components, minlength=2)))
    assert min(scores) >= 0.95
    assert np.abs(np.array(sizes) - [90, 210]).max() <= 4


def test_two_clear_types_come_apart_with_their_weights_and_their_r():
    counts, types, r = clear_types(0)
    results = fit(counts, "nbdm_mix", progress=False)
    assert adjusted_rand_score(types, assigned(responsibilities_of(results, counts))) == 1
    draws = results.get_posterior_samples(n_samples=2_000)
    order = np.argsort(-draws["mixing_weights"].mean(axis=0))
    low, high = interval(draws["mixing_weights"][:, order])
    assert (low <= [0.7, 0.3]).all()
    assert (high >= [0.7, 0.3]).all()
    # As wide as what 300 cells can tell, and no narrower.
    oracle = st.beta(1 + 210, 1 + 90)
    np.testing.assert_allclose(draws["mixing_weights"][:, order[0]].std(), oracle.std(), rtol=0.1)
    seen = np.isin(counts.genes, results.genes)
    low, high = interval(draws["r"][:, order])
    assert 0.80 < np.mean((low <= r[:, seen]) & (r[:, seen] <= high)) < 0.97
    np.testing.assert_allclose(draws["p"].mean(), 0.5, atol=0.02)


def test_genes_without_counts_are_left_out_and_named(rng):
    matrix = rng.poisson(2.0, (30, 6))
    matrix[:, [1, 4]] = 0
    counts = plain_counts(matrix, genes=list("ABCDEF"))
    results = fit(counts, "nbdm", **QUICK)
    assert results.genes.tolist() == ["A", "C", "D", "F"]
    assert results.left_out_genes.tolist() == ["B", "E"]
    assert results.params["r_loc"].shape == (4,)


def test_nothing_to_fit_is_said():
    with pytest.raises(
        CountsError, match=r"none holds no counts at all: there is nothing to fit\."
    ):
        prepare_fit(plain_counts(np.zeros((3, 2)), name="none"), ModelSpec(), SVIConfig())


def test_more_components_than_cells_are_refused():
    says = "4 components need at least as many cells; few has 3."
    with pytest.raises(CountsError, match=says):
        prepare_fit(plain_counts(np.eye(3), name="few"), ModelSpec(n_components=4), SVIConfig())


@pytest.mark.parametrize("more", [{"n_components": 2}, {"priors": {"p": ("beta", 2, 2)}}])
def test_a_spec_and_its_parts_together_are_refused(more):
    with pytest.raises(ValueError, match="this model brings its own components and priors"):
        fit(np.eye(3, dtype=int), ModelSpec(), **more)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        ({"model": "zebra"}, ValueError, "likelihood='zebra' is not known"),
        ({"priors": {"p": ("gamma", 1, 1)}}, ValueError, "nb has no parameter 'p'"),
        ({"priors": {"mu": ("beta", 1, 1)}}, ValueError, "'mu' lives in the positive domain"),
        ({"n_steps": 0}, ValueError, "n_steps=0 is outside"),
        ({"layer": "spliced"}, CountsError, "a bare matrix has no layers"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_anything_is_computed(call, error, says):
    with pytest.raises(error, match=says):
        fit(np.eye(3, dtype=int), **call)


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.array([[1.5, 2.0], [0.0, 1.0]]), "whole"),
        (np.array([[-1, 2], [0, 1]]), "negative"),
        (np.array([[np.nan, 2], [0, 1]]), "NaN|missing|finite"),
    ],
)
def test_what_is_no_counts_is_refused(matrix, says):
    with pytest.raises(CountsError, match=says):
        fit(matrix)


def test_the_same_counts_in_any_container_give_the_same_fit(rng):
    matrix = rng.poisson(2.0, (30, 5)).astype(np.float32)
    frame = pd.DataFrame(matrix, [f"c{i}" for i in range(30)], list("ABCDE"))
    adata = ad.AnnData(sp.csr_matrix(matrix), obs=frame[[]], var=frame.T[[]])
    results = [fit(data, **QUICK) for data in (matrix, sp.csc_array(matrix), frame, adata)]
    for other in results[1:]:
        assert other.loss_history.tolist() == results[0].loss_history.tolist()
    assert results[2].genes.tolist() == results[3].genes.tolist() == list("ABCDE")


def test_a_layer_is_fitted_when_it_is_asked_for(rng):
    matrix = rng.poisson(2.0, (30, 5))
    adata = ad.AnnData(np.log1p(matrix).astype(np.float32), layers={"counts": matrix})
    by_layer, plain = fit(adata, layer="counts", **QUICK), fit(matrix, **QUICK)
    assert by_layer.loss_history.tolist() == plain.loss_history.tolist()


def test_settings_and_priors_reach_the_fit(rng):
    priors = {"r": ("gamma", 2, 0.1)}
    results = fit(rng.poisson(2.0, (30, 5)), "nbdm", n_components=2, priors=priors, **QUICK)
    assert results.model_config == ModelSpec(n_components=2, priors=priors)
    assert results.loss_history.size == 60
    assert not results.settled


def test_a_strong_prior_is_felt(rng):
    matrix = rng.negative_binomial(3.0, 0.5, (50, 5))
    tight = {"p": ("beta", 9_000, 1_000)}
    assert fit(matrix, "nbdm", priors=tight, n_steps=3_000, progress=False).get_map()["p"] > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("n_components", [1, 2])
def test_a_fit_promotes_no_ranks_in_silence(small_counts, n_components):
    with jax.numpy_rank_promotion("raise"):
        results = fit(small_counts, "nbdm", n_components=n_components, **QUICK)
    assert np.isfinite(results.loss_history).all()


def test_the_bar_shows_steps_and_ends_full(capsys):
    prepared = prepare_fit(plain_counts(np.eye(4) + 1), ModelSpec(), SVIConfig(n_steps=200))
    with progress(prepared.n_steps) as report:
        for checkpoint in prepared.checkpoints():
            report(checkpoint, prepared.losses(checkpoint))
    shown = capsys.readouterr().err
    assert "200/200" in shown
    assert f"loss {checkpoint.losses[-50:].mean():,.1f}" in shown


def test_no_bar_when_it_is_not_wanted(capsys):
    fit(np.eye(4, dtype=int), n_steps=5, progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_what_cannot_be_a_start_is_refused_in_words(small_counts):
    spec = ModelSpec(guides={"r": "gamma"})
    before = fit(small_counts, spec, n_steps=5, progress=False)
    with pytest.raises(ValueError, match=r"another posterior \(.*r: gamma\) than is asked for"):
        fit(small_counts, "nbdm", start_from=before, **QUICK)
    with pytest.raises(ValueError, match=r"nbvcp with .*; fit the same model first"):
        fit(small_counts, "nbvcp", start_from=before, **QUICK)
    with pytest.raises(ValueError, match="saw 40 cells and 9 genes"):
        fit(small_counts.select_genes(np.arange(1, 12)), spec, start_from=before, **QUICK)
    chains = fit(
        small_counts, "nbdm", inference_method="mcmc", n_warmup=20, n_samples=20,
        start_from=before, progress=False,
    )  # fmt: skip
    assert np.isfinite(chains.get_samples()["r"]).all()
    with pytest.raises(ValueError, match="ScribeMCMCResults cannot be a start"):
        fit(small_counts, "nbdm", start_from=chains, **QUICK)
    with pytest.raises(NotOfferedError, match="networks are parts of a CellVAE"):
        fit(small_counts, "nbdm", networks=[], progress=False)
    with pytest.raises(TypeError, match="3 is no model"):
        fit(small_counts, 3, **QUICK)


def test_a_sampler_that_does_not_move_is_a_warning(small_counts):
    # One transition is too few to find a step size: every proposal is refused.
    settings = {"n_warmup": 1, "n_samples": 20, "max_tree_depth": 1, "progress": False}
    with pytest.warns(SamplerWarning, match="does not move: in 2 of 2") as warned:
        results = fit(small_counts, "nbdm", inference_method="mcmc", **settings)
    assert warned[0].filename == __file__
    assert results.notes[0] == str(warned[0].message)


@pytest.mark.parametrize("n_components", [1, 2])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_genes_of_every_model_can_be_looked_at_while_it_is_fitted(
    name, n_components, small_counts
):
    counts = small_counts.seen_genes()
    made = prepare_fit(counts, model_spec(name, n_components=n_components), SVIConfig())
    first = Checkpoint(
        step=0,
        n_steps=1,
        losses=np.zeros(0, np.float32),
        params={n: np.asarray(value) for n, value in made._start(chosen=False).items()},
        settled=False,
        steps_per_second=0.0,
        stage=0,
        stage_start=0,
        state=(),
    )
    genes = made.preview(first).genes
    assert list(genes["gene"]) == list(counts.genes)
    assert np.isfinite(genes["predicted_mean"]).all()
