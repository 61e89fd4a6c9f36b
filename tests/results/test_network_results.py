"""What a trained autoencoder says, and that it is the same after saving."""

from dataclasses import replace

import anndata as ad
import jax
import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

import scribeviz
from scribeviz.criticism.budget import MemoryBudgetError
from scribeviz.criticism.comparison import compare
from scribeviz.criticism.critique import Critique
from scribeviz.data.counts import Counts, CountsError, plain_counts
from scribeviz.networks.cellvae import CellVAE
from scribeviz.results.network_results import CellVAEResults
from tests.networks.cells import batch_of

N_CELLS, N_GENES = 400, 12


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    place = rng.normal(size=(N_CELLS, 2))
    logits = place @ rng.normal(size=(2, N_GENES)) + rng.normal(size=N_GENES)
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    total = 120 * rng.gamma(10, 0.1, N_CELLS)[:, None]
    found = plain_counts(rng.poisson(rng.gamma(4.0, total * share / 4.0)))
    return replace(found, obs=pd.DataFrame({"lane": ["a", "b"] * 200}, index=found.cells))


@pytest.fixture(scope="module")
def results(counts):
    spec = CellVAE(n_latent=2, n_hidden=16, covariate="lane")
    settings = {"max_epochs": 40, "batch_size": 64, "kl_warmup": 0, "progress": False}
    return scribeviz.fit(counts, spec, learning_rate=0.01, validation_share=0.3, **settings)


@pytest.fixture(scope="module")
def critique(results, counts):
    return results.critique(counts)


def test_places(results, counts):
    mean, spread = results.get_latent_representation(counts, give_spread=True)
    place = results.module.encode(batch_of(counts.matrix.toarray(), np.arange(N_CELLS) % 2))
    np.testing.assert_allclose(mean, place.loc, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(spread, place.scale, rtol=1e-4)
    some = counts.select_cells(np.array([7, 3]))
    np.testing.assert_allclose(
        results.get_latent_representation(some), mean[[7, 3]], rtol=1e-4, atol=1e-5
    )


def test_genes_are_found_by_name(results, counts):
    order = np.random.default_rng(1).permutation(N_GENES)
    np.testing.assert_allclose(
        results.get_latent_representation(counts.select_genes(order)),
        results.get_latent_representation(counts),
    )
    with pytest.raises(CountsError, match=r"12 genes were fitted, .* lack 2, such as"):
        results.get_elbo(counts.select_genes(np.arange(10)))


def test_expression_is_shares_or_counts_of_any_total(results, counts):
    shares = results.get_normalized_expression(counts)
    assert shares.shape == (N_CELLS, N_GENES)
    assert list(shares.index) == list(counts.cells)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    scaled = results.get_normalized_expression(counts, library_size=1e4)
    np.testing.assert_allclose(scaled, shares * 1e4, rtol=1e-4)
    own = results.get_normalized_expression(counts, library_size="latent")
    np.testing.assert_allclose(own, shares.mul(counts.cell_totals, axis=0), rtol=1e-4)
    some = results.get_normalized_expression(counts, genes=["gene 4", "gene 2"])
    assert list(some.columns) == ["gene 4", "gene 2"]
    np.testing.assert_allclose(some, shares[["gene 4", "gene 2"]])
    drawn = results.get_normalized_expression(counts, n_samples=20)
    assert 0 < np.abs(drawn - shares).to_numpy().max() < 0.2
    with pytest.raises(ValueError, match="library_size='observed'"):
        results.get_normalized_expression(counts, library_size="observed")


def test_predictive_samples_have_the_means_of_the_decoder(results, counts):
    drawn = results.posterior_predictive_sample(counts, 200, genes=["gene 1", "gene 5"])
    assert drawn.shape == (200, N_CELLS, 2)
    assert drawn.dtype == np.int32
    options = {"library_size": "latent", "n_samples": 200}
    mean = results.get_normalized_expression(counts, ["gene 1", "gene 5"], **options)
    error = drawn.std(axis=0) / np.sqrt(200)
    assert (np.abs(drawn.mean(axis=0) - mean.to_numpy()) / np.maximum(error, 0.02)).max() < 7
    again = results.posterior_predictive_sample(counts, 2, seed=1)
    assert (again == results.posterior_predictive_sample(counts, 2, seed=1)).all()
    assert (again != results.posterior_predictive_sample(counts, 2, seed=2)).any()
    assert (again[0] != again[1]).any()


def test_what_would_not_fit_the_memory_is_refused(results, counts):
    with pytest.raises(MemoryBudgetError, match="fewer genes or samples"):
        results.posterior_predictive_sample(counts, 1_000_000)
    shown = replace(counts, matrix=None)
    huge = type("Huge", (Counts,), {"n_cells": 10**9, "n_genes": N_GENES})
    many = huge(**{name: getattr(shown, name) for name in shown.__dataclass_fields__})
    with pytest.raises(MemoryBudgetError, match="fewer genes or cells"):
        results.get_normalized_expression(many)
    with pytest.raises(MemoryBudgetError, match="fewer cells"):
        results.residuals(many)


def test_the_bound_is_one_of_the_marginal_likelihood(results, counts):
    seen = results.validation(counts)
    elbo, error = results.get_elbo(seen, 50), results.get_reconstruction_error(seen, 50)
    marginal = results.get_marginal_ll(seen, 300)
    assert elbo < marginal < elbo + 3
    assert -error > elbo
    with_total = results.get_marginal_ll(seen, 300, integrate_total=True)
    assert with_total < marginal - 0.5  # the total is not given for free


@pytest.mark.slow
def test_likelihoods_are_means_over_cells_not_over_batches(results, counts):
    one, many = counts.select_cells(np.array([0])), counts.select_cells(np.arange(1, 7))
    together = results.get_marginal_ll(counts.select_cells(np.arange(7)), 1_000)
    apart = results.get_marginal_ll(one, 1_000), results.get_marginal_ll(many, 1_000)
    assert together == pytest.approx((apart[0] + 6 * apart[1]) / 7, abs=0.15)


def test_histories(results):
    assert results.loss_history.size == results.history["loss"].size * 4  # 280 cells, by 64
    assert results.validation_history.size == results.history["val_loss"].size
    np.testing.assert_allclose(
        results.validation_history, results.history["val_loss"] * N_CELLS, rtol=1e-5
    )
    assert results.best_epoch == np.argmin(results.history["val_loss"]) + 1


def test_the_validation_cells_are_those_of_the_same_data(results, counts):
    assert results.validation(counts).cells.tolist() == [
        counts.cells[i] for i in results.split.validation
    ]
    with pytest.raises(CountsError, match="trained on 400 cells, and these 10"):
        results.validation(counts.select_cells(np.arange(10)))
    with pytest.raises(CountsError, match="or in another order"):
        results.validation(counts.select_cells(np.arange(400)[::-1]))


def test_residuals_are_uniform_where_the_decoder_made_the_counts(results, counts):
    drawn = results.posterior_predictive_sample(counts)[0]
    itself = replace(counts, matrix=plain_counts(drawn).matrix)
    assert kstest(results.residuals(itself).ravel()[::5], "uniform").pvalue > 0.001
    shuffled = np.random.default_rng(0).permuted(drawn, axis=1)
    other = replace(counts, matrix=plain_counts(shuffled).matrix)
    assert kstest(results.residuals(other).ravel()[::5], "uniform").pvalue < 1e-6


@pytest.mark.slow
def test_scores_are_of_the_validation_cells_and_compare_with_count_models(results, counts):
    scores = results.loo(counts)
    assert scores.cells.tolist() == results.split.validation.tolist()
    expected = results.get_marginal_ll(results.validation(counts), 200, integrate_total=True)
    assert scores.elpd.mean() == pytest.approx(expected, abs=1e-6)
    assert (scores.pareto_k < 0.7).mean() > 0.95
    nbdm = scribeviz.fit(counts, "nbvcp", n_steps=300, progress=False)
    table = compare({"vae": scores, "nbvcp": nbdm.loo(counts)})
    assert table["n_cells"].tolist() == [120, 120]
    assert table.index[0] == "vae"  # counts were made from a latent plane


def test_the_critique_has_every_gene_and_comes_back_from_a_file(critique, counts, tmp_path):
    assert critique.genes["gene"].tolist() == counts.genes.tolist()
    assert not critique.can_choose_cells
    assert "not trained on" in critique.notes[0]
    np.testing.assert_allclose(
        critique.genes["predicted_mean"], counts.matrix.toarray().mean(axis=0), rtol=0.15
    )
    critique.save(tmp_path / "critique.h5")
    back = Critique.load(tmp_path / "critique.h5")
    np.testing.assert_array_equal(back.draws.totals, critique.draws.totals)
    np.testing.assert_array_equal(back.scores.cells, critique.scores.cells)
    np.testing.assert_array_equal(back.scores.elpd, critique.scores.elpd)
    assert back.notes == critique.notes
    assert not back.can_choose_cells
    for name, value in critique.draws.natural.items():
        np.testing.assert_array_equal(back.draws.natural[name], value)


def test_it_comes_back_from_a_file(results, counts, tmp_path):
    results.save(tmp_path / "vae.h5")
    back = CellVAEResults.load(tmp_path / "vae.h5")
    assert back.get_elbo(counts) == results.get_elbo(counts)
    assert (back.spec, back.total, back.notes) == (results.spec, results.total, results.notes)
    assert back.covariate.levels == ("a", "b")
    assert back.best_epoch == results.best_epoch
    np.testing.assert_array_equal(back.split.validation, results.split.validation)
    np.testing.assert_array_equal(back.loss_history, results.loss_history)
    np.testing.assert_array_equal(back.genes, results.genes)
    assert back.history.keys() == results.history.keys()


def test_a_file_holds_no_pickle(results, tmp_path):
    results.save(tmp_path / "vae.h5")
    assert b"numpy" not in (tmp_path / "vae.h5").read_bytes()


def test_it_is_written_to_anndata(results, counts):
    adata = ad.AnnData(counts.matrix.toarray(), counts.obs.copy())
    adata.var_names = counts.genes
    results.to_anndata(adata, "vae")
    np.testing.assert_array_equal(
        adata.obsm["vae_latent"], results.get_latent_representation(counts)
    )
    assert np.flatnonzero(adata.obs["vae_trained"]).tolist() == results.split.train.tolist()
    assert adata.uns["vae"]["n_latent"] == 2


def test_another_level_of_the_covariate_is_refused(results, counts):
    obs = counts.obs.assign(lane="c")
    with pytest.raises(CountsError, match="'c', which the model was not trained on; it knows 'a'"):
        results.get_latent_representation(replace(counts, obs=obs))


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["zinb", "poisson"])
def test_the_other_likelihoods_and_a_learned_library(likelihood, counts, tmp_path):
    spec = CellVAE(n_latent=2, n_hidden=8, likelihood=likelihood, library="learned")
    settings = {"max_epochs": 20, "batch_size": 64, "kl_warmup": 0, "progress": False}
    results = scribeviz.fit(counts, spec, learning_rate=0.01, **settings)
    own = results.get_normalized_expression(counts, library_size="latent").sum(axis=1)
    ratio = own / counts.cell_totals
    if likelihood == "poisson":
        assert 0.9 < ratio.median() < 1.1
    assert 0.001 < ratio.std() < 0.3
    assert np.corrcoef(own, counts.cell_totals)[0, 1] > 0.6
    seen = results.validation(counts)
    # The total is not given, whatever is asked.
    assert results.get_marginal_ll(seen, 200) == results.get_marginal_ll(
        seen, 200, integrate_total=True
    )
    assert results.get_elbo(seen, 20) < results.get_marginal_ll(seen, 200) + 0.1
    assert not any("as given" in note for note in results.notes)
    found = results.critique(counts)
    assert np.isfinite(found.genes["misfit"]).all()
    results.save(tmp_path / "vae.h5")
    back = CellVAEResults.load(tmp_path / "vae.h5")
    key = jax.random.key(0)
    batch = batch_of(counts.matrix.toarray()[:5])
    np.testing.assert_array_equal(
        back.module.terms(batch, key).kl, results.module.terms(batch, key).kl
    )
