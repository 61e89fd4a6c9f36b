"""Read a matrix in the Matrix Market format, whatever its lines end in."""

import gzip
import mmap
from pathlib import Path
from typing import IO, Any

import scipy.io
import scipy.sparse as sp


class _Lines:
    """A text file of lines, the last one included, without zeros in it.

    SciPy (1.18) looks for the end of a line past the end of its memory, and ends the process, where
    there is a zero behind the last number of a line, or anything and no line end behind the last.
    """

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file = file
        self._has_ended = False

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        if (size < 0 or len(content) < size) and not self._has_ended:
            self._has_ended = True
            content += b"\n"  # together with the last line
        return content.replace(b"\0", b"\n")


def read_matrix_market(path: Path) -> sp.coo_array:
    """Read a file, plain or compressed.

    Raises
    ------
    ValueError
        If it is no such file, or no whole one.
    """
    if _is_harmless(path):
        return sp.coo_array(scipy.io.mmread(path))
    with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
        source: Any = _Lines(file)
        return sp.coo_array(scipy.io.mmread(source))


def _is_harmless(path: Path) -> bool:
    """Whether SciPy reads a plain file safely; of a compressed one, nobody knows before."""
    if path.name.endswith(".gz") or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content[-1:] == b"\n" and content.find(b"\0") < 0
