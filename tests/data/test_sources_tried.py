"""Layouts of files that other programs write, made by hand where the program is not at hand."""

from types import SimpleNamespace

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

from scribeviz import CountsError, as_counts
from scribeviz.data.checks import check_matrix
from scribeviz.data.sources import better_source

CELLS = [f"AAACCTGAGAAACC{a}{b}-1" for a in "ACGT" for b in "ACG"]
GENES = ["ACTB", "CD3D", "LYZ", "NKG7", "MS4A1", "MT-CO1"]
IDS = [f"ENSG{i:011}" for i in range(6)]
MATRIX = np.random.default_rng(3).poisson(2.0, (12, 6)) + np.eye(12, 6, dtype=int)
TEXT = h5py.string_dtype()


def adata(matrix=None):
    var = pd.DataFrame({"gene_ids": IDS}, index=GENES)
    x = sp.csr_matrix(MATRIX.astype("float32")) if matrix is None else matrix
    return ad.AnnData(x, obs=pd.DataFrame({"t": ["T", "B"] * 6}, index=CELLS), var=var)


def seurat_disk(path, *, scaled, has_metadata):
    """As SeuratDisk's Convert lays it out: X is data or scale.data, raw is counts."""

    def frame(group, names, column=None, *, encoded=True):
        group.create_dataset("_index", data=names, dtype=TEXT)
        group.attrs["_index"] = "_index"
        if column:
            group.create_dataset(column, data=names, dtype=TEXT)
            group.attrs.create("column-order", [column], dtype=TEXT)
        if encoded:
            group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.1.0"})

    def sparse(group, matrix):
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(matrix, key)
        group.attrs["shape"] = matrix.shape
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})

    with h5py.File(path, "w") as file:
        data = np.log1p(MATRIX[:, :4])
        if scaled:
            file["X"] = data - data.mean(axis=0)
        else:
            sparse(file.create_group("X"), sp.csr_matrix(data))
        frame(file.create_group("obs"), CELLS, "orig.ident")
        frame(file.create_group("var"), GENES[:4], "features", encoded=has_metadata)
        raw = file.create_group("raw")
        sparse(raw.create_group("X"), sp.csr_matrix(MATRIX * 1.0))
        frame(
            raw.create_group("var"),
            GENES,
            "features" if has_metadata else None,
            encoded=has_metadata,
        )
        file.create_dataset("obsm/X_umap", data=np.random.default_rng(0).normal(size=(12, 2)))


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("has_metadata", [True, False])
def test_seurat_disk(tmp_path, scaled, has_metadata):
    seurat_disk(tmp_path / "a.h5ad", scaled=scaled, has_metadata=has_metadata)
    with pytest.raises(CountsError, match="Raw of the same data holds counts") as refused:
        as_counts(tmp_path / "a.h5ad")
    assert refused.value.use_layer == "raw"
    counts = as_counts(tmp_path / "a.h5ad", "raw")
    np.testing.assert_array_equal(counts.matrix.toarray(), MATRIX)
    assert counts.genes.tolist() == GENES
    assert list(counts.embeddings) == ["X_umap"]


def encoded(item, kind, version="0.1.0", **attributes):
    item.attrs.update({"encoding-type": kind, "encoding-version": version} | attributes)
    return item


def named_frame(file, slot, names):
    frame = encoded(file.create_group(slot), "dataframe", "0.2.0", _index="_index")
    frame.attrs["column-order"] = np.array([], dtype=TEXT)
    encoded(frame.create_dataset("_index", data=names, dtype=TEXT), "string-array", "0.2.0")


def sparse_group(file, slot, kind, matrix):
    group = encoded(file.create_group(slot), kind, shape=matrix.shape)
    for key in ("data", "indices", "indptr"):
        group[key] = getattr(matrix, key)


def zellkonverter(file):
    """A DelayedArray: its blocks are written by HDF5Array, which knows no attributes."""
    file.create_dataset("X", data=MATRIX.astype("int32"), chunks=(5, 6))
    uns = encoded(file.create_group("uns"), "dict")
    encoded(uns.create_dataset("X_name", data="counts"), "string", "0.2.0")


def sceasy(file):
    """A dgCMatrix of genes x cells, transposed: columns of doubles."""
    sparse_group(file, "X", "csc_matrix", sp.csc_matrix(MATRIX * 1.0))


@pytest.mark.parametrize("write", [zellkonverter, sceasy])
def test_exports_of_r(tmp_path, write):
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        encoded(file, "anndata")
        named_frame(file, "obs", CELLS)
        named_frame(file, "var", GENES)
        write(file)
    counts = as_counts(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(counts.matrix.toarray(), MATRIX)
    assert (counts.genes.tolist(), counts.cells.tolist()) == (GENES, CELLS)


@pytest.mark.parametrize("has_x", [False, True])
def test_anndatar(tmp_path, has_x):
    """Of a Seurat object every assay is a layer, and X is left out or holds nothing."""
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        encoded(file, "anndata")
        named_frame(file, "obs", CELLS)
        named_frame(file, "var", GENES)
        encoded(file.create_group("layers"), "dict")
        sparse_group(file, "layers/counts", "csr_matrix", sp.csr_matrix(MATRIX * 1.0))
        sparse_group(file, "layers/data", "csr_matrix", sp.csr_matrix(np.log1p(MATRIX)))
        if has_x:
            encoded(file.create_dataset("X", data=h5py.Empty("f8")), "null")
    with pytest.raises(CountsError, match=r"X is empty.*Layer 'counts'") as refused:
        as_counts(tmp_path / "a.h5ad")
    assert refused.value.use_layer == "counts"
    counts = as_counts(tmp_path / "a.h5ad", "counts")
    np.testing.assert_array_equal(counts.matrix.toarray(), MATRIX)


@pytest.mark.parametrize("version", [2, 3])
def test_cellbender(tmp_path, version):
    columns = sp.csc_matrix(MATRIX.T)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("matrix" if version == 3 else "background_removed")
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(columns, key)
        group["shape"] = np.array(columns.shape)
        group["barcodes"] = np.array(CELLS, "S")
        names = ("features/id", "features/name") if version == 3 else ("genes", "gene_names")
        group[names[0]], group[names[1]] = np.array(IDS, "S"), np.array(GENES, "S")
        file["droplet_latents/cell_probability"] = np.ones(12)
        file["metadata/barcodes_analyzed"] = np.array(CELLS, "S")
    counts = as_counts(tmp_path / "a.h5")
    np.testing.assert_array_equal(counts.matrix.toarray(), MATRIX)
    assert counts.gene_ids.tolist() == IDS


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_sharded_zarr(tmp_path):
    def sharded(write, group, key, elem, dataset_kwargs, iospec):  # noqa: ARG001  anndata's call
        large = isinstance(elem, np.ndarray) and elem.dtype.kind in "iuf" and elem.size >= 8
        write(group, key, elem, dataset_kwargs={"chunks": (4,), "shards": (8,)} if large else {})

    store = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    ad.experimental.write_dispatched(store, "/", adata(), callback=sharded)
    assert "sharding_indexed" in (tmp_path / "a.zarr/X/data/zarr.json").read_text()
    np.testing.assert_array_equal(as_counts(tmp_path / "a.zarr").matrix.toarray(), MATRIX)


def test_nullable_columns(tmp_path):
    data = adata(sp.csc_matrix(MATRIX))
    data.obs["flag"] = pd.array([True, None] * 6, dtype="boolean")
    data.obs["number"] = pd.array([1, None] * 6, dtype="Int64")
    data.write_h5ad(tmp_path / "a.h5ad")
    counts = as_counts(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(counts.matrix.toarray(), MATRIX)
    assert counts.obs["number"].isna().sum() == 6


class Lazy:
    """What reading needs of a Dask array; it counts how often its rows are computed."""

    dask, dtype = object(), np.dtype("float32")

    def __init__(self, matrix, heights, loads):
        self.matrix, self.heights, self.loads = matrix, heights, loads
        self.shape, self.chunks = matrix.shape, (heights, (matrix.shape[1],))

    def __getitem__(self, rows):
        return Lazy(self.matrix[rows], self.heights, self.loads)

    def compute(self):
        self.loads.append(self.shape[0])
        return sp.csr_matrix(self.matrix)


@pytest.mark.parametrize("heights", [(5, 5, 2), (float("nan"),)])
def test_arrays_of_dask_are_computed_once_and_by_blocks(heights):
    loads = []
    lazy = Lazy(MATRIX.astype("float32"), heights, loads)
    counts = check_matrix(
        lazy, var=pd.DataFrame(index=GENES), obs=pd.DataFrame(index=CELLS), name="lazy"
    )
    np.testing.assert_array_equal(counts.matrix.toarray(), MATRIX)
    assert loads == ([5, 5, 2] if len(heights) == 3 else [12])


def test_looking_for_a_better_layer_loads_each_once():
    loads = []
    data = SimpleNamespace(
        X=np.log1p(MATRIX), raw=None, layers={"counts": Lazy(MATRIX, (6, 6), loads)}
    )
    assert better_source(data, "X") == "counts"
    assert loads == [6, 6]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.rds", "from R as .h5ad"),
        ("a.h5Seurat", "from R as .h5ad"),
        ("a.xlsx", "Save the sheet as CSV"),
        ("out/alevin/quants_mat.gz", "alevin's binary format; run it with --dumpMtx"),
    ],
)
def test_what_others_write_and_nobody_else_reads_has_a_way_on(tmp_path, name, says):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"1")
    with pytest.raises(CountsError, match=says):
        as_counts(tmp_path / name.split("/")[0])
