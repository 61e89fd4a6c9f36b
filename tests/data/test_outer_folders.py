"""A folder around a data set stands for it, where there is one."""

import gzip

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp

from scribeviz import CountsError, CountsWarning, as_counts
from scribeviz.data import outer_folders

CELLS = [f"AAACCTGAGAAACC{a}{b}-1" for a in "ACGT" for b in "ACG"]
GENES = ["ACTB", "CD3D", "LYZ", "NKG7", "MS4A1"]
MATRIX = np.random.default_rng(3).poisson(2.0, (12, 5)) + np.eye(12, 5, dtype=int)


def mex(folder, matrix=MATRIX, names=("matrix.mtx", "features.tsv", "barcodes.tsv")):
    """A matrix as Cell Ranger and STARsolo write it."""
    folder.mkdir(parents=True)
    scipy.io.mmwrite(folder / names[0], sp.coo_matrix(matrix.T))
    (folder / names[1]).write_text("".join(f"E{g}\t{g}\tGene Expression\n" for g in GENES))
    (folder / names[2]).write_text("".join(f"{b}\n" for b in CELLS[: len(matrix)]))
    for file in folder.iterdir():
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()


def tenx_h5(path, matrix=MATRIX):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = sp.csc_matrix(matrix.T)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(columns, key)
        group["shape"] = np.array(columns.shape)
        group["barcodes"] = np.array(CELLS[: len(matrix)], "S")
        group["features/id"] = group["features/name"] = np.array(GENES, "S")


def beside(outs):
    """What Cell Ranger writes beside its matrices."""
    for name in ("analysis/pca/10_components/projection.csv", "metrics_summary.csv"):
        (outs / name).parent.mkdir(parents=True, exist_ok=True)
        (outs / name).write_text("Barcode,PC-1\nA,1\nB,2\n")
    with h5py.File(outs / "molecule_info.h5", "w") as file:
        file["barcodes"] = np.arange(3)


RAW = np.vstack([MATRIX, MATRIX[:3] * 0 + 1])[:12] * 3


def cell_ranger(run):
    for kind, matrix in (("raw", RAW), ("filtered", MATRIX)):
        mex(run / f"outs/{kind}_feature_bc_matrix", matrix)
        tenx_h5(run / f"outs/{kind}_feature_bc_matrix.h5", matrix)
    beside(run / "outs")


def cell_ranger_2(run):
    for kind, matrix in (("raw", RAW), ("filtered", MATRIX)):
        mex(run / f"outs/{kind}_gene_bc_matrices/GRCh38", matrix)
    beside(run / "outs")


def cell_ranger_multi(run):
    mex(run / "outs/multi/count/raw_feature_bc_matrix", RAW)
    tenx_h5(run / "outs/multi/count/raw_feature_bc_matrix.h5", RAW)
    sample = run / "outs/per_sample_outs/S1"
    for kind, matrix in (("raw", RAW), ("filtered", MATRIX)):
        mex(sample / f"count/sample_{kind}_feature_bc_matrix", matrix)
        tenx_h5(sample / f"count/sample_{kind}_feature_bc_matrix.h5", matrix)
    tenx_h5(sample / "count/sample_molecule_info.h5", RAW)
    beside(sample / "count")
    (sample / "vdj_t").mkdir()
    (sample / "vdj_t/clonotypes.csv").write_text("id,n\na,1\nb,2\n")


def cell_ranger_aggr(run):
    mex(run / "outs/count/filtered_feature_bc_matrix")
    tenx_h5(run / "outs/count/filtered_feature_bc_matrix.h5")
    (run / "outs/aggregation.csv").write_text("sample_id,molecule_h5\nA,a.h5\nB,b.h5\n")
    beside(run / "outs/count")


def starsolo(run):
    for kind, matrix in (("raw", RAW), ("filtered", MATRIX)):
        mex(run / f"Solo.out/Gene/{kind}", matrix)
        velocyto = run / f"Solo.out/Velocyto/{kind}"
        mex(velocyto, matrix, ("spliced.mtx", "features.tsv", "barcodes.tsv"))
        scipy.io.mmwrite(velocyto / "unspliced.mtx", sp.coo_matrix(matrix.T))
    mex(run / "Solo.out/SJ/raw", RAW)
    (run / "Solo.out/Gene/Summary.csv").write_text("Number of Reads,1000\n")
    (run / "Solo.out/Barcodes.stats").write_text("nNoAdapter 0\n")


def kb(run):
    folder = run / "counts_unfiltered"
    folder.mkdir(parents=True)
    scipy.io.mmwrite(folder / "cells_x_genes.mtx", sp.coo_matrix(MATRIX))
    (folder / "cells_x_genes.genes.txt").write_text("".join(f"{g}\n" for g in GENES))
    (folder / "cells_x_genes.barcodes.txt").write_text("".join(f"{b}\n" for b in CELLS))
    ad.AnnData(MATRIX.astype("float32")).write_h5ad(folder / "adata.h5ad")
    (run / "transcripts.txt").write_text("ENST1\nENST2\n")


def alevin_fry(run):
    folder = run / "alevin"
    folder.mkdir(parents=True)
    scipy.io.mmwrite(folder / "quants_mat.mtx", sp.coo_matrix(MATRIX))
    (folder / "quants_mat_cols.txt").write_text("".join(f"{g}\n" for g in GENES))
    (folder / "quants_mat_rows.txt").write_text("".join(f"{b}\n" for b in CELLS))
    (run / "featureDump.txt").write_text("CB\tCorrectedReads\nA\t1\nC\t2\n")


def parse(run):
    for kind, matrix in (("unfiltered", RAW), ("filtered", MATRIX)):
        folder = run / f"all-sample/DGE_{kind}"
        folder.mkdir(parents=True)
        scipy.io.mmwrite(folder / "count_matrix.mtx", sp.coo_matrix(matrix))
        pd.DataFrame({"gene_id": GENES, "gene_name": GENES}).to_csv(folder / "all_genes.csv")
        cells = pd.DataFrame({"bc_wells": CELLS, "sample": "s"})
        cells.to_csv(folder / "cell_metadata.csv", index=False)
    (run / "all-sample_analysis_summary.csv").write_text("statistic,value\nn,3\n")


LAYOUTS = [cell_ranger, cell_ranger_2, cell_ranger_multi, cell_ranger_aggr]
LAYOUTS += [starsolo, kb, alevin_fry, parse]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("write", LAYOUTS)
def test_the_counts_of_cells_are_found_in_a_run(tmp_path, write):
    write(tmp_path / "run")
    counts = as_counts(tmp_path / "run")
    np.testing.assert_array_equal(counts.matrix.toarray(), MATRIX)
    assert any(note.startswith("The counts are those in '") for note in counts.notes)


def test_starsolo_velocity_alone(tmp_path):
    starsolo(tmp_path / "run")
    with pytest.warns(CountsWarning, match="the sum of spliced, unspliced"):
        counts = as_counts(tmp_path / "run/Solo.out/Velocyto")
    np.testing.assert_array_equal(counts.matrix.toarray(), 2 * MATRIX)
    spliced = as_counts(tmp_path / "run/Solo.out/Velocyto", "spliced")
    np.testing.assert_array_equal(spliced.matrix.toarray(), MATRIX)


def test_alevin_fry_that_counts_each_gene_three_times(tmp_path):
    alevin_fry(tmp_path)
    parts = sp.coo_matrix(np.hstack([MATRIX, 2 * MATRIX, 3 * MATRIX]))
    scipy.io.mmwrite(tmp_path / "alevin/quants_mat.mtx", parts)
    names = [f"{gene}{ending}" for ending in ("", "-U", "-A") for gene in GENES]
    (tmp_path / "alevin/quants_mat_cols.txt").write_text("\n".join(names))
    with pytest.warns(CountsWarning, match="the sum of spliced, unspliced, ambiguous"):
        counts = as_counts(tmp_path)
    assert counts.genes.tolist() == GENES
    np.testing.assert_array_equal(counts.matrix.toarray(), 6 * MATRIX)
    np.testing.assert_array_equal(as_counts(tmp_path, "unspliced").matrix.toarray(), 2 * MATRIX)


def test_all_barcodes_are_read_where_there_is_nothing_else(tmp_path):
    mex(tmp_path / "outs/raw_feature_bc_matrix")
    assert as_counts(tmp_path / "outs").n_cells == 12


def test_several_data_sets_are_named(tmp_path):
    for sample in ("S1", "S2"):
        mex(tmp_path / f"outs/per_sample_outs/{sample}/count/sample_filtered_feature_bc_matrix")
    names = "'outs/per_sample_outs/S1/count/sample_filtered_feature_bc_matrix', 'outs/per_sample"
    with pytest.raises(CountsError, match=f"holds 2 data sets: {names}.*; choose one of them"):
        as_counts(tmp_path)


def test_a_folder_of_users_called_raw_is_one_like_others(tmp_path):
    mex(tmp_path / "raw_data/one")
    mex(tmp_path / "filtered_twice/two")
    with pytest.raises(CountsError, match="2 data sets"):
        as_counts(tmp_path)


def test_tables_count_where_there_is_nothing_else(tmp_path):
    pd.DataFrame(MATRIX, CELLS, GENES).to_csv(tmp_path / "counts.csv")
    (tmp_path / "README.md").write_text("# mine")
    with pytest.warns(CountsWarning, match="those in 'counts.csv'"):
        assert as_counts(tmp_path).n_cells == 12
    mex(tmp_path / "a")
    with pytest.warns(CountsWarning, match="those in 'a'"):
        assert as_counts(tmp_path).n_cells == 12


def test_the_search_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(outer_folders, "_MOST_FOLDERS", 5)
    for i in range(6):
        (tmp_path / f"empty/{i}").mkdir(parents=True)
    with pytest.raises(CountsError, match="more than 5 folders; choose the one"):
        as_counts(tmp_path / "empty")
    mex(tmp_path / "/".join("abcdefgh") / "i")
    monkeypatch.undo()
    with pytest.raises(CountsError, match="holds no counts"):
        as_counts(tmp_path / "a")
