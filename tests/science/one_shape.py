"""Tables of many data sets in one shape, so that one compiled program fits them all."""

import numpy as np

from scribeviz.data.counts import Counts
from scribeviz.data.tables import SurvivalSteps, SurvivalTable, survival_table


def of_one_shape(counts: Counts, longest: int) -> SurvivalTable:
    """The table of ``counts`` step by step up to ``longest``: the same shape for every data set."""
    step = np.arange(longest, dtype=np.float32)
    dense = counts.matrix.toarray()
    return survival_table(counts)._replace(
        steps=(
            SurvivalSteps(
                gene=np.arange(counts.n_genes, dtype=np.int32),
                step=np.tile(step, (counts.n_genes, 1)),
                weight=(dense[:, :, None] > step).sum(axis=0).astype(np.float32),
            ),
        ),
        stretch_gene=np.zeros(0, np.int32),
        stretch_start=np.zeros(0, np.float32),
        stretch_length=np.zeros(0, np.float32),
        stretch_weight=np.zeros(0, np.float32),
    )
