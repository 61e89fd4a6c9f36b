import anndata
import numpy as np
import pytest
import scipy.sparse as sp

from scribeviz.data.counts import CountsError
from scribeviz.data.opening import Opened, open_counts

COUNTS = np.array([[0, 2, 1, 0], [4, 0, 1, 0], [0, 0, 7, 0]])


@pytest.fixture
def layered(tmp_path):
    """Logarithms in X, and the counts in a layer."""
    path = tmp_path / "a.h5ad"
    share = COUNTS / COUNTS.sum(axis=1, keepdims=True)
    adata = anndata.AnnData(sp.csr_matrix(np.log1p(share * 10_000)))
    adata.layers["counts"] = sp.csr_matrix(COUNTS.astype("float32"))
    adata.write_h5ad(path)
    return path


def test_it_says_which_places_of_a_file_hold_counts(layered):
    opened = open_counts(layered)
    assert opened.sources.keys() == {"X", "counts"}
    assert opened.sources["counts"] == ""
    assert "fractions" in opened.sources["X"]
    assert opened.counts is None
    assert "a.h5ad: X holds fractions" in opened.problem
    assert (opened.layer, opened.use_layer) == ("X", "counts")


def test_the_counts_of_a_layer(layered):
    opened = open_counts(layered, "counts")
    assert opened.counts.matrix.toarray().tolist() == COUNTS.tolist()
    assert opened.counts.name == "a.h5ad"
    assert (opened.layer, opened.problem, opened.use_layer) == ("counts", "", None)


def test_what_cannot_be_read_at_all_is_refused(tmp_path):
    with pytest.raises(CountsError, match="does not exist"):
        open_counts(tmp_path / "a.h5ad")


@pytest.mark.parametrize("layer", ["X", "counts"])
def test_it_comes_back_from_a_folder(layered, tmp_path, layer):
    (tmp_path / "kept").mkdir()
    opened = open_counts(layered, layer)
    opened.save(tmp_path / "kept")
    loaded = Opened.load(tmp_path / "kept")
    for name in ("sources", "layer", "problem", "use_layer"):
        assert getattr(loaded, name) == getattr(opened, name)
    for counts in (opened.counts, loaded.counts):
        assert (counts is None) is (layer == "X")
    if opened.counts is not None:
        assert loaded.counts.fingerprint == opened.counts.fingerprint
