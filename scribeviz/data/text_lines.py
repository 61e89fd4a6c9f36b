"""The lines of a text file, whatever its encoding and compression, and their fields."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from scribeviz.data.counts import CountsError
from scribeviz.data.gzip_files import open_bytes

SEPARATORS = ("\t", ",", ";", " ")


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file, plain or compressed; bytes that are not UTF-8 are kept as surrogates."""
    with open_bytes(path) as file:
        try:
            start = file.read(2)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            start = b""  # said when the lines are read
    encoding = "utf-16" if start in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    # What is not UTF-8 is kept as it is until the names are known.
    with (
        open_bytes(path) as file,
        TextIOWrapper(file, encoding, "surrogateescape", newline=None) as text,
    ):
        yield text


def is_mixed(name: str) -> bool:
    """Whether a name holds bytes that are not UTF-8."""
    return any("\udc80" <= letter <= "\udcff" for letter in name)


def decoded(name: str) -> str:
    """A name, of Latin-1 where it is not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("latin-1") if is_mixed(name) else name


def numbered_lines(file: TextIO, path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their number from 1, without blank ones and the comments at the top."""
    at_top = True
    try:
        for number, line in enumerate(file, start=1):
            if at_top and "\0" in line:
                raise CountsError(
                    f"{path.name} is not plain text; save it as comma-separated values (UTF-8)."
                )
            if line.isspace() or (at_top and line.startswith("#")):
                continue
            at_top = False
            yield number, line.rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CountsError(
            f"{path.name} is not a whole .gz file; copy or download it again."
        ) from error


def is_number(text: str) -> bool:
    """Whether a field is a number, as tables write it."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python reads 1_000, tables do not


def fields_of(line: str, separator: str) -> list[str]:
    """The fields of a line, without quotes and blanks around them."""
    return [field.strip() for field in next(csv.reader([line], delimiter=separator))]
