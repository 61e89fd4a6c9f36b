"""Mixtures at their limits: numbers without order, groups without cells, more groups than data."""

import warnings

import anndata as ad
import matplotlib as mpl
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score

from scribeviz import ModelSpec, fit, simulate

pytestmark = pytest.mark.slow

LIKELIHOODS = ("nbdm", "zinb", "nbvcp", "zinbvcp")


def two_types(likelihood, seed=0, n_cells=160, n_genes=30):
    """Half of the genes separate two kinds of cells."""
    rng = np.random.default_rng(seed)
    r = np.repeat(rng.lognormal(0.0, 0.5, (1, n_genes)), 2, axis=0)
    r[0, : n_genes // 2] *= 6
    spec = ModelSpec(likelihood=likelihood, n_components=2)
    values = {"p": 0.6, "r": r, "mixing_weights": np.array([0.6, 0.4])}
    if "zi" in likelihood:
        values["gate"] = np.full((2, n_genes), 0.1)
    if "vcp" in likelihood:
        values["p_capture"] = rng.beta(20, 20, n_cells)
    return simulate(spec, n_cells=n_cells, n_genes=n_genes, values=values, seed=seed)


def finite(results, counts):
    """All that a user reads from a mixture, none of it NaN."""
    point = results.get_map(use_mean=True)
    draws = results.get_posterior_samples(n_samples=20)
    read = [*point.values(), *draws.values(), results.loss_history]
    read += [results.log_likelihood(counts, split_components=True)]
    read += [results.mixture_component_entropy(counts, return_by="cell")]
    read += [results.cell_type_probabilities(counts)["mean_probabilities"]]
    return all(np.isfinite(np.asarray(each)).all() for each in read)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_more_components_than_kinds_of_cells_split_or_stay_empty(likelihood):
    counts, truth = two_types(likelihood)
    spec = ModelSpec(likelihood=likelihood, n_components=6)
    results = fit(counts, spec, n_steps=300, progress=False)
    assert finite(results, counts)
    probabilities = results.cell_type_probabilities_map(counts, use_mean=True)["probabilities"]
    found = probabilities.argmax(axis=1)
    # Whatever the groups are, none of any size holds both kinds of cells.
    for k in np.unique(found):
        kinds = np.bincount(truth["component"][found == k], minlength=2)
        assert kinds.min() <= 0.1 * kinds.sum() + 1, (k, kinds)
    shares = results.get_map(use_mean=True)["mixing_weights"]
    np.testing.assert_allclose(shares.sum(), 1, rtol=1e-5)


def test_components_of_one_kind_of_cells_are_sane():
    counts, _ = simulate(ModelSpec(likelihood="nbdm"), n_cells=100, n_genes=20, seed=1)
    results = fit(counts, ModelSpec(likelihood="nbdm", n_components=5), progress=False)
    assert finite(results, counts)


def test_a_component_without_cells_keeps_its_prior_and_is_named():
    counts, _ = simulate(
        ModelSpec(likelihood="nbdm"), n_cells=60, n_genes=8, values={"p": 0.3, "r": np.ones(8)}
    )
    spec = ModelSpec(
        likelihood="nbdm", n_components=8, priors={"mixing_weights": ("dirichlet", 0.05)}
    )
    results = fit(counts, spec, progress=False)
    assert finite(results, counts)
    shares = results.get_map(use_mean=True)["mixing_weights"]
    held = results.cell_type_probabilities(counts)["mean_probabilities"].sum(axis=0)
    # A share is what its cells and the prior make it, with cells or without.
    expected = (held + 0.05) / (counts.n_cells + 8 * 0.05)
    np.testing.assert_allclose(shares, expected, atol=0.05)
    said = [note for note in results.notes if "hold no cells" in note]
    empty = int((shares * counts.n_cells < 1).sum())
    assert empty, shares
    assert said[0].startswith(f"{empty} of the 8 components")


def test_the_order_of_components_means_nothing():
    counts, truth = two_types("nbvcp")
    spec = ModelSpec(likelihood="nbvcp", n_components=2)
    fits = [fit(counts, spec, seed=seed, n_steps=1_000, progress=False) for seed in range(2)]
    found = [
        each.cell_type_probabilities_map(counts, use_mean=True)["probabilities"].argmax(axis=1)
        for each in fits
    ]
    for partition in found:
        assert adjusted_rand_score(truth["component"], partition) > 0.9
    # After the groups are matched by their cells, both fits say the same.
    swapped = (found[0] == found[1]).mean() < 0.5
    order = [1, 0] if swapped else [0, 1]
    ours, theirs = (each.get_map(use_mean=True) for each in fits)
    np.testing.assert_allclose(ours["mixing_weights"], theirs["mixing_weights"][order], atol=0.02)
    loud = truth["r"].min(axis=0) > 0.5
    capture = [each["p_capture"].mean() for each in (ours, theirs)]
    np.testing.assert_allclose(
        ours["mu"][:, loud] * capture[0], theirs["mu"][order][:, loud] * capture[1], rtol=0.1
    )


def test_scanpy_plots_what_is_written(tmp_path):
    mpl.use("Agg")
    counts, _ = two_types("nbvcp")
    adata = ad.AnnData(sp.csr_matrix(counts.matrix.astype(np.float32)))
    adata.var_names = list(counts.genes)
    results = fit(adata, ModelSpec(likelihood="nbvcp", n_components=2), progress=False)
    results.to_anndata(adata)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.pca(adata, n_comps=5)
        axes = sc.pl.pca(
            adata,
            color=["scribeviz_component", "scribeviz_entropy", "scribeviz_capture"],
            show=False,
        )
        matrix = sc.pl.matrixplot(
            adata, list(adata.var_names[:4]), "scribeviz_component", show=False
        )
    assert len(axes) == 3
    assert matrix
    adata.write_h5ad(tmp_path / "written.h5ad")
