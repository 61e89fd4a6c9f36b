"""Open files that may be packed (.gz), and unpack no more of them than counts can be."""

import gzip
from pathlib import Path
from typing import BinaryIO

from scribeviz.data.counts import CountsError

# A table of which one value in a thousand is not 0 is packed about two hundred times smaller.
_TIMES_SMALLER = 200
_HARMLESS = 2**26


def open_bytes(path: Path) -> BinaryIO:
    """Open a file to read its bytes, unpacked where its name ends in ``.gz``."""
    return _Unpacked(path) if _is_packed(path) else path.open("rb")  # type: ignore[return-value]


def check_unpacked(path: Path) -> None:
    """Unpack a file once in small pieces, for a reader that opens it by itself.

    Raises
    ------
    CountsError
        If there is far more in it than counts can be.
    """
    if not _is_packed(path):
        return
    with open_bytes(path) as file:
        while file.read(2**20):
            pass


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


class _Unpacked(gzip.GzipFile):
    """Stops where it has unpacked far more than lies on the disk: zeros without end, most often."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._file = path.name
        self._most = max(_HARMLESS, _TIMES_SMALLER * path.stat().st_size)

    def read(self, size: int | None = -1) -> bytes:
        all_of_it = size is None or size < 0
        return self._checked(super().read(self._most + 1 if all_of_it else size))

    def read1(self, size: int = -1) -> bytes:
        return self._checked(super().read1(size))

    def _checked(self, content: bytes) -> bytes:
        if self.tell() > self._most:
            raise CountsError(
                f"{self._file} unpacks to more than {_TIMES_SMALLER} times its size, as counts do "
                "not: it is damaged, or made to fill the memory; if it is right, unpack it and "
                "open what comes out."
            )
        return content
