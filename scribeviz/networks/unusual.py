"""Which cells an autoencoder cannot reconstruct: what is unusual in a data set, in one call."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from scribeviz._cards import shown_by_fields
from scribeviz.data.cells import variable_expression
from scribeviz.data.counts import Counts, CountsError
from scribeviz.networks.abnormality import Abnormality
from scribeviz.networks.arrays import UnitScale
from scribeviz.networks.batches import split_cells

_LAYER = "scaled"
_FEWEST_CELLS, _FEWEST_GENES = 30, 5


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class Unusual:
    """Cells beside what an autoencoder makes of them.

    Attributes
    ----------
    genes
        Names of the most variable genes.
    x, reconstruction
        Logarithms of normalised counts, each gene brought to 0 … 1 by the training cells, and what
        the network makes of them.
    error, error_of_means
        Mean squared error on the cells that were kept for last, of the network and of each gene's
        mean.
    n_test
        How many cells these were.
    """

    genes: np.ndarray
    x: Float[np.ndarray, "cells genes"]
    reconstruction: Float[np.ndarray, "cells genes"]
    error: float
    error_of_means: float
    n_test: int


def find_unusual(counts: Counts, n_genes: int = 100, seed: int = 42) -> Unusual:
    """Train an :class:`Abnormality` on the most variable genes, and apply it to all cells.

    Raises
    ------
    CountsError
        If there are fewer than 30 cells or 5 genes.
    """
    if counts.n_cells < _FEWEST_CELLS or counts.n_genes < _FEWEST_GENES:
        raise CountsError(
            f"{counts.n_cells:,} cells and {counts.n_genes:,} genes are too few to learn what is "
            f"usual; {_FEWEST_CELLS} cells and {_FEWEST_GENES} genes are needed at least."
        )
    adata = variable_expression(counts, n_genes)
    split = split_cells(adata.n_obs, validation=0.1, test=0.1, seed=seed)
    scaled = UnitScale.fitted(adata.X, split.train)(adata.X)
    adata.layers[_LAYER] = scaled.toarray()
    abnormality = Abnormality(n_in=adata.n_vars).fit(
        adata, layer=_LAYER, split=split, seed=seed, enable_progress_bar=False
    )
    return Unusual(
        genes=adata.var_names.to_numpy(object),
        x=np.asarray(adata.layers[_LAYER]),
        reconstruction=np.asarray(abnormality.reconstruct(adata)),
        error=abnormality.test_metrics["test_mse"],
        error_of_means=float(abnormality.baseline),
        n_test=split.test.size,
    )
