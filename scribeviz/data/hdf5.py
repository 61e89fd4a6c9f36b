"""Open an HDF5 file that came from elsewhere: whole, and keeping to itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scribeviz.data.counts import CountsError
from scribeviz.data.promises import check_promise

_DEEPEST = 64


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file that is whole and keeps to itself."""
    if not h5py.is_hdf5(path):
        raise CountsError(
            f"{path.name} is not an HDF5 file, whatever its name says; "
            "it may be a web page or a compressed file: download or unpack it again."
        )
    try:
        file = h5py.File(path, "r")
    except PermissionError:
        raise
    except OSError as error:
        raise CountsError(
            f"{path.name} is cut short or damaged; copy or download it again."
        ) from error
    with file:
        _check_parts(file, path)
        yield file


def _check_parts(file: h5py.File, path: Path) -> None:
    """Look at every group and dataset, before anything is read of any."""
    # By hand: HDF5's own walk needs as much of the stack as the file is deep.
    seen, waiting = set(), [(file, 0)]
    while waiting:
        group, depth = waiting.pop()
        if depth > _DEEPEST:
            raise CountsError(
                f"{path.name} holds groups in more than {_DEEPEST} groups, which no tool writes; "
                "write it anew."
            )
        for item in _own_parts(group, path):
            address = h5py.h5o.get_info(item.id).addr
            if isinstance(item, h5py.Dataset):
                _check_dataset(item, path)
            elif isinstance(item, h5py.Group) and address not in seen:
                seen.add(address)
                waiting.append((item, depth + 1))


def _own_parts(group: h5py.Group, path: Path) -> Iterator[Any]:
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.HardLink):
            yield group[name]
        elif not isinstance(link, h5py.SoftLink):  # those stay in the file
            raise _points_elsewhere(path)


def _check_dataset(item: h5py.Dataset, path: Path) -> None:
    if item.external or item.is_virtual:
        raise _points_elsewhere(path)
    check_promise(path, str(item.name), item.shape or (), item.dtype.itemsize)


def _points_elsewhere(path: Path) -> CountsError:
    # HDF5 can point at any file of this machine; an upload must not read those.
    return CountsError(f"{path.name} points at other files; write it anew as a file of its own.")


def holds_anndata(file: h5py.File) -> bool:
    """Whether an HDF5 file has the marks of an AnnData."""
    return file.attrs.get("encoding-type") == "anndata" or {"obs", "var"} <= set(file)


def texts(dataset: h5py.Dataset) -> np.ndarray:
    """Read names, however HDF5 holds them."""
    values = dataset[...]
    if values.dtype.kind not in "OSU":
        return values.astype(str).astype(object)
    decoded = [v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in values]
    return np.array(decoded, dtype=object)
