"""What is packed is read as what is in it, and leads nowhere else."""

import gzip
import io
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from scribeviz import CountsError, CountsWarning, as_counts
from scribeviz.data import archives
from scribeviz.data.reading_limits import MEMORY_SETTING
from scribeviz.data.reading_process import Reading
from tests.data.small_files import COUNTS, SMALL_FILES

KINDS = [kind for kind in SMALL_FILES if not any(word in kind for word in ("v3", "raw", "tar"))]


def pack_zip(path, source, inside=""):
    files = [source] if source.is_file() else [f for f in source.rglob("*") if f.is_file()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in files:
            packed.write(file, f"{inside}{file.relative_to(source.parent)}")
    return path


def pack_tar(path, source, inside=""):
    mode = {"tar": "w", "gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}
    with tarfile.open(path, mode[path.name.rsplit(".")[-1]]) as packed:
        packed.add(source, f"{inside}{source.name}")
    return path


@pytest.fixture
def h5ad(tmp_path):
    return SMALL_FILES["h5ad, csr"].write(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pack", [pack_zip, pack_tar])
def test_every_format_is_read_from_an_archive(tmp_path, kind, pack):
    source = SMALL_FILES[kind].write(tmp_path)
    path = tmp_path / ("packed.zip" if pack is pack_zip else "packed.tar.gz")
    direct, counts = as_counts(source), as_counts(pack(path, source, "one/two/"))
    assert counts.fingerprint == direct.fingerprint
    assert any(note.startswith(f"{path.name} was unpacked") for note in counts.notes)


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.tar.bz2", "a.tar.xz"])
def test_every_tar(tmp_path, h5ad, name):
    with pytest.warns(CountsWarning, match=f"{name} was unpacked"):
        assert (as_counts(pack_tar(tmp_path / name, h5ad)).matrix.toarray() == COUNTS).all()


def test_one_file_in_gzip(tmp_path, h5ad):
    path = tmp_path / "b.h5ad.gz"
    path.write_bytes(gzip.compress(h5ad.read_bytes()))
    with pytest.warns(CountsWarning, match="b.h5ad.gz was unpacked"):
        assert (as_counts(path).matrix.toarray() == COUNTS).all()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CountsError, match="no whole archive"):
        as_counts(path)


def test_a_zarr_store_without_a_folder_around_it(tmp_path):
    store = SMALL_FILES["zarr, v2"].write(tmp_path)
    for name in ("b.zarr.zip", "c.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as packed:
            for file in store.rglob("*"):
                packed.write(file, file.relative_to(store))
        assert (as_counts(tmp_path / name).matrix.toarray() == COUNTS).all()


def test_archives_in_archives(tmp_path, h5ad):
    path = h5ad
    for name in ("1.tar.gz", "2.zip", "3.tar", "4.zip"):
        pack = pack_zip if name.endswith("zip") else pack_tar
        path = pack(tmp_path / name, path)
        if name == "3.tar":
            assert (as_counts(path).matrix.toarray() == COUNTS).all()
    with pytest.raises(CountsError, match="an archive in 3 others; unpack it yourself"):
        as_counts(path)


def test_several_data_sets_are_named(tmp_path, h5ad):
    (tmp_path / "b.h5ad").write_bytes(h5ad.read_bytes())
    path = tmp_path / "both.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(h5ad, "one.h5ad")
        packed.write(h5ad, "two.h5ad")
    with pytest.raises(CountsError, match=r"2 data sets: 'one.h5ad', 'two.h5ad'; unpack it and"):
        as_counts(path)


def test_what_systems_leave_in_archives_is_not_read(tmp_path, h5ad):
    path = tmp_path / "mac.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(h5ad, "run/a.h5ad")
        packed.writestr("__MACOSX/run/._a.h5ad", b"nothing")
        packed.writestr("run/._a.h5ad", b"nothing")
        packed.writestr("run/reads.bam", b"nothing")
    assert (as_counts(path).matrix.toarray() == COUNTS).all()


@pytest.mark.parametrize("name", ["../a.h5ad", "/etc/a.h5ad", "b/../../a.h5ad", "C:/a.h5ad"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_that_lead_out_are_refused(tmp_path, h5ad, name, kind):
    path = tmp_path / f"evil.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr(name, h5ad.read_bytes())
    else:
        with tarfile.open(path, "w") as packed:
            member = tarfile.TarInfo(name)
            member.size = h5ad.stat().st_size
            packed.addfile(member, io.BytesIO(h5ad.read_bytes()))
    with pytest.raises(CountsError, match="leads out of it; pack it anew"):
        as_counts(path)


def test_links_are_not_followed(tmp_path, h5ad):
    secret = tmp_path / "secret.h5ad"
    secret.write_bytes(h5ad.read_bytes())
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.h5ad").symlink_to(secret)
    with tarfile.open(tmp_path / "l.tar", "w") as packed:
        packed.add(tmp_path / "data", "data")
        hard = tarfile.TarInfo("data/b.h5ad")
        hard.type, hard.linkname = tarfile.LNKTYPE, str(secret)
        packed.addfile(hard)
        packed.addfile(_device("data/c.h5ad"))
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as packed:
        member = zipfile.ZipInfo("data/a.h5ad")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(member, str(secret))
    for name in ("l.tar", "l.zip"):
        with pytest.raises(CountsError, match="holds no counts"):
            as_counts(tmp_path / name)
    with tarfile.open(tmp_path / "l.tar", "a") as packed:
        packed.add(h5ad, "data/d.h5ad")
    with pytest.warns(CountsWarning, match="without the 3 links in it"):
        as_counts(tmp_path / "l.tar")


def _device(name):
    member = tarfile.TarInfo(name)
    member.type = tarfile.CHRTYPE
    return member


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "h5ad.gz"])
def test_bombs_stop_at_the_limit(tmp_path, monkeypatch, kind):
    monkeypatch.setenv(MEMORY_SETTING, "0.01")
    monkeypatch.setattr(archives, "_BLOCK", 2**16)
    zeros, path = bytes(20_000_000), tmp_path / f"bomb.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("a.h5ad", zeros)
    elif kind == "tar.gz":
        with tarfile.open(path, "w:gz") as packed:
            member = tarfile.TarInfo("a.h5ad")
            member.size = len(zeros)
            packed.addfile(member, io.BytesIO(zeros))
    else:
        path.write_bytes(gzip.compress(zeros))
    with pytest.raises(CountsError, match="unpacks to more than may be read"):
        as_counts(path)


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_MOST_FILES", 20)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as packed:
        for i in range(21):
            packed.writestr(f"{i}.txt", "x")
    with pytest.raises(CountsError, match="more than 20 files"):
        as_counts(tmp_path / "many.zip")


def test_damaged_and_locked_archives(tmp_path, h5ad):
    for name in ("a.zip", "a.tar", "a.tar.gz", "a.h5ad.gz"):
        (tmp_path / name).write_bytes(b"this is no archive at all, whatever its name says")
        with pytest.raises(CountsError, match="no whole archive"):
            as_counts(tmp_path / name)
    path = pack_zip(tmp_path / "locked.zip", h5ad)
    content = bytearray(path.read_bytes())
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(start) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(CountsError, match="locked by a password"):
        as_counts(path)


def test_the_server_reads_them(tmp_path, h5ad):
    path = pack_zip(tmp_path / "a.zip", h5ad)
    opened = Reading().open(path)
    np.testing.assert_array_equal(opened.counts.matrix.toarray(), COUNTS)
    assert any("a.zip was unpacked" in note for note in opened.counts.notes)
