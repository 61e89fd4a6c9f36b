import os

import pytest

from scribeviz.data.counts import CountsError
from scribeviz.data.data_folder import list_files, resolve


def put(path, size=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "data"
    put(inside / "b.h5ad", 10)
    put(inside / "study" / "a.csv.gz", 5)
    put(inside / "study" / "notes.pdf")
    put(inside / ".hidden.h5ad")
    put(inside / ".secret" / "c.h5ad")
    for name in ("matrix.mtx.gz", "barcodes.tsv.gz", "features.tsv.gz"):
        put(inside / "study" / "filtered" / name, 3)
    put(inside / "store.zarr" / "X" / "zarr.json", 4)
    put(inside / "1" / "2" / "3" / "deep.loom")
    put(inside / "1" / "2" / "3" / "4" / "deeper.loom")
    put(inside / "1" / "2" / "3" / "4" / "too_deep.csv")
    put(inside / "1" / "2" / "3" / "4" / "5" / "6" / "7" / "too_deep.loom")
    put(tmp_path / "outside.h5ad")
    return inside


def test_the_list(folder):
    assert [(file.name, file.size, file.label) for file in list_files(folder)] == [
        ("1/2/3/4/deeper.loom", 1, "loom (.loom)"),
        ("1/2/3/deep.loom", 1, "loom (.loom)"),
        ("b.h5ad", 10, "AnnData (.h5ad)"),
        ("store.zarr", 4, "AnnData (.zarr)"),
        ("study/a.csv.gz", 5, "text table (.csv, .tsv, .txt)"),
        ("study/filtered", 9, "folder of a matrix (.mtx)"),
    ]


def test_what_is_listed_can_be_resolved(folder):
    for file in list_files(folder):
        assert resolve(folder, file.name) == (folder / file.name).resolve()


def test_links_to_outside_are_neither_listed_nor_resolved(folder):
    (folder / "link.h5ad").symlink_to(folder.parent / "outside.h5ad")
    (folder / "up").symlink_to(folder.parent)
    (folder / "store.zarr" / "X" / "c").symlink_to(folder.parent / "outside.h5ad")
    (folder / "dangling.h5ad").symlink_to(folder / "nowhere.h5ad")
    names = {file.name for file in list_files(folder)}
    assert names == {
        "1/2/3/4/deeper.loom",
        "1/2/3/deep.loom",
        "b.h5ad",
        "study/a.csv.gz",
        "study/filtered",
    }
    for name in ("link.h5ad", "up/outside.h5ad", "up", "store.zarr"):
        with pytest.raises(CountsError, match="links to a place outside the data folder"):
            resolve(folder, name)


def test_links_to_inside_are_fine(folder):
    (folder / "same.h5ad").symlink_to(folder / "b.h5ad")
    assert "same.h5ad" in {file.name for file in list_files(folder)}
    assert resolve(folder, "same.h5ad") == (folder / "b.h5ad").resolve()


@pytest.mark.parametrize(
    "name",
    [
        "../outside.h5ad",
        "study/../../outside.h5ad",
        "study/../b.h5ad",
        "..\\outside.h5ad",
        "/etc/passwd",
        "\\\\server\\share",
        "C:\\x.h5ad",
        "~/x.h5ad",
        "b.h5ad\0.csv",
    ],
)
def test_names_that_leave_the_folder_are_refused(folder, name):
    with pytest.raises(CountsError, match="is not a name inside the data folder"):
        resolve(folder, name)


@pytest.mark.parametrize("name", ["nowhere.h5ad", "b.h5ad/x", "x" * 5000])
def test_names_of_nothing_are_refused(folder, name):
    with pytest.raises(CountsError, match="is not in the data folder; it may have been moved"):
        resolve(folder, name)


@pytest.mark.parametrize("name", ["", ".", "./"])
def test_no_name_is_refused(folder, name):
    with pytest.raises(CountsError, match="no file was named"):
        resolve(folder, name)


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    assert list_files(tmp_path / "nowhere") == []


def test_the_list_ends(tmp_path):
    for number in range(510):
        put(tmp_path / f"{number:03}.csv")
    names = [file.name for file in list_files(tmp_path)]
    assert (len(names), names[0], names[-1]) == (500, "000.csv", "499.csv")


def test_what_may_not_be_read_is_left_out(folder, monkeypatch):
    # Permissions do not bind every user that runs tests; the question is what follows from them.
    readable = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: path.name != "b.h5ad" and readable(path, mode)
    )
    assert "b.h5ad" not in {file.name for file in list_files(folder)}
