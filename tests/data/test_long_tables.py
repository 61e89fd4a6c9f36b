"""Long tables: one row per gene and cell."""

import gzip
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from scribeviz import CountsError, CountsWarning, as_counts

CELLS = ["".join(letters) + "ACGTACGTACGT" for letters in ("AA", "CC", "GG", "TT")]
GENES = ["ACTB", "CD3D", "LYZ", "NKG7", "MS4A1"]
MATRIX = np.random.default_rng(5).poisson(1.5, (4, 5)) + np.eye(4, 5, dtype=int)


def rows(order=("gene", "cell", "count")):
    """The counts above 0 as rows, in this order of columns."""
    entries = [
        {"gene": GENES[j], "cell": CELLS[i], "count": MATRIX[i, j]}
        for j in range(5)
        for i in range(4)
        if MATRIX[i, j]
    ]
    return [[entry[key] for key in order] for entry in entries]


def written(path, table, header=None, sep="\t"):
    lines = [header, *table] if header else table
    text = "".join(sep.join(map(str, line)) + "\n" for line in lines)
    is_compressed = path.name.endswith(".gz")
    path.write_bytes(gzip.compress(text.encode()) if is_compressed else text.encode())
    return path


def dense(counts):
    """The counts in the order of cells and genes above."""
    frame = pd.DataFrame(counts.matrix.toarray(), index=counts.cells, columns=counts.genes)
    return frame.reindex(index=CELLS, columns=GENES, fill_value=0).to_numpy()


@pytest.mark.parametrize("order", list(permutations(("gene", "cell", "count"))))
@pytest.mark.parametrize("with_header", [True, False])
@pytest.mark.parametrize(("name", "sep"), [("a.tsv.gz", "\t"), ("a.csv", ","), ("a.txt", " ")])
def test_columns_in_any_order_with_a_header_or_not(tmp_path, order, with_header, name, sep):
    path = written(tmp_path / name, rows(order), order if with_header else None, sep)
    with pytest.warns(CountsWarning, match="The table is long"):
        counts = as_counts(path)
    np.testing.assert_array_equal(dense(counts), MATRIX)


@pytest.mark.parametrize(
    "header",
    [("gene_id", "barcode", "umi_count"), ("Var1", "Var2", "value"), ("feature", "cb", "n")],
)
def test_columns_go_by_many_names(tmp_path, header):
    counts = as_counts(written(tmp_path / "a.tsv", rows(), header))
    np.testing.assert_array_equal(dense(counts), MATRIX)


def test_a_long_frame_is_read_as_a_file_is():
    frame = pd.DataFrame(rows(), columns=["gene", "cell", "count"])
    np.testing.assert_array_equal(dense(as_counts(frame)), MATRIX)
    frame["cell"] = frame["cell"].astype("category")
    np.testing.assert_array_equal(dense(as_counts(frame)), MATRIX)


def test_pairs_that_come_again_are_added_up(tmp_path):
    table = [*rows(), ["ACTB", CELLS[1], 7], ["ACTB", CELLS[1], 2]]
    with pytest.warns(CountsWarning, match="2 rows repeat a gene and a cell.*added up"):
        counts = as_counts(written(tmp_path / "a.tsv", table, ("gene", "cell", "count")))
    expected = MATRIX.copy()
    expected[1, 0] += 9
    np.testing.assert_array_equal(dense(counts), expected)


def test_labels_of_cells_and_genes_are_kept_beside_the_counts(tmp_path):
    kinds = dict(zip(CELLS, ["T", "B", "T", "NK"], strict=True))
    ids = {gene: f"ENSG0000000000{i}" for i, gene in enumerate(GENES)}
    table = [[ids[g], g, kinds[c], c, n, 3 * n + i] for i, (g, c, n) in enumerate(rows())]
    header = ("gene_id", "gene_name", "cell_type", "cell", "umis", "reads")
    with pytest.warns(CountsWarning, match="Left out of the table: 'reads'"):
        counts = as_counts(written(tmp_path / "a.tsv", table, header))
    np.testing.assert_array_equal(dense(counts), MATRIX)
    assert counts.obs.loc[CELLS, "cell_type"].tolist() == list(kinds.values())
    assert dict(zip(counts.genes, counts.gene_ids, strict=True)) == ids


@pytest.mark.parametrize(
    ("table", "header", "says"),
    [
        (
            [["foo", "bar", 1], ["foo", "baz", 2], ["qux", "bar", 3]],
            None,
            "which of its columns 'column 1' and 'column 2' names the genes cannot be told",
        ),
        (
            [[gene, cell, f"s{i}", 1] for gene in GENES for i in "12" for cell in CELLS],
            ("gene", "cell", "sample", "count"),
            "column 'sample' differs within a cell and within a gene.*join it to the names",
        ),
        (
            [*rows(), ["LYZ", CELLS[0], "many"]] * 80,
            ("gene", "cell", "count"),
            "text 'many' in row",
        ),
        (
            [*rows() * 30, ["LYZ", CELLS[0]]],
            ("gene", "cell", "count"),
            "row .* has an empty field, or fewer than 3",
        ),
        ([*rows() * 30, ["LYZ", CELLS[0], 1, 2]], ("gene", "cell", "count"), "more than 3 fields"),
        ([*rows(), ["LYZ", CELLS[0], 0.5]], ("gene", "cell", "count"), "fraction"),
    ],
)
def test_what_cannot_be_told_is_refused_with_a_way_on(tmp_path, table, header, says):
    with pytest.raises(CountsError, match=says):
        as_counts(written(tmp_path / "a.tsv", table, header))


def test_a_table_of_one_gene_and_a_label_is_no_long_one(tmp_path):
    table = [[cell, kind, n] for cell, kind, n in zip(CELLS, "TBTB", (3, 1, 0, 2), strict=True)]
    counts = as_counts(written(tmp_path / "a.tsv", table, ("cell", "cell_type", "ACTB")))
    assert counts.genes.tolist() == ["ACTB"]
    assert counts.matrix.toarray().ravel().tolist() == [3, 1, 0, 2]


def test_names_that_are_not_utf8(tmp_path):
    table = [["Größe", *row[1:]] if row[0] == "ACTB" else row for row in rows()]
    text = "".join("\t".join(map(str, row)) + "\n" for row in [["gene", "cell", "count"], *table])
    (tmp_path / "a.tsv").write_bytes(text.encode("latin-1"))
    assert "Größe" in as_counts(tmp_path / "a.tsv").genes


def test_rows_with_numbers_of_their_own(tmp_path):
    for first in ("", "Unnamed: 0"):
        table = [[i + 1, *row] for i, row in enumerate(rows())]
        counts = as_counts(written(tmp_path / "a.csv", table, [first, "Var1", "Var2", "Freq"], ","))
        np.testing.assert_array_equal(dense(counts), MATRIX)
        assert not any("Left out" in note for note in counts.notes)
    counts = as_counts(written(tmp_path / "r.txt", table, ["Var1", "Var2", "Freq"], " "))
    np.testing.assert_array_equal(dense(counts), MATRIX)


def test_the_corrected_molecules_of_bd_rhapsody(tmp_path):
    header = ["Cell_Index", "Gene", "RSEC_Reads", "Raw_Molecules", "RSEC_Adjusted_Molecules"]
    table = [[cell, gene, 9 * n, n + 1, n] for gene, cell, n in rows()]
    path = written(tmp_path / "x_Expression_Data.st", [header, *table], ["## BD Rhapsody"])
    np.testing.assert_array_equal(dense(as_counts(path)), MATRIX)
    header += ["DBEC_Reads", "DBEC_Adjusted_Molecules"]
    table = [[*row[:4], row[4] + 2, 5, row[4]] for row in table]
    np.testing.assert_array_equal(
        dense(as_counts(written(tmp_path / "b.txt", table, header))), MATRIX
    )


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("gene cell umis other_umis", "several columns of counts .'umis', 'raw_umis'"),
        ("geneID x y MIDCount", "positions .* and names no cells; assign"),
        (
            "feature_name cell_id transcript_id qv",
            "molecules one by one .'feature_name', 'cell_id'",
        ),
    ],
)
def test_long_tables_of_something_else_are_refused(tmp_path, header, says):
    table = [
        [gene, cell, n, n] for gene in GENES for cell, n in zip(range(4), range(4), strict=True)
    ]
    header = header.replace("other_umis", "raw_umis").split()
    with pytest.raises(CountsError, match=says):
        as_counts(written(tmp_path / "a.csv", table, header, ","))


def test_positions_of_molecules_within_cells_are_left_out(tmp_path):
    table = [[gene, i, 3 * i, n, cell] for i, (gene, cell, n) in enumerate(rows())]
    header = ["geneID", "x", "y", "MIDCount", "CellID"]
    with pytest.warns(CountsWarning, match="Left out of the table: 'x', 'y'"):
        counts = as_counts(written(tmp_path / "cellbin.gem.txt", table, header))
    np.testing.assert_array_equal(dense(counts), MATRIX)
