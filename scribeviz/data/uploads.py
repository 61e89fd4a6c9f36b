"""Take in a file that someone sends through the browser."""

import os
import re
import unicodedata
from itertools import count
from pathlib import Path

from scribeviz._storage import replacing
from scribeviz.data.counts import CountsError
from scribeviz.data.readers import known_suffixes

UPLOADS = "uploads"
_LONGEST_NAME = 100  # in bytes of UTF-8; file systems stop at 255, suffix and number included
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def save_upload(folder: Path, filename: str, content: bytes, limit_bytes: int) -> Path:
    """Write an upload below ``folder``, under a name that nothing else has.

    Parameters
    ----------
    folder
        The data folder; the file goes to ``uploads`` in it.
    filename
        As the browser sent it: anything.  Only its last part is used, with plain characters.
    content
        The file.
    limit_bytes
        The largest size that is taken.

    Returns
    -------
    Path
        Where it was written: whole, or not at all.

    Raises
    ------
    CountsError
        If it is empty, too large, or its name does not end in a known suffix.
    """
    name, suffix = _safe_name(filename)
    if not content:
        raise CountsError(f"{name}{suffix} is empty (0 bytes); choose another file.")
    if len(content) > limit_bytes:
        raise CountsError(
            f"{name}{suffix} has {size_in_words(len(content))}, more than the "
            f"{size_in_words(limit_bytes)} that may be uploaded; "
            "put it into the data folder on the server instead."
        )
    place = folder / UPLOADS
    place.mkdir(parents=True, exist_ok=True)
    target = _claim(place, name, suffix)
    try:
        with replacing(target) as temporary:
            temporary.write_bytes(content)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target


def size_in_words(size: int) -> str:
    """Write a number of bytes for people.

    Examples
    --------
    >>> size_in_words(999), size_in_words(1_500_000)
    ('999 bytes', '1.5 MB')
    """
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {_UNITS[unit]}"


def _safe_name(filename: str) -> tuple[str, str]:
    """Split into a harmless stem and a known suffix."""
    last = filename.replace("\\", "/").rsplit("/", maxsplit=1)[-1]
    plain = unicodedata.normalize("NFKC", last)
    plain = re.sub(r"[^\w.()+ -]", "_", plain).rstrip(" .")
    # The longest suffix that fits: .csv.gz before a .gz that stands alone.
    endings = sorted(known_suffixes(folders=False), key=len, reverse=True)
    suffix = next((end for end in endings if plain.lower().endswith(end)), None)
    if suffix is None:
        raise CountsError(
            f"{plain or 'a file without a name'} is of no format that can be uploaded; "
            f"its name must end in {', '.join(endings[::-1])}."
        )
    stem = plain[: -len(suffix)].strip(" .").encode()[:_LONGEST_NAME].decode(errors="ignore")
    return stem.rstrip(" .") or "upload", suffix


def _claim(place: Path, name: str, suffix: str) -> Path:
    """Make an empty file under the first name that is free, so that nobody else takes it."""
    for number in count(1):
        path = place / (f"{name}{suffix}" if number == 1 else f"{name}-{number}{suffix}")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            continue
        return path
    raise AssertionError
