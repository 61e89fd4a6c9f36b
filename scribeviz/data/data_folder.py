"""The one folder that data are opened from: what is in it, and nothing outside it."""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scribeviz.data.counts import CountsError
from scribeviz.data.promises import size_on_disk
from scribeviz.data.readers import Format, format_of

_DEEPEST = 6  # outs/per_sample_outs/SAMPLE/count/sample_filtered_feature_bc_matrix of a run
_DEEPEST_TABLE = 3  # further in, programs write tables of all kinds
_MOST_FOLDERS = 2_000
_MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A file or folder of counts that can be opened.

    Attributes
    ----------
    name
        Path below the data folder, parted by ``/``.
    size
        In bytes; of a folder, all that is in it.
    label
        The format's name on screen.
    """

    name: str
    size: int
    label: str


def list_files(folder: Path) -> list[DataFile]:
    """List what can be opened in ``folder``, by name.

    Looks six folders deep (three for tables and archives) and into 2,000 folders.  Leaves out what
    is hidden, unreadable, of unknown format, or links to somewhere outside; stops at 500 entries.
    A folder that is itself one data set (10x, Zarr) is one entry.  A folder that does not exist
    holds nothing.
    """
    files: list[DataFile] = []
    for path, file_format in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if len(files) == _MOST:
            break
        if _stays_inside(path, folder) and os.access(path, os.R_OK):
            files.append(DataFile(name=name, size=size_on_disk(path), label=file_format.label))
    return sorted(files, key=lambda file: file.name)


def resolve(folder: Path, name: str) -> Path:
    """Turn a name from outside (a URL, a form) into a path that is sure to lie in ``folder``.

    Parameters
    ----------
    folder
        The data folder.
    name
        As in :attr:`DataFile.name`.

    Raises
    ------
    CountsError
        If ``name`` is empty, absolute, climbs with ``..``, leads out of it, or names nothing.
    """
    shown = name.replace("\0", "\\0")
    parts = name.replace("\\", "/").split("/")
    absolute = name.startswith(("/", "\\", "~")) or Path(name).is_absolute() or ":" in parts[0]
    if absolute or "\0" in name or ".." in parts:
        raise CountsError(
            f"{shown!r} is not a name inside the data folder; choose one of the listed files."
        )
    if not name.strip("./"):
        raise CountsError("no file was named; choose one of the listed files.")
    path = folder / name
    try:
        exists = path.exists()
    except OSError:  # a name longer than the file system allows
        exists = False
    if not exists:
        raise CountsError(f"{shown!r} is not in the data folder; it may have been moved away.")
    if not _stays_inside(path, folder):
        raise CountsError(
            f"{shown!r} links to a place outside the data folder; copy it into the folder instead."
        )
    return path.resolve()


def _walk(folder: Path) -> Iterator[tuple[Path, Format]]:
    """What can be opened, from the outside in, so that a large folder hides no other."""
    waiting, n_folders = deque([(folder, 0)]), 0
    while waiting and n_folders < _MOST_FOLDERS:
        (parent, depth), n_folders = waiting.popleft(), n_folders + 1
        try:
            children = sorted(parent.iterdir())
        except OSError:  # missing, or not ours to read
            continue
        for child in children:
            if child.name.startswith("."):
                continue
            try:
                file_format, is_folder = format_of(child), child.is_dir()
            except OSError:
                continue
            if file_format is not None:
                if depth <= _DEEPEST_TABLE or file_format.rank == 0:
                    yield child, file_format
            elif is_folder and not child.is_symlink() and depth < _DEEPEST:
                waiting.append((child, depth + 1))


def _stays_inside(path: Path, folder: Path) -> bool:
    """Whether ``path``, and all within it, lies in ``folder`` once links are followed."""
    root = folder.resolve()
    if not path.resolve().is_relative_to(root):
        return False
    return all(inner.resolve().is_relative_to(root) for inner in _links_in(path))


def _links_in(path: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(path):
        for name in (*folders, *files):
            inner = Path(parent, name)
            if inner.is_symlink():
                yield inner
