"""Read a MuData as muon writes it (.h5mu): several AnnData, one per kind of molecule."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import h5py
import pandas as pd

from scribeviz.data.counts import CountsError
from scribeviz.data.hdf5 import open_hdf5
from scribeviz.data.reading import with_note

if TYPE_CHECKING:
    from anndata import AnnData

_OF_GENES = re.compile(r"s?[cn]?rna|gex|gene[ _.-]?expression|mrna|transcriptom\w*", re.IGNORECASE)
_OF_OTHERS = re.compile(
    r"adts?|prots?|proteins?|ab|antibod\w*|surface|cite|htos?|hashtags?|atac|peaks?|fragments"
    r"|chromatin|motifs?|meth\w*|guides?|crispr|grna|sgrna|perturb\w*|airr|tcr|bcr|vdj|ir"
    r"|spatial|images?",
    re.IGNORECASE,
)


def holds_mudata(file: h5py.File) -> bool:
    """Whether an HDF5 file has the marks of a MuData."""
    return file.attrs.get("encoding-type") == "MuData" or isinstance(file.get("mod"), h5py.Group)


def read_h5mu(path: Path) -> "AnnData":
    """Read the genes of an ``.h5mu`` file."""
    with open_hdf5(path) as file:
        if not isinstance(file.get("mod"), h5py.Group):
            raise CountsError(
                f"{path.name} is HDF5 but holds no MuData (no group 'mod'); if it is an AnnData, "
                "let its name end in .h5ad."
            )
        return genes_of_mudata(file, path)


def genes_of_mudata(store: Any, path: Path) -> "AnnData":
    """Read the genes of a MuData from a group of HDF5 or Zarr that is safe to read."""
    from anndata import AnnData
    from anndata.io import read_elem

    modalities = store["mod"]
    names = sorted(name for name in modalities if isinstance(modalities[name], type(modalities)))
    chosen = _genes_of(names, path)
    adata = read_elem(modalities[chosen])
    about_all: object = read_elem(store["obs"]) if "obs" in store else None
    if not isinstance(adata, AnnData):
        raise CountsError(f"{path.name}: mod/{chosen} holds no AnnData; write the file again.")
    if isinstance(about_all, pd.DataFrame):
        # What is said of all modalities (types of cells, often), but of each once.
        more = [c for c in about_all.columns if ":" not in str(c) and c not in adata.obs]
        adata.obs = cast("pd.DataFrame", adata.obs).join(about_all[more])
    others = [name for name in names if name != chosen]
    left = f"; left out: {', '.join(map(repr, others))}" if others else ""
    return with_note(adata, f"Counts are of the modality {chosen!r} of a MuData{left}.")


def _genes_of(names: list[str], path: Path) -> str:
    """The modality that holds the counts of genes."""
    by_name = [name for name in names if _OF_GENES.fullmatch(name)]
    perhaps = [name for name in names if not _OF_OTHERS.fullmatch(name)]
    for some in (by_name, perhaps, names):
        if len(some) == 1:
            return some[0]
    if not names:
        raise CountsError(f"{path.name} is a MuData without any modality; write it again.")
    raise CountsError(
        f"{path.name} holds {len(names)} modalities ({', '.join(map(repr, names))}), and which of "
        "them counts genes cannot be told; call that one 'rna', or write it to an .h5ad file of "
        "its own."
    )
