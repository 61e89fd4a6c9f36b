r"""p-values of genes that are uniform where the model is right, as fine as they need to be.

Pearson's statistic compares the cells of every bin with what is predicted,

.. math:: X^2 = \sum_i z_i^2, \quad z_i = (o_i - n \bar q_i) / \sqrt{n \bar q_i}

Were the prediction known, and all cells alike, z would have covariance
:math:`I - \sqrt{q}\sqrt{q}^T`.  Two things take from it.  What was fitted follows the data: over
data sets of the model, the residual :math:`o/n - \bar q` has the covariance of o less the
posterior's own of q (the error of a posterior mean does not depend on the data that it comes from),
and draws of the posterior tell that one.  And cells of known depth are no draws from one
distribution: their counts scatter by as much less as the predictions of groups of them differ.
With both, :math:`X^2` is a sum of squares with weights :math:`\lambda_i`, the eigenvalues of

.. math:: I - \sqrt{q}\sqrt{q}^T - Q^{-1/2} (n\,\mathrm{Cov}_{draws}[q]
          + \mathrm{Cov}_{groups}[q]) Q^{-1/2}

and nearly :math:`c\,\chi^2_k` with its first two moments (Satterthwaite 1946, Biometrics Bull. 2,
110; Robins, van der Vaart & Ventura 2000, J. Am. Stat. Assoc. 95, 1143 on why a posterior
predictive p-value is not uniform).  Bins are joined until cells enough are expected in each
(Cochran 1952, Ann. Math. Stat. 23, 315).
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import chi2, false_discovery_control

_FEWEST = 5.0  # cells that are expected in a bin
_LEAST_FREEDOM = 0.5  # with less, what was fitted explains every histogram: nothing can be tested


def p_values(
    seen: Int[np.ndarray, "genes bins"],
    predicted: Float[np.ndarray, "draws genes bins"],
    by_kind: Float[np.ndarray, "kinds genes bins"],
    share: Float[np.ndarray, " kinds"],
) -> Float[np.ndarray, " genes"]:
    """Chance of counts that are as far from their prediction, or farther.

    Parameters
    ----------
    seen
        Cells per bin.
    predicted
        Share of the cells per bin, for each posterior draw.
    by_kind
        The same of cells of each kind (of depth, of component), at one draw.
    share
        Of the kinds among the cells.

    Returns
    -------
    numpy.ndarray
        NaN where nothing can be tested: the gene has as many parameters as bins.
    """
    n_cells = seen.sum(axis=1)
    joined = _joined(n_cells[:, None] * predicted.mean(axis=0))

    def pooled(values: Float[np.ndarray, "*more genes bins"]) -> np.ndarray:
        return np.einsum("...gb,gbp->...gp", values, joined)

    draws = pooled(predicted)
    mean = draws.mean(axis=0)
    scale = np.where(mean > 0, 1 / np.sqrt(np.maximum(mean, 1e-300)), 0)
    off = (pooled(seen) / n_cells[:, None] - mean) * scale * np.sqrt(n_cells)[:, None]
    kinds = pooled(by_kind)
    between = (kinds - np.tensordot(share, kinds, axes=1)) * scale * np.sqrt(share)[:, None, None]
    apart = (draws - mean) * scale * np.sqrt(n_cells / (len(draws) - 1))[:, None]
    taken = _squared(apart) + _squared(between)
    # A bin that was joined to another has no part; the direction of the sum has none either.
    n_bins = (mean > 0).sum(axis=1)
    kept = 1 - np.minimum(np.linalg.eigvalsh(taken), 1)
    empty = mean.shape[1] - n_bins
    first, second = kept.sum(axis=1) - empty - 1, (kept**2).sum(axis=1) - empty - 1
    testable = (first > _LEAST_FREEDOM) & (second > 0)
    p = np.full(n_cells.size, np.nan)
    ratio = first[testable] / second[testable]
    p[testable] = chi2.sf((off[testable] ** 2).sum(axis=1) * ratio, first[testable] * ratio)
    return p


def false_discovery_rates(p: Float[np.ndarray, " genes"]) -> Float[np.ndarray, " genes"]:
    """The share of false alarms among genes with a p-value as small (Benjamini & Hochberg 1995).

    Genes that cannot be tested (NaN) are not counted, and stay NaN.
    """
    rates = np.full(p.size, np.nan)
    tested = np.isfinite(p)
    if tested.any():
        rates[tested] = false_discovery_control(p[tested])
    return rates


def _squared(values: Float[np.ndarray, "some genes bins"]) -> Float[np.ndarray, "genes bins bins"]:
    by_gene = np.moveaxis(values, 1, 0)
    return np.swapaxes(by_gene, 1, 2) @ by_gene


def _joined(expected: Float[np.ndarray, "genes bins"]) -> Float[np.ndarray, "genes bins bins"]:
    """Which bins are joined to which: neighbours, until enough is expected in each."""
    n_genes, n_bins = expected.shape
    left = np.cumsum(expected[:, ::-1], axis=1)[:, ::-1]
    target = np.zeros((n_genes, n_bins), np.int64)
    now, filled = np.zeros(n_genes, np.int64), np.zeros(n_genes)
    for i in range(n_bins):
        begins = (filled >= _FEWEST) & (left[:, i] >= _FEWEST)
        now += begins
        filled = np.where(begins, 0, filled) + expected[:, i]
        target[:, i] = now
    return (target[..., None] == np.arange(n_bins)).astype(float)
