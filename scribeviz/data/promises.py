"""What a file says that it holds, against what it can hold."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from scribeviz.data.counts import CountsError

# deflate packs zeros a thousand times smaller; tables that are less than that are anyhow harmless.
_TIMES_SMALLER = 2_000
_HARMLESS = 2**30


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all that is in a folder."""
    if path.is_file():
        return path.stat().st_size
    files = (Path(parent, name) for parent, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in files)


def check_promise(path: Path, part: str, shape: Sequence[int], itemsize: int) -> None:
    """Refuse an array that no file of this size can hold, before room is made for it.

    Raises
    ------
    CountsError
        If there is not a byte on disk for every two thousand that are promised.
    """
    promised = math.prod(shape) * itemsize
    if promised > _HARMLESS and promised > _TIMES_SMALLER * size_on_disk(path):
        raise CountsError(
            f"{path.name} says that {part!r} holds {math.prod(shape):,} values, which a file of "
            "its size cannot: it is damaged; copy or download it again."
        )
