"""Arrays and plain settings in one HDF5 file, written whole or not at all.  No pickle."""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

_META = "meta"
_IS_TEMPORARY = re.compile(r"\..+\.(json|h5)\.[a-z0-9_]{8}")  # as :class:`replacing` names them


def write_arrays(path: Path, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Replace ``path`` by a file that holds ``arrays`` and the JSON-able ``meta``.

    Array names may hold ``/`` (groups).  Text arrays come back as ``str``.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs[_META] = json.dumps(meta)
        for name, value in arrays.items():
            array = np.asarray(value)
            if array.dtype.kind in "OUT":
                texts = np.array(_storable(list(array.flat)), dtype=object).reshape(array.shape)
                file.create_dataset(name, data=texts, dtype=h5py.string_dtype())
            else:
                file.create_dataset(name, data=array)


def _storable(texts: list[str]) -> list[str]:
    """HDF5 ends text at a zero, and takes no half of a surrogate pair."""
    together = "".join(texts)  # one look at all: nearly always there is nothing to mend
    if together.isascii() and "\0" not in together:
        return texts
    plain = (text.replace("\0", "\N{REPLACEMENT CHARACTER}") for text in texts)
    return [text.encode(errors="replace").decode() for text in plain]


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what :func:`write_arrays` wrote: the arrays by name, and the settings."""
    arrays: dict[str, np.ndarray] = {}

    def collect(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            text = h5py.check_string_dtype(item.dtype) is not None
            arrays[name] = item.asstr()[...] if text else item[...]

    with h5py.File(path, "r") as file:
        meta = json.loads(file.attrs[_META])
        file.visititems(collect)
    return arrays, meta


def read_array(path: Path, name: str) -> np.ndarray:
    """Read one array of numbers of those that :func:`write_arrays` wrote."""
    with h5py.File(path, "r") as file:
        return file[name][...]


def has_array(path: Path, name: str) -> bool:
    """Whether :func:`write_arrays` wrote an array of this name."""
    with h5py.File(path, "r") as file:
        return name in file


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace ``path`` by ``content`` as JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2))


def read_json(path: Path) -> dict[str, Any]:
    """Read what :func:`write_json` wrote."""
    return json.loads(path.read_text())


class replacing:  # noqa: N801  reads as a verb at the call
    """A temporary file beside ``path`` that takes its place when the block ends well."""

    def __init__(self, path: Path) -> None:
        self._path = path
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        self._temporary = Path(name)

    def __enter__(self) -> Path:
        return self._temporary

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                # A rename may reach the disk before what was written: after a power cut, an empty
                # file.
                with self._temporary.open("rb+") as written:
                    os.fsync(written.fileno())
                self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)  # where the block, or a full disk, failed


def temporaries(folder: Path) -> list[Path]:
    """What writers that were killed have left in ``folder``; nobody must be writing there."""
    return [path for path in folder.glob(".*") if _IS_TEMPORARY.fullmatch(path.name)]
