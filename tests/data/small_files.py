"""A small whole file of every format, to damage."""

import gzip
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp
import zarr

N_CELLS, N_GENES = 12, 9
COUNTS = np.random.default_rng(0).poisson(1.5, (N_CELLS, N_GENES))
GENES = [f"Gene{i}" for i in range(N_GENES)]
CELLS = ["".join(np.random.default_rng(i).choice(list("ACGT"), 16)) + "-1" for i in range(N_CELLS)]


@dataclass(frozen=True)
class SmallFile:
    """How to write one, and what it is made of: HDF5, Zarr, text, 10x or archive, in lower case."""

    made_of: str
    write: Callable[[Path], Path]


def _adata(matrix, **more) -> anndata.AnnData:
    obs = pd.DataFrame(
        {
            "type": pd.Categorical(["B", "T", "NK"] * 4),
            "depth": np.arange(12.0),
            "note": ["a"] * 12,
        },
        index=CELLS,
    )
    var = pd.DataFrame({"gene_ids": [f"ENSG{i:011}" for i in range(N_GENES)]}, index=GENES)
    adata = anndata.AnnData(matrix.astype("float32"), obs=obs, var=var, **more)
    adata.obsm["X_umap"] = np.zeros((N_CELLS, 2))
    adata.uns["about"] = {"title": "small", "sizes": np.arange(3)}
    return adata


def _layered() -> anndata.AnnData:
    adata = _adata(sp.csr_matrix(COUNTS))
    adata.raw = adata
    adata.layers["spliced"] = sp.csc_matrix(COUNTS.astype("int64"))
    adata.X = adata.X.log1p()
    return adata


def _h5ad(make):
    def write(folder):
        make().write_h5ad(folder / "a.h5ad", compression="gzip")
        return folder / "a.h5ad"

    return write


def _zarr(version):
    def write(folder):
        with warnings.catch_warnings():  # Zarr's own, about what its format is still to say
            warnings.simplefilter("ignore")
            store = zarr.open_group(folder / "a.zarr", mode="w", zarr_format=version)
            anndata.io.write_elem(store, "/", _adata(sp.csr_matrix(COUNTS)))
            zarr.consolidate_metadata(store.store)
        return folder / "a.zarr"

    return write


def _tenx_h5(version):
    def write(folder):
        matrix = sp.csc_matrix(COUNTS.T)
        with h5py.File(folder / "a.h5", "w") as file:
            group = file.create_group("matrix" if version == 3 else "GRCh38")
            for name in ("data", "indices", "indptr"):
                group[name] = getattr(matrix, name).astype("int64" if name != "data" else "int32")
            group["shape"] = np.array(matrix.shape, dtype="int32")
            group["barcodes"] = np.array(CELLS, dtype="S")
            ids, names = (
                ("features/id", "features/name") if version == 3 else ("genes", "gene_names")
            )
            group[ids] = group[names] = np.array(GENES, dtype="S")
            if version == 3:
                kinds = ["Gene Expression"] * (N_GENES - 1) + ["Antibody Capture"]
                group["features/feature_type"] = np.array(kinds, dtype="S")
                group["features/genome"] = np.array(["GRCh38"] * N_GENES, dtype="S")
        return folder / "a.h5"

    return write


def _tenx_folder(compress):
    def write(folder):
        path = folder / "run"
        path.mkdir()
        scipy.io.mmwrite(path / "matrix.mtx", sp.coo_matrix(COUNTS.T))
        (path / "barcodes.tsv").write_text("".join(f"{cell}\n" for cell in CELLS))
        rows = (f"{gene}\t{gene}\tGene Expression\n" for gene in GENES)
        (path / "features.tsv").write_text("".join(rows))
        for file in list(path.iterdir()) if compress else ():
            file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
        return path

    return write


def _loom(folder):
    with h5py.File(folder / "a.loom", "w") as file:
        file.create_dataset("matrix", data=COUNTS.T, chunks=True, compression="gzip")
        file["layers/spliced"] = COUNTS.T
        file["row_attrs/Gene"] = np.array(GENES, dtype="S")
        file["col_attrs/CellID"] = np.array(CELLS, dtype="S")
        file["col_attrs/depth"] = np.arange(N_CELLS)
    return folder / "a.loom"


def _text(name, separator):
    def write(folder):
        text = pd.DataFrame(COUNTS, index=CELLS, columns=GENES).to_csv(sep=separator)
        content = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
        (folder / name).write_bytes(content)
        return folder / name

    return write


def _h5mu(folder):
    with h5py.File(folder / "a.h5mu", "w") as file:
        modalities = file.create_group("mod")
        anndata.io.write_elem(modalities, "rna", _adata(sp.csr_matrix(COUNTS)))
        anndata.io.write_elem(modalities, "prot", _adata(sp.csr_matrix(COUNTS)))
    return folder / "a.h5mu"


def _long(folder):
    rows = [f"{c},{g},{COUNTS[i, j]}\n" for i, c in enumerate(CELLS) for j, g in enumerate(GENES)]
    (folder / "long.csv").write_text("".join(["cell,gene,count\n", *rows]))
    return folder / "long.csv"


def _packed(name):
    def write(folder):
        inside = _tenx_folder(compress=False)(folder)
        if name.endswith(".zip"):
            with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as packed:
                for file in inside.iterdir():
                    packed.write(file, f"run/{file.name}")
        else:
            with tarfile.open(folder / name, "w:gz") as packed:
                packed.add(inside, "run")
        shutil.rmtree(inside)
        return folder / name

    return write


SMALL_FILES = {
    "h5ad, csr": SmallFile("hdf5", _h5ad(lambda: _adata(sp.csr_matrix(COUNTS)))),
    "h5ad, csc": SmallFile("hdf5", _h5ad(lambda: _adata(sp.csc_matrix(COUNTS)))),
    "h5ad, dense": SmallFile("hdf5", _h5ad(lambda: _adata(COUNTS))),
    "h5ad, layers and raw": SmallFile("hdf5", _h5ad(_layered)),
    "10x h5, v2": SmallFile("hdf5", _tenx_h5(2)),
    "10x h5, v3": SmallFile("hdf5", _tenx_h5(3)),
    "loom": SmallFile("hdf5", _loom),
    "zarr, v2": SmallFile("zarr", _zarr(2)),
    "zarr, v3": SmallFile("zarr", _zarr(3)),
    "10x folder": SmallFile("10x", _tenx_folder(compress=False)),
    "10x folder, gz": SmallFile("10x", _tenx_folder(compress=True)),
    "csv": SmallFile("text", _text("a.csv", ",")),
    "tsv": SmallFile("text", _text("a.tsv", "\t")),
    "csv.gz": SmallFile("text", _text("a.csv.gz", ",")),
    "h5mu": SmallFile("hdf5", _h5mu),
    "csv, long": SmallFile("text", _long),
    "zip": SmallFile("archive", _packed("a.zip")),
    "tar.gz": SmallFile("archive", _packed("a.tar.gz")),
}
