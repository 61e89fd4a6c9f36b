"""Matrix Market files whose last line would end the process that reads them with SciPy alone."""

import gzip

import numpy as np
import pytest

from scribeviz.data.matrix_market import read_matrix_market

# SciPy's own, about the class that it will return one day.
pytestmark = pytest.mark.filterwarnings("ignore:The default value for `spmatrix`")

HEAD = "%%MatrixMarket matrix coordinate integer general\n%\n3 4 2\n1 1 5\n"
EXPECTED = np.array([[5, 0, 0, 0], [0, 0, 7, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    "end", ["", "\n", " ", " \n", "\r\n", "\t", " 9", " 9\n", "\n\n", "\0\0", "\0\n"]
)
@pytest.mark.parametrize("name", ["a.mtx", "a.mtx.gz"])
def test_any_end_is_read(tmp_path, end, name):
    content = f"{HEAD}2 3 7{end}".encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    np.testing.assert_array_equal(read_matrix_market(tmp_path / name).toarray(), EXPECTED)


@pytest.mark.parametrize(
    "end", ["", " ", "\n", "2", "2 3", "2 3 ", "2 3 x", "2 3 7\0\0 9", "2 3\0"]
)
@pytest.mark.parametrize("name", ["a.mtx", "a.mtx.gz"])
def test_a_file_that_is_cut_short_is_an_error(tmp_path, end, name):
    content = f"{HEAD}{end}".encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(ValueError, match=r"Truncated file|Invalid integer|Too many lines"):
        read_matrix_market(tmp_path / name)
