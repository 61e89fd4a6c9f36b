"""Read an AnnData as anndata writes it: an .h5ad file or a .zarr folder."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scribeviz.data.counts import CountsError
from scribeviz.data.hdf5 import holds_anndata, open_hdf5
from scribeviz.data.mudata_files import genes_of_mudata, holds_mudata
from scribeviz.data.promises import check_promise

if TYPE_CHECKING:
    from anndata import AnnData

_LARGEST_NUMBER = 8  # bytes
# Chunks of nothing but zeros need not be there.
_MOST_MISSING, _CHUNKS_PER_FILE = 2_000, 20


def read_h5ad(path: Path) -> "AnnData":
    """Read an ``.h5ad`` file."""
    import anndata

    with open_hdf5(path) as file:
        if holds_mudata(file):
            return genes_of_mudata(file, path)
        if not holds_anndata(file):
            raise CountsError(
                f"{path.name} is HDF5 but holds no AnnData (no cells 'obs' and genes 'var'); if it "
                "is a matrix of Cell Ranger, let its name end in .h5, if it is a loom, in .loom."
            )
    return anndata.read_h5ad(path)


def read_zarr(path: Path) -> "AnnData":
    """Read a ``.zarr`` folder, unless something in it would be unpickled."""
    import anndata

    parts = dict(_zarr_metadata(path))
    metadata = list(parts.values())
    if not metadata:
        raise CountsError(f"{path.name} is no Zarr store: it has neither zarr.json nor .zgroup.")
    if any(_unpickles(content) for content in metadata):
        raise CountsError(
            f"{path.name} holds pickled objects, which could run any program when opened; "
            "write it again with anndata's write_zarr."
        )
    for name, content in parts.items():
        for shape in _shapes(content):
            check_promise(path, name, shape, _LARGEST_NUMBER)
        _check_chunks(path, name, content)
    inside = {child.name for child in path.iterdir()}
    if "mod" in inside:
        import zarr

        return genes_of_mudata(zarr.open_group(path, mode="r"), path)
    if not {"obs", "var"} <= inside:
        raise CountsError(
            f"{path.name} is a Zarr store but holds no AnnData (no cells 'obs' and genes 'var'); "
            "write it with anndata's write_zarr."
        )
    return anndata.read_zarr(path)


def _zarr_metadata(path: Path) -> Iterator[tuple[str, Any]]:
    """Name and content of every file that describes a part of the store."""
    for folder, _, names in os.walk(path):
        for name in {"zarr.json", ".zgroup", ".zarray", ".zmetadata"} & set(names):
            file = Path(folder) / name
            yield file.relative_to(path).as_posix(), json.loads(file.read_text(encoding="utf-8"))


def _shapes(node: Any) -> Iterator[list[int]]:
    """The shape of every array, and of every chunk, that Zarr metadata describe."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in {"shape", "chunks", "chunk_shape"} and isinstance(value, list):
                yield [number for number in value if isinstance(number, int)]
            else:
                yield from _shapes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _shapes(value)


def _check_chunks(path: Path, name: str, node: Any) -> None:
    """Refuse an array in more chunks than there can be: each takes time, also where it is not."""
    for shape, chunk in _grids(node):
        n_chunks = math.prod(-(-n // max(1, k)) for n, k in zip(shape, chunk, strict=True))
        if n_chunks > _MOST_MISSING and n_chunks > _CHUNKS_PER_FILE * _number_of_files(path):
            raise CountsError(
                f"{path.name} says that {name!r} is in {n_chunks:,} parts, which so few files "
                "cannot hold: it is damaged; copy or download it again."
            )


def _number_of_files(path: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(path))


def _grids(node: Any) -> Iterator[tuple[list[int], list[int]]]:
    """The shape of every array that Zarr metadata describe, and of its chunks."""
    if isinstance(node, list):
        for value in node:
            yield from _grids(value)
    elif isinstance(node, Mapping) and isinstance(node.get("shape"), list):
        regular = node.get("chunk_grid", {}).get("configuration", {})
        yield node["shape"], node.get("chunks", regular.get("chunk_shape", node["shape"]))
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _grids(value)


def _unpickles(node: Any, *, codec: bool = False) -> bool:
    """Whether Zarr metadata name a codec that unpickles what it reads."""
    if isinstance(node, Mapping):
        codecs = {"filters", "compressor", "codecs", "compressors"}
        return any(_unpickles(value, codec=codec or key in codecs) for key, value in node.items())
    if isinstance(node, list):
        return any(_unpickles(value, codec=codec) for value in node)
    return codec and isinstance(node, str) and "pickle" in node.lower()
