"""Where scanpy places cells, and which genes it finds for a group of them."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scribeviz.data.cells import PCA, UMAP, embed, markers
from scribeviz.data.checks import check_counts
from scribeviz.data.counts import Counts, plain_counts

GROUPS = np.repeat([0, 1], 40)


@pytest.fixture
def two_groups(rng):
    """Eighty cells; the second half expresses the first five of forty genes ten times as much."""
    mean = np.full((80, 40), 5.0)
    mean[GROUPS == 1, :5] *= 10
    return plain_counts(rng.poisson(mean))


@pytest.mark.parametrize("kind", [PCA, pytest.param(UMAP, marks=pytest.mark.slow)])
def test_groups_lie_apart(two_groups, kind):
    places = embed(two_groups, kind)
    assert places.shape == (80, 2)
    centers = np.stack([places[group == GROUPS].mean(axis=0) for group in (0, 1)])
    own = np.linalg.norm(places - centers[GROUPS], axis=1)
    other = np.linalg.norm(places - centers[1 - GROUPS], axis=1)
    assert (own < other).mean() > 0.97


@pytest.mark.parametrize("shape", [(1, 5), (2, 2), (3, 1)])
def test_the_smallest_data_are_placed_too(shape):
    assert embed(plain_counts(np.ones(shape, int)), PCA).shape == (shape[0], 2)


def test_markers_are_the_genes_that_differ(two_groups):
    found = markers(two_groups, np.flatnonzero(GROUPS == 1), most=8)
    assert set(found["gene"][:5]) == {f"gene {i + 1}" for i in range(5)}
    assert (found["log2_fold"][:5] > 1.5).all()
    seen = two_groups.matrix.toarray() > 0
    first = two_groups.gene_index(found["gene"][0])
    assert found["within"][0] == pytest.approx(seen[40:, first].mean())
    assert found["elsewhere"][0] == pytest.approx(seen[:40, first].mean())


@pytest.mark.parametrize("chosen", [[], [3], range(80)])
def test_markers_need_two_sides(two_groups, chosen):
    with pytest.raises(ValueError, match="compare two cells or more with the others"):
        markers(two_groups, np.array(chosen, int))


def test_embeddings_of_a_file_are_kept(rng, tmp_path):
    adata = ad.AnnData(sp.csr_matrix(rng.poisson(2.0, (6, 4)).astype(np.float32)))
    adata.obsm["X_umap"] = rng.normal(size=(6, 2))
    adata.obsm["X_pca"] = rng.normal(size=(6, 5)).astype(np.float32)
    adata.obsm["frame"] = pd.DataFrame(rng.normal(size=(6, 3)), index=adata.obs_names)
    adata.obsm["one"] = rng.normal(size=(6, 1))
    broken = rng.normal(size=(6, 2))
    broken[2, 1] = np.nan
    adata.obsm["broken"] = broken
    counts = check_counts(adata, name="x")
    assert set(counts.embeddings) == {"X_umap", "X_pca", "frame"}
    np.testing.assert_allclose(counts.embeddings["X_pca"], adata.obsm["X_pca"][:, :2])
    some = counts.select_cells(np.array([4, 1]))
    np.testing.assert_allclose(some.embeddings["X_umap"], adata.obsm["X_umap"][[4, 1]], rtol=1e-6)
    kept = replace(counts, read_by="scribeviz.read('x.h5ad')")
    kept.save(tmp_path / "counts.h5")
    again = Counts.load(tmp_path / "counts.h5")
    assert again.read_by == "scribeviz.read('x.h5ad')"
    for name, places in counts.embeddings.items():
        np.testing.assert_array_equal(again.embeddings[name], places)
