"""Posterior predictive checks, gene by gene, from exact predictive probabilities.

Each posterior draw gives the probability of every count exactly; what other data sets would have
looked like is then a multinomial draw.  No array of cells x genes x draws is ever made.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from scribeviz._cards import shown_by_fields
from scribeviz.criticism.draws import NaturalDraws
from scribeviz.criticism.misfit import AS_EXPECTED, pit, problem_of
from scribeviz.criticism.pmf import pmfs_of_kinds, predictive_pmfs

_MOST_BARS = 40
_AT_ONCE = 20_000_000  # probabilities, 160 MB: counts in the thousands, where capture varies
BANDS = (5, 25, 50, 75, 95)
"""Quantiles over replicated data sets that are drawn as bands, in percent."""
_MEDIAN = BANDS.index(50)
_HIGH = 0.9  # counts beyond this quantile of the prediction


@shown_by_fields
@dataclass(frozen=True, slots=True)
class HighCounts:
    """How many cells show high counts of a gene.

    Attributes
    ----------
    least
        Of the high counts.
    observed
        Share of the cells that show them.
    share
        The same, predicted: 5 %, 50 % and 95 % quantiles over replicated data sets.
    """

    least: int
    observed: float
    share: Float[np.ndarray, " 3"]

    @classmethod
    def of_bars(
        cls,
        edges: Int[np.ndarray, " bars+1"],
        observed: Int[np.ndarray, " bars"],
        cumulative: Float[np.ndarray, "5 bars"],
    ) -> "HighCounts":
        """From bars and the predicted share of cells up to the end of each."""
        bar = min(int((cumulative[_MEDIAN] < _HIGH).sum()), len(observed) - 2)
        above = 1 - cumulative[[-1, _MEDIAN, 0], bar]
        return cls(int(edges[bar + 1]), float(observed[bar + 1 :].sum() / observed.sum()), above)


@shown_by_fields
@dataclass(frozen=True, slots=True)
class GeneCheck:
    """One gene's counts against what the fitted model predicts.

    Attributes
    ----------
    edges
        Bars span ``edges[i] <= count < edges[i + 1]``; whole numbers.
    observed
        Cells per bar.
    bands
        Predicted cells per bar: 5, 25, 50, 75 and 95 % quantiles over replicated data sets.
    cumulative
        The same quantiles of the share of cells up to the end of each bar.
    residuals
        Share of the cells whose randomised quantile residual lies in each tenth of 0 … 1: a tenth
        each where the prediction is right (:func:`scribeviz.criticism.misfit.pit`).
    observed_zeros, observed_mean
        Share of cells without the gene, and its mean count.
    zeros, mean
        The same, predicted: 5 %, 50 % and 95 % quantiles over replicated data sets.
    high
        Cells with many counts, which is more than nine in ten predicted cells have.
    problem
        What is off, in two or three words, as in the table of genes.
    """

    edges: Int[np.ndarray, " bars+1"]
    observed: Int[np.ndarray, " bars"]
    bands: Float[np.ndarray, "5 bars"]
    cumulative: Float[np.ndarray, "5 bars"]
    residuals: Float[np.ndarray, " 10"]
    observed_zeros: float
    observed_mean: float
    zeros: Float[np.ndarray, " 3"]
    mean: Float[np.ndarray, " 3"]
    high: HighCounts
    problem: str

    @property
    def verdict(self) -> str:
        """What is off, the largest fault first, in a few words each."""
        zeros = _Compared("{} of the cells lack the gene", self.observed_zeros, self.zeros, _share)
        if self.problem == AS_EXPECTED:
            return f"No misfit that these checks can see: {zeros}."
        mean = _Compared("the mean is {}", self.observed_mean, self.mean, _number)
        many = f"{{}} of the cells have {self.high.least:,} counts or more"
        high = _Compared(many, self.high.observed, self.high.share, _share)
        by_size = sorted((zeros, mean, high), key=lambda compared: compared.size, reverse=True)
        faults = "; ".join(str(compared) for compared in by_size if compared.size > 1)
        if not faults:
            faults = "neither the mean nor zeros nor high counts alone are off"
        return f"{self.problem.capitalize()}: {faults}."


@dataclass(frozen=True, slots=True)
class _Compared:
    """A number of the data beside the range that the model expects."""

    text: str
    observed: float
    predicted: Float[np.ndarray, " 3"]
    written: Callable[[float], str]

    def __str__(self) -> str:
        low, _, high = map(self.written, self.predicted)
        expected = low if low == high else f"{low} to {high}"
        return f"{self.text.format(self.written(self.observed))}, the model expects {expected}"

    @property
    def size(self) -> float:
        """How far from the median, as a multiple of the way to the end of the range."""
        low, middle, high = self.predicted
        way = abs((high if self.observed > middle else low) - middle)
        return float(abs(self.observed - middle) / max(way, 1e-9))


def _share(number: float) -> str:
    return f"{number:.1%}"


def _number(number: float) -> str:
    return f"{number:,.0f}" if number >= 1_000 else f"{number:.3g}"


def predictive_pmf(
    draws: NaturalDraws, gene: int, largest: int
) -> Float[np.ndarray, "draws largest+1"]:
    """Probability of the counts 0 … ``largest`` of one gene, for each posterior draw."""
    if draws.mixed_weights.size * (largest + 1) > _AT_ONCE:
        # Compiled for each size, which a click should not wait for unless it must.
        n_counts = 2 ** int(np.ceil(np.log2(largest + 1)))
        return predictive_pmfs(draws, np.array([gene]), n_counts)[:, 0, : largest + 1].astype(float)
    counts = np.arange(largest + 1.0)
    log_pmf = draws.likelihood.log_pmf(counts, draws.kinds(gene))
    return np.einsum("dk,dkx->dx", draws.mixed_weights, np.exp(log_pmf))


def check_gene(
    counts: Int[np.ndarray, " cells"],
    draws: NaturalDraws,
    gene: int,
    seed: int = 0,
    edges: Int[np.ndarray, " bars+1"] | None = None,
    problem: str | None = None,
) -> GeneCheck:
    """Compare a gene's counts with replicated data sets.

    Parameters
    ----------
    counts
        The gene's counts in all cells.
    draws
        Posterior draws.
    gene
        Its position among the fitted genes.
    seed
        Of the replicates.
    edges
        Of the bars; chosen to hold the data and nearly all of the prediction when left out.
    problem
        What the table of genes says of it; judged here when left out.
    """
    if edges is None:
        edges = _edges(int(counts.max(initial=0)), draws, gene)
    observed = np.histogram(counts, edges)[0]
    pmf = predictive_pmf(draws, gene, int(edges[-1]) - 1)
    bars = np.add.reduceat(pmf, edges[:-1], axis=1)
    beyond = np.maximum(1 - bars.sum(axis=1, keepdims=True), 0)
    chances = np.concatenate([bars, beyond], axis=1)
    chances /= chances.sum(axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    replicates = rng.multinomial(counts.size, chances)[:, :-1]
    seen = np.bincount(counts, minlength=pmf.shape[1])[None, : pmf.shape[1]]
    zeros = rng.binomial(counts.size, np.clip(pmf[:, 0], 0, 1)) / counts.size
    mean, variance = draws.moments_of(gene)
    means = np.maximum(rng.normal(mean, np.sqrt(variance / counts.size)), 0)
    cumulative = np.percentile(replicates.cumsum(axis=1) / counts.size, BANDS, axis=0)
    return GeneCheck(
        edges=edges,
        observed=observed,
        bands=np.percentile(replicates, BANDS, axis=0),
        cumulative=cumulative,
        residuals=residual_shares(seen, pmf.mean(axis=0, keepdims=True))[0],
        observed_zeros=float((counts == 0).mean()),
        observed_mean=float(counts.mean()),
        zeros=np.percentile(zeros, (5, 50, 95)),
        mean=np.percentile(means, (5, 50, 95)),
        high=HighCounts.of_bars(edges, observed, cumulative),
        problem=_problem(draws, gene, seen[0], pmf, rng) if problem is None else problem,
    )


def _problem(
    draws: NaturalDraws,
    gene: int,
    seen: Int[np.ndarray, " counts"],
    pmf: Float[np.ndarray, "draws counts"],
    rng: np.random.Generator,
) -> str:
    kinds = pmfs_of_kinds(draws, np.array([gene]), pmf.shape[1])
    by_kind = np.concatenate([of_component[:, 0] for of_component in kinds])
    return problem_of(seen, pmf, rng, by_kind, draws.mixed_weights[0])


def residual_shares(
    histogram: Int[np.ndarray, "genes counts"], pmf: Float[np.ndarray, "genes counts"]
) -> Float[np.ndarray, "genes 10"]:
    """Share of the cells with randomised quantile residuals in each tenth of 0 … 1."""
    return np.diff(pit(histogram, pmf, np.linspace(0, 1, 11)), axis=1)


def _edges(largest_seen: int, draws: NaturalDraws, gene: int) -> Int[np.ndarray, " bars+1"]:
    """Bars that reach past both the data and nearly all of the prediction."""
    # Chebyshev is too wide for a picture: an exponential tail with the same mean reaches 99.9 %.
    likely = 7 * draws.moments_of(gene)[0].max()
    reach = max(largest_seen, int(min(np.ceil(likely), 2 * largest_seen)), 3) + 1
    width = -(-reach // (_MOST_BARS - 1))
    # Zeros have a bar of their own, however wide the others are: they are what is most often off.
    return np.concatenate([[0], np.arange(1, reach + width, width)])
