"""How wrong a fitted model is about every gene, and in which direction.

The misfit of a gene is the share of its cells that would have to show another count for the data to
look as predicted (the total variation distance between observed and predicted counts), less what
replicated data sets show by chance.  How likely chance is to do as much, its p-value says
(:mod:`scribeviz.criticism.goodness`); of a model that can only be simulated, the share of data sets
that are at least as far from their prediction (Gelman, Meng & Stern 1996, Stat. Sinica 6, 733).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from scribeviz._cards import shown_by_fields
from scribeviz.criticism.draws import NaturalDraws
from scribeviz.criticism.goodness import false_discovery_rates, p_values
from scribeviz.criticism.loo import waic
from scribeviz.criticism.pmf import pmfs_of_kinds, predictive_pmfs
from scribeviz.data.counts import Counts

# Counts are compared in bins: one by one up to 8, then four to an octave; the last is open.
EDGES = np.concatenate([np.arange(8), *(2**i * np.arange(8, 16, 2) for i in range(28))]).astype(
    np.int64
)
_MOST_DRAWS = 64
_REPLICATES = 2  # per draw
_SHORTEST = 16  # counts
_AT_ONCE = 131_072  # genes x counts
# Off is what chance does not explain, and what concerns more than one cell in 200.
_MOST_FALSE, _SURE, _SMALL = 0.05, 0.01, 0.005
_LEVELS = {"cover50": (0.25, 0.75), "cover90": (0.05, 0.95)}
TENTHS = {f"pit{i}0": i / 10 for i in range(1, 10)}
"""Columns of the table of genes, and where they look at the distribution of residuals."""
_TAIL = 0.9  # counts beyond this quantile of the prediction
_HEAVIER = 1.2  # times as much beyond it, summed over cells
_MOSTLY = 0.5  # of the misfit

_TINY = np.float32(1e-37)  # a probability that rounds to 0 has a logarithm all the same

AS_EXPECTED = "as expected"


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class Misfit:
    """Distance between observed and predicted counts of some genes.

    Attributes
    ----------
    distance
        Observed, averaged over draws: share of cells.
    excess
        The same, less what replicates show; 0 at least.
    p_value
        Share of replicates that are as far from their prediction, or farther, the data among them.
    """

    distance: Float[np.ndarray, " genes"]
    excess: Float[np.ndarray, " genes"]
    p_value: Float[np.ndarray, " genes"]


def misfit(
    observed: Int[np.ndarray, "genes bins"],
    predicted: Float[np.ndarray, "draws genes bins"],
    replicates: Int[np.ndarray, "replicates draws genes bins"],
) -> Misfit:
    """Compare histograms with predicted shares, and with what replicates make of them.

    Parameters
    ----------
    observed
        Cells per bin.
    predicted
        Share of the cells per bin, for each posterior draw.
    replicates
        Cells per bin in replicated data sets of each draw.
    """
    n_cells = observed.sum(axis=1)[:, None]
    ours = _distance(observed / n_cells, predicted)
    theirs = _distance(replicates / n_cells, predicted)
    return Misfit(
        distance=ours.mean(axis=0),
        excess=np.maximum(ours.mean(axis=0) - theirs.mean(axis=(0, 1)), 0),
        p_value=(1 + (theirs >= ours).sum(axis=(0, 1))) / (1 + theirs[..., 0].size),
    )


def gene_table(counts: Counts, draws: NaturalDraws, seed: int = 0) -> pd.DataFrame:
    """All fitted genes, observed beside predicted, and how far apart they are.

    Parameters
    ----------
    counts
        The genes that were fitted.
    draws
        Posterior draws of their parameters.
    seed
        Of the replicates.

    Returns
    -------
    pandas.DataFrame
        One row per gene, in the order of ``counts.genes``: ``gene``; ``misfit`` (:class:`Misfit`);
        ``p_value``, uniform where the model is right, and ``fdr``, the share of false alarms among
        genes with one as small (both NaN where so little was counted that nothing can be tested);
        ``problem`` in words, where that share is below 0.05; ``mean``, ``variance``, ``zeros``
        (share of cells) and ``largest`` count, each also with ``predicted_``, averaged over draws
        (of ``largest`` the median over replicates); ``excess_zeros``, observed less predicted;
        ``cover50`` and
        ``cover90``, share of cells within the central intervals (ties split as chance would);
        ``pit_distance``, the Kolmogorov-Smirnov distance of the residuals from uniform; ``pit10`` …
        ``pit90``, share of cells whose residual is below 0.1 … 0.9 (:func:`pit`); ``elpd``,
        what the gene's counts in unseen cells are expected to score, in nats (by WAIC, count by
        count; comparable between all models of the same cells).
    """
    few = draws.thinned(_MOST_DRAWS)
    rng = np.random.default_rng(seed)
    largest = counts.columns.max(axis=0).toarray().ravel().astype(np.int64)
    judged = pd.concat([_judged(counts, few, block, rng) for block in blocks(largest)])
    moments = few.moments()
    return as_table(
        counts,
        judged.sort_index().assign(
            predicted_mean=moments.mean, predicted_variance=moments.variance
        ),
    )


def as_table(counts: Counts, judged: pd.DataFrame) -> pd.DataFrame:
    """The columns of :func:`gene_table`, from what :func:`compared` and the model say."""
    mean = counts.gene_totals / counts.n_cells
    squares = np.asarray(counts.columns.astype(np.float64).power(2).sum(axis=0)).ravel()
    zeros = 1 - np.diff(counts.columns.indptr) / counts.n_cells
    excess_zeros = zeros - judged["predicted_zeros"]
    fdr = false_discovery_rates(judged["p_value"].to_numpy())
    return pd.DataFrame(
        {
            "gene": counts.genes,
            "misfit": judged["misfit"],
            "p_value": judged["p_value"],
            "problem": problems(judged, excess_zeros, fdr < _MOST_FALSE),
            "fdr": fdr,
            "mean": mean,
            "predicted_mean": judged["predicted_mean"],
            "variance": squares / counts.n_cells - mean**2,
            "predicted_variance": judged["predicted_variance"],
            "zeros": zeros,
            "predicted_zeros": judged["predicted_zeros"],
            "excess_zeros": excess_zeros,
            "largest": counts.columns.max(axis=0).toarray().ravel(),
            "predicted_largest": judged["predicted_largest"],
            "cover50": judged["cover50"],
            "cover90": judged["cover90"],
            "pit_distance": judged["pit_distance"],
            **{name: judged[name] for name in TENTHS},
            "elpd": judged["elpd"],
        }
    )


def compared(
    seen: Int[np.ndarray, "genes bins"],
    predicted: Float[np.ndarray, "genes bins"],
    first: Int[np.ndarray, " bins"],
) -> dict[str, np.ndarray]:
    """Cells per bin against predicted shares: intervals, residuals, zeros and tail, gene by gene.

    ``first`` is the smallest count of each bin.
    """
    n_cells = seen.sum(axis=1)
    upper, ours = np.cumsum(predicted, axis=1), np.cumsum(seen, axis=1) / n_cells[:, None]
    tail_from = first[_first_that(upper >= _TAIL)]
    beyond = np.maximum(first - tail_from[:, None], 0)
    levels = np.unique([*chain.from_iterable(_LEVELS.values()), *TENTHS.values()])
    reached = dict(zip(levels, pit(seen, predicted, levels).T, strict=True))
    expected_tail = np.maximum(n_cells * (predicted * beyond).sum(axis=1), 1e-9)
    comparison = {name: reached[high] - reached[low] for name, (low, high) in _LEVELS.items()}
    comparison |= {name: reached[level] for name, level in TENTHS.items()}
    return comparison | {
        "predicted_zeros": predicted[:, 0],
        "tail_from": tail_from,
        "tail_ratio": (seen * beyond).sum(axis=1) / expected_tail,
        "pit_distance": np.abs(ours - upper).max(axis=1),
    }


def problems(
    judged: pd.DataFrame, excess_zeros: pd.Series, is_sure: Bool[np.ndarray, " genes"]
) -> np.ndarray:
    """What is off with each gene, in two or three words; ``is_sure`` where it is not by chance."""
    # Where even a count of 1 is among the rarest, the zeros are all there is to say.
    zeros = (excess_zeros.abs() >= _MOSTLY * judged["distance"]) | (judged["tail_from"] == 0)
    tail = judged["tail_ratio"]
    return np.select(
        [
            ~is_sure | (judged["misfit"] < _SMALL),
            zeros & (excess_zeros > 0),
            zeros,
            tail > _HEAVIER,
            tail < 1 / _HEAVIER,
        ],
        [AS_EXPECTED, "too many zeros", "too few zeros", "tail too heavy", "tail too light"],
        default="shape differs",
    )


def histograms(counts: Counts, genes: Int[np.ndarray, " chosen"], n_counts: int) -> np.ndarray:
    """Cells of every count 0 … ``n_counts - 1`` for some genes, shape ``(chosen, n_counts)``."""
    columns = counts.columns[:, genes]
    row = np.repeat(np.arange(genes.size), np.diff(columns.indptr))
    flat = row * n_counts + columns.data.astype(np.int64)
    cells = np.bincount(flat, minlength=genes.size * n_counts).reshape(genes.size, n_counts)
    cells[:, 0] = counts.n_cells - np.diff(columns.indptr)
    return cells


def in_bins(values: np.ndarray) -> np.ndarray:
    """Sum the last axis, counts 0 … n - 1, over the bins of ``EDGES``."""
    edges = EDGES[values.shape[-1] > EDGES]
    return np.add.reduceat(values, edges, axis=-1)


def pit(
    histogram: Int[np.ndarray, "genes counts"],
    pmf: Float[np.ndarray, "genes counts"],
    at: Float[np.ndarray, " levels"],
) -> Float[np.ndarray, "genes levels"]:
    """Distribution function of the randomised quantile residuals, averaged over their randomness.

    On the scale of probabilities: uniform, so equal to ``at``, where the prediction is right
    (Czado, Gneiting & Held 2009, Biometrics 65, 1254).
    """
    upper = np.cumsum(pmf, axis=1, dtype=np.float64)
    share = histogram / histogram.sum(axis=1, keepdims=True)
    below = upper - pmf
    reached = (at - below[..., None]) / np.maximum(pmf, 1e-300)[..., None]
    return np.einsum("gx,gxl->gl", share, np.clip(reached, 0, 1))


def residuals_of_all(genes: pd.DataFrame) -> Float[np.ndarray, " 10"]:
    """Share of all counts with residuals in each tenth of 0 … 1, from :func:`gene_table`."""
    reached = genes[list(TENTHS)].mean().to_numpy()
    return np.diff(np.concatenate([[0.0], reached, [1.0]]))


def _judged(
    counts: Counts, draws: NaturalDraws, block: "Block", rng: np.random.Generator
) -> pd.DataFrame:
    pmfs = predictive_pmfs(draws, block.padded, block.n_counts)[:, : block.genes.size]
    seen = histograms(counts, block.genes, block.n_counts)
    pmf = pmfs.mean(axis=0, dtype=np.float64)
    kinds = pmfs_of_kinds(draws, block.genes, block.n_counts)
    by_kind = np.concatenate([_shares_in_bins(of_component) for of_component in kinds])
    against = _distances(seen, pmfs, rng, by_kind, draws.mixed_weights[0])
    judged = against | compared(seen, pmf, np.arange(block.n_counts))
    judged |= {
        "elpd": (seen * waic(np.log(np.maximum(pmfs, _TINY)))).sum(axis=1),
        "predicted_largest": _first_that(np.cumsum(pmf, axis=1) ** float(counts.n_cells) >= 0.5),
    }
    return pd.DataFrame(judged, index=block.genes)


def _distances(
    seen: Int[np.ndarray, "genes counts"],
    pmfs: Float[np.ndarray, "draws genes counts"],
    rng: np.random.Generator,
    by_kind: Float[np.ndarray, "kinds genes bins"],
    share: Float[np.ndarray, " kinds"],
) -> dict[str, np.ndarray]:
    bins, cells = _shares_in_bins(pmfs), in_bins(seen)
    replicates = rng.multinomial(seen[0].sum(), bins, size=(_REPLICATES, *bins.shape[:-1]))
    against = misfit(cells, bins, replicates)
    p = p_values(cells, bins, by_kind, share)
    return {"misfit": against.excess, "distance": against.distance, "p_value": p}


def _shares_in_bins(pmfs: Float[np.ndarray, "*more counts"]) -> Float[np.ndarray, "*more bins"]:
    """Probabilities of bins, the last of which is open."""
    bins = in_bins(pmfs).astype(np.float64)
    bins[..., -1] += np.maximum(1 - bins.sum(axis=-1), 0)
    return bins / bins.sum(axis=-1, keepdims=True)


def problem_of(
    seen: Int[np.ndarray, " counts"],
    pmfs: Float[np.ndarray, "draws counts"],
    rng: np.random.Generator,
    by_kind: Float[np.ndarray, "kinds counts"],
    share: Float[np.ndarray, " kinds"],
) -> str:
    """What is off with one gene that nobody picked for being off, in two or three words.

    Parameters
    ----------
    seen
        Cells of every count.
    pmfs
        Predicted probability of every count, for each posterior draw.
    rng
        Of the replicates.
    by_kind, share
        The probabilities in cells of each kind, at one draw, and the shares of the kinds.
    """
    some, one = pmfs[:: -(-len(pmfs) // _MOST_DRAWS), None], seen[None]
    pmf = some.mean(axis=0)
    kinds = _shares_in_bins(by_kind[:, None])
    against = _distances(one, some, rng, kinds, share)
    judged = pd.DataFrame(against | compared(one, pmf, np.arange(seen.size)))
    is_sure = judged["p_value"].to_numpy() < _SURE
    return str(problems(judged, seen[0] / seen.sum() - judged["predicted_zeros"], is_sure)[0])


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Genes that are looked at together, and up to which count."""

    genes: Int[np.ndarray, " genes"]
    padded: Int[np.ndarray, " more"]  # as many in every block of a class, so that few are compiled
    n_counts: int


def blocks(largest: Int[np.ndarray, " genes"]) -> Iterator[Block]:
    """Genes with counts of about the same size; twice as far as the largest that was seen."""
    reach = np.maximum(2 * (largest + 1), _SHORTEST)
    classes = 2 ** np.ceil(np.log2(reach)).astype(np.int64)
    for n_counts in np.unique(classes):
        genes = np.flatnonzero(classes == n_counts)
        size = int(np.clip(_AT_ONCE // n_counts, 1, 2 ** np.ceil(np.log2(genes.size))))
        for start in range(0, genes.size, size):
            some = genes[start : start + size]
            padded = np.pad(some, (0, size - some.size), mode="edge")
            yield Block(genes=some, padded=padded, n_counts=int(n_counts))


def _distance(shares: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.abs(shares - predicted).sum(axis=-1) / 2


def _first_that(where: Bool[np.ndarray, "genes counts"]) -> Int[np.ndarray, " genes"]:
    """The first column that holds; the last one if none does."""
    return np.where(where.any(axis=1), where.argmax(axis=1), where.shape[1] - 1)
