"""What the quality of a cell is judged by: its counts, its genes, its mitochondrial share."""

import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from scribeviz.data.counts import Counts
from scribeviz.data.mitochondrial_ids import MITOCHONDRIAL_IDS
from scribeviz.data.names import without_version
from scribeviz.data.remembered import once_per_counts

# MT-CO1 (human), mt-Co1 (mouse, zebrafish), Mt-co1 (rat), mt:CoI (fly), MT.CO1 (as R writes it),
# GRCh38_MT-CO1 (two genomes), ATMG00160 (Arabidopsis).  Not MT1A or MTOR.
_MITOCHONDRIAL = re.compile(r"(?:(?:[a-z0-9.]+_+)?mt[-:.]|ATMG\d{5}$)", re.IGNORECASE)


class CellQC(NamedTuple):
    """One number per cell each; ``mt_share`` is None where no mitochondrial gene is recognised."""

    counts: Float[np.ndarray, " cells"]
    genes: Int[np.ndarray, " cells"]
    mt_share: Float[np.ndarray, " cells"] | None


@once_per_counts
def cell_qc(counts: Counts) -> CellQC:
    """Counts, genes seen and mitochondrial share of every cell; 0 in a cell without counts."""
    totals = counts.cell_totals
    is_mt = mitochondrial(counts)
    share = None
    if is_mt.any():
        share = counts.matrix @ is_mt.astype(np.float64) / np.maximum(totals, 1.0)
    return CellQC(counts=totals, genes=np.diff(counts.matrix.indptr), mt_share=share)


def mitochondrial(counts: Counts) -> Bool[np.ndarray, " genes"]:
    """Which genes are of the mitochondrion: as the data mark them, else by symbols and ids."""
    if counts.mitochondrial is not None:
        return counts.mitochondrial
    return np.array(
        [
            any(_is_mitochondrial(str(name)) for name in names)
            for names in zip(counts.genes, counts.gene_ids, strict=True)
        ],
        dtype=bool,
    )


def _is_mitochondrial(name: str) -> bool:
    return bool(_MITOCHONDRIAL.match(name)) or without_version(name) in MITOCHONDRIAL_IDS
