"""MuData files: the modality of genes, and no other."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from anndata.io import write_elem

from scribeviz import CountsError, CountsWarning, as_counts

CELLS = [f"cell {i}" for i in range(12)]
MATRIX = np.random.default_rng(3).poisson(2.0, (12, 5)) + np.eye(12, 5, dtype=int)


def modality(factor=1, prefix="Gene"):
    obs = pd.DataFrame({"depth": np.arange(12)}, index=CELLS)
    var = pd.DataFrame(index=[f"{prefix}{i}" for i in range(5)])
    adata = ad.AnnData(sp.csr_matrix(factor * MATRIX.astype("float32")), obs=obs, var=var)
    adata.layers["spliced"] = sp.csr_matrix(MATRIX)
    return adata


def h5mu(path, **modalities):
    """A file as mudata lays it out."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "MuData", "encoding-version": "0.1.0"})
        for name, adata in modalities.items():
            write_elem(file.require_group("mod"), name, adata)
        about = {"cell_type": ["T", "B"] * 6, "rna:depth": range(12), "depth": range(12)}
        write_elem(file, "obs", pd.DataFrame(about, index=CELLS[::-1]))
        write_elem(file, "var", pd.DataFrame(index=["Gene0"]))
        write_elem(file, "obsmap", {name: np.arange(12) for name in modalities})
    return path


@pytest.mark.parametrize("name", ["rna", "gex", "Gene Expression"])
@pytest.mark.parametrize("ending", ["h5mu", "h5ad"])
def test_the_modality_of_genes_is_read(tmp_path, name, ending):
    path = h5mu(
        tmp_path / f"a.{ending}", **{name: modality(), "prot": modality(9), "x": modality(5)}
    )
    with pytest.warns(CountsWarning, match=f"modality '{name}' of a MuData; left out: 'prot', 'x'"):
        counts = as_counts(path)
    np.testing.assert_array_equal(counts.matrix.toarray(), MATRIX)
    assert counts.obs["cell_type"].tolist() == ["B", "T"] * 6  # its rows come in another order
    assert list(counts.obs) == ["depth", "cell_type"]
    layer = as_counts(path, "spliced")
    np.testing.assert_array_equal(layer.matrix.toarray(), MATRIX)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_mudata_in_zarr(tmp_path):
    store = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    write_elem(store.create_group("mod"), "rna", modality())
    write_elem(store["mod"], "prot", modality(9))
    write_elem(store, "obs", pd.DataFrame(index=CELLS))
    np.testing.assert_array_equal(as_counts(tmp_path / "a.zarr").matrix.toarray(), MATRIX)


def test_the_only_one_that_may_be_of_genes_is_read(tmp_path):
    path = h5mu(tmp_path / "a.h5mu", adt=modality(9), cells=modality(), atac=modality(5))
    np.testing.assert_array_equal(as_counts(path).matrix.toarray(), MATRIX)


def test_others_are_named(tmp_path):
    path = h5mu(tmp_path / "a.h5mu", one=modality(), two=modality())
    with pytest.raises(
        CountsError, match=r"2 modalities \('one', 'two'\), and which of them counts"
    ):
        as_counts(path)
    with h5py.File(tmp_path / "b.h5mu", "w") as file:
        write_elem(file, "a", 1)
    with pytest.raises(CountsError, match="holds no MuData"):
        as_counts(tmp_path / "b.h5mu")
    with h5py.File(tmp_path / "c.h5mu", "w") as file:
        write_elem(file.create_group("mod"), "rna", pd.DataFrame(index=CELLS))
    with pytest.raises(CountsError, match="mod/rna holds no AnnData"):
        as_counts(tmp_path / "c.h5mu")
