"""Files that unpack to far more than lies on the disk."""

import gzip
import json

import numpy as np
import pytest
from scipy.io import mmwrite
from scipy.sparse import coo_array

from scribeviz.data.counts import CountsError
from scribeviz.data.gzip_files import check_unpacked, open_bytes
from scribeviz.data.opening import open_counts
from tests.data.small_files import SMALL_FILES

_UNPACKS = "unpacks to more than 200 times its size"


@pytest.fixture
def bomb(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"cell,A\n" + bytes(100_000_000), compresslevel=9))
    return path


def test_a_table_that_is_well_packed_is_read(tmp_path):
    text = b"cell,A,B\n" + b"".join(b"c%d,0,%d\n" % (i, i % 7 == 0) for i in range(20_000))
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(text))
    with open_bytes(path) as file:
        assert file.read() == text
    assert open_counts(path).counts.matrix.sum() == len(range(0, 20_000, 7))


def test_zeros_without_end_are_not_unpacked(bomb):
    with open_bytes(bomb) as file, pytest.raises(CountsError, match=_UNPACKS):
        file.read()
    with pytest.raises(CountsError, match=_UNPACKS):
        check_unpacked(bomb)
    with pytest.raises(CountsError, match=_UNPACKS):
        open_counts(bomb)


@pytest.mark.parametrize("part", ["matrix.mtx", "barcodes.tsv", "features.tsv"])
def test_nor_are_they_in_a_folder(part, bomb, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    mmwrite(folder / "matrix.mtx", coo_array(np.array([[1, 2], [3, 4]])))
    (folder / "barcodes.tsv").write_text("AAAC-1\nAAAG-1\n")
    (folder / "features.tsv").write_text("ENSG1\tA\nENSG2\tB\n")
    assert open_counts(folder).counts.n_cells == 2
    (folder / part).unlink()
    bomb.rename(folder / f"{part}.gz")
    with pytest.raises(CountsError, match=_UNPACKS):
        open_counts(folder)


def test_chunks_that_no_files_hold_are_not_looked_for(tmp_path):
    path = SMALL_FILES["zarr, v2"].write(tmp_path)
    (path / ".zmetadata").unlink(missing_ok=True)
    about = path / "X" / "data" / ".zarray"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"shape": [50_000], "chunks": [1]}))
    with pytest.raises(CountsError, match=r"'X/data/.zarray' is in 50,000 parts, which so few"):
        open_counts(path)
