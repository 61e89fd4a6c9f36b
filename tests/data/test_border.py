"""What people really have, each kind with the right reading: the same rules whatever the format."""

import gzip

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp

import scribeviz
from scribeviz import CountsError, CountsWarning, as_counts
from scribeviz.data.embeddings import embeddings
from scribeviz.data.structure import as_csr, check_structure

BARCODES = [f"AAACCTGAGAAACC{a}{b}-1" for a in "ACGT" for b in "ACGT"]
GENES = ["ACTB", "CD3D", "LYZ", "NKG7", "MS4A1"]


@pytest.fixture
def matrix():
    return np.random.default_rng(3).poisson(2.0, (12, 5)) + np.eye(12, 5, dtype=int)


def table(path, rows, columns, values, corner="", sep=",", encoding="utf-8"):
    lines = [sep.join([corner, *columns])]
    lines += [sep.join([str(r), *map(str, v)]) for r, v in zip(rows, values, strict=True)]
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return path


# Structure.


def test_parts_of_a_sparse_matrix_must_fit():
    good = sp.csr_matrix(np.array([[0, 2, 1], [3, 0, 0]]))
    check_structure(good, "m")
    spoils = {
        "an index is 3, outside of 0 to 2": ("indices", np.array([1, 3, 0], np.int32)),
        "an index is -1": ("indices", np.array([1, -1, 0], np.int32)),
        "its row starts do not rise": ("indptr", np.array([0, 3, 2], np.int32)),
        "it has 2 row starts where 3": ("indptr", np.array([0, 3], np.int32)),
        "its rows end at value 2 of 3": ("indptr", np.array([0, 1, 2], np.int32)),
        "3 indices and 2 values": ("data", np.array([1, 2])),
    }
    for says, (part, values) in spoils.items():
        for made in (good.copy(), sp.csc_matrix(good.T)):
            setattr(made, part, values)
            with pytest.raises(CountsError, match=says):
                as_counts(made)
    coo = sp.coo_array(good)
    coo.coords = (coo.coords[0], coo.coords[1] + 1)
    with pytest.raises(CountsError, match="outside of 0 to 2"):
        as_counts(coo)


@pytest.mark.parametrize("dtype", ["float16", "bool", "longdouble", "object"])
def test_unusual_numbers_are_read(matrix, dtype):
    values = (matrix > 1) if dtype == "bool" else matrix
    counts = as_counts(values.astype(dtype))
    np.testing.assert_array_equal(counts.matrix.toarray(), values)


def test_masked_values_are_missing(matrix):
    masked = np.ma.MaskedArray(matrix, mask=matrix == 2)
    with pytest.raises(CountsError, match="missing or infinite"):
        as_counts(masked)
    np.testing.assert_array_equal(as_counts(np.ma.MaskedArray(matrix)).matrix.toarray(), matrix)


# Columns and rows that are no genes and no cells.


def test_indices_and_positions_are_set_aside(tmp_path, matrix):
    ids = [1043, 22981, 300412, 7, 88120, 512, 9, 31, 6, 2, 1, 77]
    c = as_counts(table(tmp_path / "rhapsody.csv", ids, GENES, matrix, "Cell_Index"))
    assert c.genes.tolist() == GENES
    assert c.cells.tolist() == [str(i) for i in ids]
    assert "The numbers under 'Cell_Index' were taken as names of the cells." in c.notes
    wide = np.c_[np.arange(12) // 4 + 1, np.arange(12) % 4 + 1, matrix]
    path = table(tmp_path / "cosmx.csv", wide[:, 0], ["cell_ID", *GENES], wide[:, 1:], "fov")
    c = as_counts(path)
    assert c.genes.tolist() == GENES
    assert c.obs["fov"].tolist() == wide[:, 0].tolist()
    assert any("'fov', 'cell_ID'" in note for note in c.notes)


def test_summary_rows_and_gene_columns_are_set_aside(tmp_path, matrix):
    rows = [*[f"ENSG0000007564{i}" for i in range(5)], "__no_feature", "__ambiguous"]
    values = np.vstack([matrix.T, [[7_000] * 12, [30] * 12]])
    c = as_counts(table(tmp_path / "htseq.tsv", rows, BARCODES[:12], values, "gene", "\t"))
    assert c.matrix.toarray().tolist() == matrix.tolist()
    assert c.obs["__no_feature"].tolist() == [7_000] * 12
    assert any(note.startswith("2 names among the genes are no genes and were") for note in c.notes)
    columns = ["Entrez_Gene_Id", "length", *BARCODES[:12]]
    values = np.c_[[7157, 60, 2597, 915, 931], [900, 1200, 3000, 500, 750], matrix.T]
    c = as_counts(table(tmp_path / "entrez.csv", GENES, columns, values, "Hugo_Symbol"))
    assert c.cells.tolist() == BARCODES[:12]
    assert c.matrix.toarray().tolist() == matrix.tolist()


def test_labels_of_cells_are_kept_beside_the_counts(tmp_path, matrix):
    kinds = ["T", "B", "T"] * 4
    values = [
        [*row, i % 3, kind, row.sum()]
        for i, (row, kind) in enumerate(zip(matrix, kinds, strict=True))
    ]
    columns = [*GENES, "cluster", "cell_type", "nCount_RNA"]
    c = as_counts(table(tmp_path / "a.csv", BARCODES[:12], columns, values))
    assert c.genes.tolist() == GENES
    assert c.obs["cell_type"].tolist() == kinds
    assert c.obs["cluster"].tolist() == [i % 3 for i in range(12)]


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (lambda m: np.arange(12), "a running number"),
        (lambda m: np.arange(12) + 1, "a running number"),
        (lambda m: m.sum(axis=1), "the sum of all others"),
        (lambda m: (m > 0).sum(axis=1), "the number of genes seen"),
        (lambda m: np.repeat([1, 2, 3], 4), "one value per block of rows"),
    ],
)
def test_what_a_column_holds_tells_that_it_is_no_gene(matrix, column, why):
    frame = pd.DataFrame(np.c_[column(matrix), matrix], columns=["foo", *GENES])
    with pytest.warns(CountsWarning, match=rf"'foo' \({why}\)"):
        c = as_counts(frame)
    assert c.genes.tolist() == GENES
    assert c.obs["foo"].tolist() == column(matrix).tolist()


def test_no_gene_is_taken_for_something_else(matrix):
    names = ["PCA3", "POSTN", "SUMO1", "NUMB", "AREG"]
    assert as_counts(pd.DataFrame(matrix, columns=names)).genes.tolist() == names


# Which layer, which features, which species.


@pytest.mark.parametrize("parts", [("spliced", "unspliced"), ("mature", "nascent")])
def test_velocity_layers_add_up(matrix, parts):
    layers = {"ambiguous": matrix * 3, parts[1]: matrix * 2, parts[0]: matrix}
    adata = ad.AnnData(np.log1p(matrix) / 3, layers=layers)
    with pytest.raises(CountsError, match="the sum of its parts, for all molecules") as refused:
        as_counts(adata)
    assert refused.value.use_layer == parts[0]
    whole = as_counts(adata, layer=f"{parts[0]} + {parts[1]} + ambiguous")
    np.testing.assert_array_equal(whole.matrix.toarray(), 6 * matrix)


def test_the_largest_total_is_advised(matrix):
    layers = {"part": matrix, "all": 2 * matrix}
    with pytest.raises(CountsError) as refused:
        as_counts(ad.AnnData(matrix / 7, layers=layers))
    assert refused.value.use_layer == "all"


def test_other_features_are_left_out_everywhere(tmp_path, matrix):
    var = pd.DataFrame(
        {"feature_types": ["Gene Expression"] * 4 + ["Antibody Capture"]}, index=GENES
    )
    adata = ad.AnnData(sp.csr_matrix(matrix.astype("float32")), var=var)
    adata.write_h5ad(tmp_path / "a.h5ad")
    adata.write_zarr(tmp_path / "a.zarr")
    for data in (adata, tmp_path / "a.h5ad", tmp_path / "a.zarr"):
        with pytest.warns(CountsWarning, match="1 feature that is no gene was left out: Antibody"):
            c = as_counts(data)
        assert c.genes.tolist() == GENES[:4]
    named = pd.DataFrame(matrix, columns=[*GENES[:3], "CD3_TotalSeqB", "Hashtag_1"])
    assert as_counts(named).genes.tolist() == GENES[:3]


def test_two_species_are_refused_everywhere(matrix):
    prefixed = ["GRCh38_ACTB", "GRCh38_LYZ", "mm10___Actb", "mm10___Lyz2", "mm10___Cd4"]
    ids = ["ENSG00000000001", "ENSG00000000002", *[f"ENSMUSG0000000000{i}" for i in range(3)]]
    for names in (prefixed, ids):
        with pytest.raises(CountsError, match="genes of 2 genomes"):
            as_counts(pd.DataFrame(matrix, columns=names))


# Which way round.


def test_the_corner_tells_which_way_a_table_lies(tmp_path, matrix):
    genes, cells = ["A2M", "ABCC9", "ABI3BP", "ACBD7", "ADA"], [f"w5_{i}" for i in range(12)]
    c = as_counts(table(tmp_path / "g.csv", genes, cells, matrix.T, "GENE"))
    assert c.genes.tolist() == genes
    c = as_counts(table(tmp_path / "c.csv", cells, genes, matrix, "cell"))
    assert c.genes.tolist() == genes


@pytest.mark.parametrize(
    "names",
    [
        ("cells_x_genes.mtx", "cells_x_genes.genes.txt", "cells_x_genes.barcodes.txt"),
        ("quants_mat.mtx", "quants_mat_cols.txt", "quants_mat_rows.txt"),
        ("matrix.mtx", "genes.tsv", "barcodes.tsv"),
    ],
)
def test_folders_of_cells_by_genes_are_read(tmp_path, matrix, names):
    scipy.io.mmwrite(tmp_path / names[0], sp.coo_matrix(matrix))
    (tmp_path / names[1]).write_text("".join(f"{g}\n" for g in GENES))
    (tmp_path / names[2]).write_text("".join(f"{b}\n" for b in BARCODES[:12]))
    c = as_counts(tmp_path)
    assert c.matrix.toarray().tolist() == matrix.tolist()
    assert c.genes.tolist() == GENES


def test_velocity_folders_of_starsolo_are_summed(tmp_path, matrix):
    for part, factor in (("spliced", 1), ("unspliced", 2), ("ambiguous", 3)):
        scipy.io.mmwrite(tmp_path / f"{part}.mtx", sp.coo_matrix(factor * matrix.T))
    (tmp_path / "features.tsv").write_text("".join(f"E{g}\t{g}\n" for g in GENES))
    (tmp_path / "barcodes.tsv").write_text("".join(f"{b}\n" for b in BARCODES[:12]))
    with pytest.warns(CountsWarning, match="the sum of spliced, unspliced, ambiguous"):
        c = as_counts(tmp_path)
    np.testing.assert_array_equal(c.matrix.toarray(), 6 * matrix)
    np.testing.assert_array_equal(as_counts(tmp_path, "spliced").matrix.toarray(), matrix)


def test_folders_of_parse_are_read(tmp_path, matrix):
    scipy.io.mmwrite(tmp_path / "count_matrix.mtx", sp.coo_matrix(matrix))
    genes = pd.DataFrame(
        {"gene_id": [f"E{g}" for g in GENES], "gene_name": GENES, "genome": "hg38"}
    )
    genes.to_csv(tmp_path / "all_genes.csv", index=False)
    cells = pd.DataFrame({"bc_wells": [f"01_0{i}_02" for i in range(12)], "sample": "s1"})
    cells.to_csv(tmp_path / "cell_metadata.csv", index=False)
    c = as_counts(tmp_path)
    assert c.genes.tolist() == GENES
    assert c.matrix.toarray().tolist() == matrix.tolist()
    assert c.obs["sample"].unique().tolist() == ["s1"]


# Values.


def test_errors_of_rounding_are_made_whole(matrix):
    dusty = np.expm1(np.log1p(7 * matrix.astype("float32"))).astype("float32")
    with pytest.warns(CountsWarning, match="whole but for errors of rounding"):
        np.testing.assert_array_equal(as_counts(dusty).matrix.toarray(), 7 * matrix)


def test_corrected_counts_can_be_rounded():
    counts = np.random.default_rng(0).poisson(2.0, (400, 10)) * 1.0
    counts[::3] *= 0.93
    with pytest.raises(CountsError, match="looks corrected") as refused:
        as_counts(counts)
    assert refused.value.can_round
    # On a page a button stands beside the refusal; a traceback ends in what to write.
    assert "rounding=" not in str(refused.value)
    assert "rounding='stochastic' or rounding='nearest'" in refused.value.__notes__[0]
    nearest = as_counts(counts, rounding="nearest")
    np.testing.assert_array_equal(nearest.matrix.toarray(), np.rint(counts))
    with pytest.warns(CountsWarning, match="rounded at random"):
        drawn = as_counts(counts, rounding="stochastic").matrix
    assert set(np.unique(drawn.toarray() - np.floor(counts))) == {0.0, 1.0}
    assert abs(drawn.sum() - counts.sum()) < 4 * np.sqrt(0.25 * counts.size)
    assert (drawn != as_counts(counts, rounding="stochastic").matrix).nnz == 0
    with pytest.raises(ValueError, match="'up' is not known"):
        as_counts(counts, rounding="up")


def test_what_values_may_be_is_named(matrix):
    for values, says in (
        (np.log1p(matrix), "natural logarithms of 1 [+] count"),
        (np.log2(1 + matrix), "logarithms to base 2 of 1 [+] count"),
        (matrix - 1, "a background had been taken away"),
    ):
        with pytest.raises(CountsError, match=says) as refused:
            as_counts(values)
        assert not refused.value.can_round


# Names.


@pytest.mark.parametrize("index", [range(5), [7157, 60, 2597, 915, 931]])
def test_symbols_are_shown_where_the_index_is_numbers(matrix, index):
    var = pd.DataFrame({"gene_symbols": GENES}, index=[str(i) for i in index])
    c = as_counts(ad.AnnData(matrix.astype("float32"), var=var))
    assert c.genes.tolist() == GENES


def test_quotes_around_all_names_go(matrix):
    names = [f'"{gene}"' for gene in GENES]
    assert as_counts(pd.DataFrame(matrix, columns=names)).genes.tolist() == GENES


def test_genes_that_became_dates_are_noted(matrix):
    names = ["1-Mar", "2-Sep", *GENES[:3]]
    with pytest.warns(CountsWarning, match=r"2 gene names look like dates \(first: '1-Mar'\)"):
        as_counts(pd.DataFrame(matrix, columns=names))


def test_text_that_is_not_utf8_is_latin1(tmp_path, matrix):
    genes = ["Größe", *GENES[1:]]
    path = table(tmp_path / "a.csv", BARCODES[:12], genes, matrix, encoding="latin-1")
    with pytest.warns(CountsWarning, match="not UTF-8"):
        assert as_counts(path).genes.tolist() == genes
    path = table(tmp_path / "b.csv", BARCODES[:12], genes, matrix, encoding="utf-16")
    assert as_counts(path).genes.tolist() == genes


def test_blanks_in_names_of_a_tab_table(tmp_path, matrix):
    cells = [f"day 3 cell {i} rep 1" for i in range(12)]
    c = as_counts(table(tmp_path / "t.tsv", GENES, cells, matrix.T, "gene", "\t"))
    assert c.cells.tolist() == cells


# Pictures, sources, paths.


def test_only_coordinates_draw_cells():
    rng = np.random.default_rng(0)
    drawn = embeddings(
        {
            "protein": rng.poisson(5.0, (9, 4)).astype(float),
            "X_pca": rng.normal(size=(9, 5)),
            "spatial": rng.integers(0, 900, (9, 2)),
            "probabilities": rng.dirichlet([1, 1, 1], 9),
            "X_umap": pd.DataFrame(rng.normal(size=(9, 2))),
        }
    )
    assert list(drawn) == ["X_umap", "spatial", "X_pca"]


def test_floats_of_r_in_a_10x_file(tmp_path, matrix):
    columns = sp.csc_matrix(matrix.T.astype(float))
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file.create_group("matrix")
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(columns, key).astype(float)
        group["shape"] = np.array([5.0, 12.0])
        group["barcodes"] = np.array(BARCODES[:12], "S")
        group["features/id"] = group["features/name"] = np.array(GENES, "S")
    assert as_counts(tmp_path / "m.h5").matrix.toarray().tolist() == matrix.tolist()


def test_paths_of_the_user_and_addresses(tmp_path, matrix, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    table(tmp_path / "a.csv", BARCODES[:12], GENES, matrix)
    for read in (scribeviz.read, as_counts):
        assert read("~/a.csv").n_genes == 5
        with pytest.raises(CountsError, match="an address on a network"):
            read("https://example.org/a.h5ad")


def test_dense_blocks_of_another_float_stay_whole(matrix):
    np.testing.assert_array_equal(as_csr(matrix.astype("float16")).toarray(), matrix)


def test_a_compressed_table_of_cells(tmp_path, matrix):
    path = table(tmp_path / "a.csv", BARCODES[:12], GENES, matrix)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert as_counts(tmp_path / "b.csv.gz").fingerprint == as_counts(path).fingerprint
