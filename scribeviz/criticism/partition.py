r"""Which genes tell the components of a mixture apart.

The information of a gene is the mutual information between its count in a cell and the component of
the cell,

.. math:: I_g = \sum_k w_k \sum_x p_k(x) \ln \frac{p_k(x)}{\sum_j w_j p_j(x)},

by how much one count of this gene lowers the entropy of the assignment, in nats: 0 for a gene that
all components express alike, at most the entropy of the weights (Cover & Thomas 2006, ch. 2).
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import xlogy

from scribeviz.criticism.draws import NaturalDraws
from scribeviz.criticism.misfit import blocks
from scribeviz.criticism.pmf import predictive_pmfs
from scribeviz.data.counts import Counts

_MOST_DRAWS = 8
_TINY = 1e-12  # of a mean: a gene that only one component expresses has a finite fold


def gene_information(counts: Counts, draws: NaturalDraws) -> pd.DataFrame:
    """How much each gene tells about the component, and which component it marks.

    Parameters
    ----------
    counts
        The genes that were fitted; only how large their counts are is looked at.
    draws
        Posterior draws of a mixture.

    Returns
    -------
    pandas.DataFrame
        One row per gene: ``information`` in nats; ``component`` (from 0) that expresses it most;
        ``log2_fold`` of that component's mean over the mean of the others.
    """
    few = draws.thinned(_MOST_DRAWS)
    largest = counts.columns.max(axis=0).toarray().ravel().astype(np.int64)
    information = np.zeros(counts.n_genes)
    for block in blocks(largest):
        by_component = np.stack(
            [predictive_pmfs(one, block.padded, block.n_counts) for one in _each_component(few)],
            axis=1,
        )
        within = by_component[:, :, : block.genes.size].astype(np.float64)
        weights = few.weights[:, :, None, None]
        mixed = (weights * within).sum(axis=1)
        gained = (weights * xlogy(within, within)).sum(axis=1) - xlogy(mixed, mixed)
        information[block.genes] = gained.sum(axis=-1).mean(axis=0)
    means = few.component_means()
    weights = few.weights.mean(axis=0)[:, None]
    first = means.argmax(axis=0)
    most = means.max(axis=0)
    share = weights[first, 0]
    rest = ((weights * means).sum(axis=0) - share * most) / np.maximum(1 - share, _TINY)
    return pd.DataFrame(
        {
            "information": np.maximum(information, 0),
            "component": first,
            "log2_fold": np.log2((most + _TINY) / (np.maximum(rest, 0) + _TINY)),
        }
    )


def marking_genes(genes: pd.DataFrame, most: int) -> pd.DataFrame:
    """Per component the genes that tell most, among those that it expresses most.

    Parameters
    ----------
    genes
        ``gene`` and the columns of :func:`gene_information`.
    most
        How many per component.
    """
    ranked = genes.sort_values("information", ascending=False)
    return ranked.groupby("component").head(most).sort_values("component", kind="stable")


def _each_component(draws: NaturalDraws) -> list[NaturalDraws]:
    """The same draws, each time with one component alone."""
    n_components = draws.weights.shape[1]
    alone = np.eye(n_components)
    return [
        replace(draws, weights=np.broadcast_to(alone[k], draws.weights.shape))
        for k in range(n_components)
    ]


def component_profiles(
    draws: NaturalDraws, genes: np.ndarray
) -> Float[np.ndarray, "components chosen"]:
    """Log2 of each component's mean over the mean of all, for some genes."""
    few = draws.thinned(_MOST_DRAWS)
    means = few.component_means()[:, genes]
    overall = (few.weights.mean(axis=0)[:, None] * means).sum(axis=0)
    return np.log2((means + _TINY) / (overall + _TINY))
