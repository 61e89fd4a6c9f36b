import pytest

from scribeviz.data.counts import CountsError
from scribeviz.data.data_folder import list_files
from scribeviz.data.uploads import save_upload


def test_an_upload_lands_in_the_data_folder(tmp_path):
    path = save_upload(tmp_path, "my cells.h5ad", b"content", 100)
    assert path == tmp_path / "uploads" / "my cells.h5ad"
    assert path.read_bytes() == b"content"
    assert [file.name for file in list_files(tmp_path)] == ["uploads/my cells.h5ad"]
    assert [child.name for child in path.parent.iterdir()] == ["my cells.h5ad"]


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        ("../../etc/cells.h5ad", "cells.h5ad"),
        ("C:\\Users\\me\\cells.csv", "cells.csv"),
        ("/abs/cells.CSV.GZ", "cells.csv.gz"),
        (".hidden.h5ad", "hidden.h5ad"),
        (".h5ad", "upload.h5ad"),
        ("a\0b\n<c>.tsv", "a_b__c_.tsv"),
        ("zellen größe.h5", "zellen größe.h5"),
        ("x" * 300 + ".loom", "x" * 100 + ".loom"),
        ("細胞" * 99 + ".csv", "細胞" * 16 + "細.csv"),
        ("a;rm -rf $HOME.txt", "a_rm -rf _HOME.txt"),
    ],
)
def test_names_are_made_harmless(tmp_path, sent, written):
    path = save_upload(tmp_path, sent, b"1", 100)
    assert path.parent == tmp_path / "uploads"
    assert path.name == written


def test_nothing_is_overwritten(tmp_path):
    paths = [save_upload(tmp_path, "a.csv.gz", text, 100) for text in (b"1", b"2", b"3")]
    assert [path.name for path in paths] == ["a.csv.gz", "a-2.csv.gz", "a-3.csv.gz"]
    assert [path.read_bytes() for path in paths] == [b"1", b"2", b"3"]


def test_too_large_is_refused_with_both_sizes(tmp_path):
    with pytest.raises(CountsError, match=r"a\.csv has 2.5 kB, more than the 2 kB that may be"):
        save_upload(tmp_path, "a.csv", b"x" * 2500, 2000)
    assert save_upload(tmp_path, "a.csv", b"x" * 2000, 2000).name == "a.csv"


@pytest.mark.parametrize("name", ["a.exe", "a.pkl", "a.h5ad.7z", "a", "", "..", "store.zarr"])
def test_unknown_kinds_are_refused(tmp_path, name):
    with pytest.raises(CountsError, match=r"no format that can be uploaded; .* \.h5ad"):
        save_upload(tmp_path, name, b"1", 100)
    assert not (tmp_path / "uploads").exists()


def test_an_empty_upload_is_refused(tmp_path):
    with pytest.raises(CountsError, match=r"a\.csv is empty \(0 bytes\)"):
        save_upload(tmp_path, "a.csv", b"", 100)


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save_upload(tmp_path, "a.csv", b"1", 100)
    assert list((tmp_path / "uploads").iterdir()) == []
