"""Data handed to a result, brought to the genes that were fitted."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Shaped

from scribeviz.data.counts import Counts, CountsError, are_made_up
from scribeviz.data.readers import as_counts


def fitted_counts(
    data: Any, genes: Shaped[np.ndarray, " genes"], *, n_cells: int | None = None
) -> Counts:
    """Read data and keep the genes that were fitted, in their order.

    Parameters
    ----------
    data
        Counts in any form that ``fit`` takes.
    genes
        Names of the genes that were fitted.
    n_cells
        How many cells the result knows one by one; None where it is of any cells.

    Raises
    ------
    CountsError
        If a gene is missing, or there is another number of cells.
    """
    counts = as_counts(data)
    if not np.array_equal(counts.genes, genes):
        counts = _in_order(counts, genes)
    if n_cells is not None and counts.n_cells != n_cells:
        raise CountsError(
            f"{n_cells:,} cells were fitted, and the fit knows each of them; these data have "
            f"{counts.n_cells:,} cells."
        )
    return counts


def _in_order(counts: Counts, genes: np.ndarray) -> Counts:
    position = {name: i for i, name in enumerate(counts.genes)}
    missing = [name for name in genes if name not in position]
    if not missing:
        return counts.select_genes(np.asarray([position[name] for name in genes]))
    # A bare matrix has no names, only places.
    if counts.n_genes == len(genes) and (are_made_up(counts.genes) or are_made_up(genes)):
        return replace(counts, genes=genes, gene_ids=genes)
    raise CountsError(
        f"{len(genes):,} genes were fitted, of which these data lack {len(missing):,}, such as "
        f"{missing[0]!r}; pass the data that were fitted, or results[genes]."
    )
