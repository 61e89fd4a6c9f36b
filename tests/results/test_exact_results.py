"""What exact inference returns: the same interface as every other result."""

import anndata
import numpy as np
import pandas as pd
import pytest

import scribeviz
from scribeviz.criticism.loo import EXACT
from scribeviz.results.exact_results import ExactResults


@pytest.fixture(scope="module")
def counts():
    return scribeviz.simulate("nb", n_cells=150, n_genes=40, seed=4)[0]


@pytest.fixture(scope="module")
def results(counts):
    return scribeviz.fit(counts, "nb", progress=False)


def test_the_usual_way_is_exact(results, counts):
    assert isinstance(results, ExactResults)
    assert results.settled
    assert results.n_genes == (counts.gene_totals > 0).sum()
    assert results.n_genes + len(results.left_out_genes) == counts.n_genes


def test_settings_of_another_way_choose_it(counts):
    by_svi = scribeviz.fit(counts, "nb", n_steps=20, progress=False)
    assert isinstance(by_svi, scribeviz.ScribeSVIResults)
    assert by_svi.gene_priors is not None
    with pytest.raises(ValueError, match=r"Exact .* has no setting 'n_stpes'; it has n_sweeps"):
        scribeviz.fit(counts, "nb", n_stpes=20, progress=False)


def test_it_is_written_and_read_back(results, tmp_path):
    results.save(tmp_path / "fit.h5")
    back = ExactResults.load(tmp_path / "fit.h5")
    assert back.gene_priors == results.gene_priors
    assert back.model_config == results.model_config
    for name, value in results.get_posterior_samples(n_samples=5).items():
        np.testing.assert_array_equal(back.get_posterior_samples(n_samples=5)[name], value)


def test_chosen_genes_keep_their_posterior(results):
    names = [str(results.genes[i]) for i in (5, 2)]
    some = results[names]
    assert list(some.genes) == names
    whole = results.get_posterior_quantiles("r", [0.1, 0.9])
    for share, value in some.get_posterior_quantiles("r", [0.1, 0.9]).items():
        np.testing.assert_allclose(value, whole[share][[5, 2]], rtol=1e-6)
    with pytest.raises(KeyError, match="'p' is no parameter of nb"):
        results.get_posterior_quantiles("p")


def test_points_lie_in_the_middle(results):
    draws = results.get_posterior_samples(n_samples=4_000, store_samples=False)
    median, mean = results.get_map(), results.get_map(use_mean=True)
    for name in ("mu", "r"):
        logs = np.log(draws[name])
        error = logs.std(axis=0) / np.sqrt(4_000)
        off = np.log(median[name]) - np.median(logs, axis=0)
        assert np.abs(off / error).max() < 7  # a median's error is 1.25 of a mean's
    off = (mean["mu"] - draws["mu"].mean(axis=0)) / (draws["mu"].std(axis=0) / np.sqrt(4_000))
    assert np.abs(off).max() < 5


def test_it_is_judged_without_draws_of_cells(results, counts):
    scores = results.loo(counts)
    assert scores.method == EXACT
    assert scores.n_unreliable == 0
    assert np.isfinite(scores.elpd).all()
    critique = results.critique(counts)
    np.testing.assert_array_equal(critique.scores.elpd, scores.elpd)
    over = results.posterior.over_poisson()
    np.testing.assert_array_equal(critique.genes["over_poisson"], over)
    np.testing.assert_array_equal(results.gene_table(counts, 30)["over_poisson"], over)


def test_it_is_written_into_anndata(results, counts):
    adata = anndata.AnnData(counts.matrix, var=pd.DataFrame(index=counts.genes))
    results.to_anndata(adata)
    fitted = adata.var["scribeviz_mean"].notna()
    assert fitted.sum() == results.n_genes
    np.testing.assert_allclose(
        adata.var["scribeviz_mean"][fitted], results.get_map(use_mean=True)["mu"], rtol=1e-6
    )
    assert (adata.var["scribeviz_dispersion"][fitted] > 0).all()
    for name, param in (("mean", "mu"), ("dispersion", "r")):
        ends = results.get_posterior_quantiles(param, (0.05, 0.95))
        np.testing.assert_allclose(adata.var[f"scribeviz_{name}_low"][fitted], ends[0.05])
        np.testing.assert_allclose(adata.var[f"scribeviz_{name}_high"][fitted], ends[0.95])
    assert adata.uns["scribeviz"]["priors"]["r"] == ["learned"]


def test_counted_once_or_a_thousand_times_means_follow(results, counts):
    """Learned priors pull a gene that says little, and leave one alone that says much."""
    seen = counts.seen_genes()
    observed = seen.gene_totals / results.depth.relative.sum()
    ratio = results.get_map(use_mean=True)["mu"] / observed
    few, many = seen.gene_totals <= 15, seen.gene_totals >= 100
    assert few.sum() >= 3
    assert many.sum() >= 5
    assert np.abs(np.log(ratio[many])).max() < 0.12
    assert np.median(ratio[few]) > 1.01


def test_mixtures_are_not_computed_exactly(counts):
    with pytest.raises(ValueError, match="cannot be fitted by exact"):
        scribeviz.fit(counts, "nb", n_components=2, inference_method="exact", progress=False)
