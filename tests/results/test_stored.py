import numpy as np
import pandas as pd
import pytest

import scribeviz
from scribeviz._storage import read_arrays, write_arrays
from scribeviz.results.stored import check_format, frame_arrays, frame_from, group, grouped


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "type": pd.Categorical(["b", None, "a"], categories=["a", "b", "c"]),
            "stage": pd.Categorical(["low", "high", "low"], ["low", "high"], ordered=True),
            "name": ["x", None, "z"],
            "depth": [1.5, np.nan, 3.0],
            "n": [1, 2, 3],
            "kept": [True, False, True],
        },
        index=["c1", "c2", "c3"],
    )


def test_a_table_comes_back_from_a_file(frame, tmp_path):
    write_arrays(tmp_path / "x.h5", frame_arrays("obs", frame), {})
    arrays, _ = read_arrays(tmp_path / "x.h5")
    pd.testing.assert_frame_equal(frame_from(arrays, "obs"), frame, check_dtype=False)
    back = frame_from(arrays, "obs")
    for name in ("type", "stage"):
        assert back[name].dtype == frame[name].dtype
    assert frame_from(arrays, "var") is None


def test_two_columns_may_share_a_name(frame, tmp_path):
    twice = pd.concat([frame[["n"]], frame[["n"]] * 2], axis=1)
    write_arrays(tmp_path / "x.h5", frame_arrays("obs", twice), {})
    back = frame_from(read_arrays(tmp_path / "x.h5")[0], "obs")
    assert back.iloc[:, 1].tolist() == [2, 4, 6]
    empty = frame_from(frame_arrays("obs", frame[[]]), "obs")
    assert empty.shape == (3, 0)
    assert empty.index.tolist() == ["c1", "c2", "c3"]


def test_groups_are_parted_again():
    arrays = grouped("params", {"a": 1, "b": 2}) | {"paramsx": 3}
    assert group(arrays, "params") == {"a": 1, "b": 2}


def test_a_newer_file_is_refused():
    with pytest.raises(ValueError, match=r"x\.h5 was written by a newer .*\(format 3;"):
        check_format({"format": 3}, 2, "x.h5")


def test_results_keep_their_cells(tmp_path):
    counts, _ = scribeviz.simulate("nbdm_mix", n_cells=40, n_genes=5, seed=1)
    results = scribeviz.fit(counts, "poisson", n_steps=10, progress=False)
    results.save(tmp_path / "results.h5")
    back = scribeviz.ScribeSVIResults.load(tmp_path / "results.h5")
    pd.testing.assert_frame_equal(back.obs, counts.obs, check_index_type=False)
    assert back.depth == results.depth
