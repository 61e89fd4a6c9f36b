"""Results of variational EM: what every result keeps, and what mixtures keep besides."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

import scribeviz
from scribeviz.criticism.assignments import entropy
from scribeviz.criticism.critique import Critique, calibrated_in
from scribeviz.results.protocol import Results

C, G, K = 120, 50, 2


@pytest.fixture(scope="module")
def truth():
    return np.random.default_rng(0).choice(K, C, p=[0.6, 0.4])


@pytest.fixture(scope="module")
def adata(truth):
    rng = np.random.default_rng(1)
    mean = np.exp(rng.normal(0, 1, G) + rng.normal(0, 0.7, (K, G)))
    depth, r = np.exp(rng.normal(0, 0.3, C)), np.exp(rng.normal(1.0, 0.5, G))
    counts = rng.poisson(rng.gamma(r, mean[truth] * depth[:, None] / r))
    known = pd.Series(np.where(truth == 0, "T", "B"), dtype=object)
    known[rng.random(C) < 0.5] = None
    obs = pd.DataFrame({"type": pd.Categorical(known)}, index=[f"c{i}" for i in range(C)])
    return ad.AnnData(counts.astype(np.float32), obs=obs)


@pytest.fixture(scope="module", params=[False, True], ids=["shared", "own"])
def results(request, adata):
    spec = scribeviz.ModelSpec(
        likelihood="nb", n_components=K, component_specific_params=request.param
    )
    return scribeviz.fit(adata, spec, progress=False)


def test_a_mixture_of_nb_is_fitted_by_em(results, adata, truth):
    assert isinstance(results, scribeviz.MixtureResults)
    assert isinstance(results, Results)
    assert results.settled
    probabilities = results.assignment_probabilities(adata)
    assert adjusted_rand_score(truth, probabilities.argmax(axis=1)) > 0.9


def test_draws_have_the_quantiles_that_are_computed_without_them(results):
    drawn = results.get_posterior_samples(n_samples=2_000, store_samples=False)
    for name, (low, middle, high) in results.quantiles_of(list(drawn), [0.1, 0.5, 0.9]).items():
        spread = np.log(high / low)
        for value, share in ((low, 0.1), (middle, 0.5), (high, 0.9)):
            off = np.log(np.quantile(drawn[name], share, axis=0) / value)
            assert np.abs(off / spread).max() < 0.12, name
    assert drawn["mu"].shape == (2_000, K, G)
    own = results.model_config.component_specific_params
    assert drawn["r"].shape == ((2_000, K, G) if own else (2_000, G))
    point = results.get_map(use_mean=True)
    np.testing.assert_allclose(point["mu"], drawn["mu"].mean(axis=0), rtol=0.05)
    np.testing.assert_allclose(point["mixing_weights"].sum(), 1, rtol=1e-6)


def test_a_file_brings_all_of_it_back(results, adata, tmp_path):
    results.save(tmp_path / "fit.h5")
    back = scribeviz.MixtureResults.load(tmp_path / "fit.h5")
    for name, value in results.get_map().items():
        np.testing.assert_array_equal(back.get_map()[name], value)
    np.testing.assert_array_equal(
        back.assignment_probabilities(adata), results.assignment_probabilities(adata)
    )


def test_some_genes_can_be_kept(results):
    few = results[:7]
    np.testing.assert_allclose(few.get_map()["mu"], results.get_map()["mu"][:, :7], rtol=1e-5)


def test_anndata_is_told_calibrated_assignments(results, adata):
    copy = adata.copy()
    results.to_anndata(copy)
    calibration = results.calibrated_assignments(adata)
    np.testing.assert_array_equal(copy.obsm["scribeviz_probabilities"], calibration.probabilities)
    np.testing.assert_allclose(copy.obs["scribeviz_entropy"], entropy(calibration.probabilities))
    assert copy.uns["scribeviz"]["temperature"] == calibration.temperature
    assert copy.var["scribeviz_dispersion"].notna().all()


@pytest.mark.slow
def test_a_critique_keeps_how_sure_assignments_are(adata, tmp_path):
    results = scribeviz.fit(adata[:, :8].copy(), "nb", n_components=K, progress=False)
    critique = results.critique(adata)
    critique.save(tmp_path / "critique.h5")
    back = Critique.load(tmp_path / "critique.h5")
    assert back.calibration.temperature == critique.calibration.temperature
    np.testing.assert_array_equal(back.calibrated, critique.calibration.probabilities)
    np.testing.assert_array_equal(calibrated_in(tmp_path / "critique.h5"), back.calibrated)
    assert (critique.agreement > 0).all()
    few = critique.of_cells([3, 5])
    np.testing.assert_array_equal(few.calibrated, critique.calibrated[[3, 5]])


def test_labels_name_components_and_are_outweighed_by_counts(adata, truth):
    results = scribeviz.fit(adata, "nb", n_components=K, labels="type", progress=False)
    found = results.assignment_probabilities(adata).argmax(axis=1)
    assert results.notes[-1] == "Components stand for labels of type: 1: B, 2: T."
    assert (found == (truth == 0)).mean() > 0.95
    wrong = adata.copy()
    said = wrong.obs["type"].astype(object)
    deep = np.flatnonzero(said.notna())[np.argsort(adata.X.sum(axis=1)[said.notna()])[-1]]
    said.iloc[deep] = "B" if said.iloc[deep] == "T" else "T"
    wrong.obs["type"] = pd.Categorical(said)
    corrected = scribeviz.fit(wrong, "nb", n_components=K, labels="type", progress=False)
    again = corrected.assignment_probabilities(wrong).argmax(axis=1)
    assert again[deep] == found[deep]


def test_more_labels_than_components_are_refused(adata):
    many = adata.copy()
    many.obs["batch"] = pd.Categorical(np.arange(C) % 3)
    with pytest.raises(ValueError, match="there are 3 labels and 2 components"):
        scribeviz.fit(many, "nb", n_components=K, labels="batch", progress=False)
    with pytest.raises(scribeviz.CountsError, match="has no column 'kind' in obs"):
        scribeviz.fit(many, "nb", n_components=K, labels="kind", progress=False)
