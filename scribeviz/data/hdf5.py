"""Open an HDF5 file that came from elsewhere: whole, and keeping to itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scribeviz.data.counts import CountsError


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
        _refuse_links_to_other_files(file, path)
        yield file


def _refuse_links_to_other_files(file: h5py.File, path: Path) -> None:
    # HDF5 can point at any file of this machine; an upload must not read those.
    def leaves_by_link(_: bytes | str, link: Any) -> bool | None:
        return True if isinstance(link, h5py.ExternalLink) else None

    def leaves_by_storage(_: str, item: h5py.Group | h5py.Dataset) -> bool | None:
        stored_elsewhere = isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)
        return True if stored_elsewhere else None

    if file.visititems_links(leaves_by_link) or file.visititems(leaves_by_storage):
        raise CountsError(f"{path.name} points at other files; write it anew as a file of its own.")


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
