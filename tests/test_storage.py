import h5py
import numpy as np
import pytest

from scribeviz._storage import read_arrays, read_json, replacing, write_arrays, write_json

ARRAYS = {
    "whole": np.arange(6, dtype=np.int32).reshape(2, 3),
    "deep/down/real": np.array([0.1, np.nan, -np.inf], np.float32),
    "deep/flag": np.array([True, False]),
    "single": np.float64(3.5),
    "none": np.zeros((0, 4)),
    "text": np.array(["MALAT1", "", "β-actin", "a/b"], dtype=object),
    "fixed text": np.array(["ab", "c"]),
    "no text": np.zeros(0, dtype=object),
}
META = {"name": "PBMC", "numbers": [1, 2.5, None], "nested": {"yes": True}}


def test_arrays_and_settings_come_back_as_they_were(tmp_path):
    write_arrays(tmp_path / "all.h5", ARRAYS, META)
    arrays, meta = read_arrays(tmp_path / "all.h5")
    assert meta == META
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].shape == array.shape
    for name in ("whole", "deep/down/real", "deep/flag", "single", "none"):
        assert arrays[name].dtype == ARRAYS[name].dtype


def test_text_comes_back_as_str(tmp_path):
    write_arrays(tmp_path / "all.h5", ARRAYS, META)
    arrays, _ = read_arrays(tmp_path / "all.h5")
    for name in ("text", "fixed text"):
        assert {type(entry) for entry in arrays[name]} == {str}
    assert arrays["no text"].size == 0


def test_the_file_is_plain_hdf5(tmp_path):
    write_arrays(tmp_path / "all.h5", ARRAYS, META)
    with h5py.File(tmp_path / "all.h5") as file:
        assert file["deep/down/real"].shape == (3,)
        assert h5py.check_string_dtype(file["text"].dtype).encoding == "utf-8"
        # No opaque bytes, the form that a pickle would take.
        kinds = []
        file.visititems(lambda _, item: kinds.append(getattr(item, "dtype", np.dtype(int)).kind))
    assert "V" not in kinds


@pytest.mark.parametrize(
    ("arrays", "meta", "error"),
    [
        ({"good": np.ones(3)}, {"not json": object()}, TypeError),
        ({"good": np.ones(3), "bad": np.array([object()])}, {}, TypeError),
    ],
)
def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, arrays, meta, error):
    path = tmp_path / "all.h5"
    write_arrays(path, {"old": np.arange(3)}, {"version": 1})
    with pytest.raises(error):
        write_arrays(path, arrays, meta)
    kept, settings = read_arrays(path)
    assert kept["old"].tolist() == [0, 1, 2]
    assert settings == {"version": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["all.h5"]


def test_a_failing_first_write_leaves_no_file(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "status.json", {"bad": object()})
    assert list(tmp_path.iterdir()) == []


def test_a_write_replaces_the_whole_file(tmp_path):
    path = tmp_path / "all.h5"
    write_arrays(path, {"old": np.arange(3)}, {"version": 1})
    write_arrays(path, {"new": np.arange(2)}, {"version": 2})
    arrays, meta = read_arrays(path)
    assert list(arrays) == ["new"]
    assert meta == {"version": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["all.h5"]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "status.json"
    write_json(path, {"step": 1})
    with replacing(path) as temporary:
        temporary.write_text('{"step": ')
        assert read_json(path) == {"step": 1}
        temporary.write_text('{"step": 2}')
        assert read_json(path) == {"step": 1}
    assert read_json(path) == {"step": 2}


def test_json_comes_back(tmp_path):
    write_json(tmp_path / "status.json", META)
    assert read_json(tmp_path / "status.json") == META


def test_text_that_hdf5_cannot_hold_is_mended(tmp_path):
    write_arrays(tmp_path / "a.h5", {"names": np.array(["a\0b", "\ud800", "é"], dtype=object)}, {})
    arrays, _ = read_arrays(tmp_path / "a.h5")
    assert arrays["names"].tolist() == ["a\ufffdb", "?", "é"]
