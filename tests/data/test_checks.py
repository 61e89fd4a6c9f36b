import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scribeviz.data.checks import READING_NOTES, check_counts, check_matrix
from scribeviz.data.counts import CountsError
from scribeviz.data.names import Orientation, names_say, unique_names
from scribeviz.data.readers import as_counts
from scribeviz.data.sources import count_sources
from scribeviz.data.structure import as_csr

COUNTS = np.array([[0, 2, 1], [4, 0, 1]])
FORMATS = {
    "dense": np.asarray,
    "csr": sp.csr_matrix,
    "csc": sp.csc_matrix,
    "csr array": sp.csr_array,
    "csc array": sp.csc_array,
}


def adata_of(matrix, **keywords):
    n_cells, n_genes = matrix.shape
    return anndata.AnnData(
        matrix,
        obs=pd.DataFrame(index=[f"c{i}" for i in range(n_cells)]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(n_genes)]),
        **keywords,
    )


def refusal(matrix, **keywords):
    with pytest.raises(CountsError) as caught:
        check_counts(adata_of(np.asarray(matrix), **keywords), name="mine")
    return caught.value


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16", "float32", "float64", "bool"])
@pytest.mark.parametrize("as_format", FORMATS.values(), ids=FORMATS)
def test_counts_of_every_format_come_in(as_format, dtype):
    counts = check_counts(adata_of(as_format(COUNTS.astype(dtype))), name="mine")
    assert counts.matrix.toarray().tolist() == COUNTS.astype(dtype).astype(int).tolist()
    assert counts.matrix.format == "csr"
    assert counts.matrix.dtype == np.int32
    assert counts.matrix.has_canonical_format
    assert counts.notes == ()
    assert counts.name == "mine"


def test_stored_zeros_and_duplicates_are_tidied_in_a_copy():
    theirs = sp.csr_matrix(
        (np.array([1.0, 0.0, 1.0]), np.array([2, 1, 2]), np.array([0, 3, 3])), shape=(2, 3)
    )
    counts = check_counts(adata_of(theirs), name="mine")
    assert counts.matrix.toarray().tolist() == [[0, 0, 2], [0, 0, 0]]
    assert counts.matrix.nnz == 1
    assert theirs.nnz == 3


@pytest.mark.parametrize("as_format", FORMATS.values(), ids=FORMATS)
def test_backed_counts_come_in(tmp_path, as_format):
    adata_of(as_format(COUNTS.astype("float32"))).write_h5ad(tmp_path / "a.h5ad")
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert count_sources(backed) == {"X": ""}
    assert check_counts(backed, name="mine").matrix.toarray().tolist() == COUNTS.tolist()
    backed.file.close()


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (
            [[1.0, -1.5], [0, 1]],
            r"X holds negative values \(first: -1.5 for gene 'g1' in cell 'c0'",
        ),
        ([[1.0, -1.5], [0, 1]], "looks scaled or centred"),
        ([[1, 0], [0, 0.5]], r"fractions \(first: 0.5 for gene 'g1' in cell 'c1'\)"),
        ([[1, 0], [0, 0.5]], r"shares of a total, or scaled to at most 1 \(largest value 1\)"),
        ([[2.5, 0], [0, 0.5]], r"looks log-normalised \(largest value 2.5\)"),
        ([[100.5, 0], [0, 2]], "looks normalised or corrected"),
        ([[1, 0], [np.nan, 2]], r"missing or infinite \(first: nan for gene 'g0' in cell 'c1'\)"),
        ([[1, 0], [0, np.inf]], r"missing or infinite \(first: inf for gene 'g1' in cell 'c1'\)"),
        ([[1, 0], [0, 2.0**31]], r"values above 2,147,483,647 .*gene 'g1' in cell 'c1'"),
        ([[1, 0], [0, 0.5]], "Raw counts are needed: whole numbers of molecules"),
        ([[0, 0], [0, 0]], "nothing but zeros; there is nothing to fit"),
    ],
)
@pytest.mark.parametrize("as_format", FORMATS.values(), ids=FORMATS)
def test_what_is_not_counts_is_refused(matrix, says, as_format):
    with pytest.raises(CountsError, match=says) as caught:
        check_counts(adata_of(as_format(np.asarray(matrix, dtype=float))), name="mine")
    assert caught.value.use_layer is None
    assert str(caught.value).startswith("mine: X holds")


def test_the_largest_count_fits():
    assert check_counts(adata_of(np.array([[2**31 - 1]])), name="m").cell_totals[0] == 2**31 - 1


@pytest.mark.parametrize("rounding", [None, "nearest", "stochastic"])
@pytest.mark.parametrize("values", [np.float32([2**31 - 1, 1]), np.array([2**31 - 0.4, 0.5])])
def test_what_no_int32_holds_is_never_wrapped_around(values, rounding):
    with pytest.raises(CountsError, match="values above 2,147,483,647"):
        check_counts(adata_of(values[None]), name="m", rounding=rounding)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_nothing_is_refused(shape):
    with pytest.raises(CountsError, match=f"{shape[0]} cells and {shape[1]} genes"):
        check_counts(adata_of(np.zeros(shape)), name="mine")


def test_text_is_refused():
    obs, var = pd.DataFrame(index=["c0"]), pd.DataFrame(index=["g0", "g1"])
    matrix = np.array([[1, "high"]], dtype=object)
    with pytest.raises(CountsError, match=r"text \(first: 'high' for gene 'g1' in cell 'c0'"):
        check_matrix(matrix, var=var, obs=obs, name="mine")
    with pytest.raises(CountsError, match="type complex128 instead of numbers"):
        check_matrix(np.array([[1j, 1]]), var=var, obs=obs, name="mine")


def test_names_must_match_the_matrix():
    obs, var = pd.DataFrame(index=["c0"]), pd.DataFrame(index=["g0"])
    with pytest.raises(CountsError, match="2 rows and 3 columns, but there are 1 cell names"):
        check_matrix(COUNTS, var=var, obs=obs, name="mine")


def test_a_missing_layer_lists_the_others():
    adata = adata_of(COUNTS, layers={"spliced": COUNTS})
    with pytest.raises(
        CountsError, match="mine has no layer 'count'; choose one of 'X', 'spliced'"
    ):
        check_counts(adata, "count", name="mine")
    with pytest.raises(CountsError, match=r"mine has no raw counts \(adata.raw\)"):
        check_counts(adata, "raw", name="mine")


def test_a_layer_with_counts_is_named():
    error = refusal(np.log1p(COUNTS), layers={"spliced": COUNTS, "raw_counts": COUNTS})
    assert error.use_layer == "raw_counts"
    assert str(error).endswith("Layer 'raw_counts' of the same data holds counts: choose that.")


def test_raw_with_counts_is_named():
    adata = adata_of(COUNTS)
    adata.raw = adata.copy()
    adata.X = np.log1p(COUNTS)
    with pytest.raises(CountsError, match="Raw of the same data holds counts") as caught:
        check_counts(adata, name="mine")
    assert caught.value.use_layer == "raw"
    assert check_counts(adata, "raw", name="mine").matrix.sum() == COUNTS.sum()


def test_x_with_counts_is_named():
    adata = adata_of(COUNTS, layers={"norm": np.log1p(COUNTS)})
    with pytest.raises(CountsError, match="mine: layer 'norm' holds fractions") as caught:
        check_counts(adata, "norm", name="mine")
    assert caught.value.use_layer == "X"


def test_no_layer_is_named_where_none_has_counts():
    assert refusal(np.log1p(COUNTS), layers={"scaled": COUNTS - 1.0}).use_layer is None


def test_a_file_without_x_is_refused():
    adata = adata_of(COUNTS, layers={"counts": COUNTS})
    adata.X = None
    with pytest.raises(CountsError, match="X is empty") as caught:
        check_counts(adata, name="mine")
    assert caught.value.use_layer == "counts"


def test_raw_keeps_its_own_genes():
    adata = adata_of(COUNTS)
    adata.raw = adata.copy()
    counts = check_counts(adata[:, :1].copy(), "raw", name="mine")
    assert counts.genes.tolist() == ["g0", "g1", "g2"]


def test_count_sources_say_why_not():
    adata = adata_of(
        np.log1p(COUNTS),
        layers={
            "counts": sp.csr_matrix(COUNTS),
            "scaled": COUNTS - 2.0,
            "empty": np.zeros((2, 3)),
        },
    )
    adata.raw = adata_of(COUNTS)
    sources = count_sources(adata)
    assert sources["counts"] == sources["raw"] == ""
    assert sources["X"] == "holds fractions (looks log-normalised (largest value 1.61))"
    assert sources["scaled"].startswith("holds negative values")
    assert sources["empty"] == "holds nothing but zeros"


def test_silent_genes_and_cells_are_noted():
    matrix = np.array([[1, 0, 0], [0, 0, 0]])
    genes, cells = check_counts(adata_of(matrix), name="m").notes
    assert genes == "2 of 3 genes have no counts: left out of the fit, kept in the results."
    assert cells.startswith("1 of 2 cells have no counts: they stay in, but tell little")


def test_repeated_names_are_numbered_and_noted():
    obs = pd.DataFrame({"batch": ["x", "y"]}, index=["c", "c"])
    var = pd.DataFrame(index=["A", "B", "A"])
    counts = check_matrix(COUNTS, var=var, obs=obs, name="m")
    assert counts.genes.tolist() == ["A", "B", "A-1"]
    assert counts.cells.tolist() == counts.obs.index.tolist() == ["c", "c-1"]
    assert counts.obs["batch"].tolist() == ["x", "y"]
    assert counts.notes == (
        "1 gene name came more than once (first: 'A'); the repeats were numbered.",
        "1 cell name came more than once (first: 'c'); the repeats were numbered.",
    )


def test_numbered_names_avoid_the_names_that_are_there():
    names = np.array(["A", "A", "A-1", "A", "A-1"], dtype=object)
    unique, repeated = unique_names(names)
    assert len(set(unique)) == 5
    assert unique[[0, 2]].tolist() == ["A", "A-1"]
    assert repeated == ["A", "A-1"]


@pytest.mark.parametrize("column", ["gene_symbols", "feature_name", "Symbol"])
def test_symbols_are_shown_where_names_are_ids(column):
    ids = ["ENSG00000000001", "ENSG00000000002.3", "ENSG00000000003"]
    symbols = pd.Categorical(["CD4", None, "CD4"])
    var = pd.DataFrame({column: symbols}, index=ids)
    counts = check_matrix(COUNTS, var=var, obs=pd.DataFrame(index=["a", "b"]), name="m")
    assert counts.genes.tolist() == ["CD4", "ENSG00000000002.3", "CD4-1"]
    assert counts.gene_ids.tolist() == ids
    assert counts.notes[0].startswith("Genes are shown by their symbols")


def test_ids_are_kept_beside_symbols():
    var = pd.DataFrame({"gene_ids": ["E1", "", "E3"]}, index=["A", "B", "C"])
    counts = check_matrix(COUNTS, var=var, obs=pd.DataFrame(index=["a", "b"]), name="m")
    assert counts.genes.tolist() == ["A", "B", "C"]
    assert counts.gene_ids.tolist() == ["E1", "B", "E3"]
    assert counts.gene_index("E3") == 2


def test_genes_without_a_second_name_are_their_own_id():
    counts = check_counts(adata_of(COUNTS), name="m")
    assert counts.gene_ids.tolist() == counts.genes.tolist() == ["g0", "g1", "g2"]


def test_every_column_of_obs_is_kept():
    adata = adata_of(COUNTS)
    adata.obs["type"] = pd.Categorical(["B", None])
    adata.obs["donor"] = ["d1", "d2"]
    obs = check_counts(adata, name="m").obs
    assert obs.columns.tolist() == ["type", "donor"]
    assert obs["type"].isna().tolist() == [False, True]


def test_a_matrix_that_lies_the_wrong_way_is_noted():
    obs = pd.DataFrame(index=["MT-CO1", "ACTB"])
    var = pd.DataFrame(index=["AAACCTGAGAAACCAT-1", "AAACCTGAGAAACCAG-1", "AAACCTGAGAAACCTT-1"])
    (note,) = check_matrix(COUNTS, var=var, obs=obs, name="m").notes
    assert "as if the matrix lay the wrong way" in note
    (right,) = [check_matrix(COUNTS.T, var=obs, obs=var, name="m").notes]
    assert right == ()


def test_notes_of_the_reading_come_first():
    adata = adata_of(np.array([[1, 0]]), uns={READING_NOTES: ["Rows were read as cells."]})
    notes = check_counts(adata, name="m").notes
    assert notes[0] == "Rows were read as cells."
    assert len(notes) == 2


@pytest.mark.parametrize(
    ("rows", "columns", "found"),
    [
        (["AAACCTGAGAAACCAT-1"], ["x"], Orientation.CELLS_IN_ROWS),
        (["sample1_ACGTACGTACGT", "x"], ["y"], Orientation.CELLS_IN_ROWS),
        (["x"], ["ENSMUSG00000000001"], Orientation.CELLS_IN_ROWS),
        (["mt-Nd1", "Rpl13a"], ["x", "y"], Orientation.GENES_IN_ROWS),
        (["Gapdh"], ["cell_1"], Orientation.GENES_IN_ROWS),
        (["a"], ["b"], Orientation.UNKNOWN),
        ([], [], Orientation.UNKNOWN),
    ],
)
def test_names_tell_the_orientation(rows, columns, found):
    assert names_say(rows, columns) is found


def test_dense_data_are_read_in_blocks(monkeypatch):
    monkeypatch.setattr("scribeviz.data.structure._BLOCK_BYTES", 50)
    matrix = np.random.default_rng(0).poisson(0.5, (23, 4))
    assert as_csr(matrix).toarray().tolist() == matrix.tolist()


@pytest.mark.parametrize(
    "as_input",
    [np.asarray, sp.coo_array, sp.csc_matrix, sp.lil_matrix, sp.dok_array, pd.DataFrame, adata_of],
)
def test_as_counts_takes_matrices(as_input):
    assert as_counts(as_input(COUNTS)).matrix.toarray().tolist() == COUNTS.tolist()


def test_as_counts_of_frames():
    frame = pd.DataFrame(COUNTS, index=["a", "b"], columns=["A", "B", "C"])
    counts = as_counts(frame, name="mine")
    assert (counts.cells.tolist(), counts.genes.tolist()) == (["a", "b"], ["A", "B", "C"])
    assert counts.name == "mine"
    sparse = as_counts(frame.astype(pd.SparseDtype("int64", 0)))
    nullable = as_counts(frame.astype("Int64"))
    assert sparse.fingerprint == nullable.fingerprint == counts.fingerprint
    with pytest.raises(CountsError, match="column 'type' holds 'T', which is not a number"):
        as_counts(frame.assign(type="T"))
    frame.iloc[0, 0] = pd.NA
    with pytest.raises(CountsError, match="missing or infinite"):
        as_counts(frame.astype("Int64"))


def test_as_counts_of_counts_is_the_same():
    counts = as_counts(COUNTS)
    assert as_counts(counts) is counts
    assert as_counts(counts, name="other").name == "other"


def test_as_counts_says_what_it_takes():
    with pytest.raises(CountsError, match="cannot be read from a list; pass an AnnData, a path"):
        as_counts([[1, 2]])
    with pytest.raises(CountsError, match=r"shape \(3,\); it must be \(n_cells, n_genes\)"):
        as_counts(np.arange(3))
    with pytest.raises(CountsError, match="layer='counts' was asked for, but a bare matrix"):
        as_counts(COUNTS, "counts")
