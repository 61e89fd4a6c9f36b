"""Tables of many data sets in one shape, so that one compiled program fits them all."""

import numpy as np

from scribeviz.data.counts import Counts
from scribeviz.data.tables import GeneOrder, SurvivalSteps, SurvivalTable, survival_table


def of_one_shape(counts: Counts, longest: int) -> SurvivalTable:
    """The table of ``counts`` step by step up to ``longest``: the same shape for every data set."""
    step = np.arange(longest, dtype=np.float32)
    dense = counts.matrix.toarray()
    genes = np.arange(counts.n_genes, dtype=np.int32)
    every = GeneOrder(genes, genes)
    rows = SurvivalSteps(
        step=np.tile(step, (counts.n_genes, 1)),
        weight=(dense[:, :, None] > step).sum(axis=0).astype(np.float32),
    )
    return survival_table(counts)._replace(
        steps=(rows,), genes_of_steps=every, stretches=(), genes_of_stretches=every
    )
