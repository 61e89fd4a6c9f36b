"""Whether genes scatter more than chance and the depth of the cells make them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import norm

from scribeviz.data.counts import Counts

_FEWEST_COUNTS = 10  # of a gene that is asked
_LEVEL = 0.05
_FEWEST_GENES = 5  # of which shares and quantiles are told
_BEYOND_CHANCE = 2 * _LEVEL


@dataclass(frozen=True, slots=True)
class Overdispersion:
    """How genes scatter around a Poisson whose mean follows the depth of the cells.

    Attributes
    ----------
    n_genes
        How many were asked: those with some counts.
    share
        Share of them whose variance is above their mean, at the level of 5 %.
    ratios
        Their variance over their mean at the average depth: 5 % and 95 % points over genes.
    """

    n_genes: int
    share: float
    ratios: tuple[float, float]

    @property
    def is_seen(self) -> bool:
        """Whether more genes scatter than false alarms would explain."""
        return self.share > _BEYOND_CHANCE


def moment_dispersions(counts: Counts) -> pd.DataFrame:
    """``gene``, ``mean`` (at the average depth) and ``dispersion`` r by the method of moments.

    Of genes with 10 counts or more whose variance is above their mean: of others no r is known.
    """
    matrix, totals = counts.matrix, counts.gene_totals
    depth = counts.cell_totals / counts.cell_totals.mean()
    excess, _ = _score(matrix.data, matrix.indices, matrix.indptr, depth, totals)
    chosen = np.flatnonzero((totals >= _FEWEST_COUNTS) & (excess > 0))
    mean = totals[chosen] / counts.n_cells
    dispersion = mean**2 * (depth**2).sum() / excess[chosen]
    return pd.DataFrame({"gene": counts.genes[chosen], "mean": mean, "dispersion": dispersion})


def overdispersion(counts: Counts) -> Overdispersion | None:
    """Ask every gene that has 10 counts or more; None where too few have.

    The score test of a Poisson against a negative binomial (Dean & Lawless 1989, J. Am. Stat.
    Assoc. 84, 467), the mean of a gene proportional to the cells' totals.
    """
    chosen = np.flatnonzero(counts.gene_totals >= _FEWEST_COUNTS)
    if chosen.size < _FEWEST_GENES:
        return None
    matrix = counts.matrix
    depth = counts.cell_totals / counts.cell_totals.mean()
    excess, spread = _score(matrix.data, matrix.indices, matrix.indptr, depth, counts.gene_totals)
    excess, spread, totals = excess[chosen], spread[chosen], counts.gene_totals[chosen]
    ratios = 1 + excess / totals
    low, high = np.quantile(ratios, [0.05, 0.95])
    share = (excess / spread > norm.isf(_LEVEL)).mean()
    return Overdispersion(chosen.size, float(share), (float(low), float(high)))


def _score(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    depth: Float[np.ndarray, " cells"],
    totals: Float[np.ndarray, " genes"],
) -> tuple[Float[np.ndarray, " genes"], Float[np.ndarray, " genes"]]:
    """Sum over cells of (count - mean)^2 - count, and its standard deviation under Poisson."""
    n_genes = totals.size
    values = data.astype(np.float64)
    by_cell = np.repeat(depth, np.diff(indptr))
    squares = np.bincount(indices, values**2, n_genes)
    crossed = np.bincount(indices, values * by_cell, n_genes)
    rate = totals / depth.sum()
    excess = squares - 2 * rate * crossed + rate**2 * (depth**2).sum() - totals
    return excess, rate * np.sqrt(2 * (depth**2).sum())
