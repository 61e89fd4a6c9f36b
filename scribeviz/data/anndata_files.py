"""Read an AnnData as anndata writes it: an .h5ad file or a .zarr folder."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scribeviz.data.counts import CountsError
from scribeviz.data.hdf5 import holds_anndata, open_hdf5

if TYPE_CHECKING:
    from anndata import AnnData


def read_h5ad(path: Path) -> "AnnData":
    """Read an ``.h5ad`` file."""
    import anndata

    with open_hdf5(path) as file:
        if not holds_anndata(file):
            raise CountsError(
                f"{path.name} is HDF5 but holds no AnnData (no cells 'obs' and genes 'var'); if it "
                "is a matrix of Cell Ranger, let its name end in .h5, if it is a loom, in .loom."
            )
    return anndata.read_h5ad(path)


def read_zarr(path: Path) -> "AnnData":
    """Read a ``.zarr`` folder, unless something in it would be unpickled."""
    import anndata

    metadata = list(_zarr_metadata(path))
    if not metadata:
        raise CountsError(f"{path.name} is no Zarr store: it has neither zarr.json nor .zgroup.")
    if any(_unpickles(content) for content in metadata):
        raise CountsError(
            f"{path.name} holds pickled objects, which could run any program when opened; "
            "write it again with anndata's write_zarr."
        )
    inside = {child.name for child in path.iterdir()}
    if not {"obs", "var"} <= inside:
        raise CountsError(
            f"{path.name} is a Zarr store but holds no AnnData (no cells 'obs' and genes 'var'); "
            "write it with anndata's write_zarr."
        )
    return anndata.read_zarr(path)


def _zarr_metadata(path: Path) -> Iterator[Any]:
    for folder, _, names in os.walk(path):
        for name in {"zarr.json", ".zgroup", ".zarray", ".zmetadata"} & set(names):
            yield json.loads((Path(folder) / name).read_text(encoding="utf-8"))


def _unpickles(node: Any, *, codec: bool = False) -> bool:
    """Whether Zarr metadata name a codec that unpickles what it reads."""
    if isinstance(node, Mapping):
        codecs = {"filters", "compressor", "codecs", "compressors"}
        return any(_unpickles(value, codec=codec or key in codecs) for key, value in node.items())
    if isinstance(node, list):
        return any(_unpickles(value, codec=codec) for value in node)
    return codec and isinstance(node, str) and "pickle" in node.lower()
