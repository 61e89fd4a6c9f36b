import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scribeviz.data.counts import Counts, plain_counts

MATRIX = np.array([[0, 2, 0, 1], [3, 0, 0, 0], [0, 0, 0, 5]])


@pytest.fixture
def counts():
    return plain_counts(MATRIX, genes=["A", "B", "C", "D"], name="small")


def test_totals_and_shape(counts):
    assert (counts.n_cells, counts.n_genes) == (3, 4)
    assert counts.cell_totals.tolist() == [3, 3, 5]
    assert counts.gene_totals.tolist() == [3, 2, 0, 6]
    assert counts.sparsity == pytest.approx(8 / 12)


def test_totals_of_large_counts_stay_whole():
    counts = plain_counts(np.full((4, 1), 2**30 + 1))
    assert counts.gene_totals[0] == 4 * (2**30 + 1)


def test_genes_are_found_by_name(counts):
    assert counts.gene("D").tolist() == [1, 0, 5]
    assert counts.gene_index("B") == 1
    with pytest.raises(KeyError, match="no gene is called 'Z' in small"):
        counts.gene("Z")


def test_selections_keep_names_beside_their_counts(counts):
    seen = counts.seen_genes()
    assert seen.genes.tolist() == ["A", "B", "D"]
    assert seen.matrix.toarray().tolist() == MATRIX[:, [0, 1, 3]].tolist()
    last_first = counts.select_cells(np.array([2, 0]))
    assert last_first.cells.tolist() == ["cell 3", "cell 1"]
    assert last_first.obs.index.tolist() == ["cell 3", "cell 1"]
    assert last_first.matrix.toarray().tolist() == MATRIX[[2, 0]].tolist()


def test_the_callers_matrix_is_left_as_it_was():
    theirs = sp.csr_array((np.array([0, 2], np.int32), [1, 0], [0, 2]), shape=(1, 2))
    ours = plain_counts(theirs)
    assert ours.matrix.nnz == 1
    assert theirs.data.tolist() == [0, 2]
    assert theirs.indices.tolist() == [1, 0]
    theirs.data[:] = 9
    assert ours.matrix.data.tolist() == [2]


def test_fingerprint_follows_counts_and_names(counts):
    other = MATRIX.copy()
    other[0, 1] += 1
    moved = MATRIX[:, [1, 0, 2, 3]]
    genes = list("ABCD")
    prints = {
        plain_counts(MATRIX, genes=genes).fingerprint,
        plain_counts(other, genes=genes).fingerprint,
        plain_counts(moved, genes=genes).fingerprint,
        plain_counts(MATRIX, genes=["A", "B", "C", "E"]).fingerprint,
    }
    assert len(prints) == 4
    assert plain_counts(sp.csc_array(MATRIX), genes=genes).fingerprint == counts.fingerprint
    assert len(counts.fingerprint) == 12


def obs_of_every_kind():
    return pd.DataFrame(
        {
            "type": pd.Categorical(["T", None, "B"], categories=["B", "T", "none of them"]),
            "cluster": pd.Categorical([1, 0, 1]),
            "donor": ["d1", "", "dü"],
            "patchy": pd.Series([None, "x", np.nan], dtype=object),
            "good": [True, False, True],
            "maybe": pd.array([True, None, False], dtype="boolean"),
            "depth": [1.5, np.nan, 2.5],
            "rank": [3, 1, 2],
            "patchy rank": pd.array([3, None, 2], dtype="Int64"),
            "day": pd.to_datetime(["2020-01-01", "2020-01-02", None]),
        }
    )


def test_saved_counts_come_back(tmp_path):
    saved = plain_counts(MATRIX, genes=list("ABCD"), name="small", obs=obs_of_every_kind())
    saved.save(tmp_path / "counts.h5")
    back = Counts.load(tmp_path / "counts.h5")
    assert back.fingerprint == saved.fingerprint
    assert (back.name, back.notes) == (saved.name, saved.notes)
    assert back.matrix.dtype == np.int32
    assert back.genes.tolist() == saved.genes.tolist()
    assert back.gene_ids.tolist() == saved.gene_ids.tolist()
    assert back.obs.index.tolist() == saved.cells.tolist()
    assert back.obs.columns.tolist() == saved.obs.columns.tolist()


def test_saved_columns_come_back(tmp_path):
    plain_counts(MATRIX, obs=obs_of_every_kind()).save(tmp_path / "counts.h5")
    obs = Counts.load(tmp_path / "counts.h5").obs
    assert obs["type"].cat.categories.tolist() == ["B", "T", "none of them"]
    assert obs["type"].isna().tolist() == [False, True, False]
    assert obs["type"].dropna().tolist() == ["T", "B"]
    assert obs["cluster"].tolist() == ["1", "0", "1"]
    assert obs["donor"].tolist() == ["d1", "", "dü"]
    assert obs["patchy"].isna().tolist() == [True, False, True]
    assert obs["good"].tolist() == [True, False, True]
    assert obs["good"].dtype == bool
    assert obs["maybe"].isna().tolist() == [False, True, False]
    np.testing.assert_array_equal(obs["depth"], [1.5, np.nan, 2.5])
    assert obs["rank"].tolist() == [3, 1, 2]
    np.testing.assert_array_equal(obs["patchy rank"], [3, np.nan, 2])
    assert obs["day"].tolist()[0].startswith("2020-01-01")
    assert obs["day"].isna().tolist() == [False, False, True]


def test_two_columns_of_one_name_are_both_kept(tmp_path):
    obs = pd.DataFrame([[1, "a"], [2, "b"], [3, "c"]], columns=["twice", "twice"])
    plain_counts(MATRIX, obs=obs).save(tmp_path / "counts.h5")
    back = Counts.load(tmp_path / "counts.h5").obs
    assert back.columns.tolist() == ["twice", "twice"]
    assert back.iloc[:, 1].tolist() == ["a", "b", "c"]


def test_counts_without_obs_come_back(tmp_path):
    plain_counts(MATRIX).save(tmp_path / "counts.h5")
    assert Counts.load(tmp_path / "counts.h5").obs.shape == (3, 0)


def test_a_column_of_raw_bytes_is_saved_as_text(tmp_path):
    obs = pd.DataFrame({"odd": pd.Series(np.zeros(3, "V8"))})
    plain_counts(np.eye(3), obs=obs).save(tmp_path / "counts.h5")
    loaded = Counts.load(tmp_path / "counts.h5").obs["odd"]
    assert set(loaded) == {str(np.void(bytes(8)))}
