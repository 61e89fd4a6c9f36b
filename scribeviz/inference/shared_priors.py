r"""How the priors that genes share are learned: type-II maximum likelihood, by EM.

A sweep over the genes gives, for every :math:`\rho_i` on a gene's grid of ln(r), its posterior
weight and the mean and variance of ln(mean) there.  New priors change these weights in proportion
to their densities, so that many EM steps can follow from one sweep; the next sweep says how good
they are.  At the end, where priors no longer change, all of it is exact but for the curvature of
the trend within one gene's posterior.

A few genes cannot tell a spread from nothing: a little is known beforehand, as from two genes more.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from scribeviz._cards import shown_by_fields
from scribeviz.data.gene_tables import GeneTables
from scribeviz.inference.gene_quadrature import Nodes
from scribeviz.models.gene_priors import GRID_STEP, GenePriors, basis, between, knots_for
from scribeviz.models.spec import ModelSpec

_GENES_BEFORE = 2.0
_SPREAD_BEFORE, _SCATTER_BEFORE = 2.0, 1.0
_STIFFNESS = 1e-2  # of the trend, in genes per knot: keeps knots that no gene is near from drifting
_MOST_ROUNDS = 6  # of three EM steps
_SMALLEST_CHANGE = 1e-4


@dataclass(frozen=True, slots=True)
class Learned:
    """Which priors are learned; the others stay as they were given."""

    mean: bool = True
    dispersion: bool = True

    @property
    def any(self) -> bool:
        """Whether there is anything to learn."""
        return self.mean or self.dispersion


@shown_by_fields
@dataclass(slots=True, eq=False)
class Summary:
    """The posteriors of all genes, as far as shared priors see them.

    Attributes
    ----------
    log_r
        ln(r), equally spaced.
    log_weight
        Posterior weight of each.
    log_mean, variance
        Mean and variance of ln(mean) there.
    """

    log_r: Float[np.ndarray, "genes dispersions"]
    log_weight: Float[np.ndarray, "genes dispersions"]
    log_mean: Float[np.ndarray, "genes dispersions"]
    variance: Float[np.ndarray, "genes dispersions"]

    @classmethod
    def empty(cls, n_genes: int, n_dispersions: int) -> "Summary":
        """To be filled block by block."""
        return cls(*(np.zeros((n_genes, n_dispersions)) for _ in range(4)))

    def put(self, genes: slice, nodes: Nodes) -> None:
        """Fill in some genes."""
        weight = nodes.weight.sum(axis=2)
        share = nodes.weight / np.maximum(weight, 1e-300)[..., None]
        mean = (share * nodes.log_mean).sum(axis=2)
        self.log_r[genes] = nodes.log_r
        self.log_weight[genes] = np.log(np.maximum(weight, 1e-300))
        self.log_mean[genes] = mean
        self.variance[genes] = (share * (nodes.log_mean - mean[..., None]) ** 2).sum(axis=2)


def learned_of(spec: ModelSpec) -> Learned:
    """Which priors of ``spec`` are learned: those that are not given as (log-)normal."""
    sites = {site.quantity: site for site in spec.sites}
    given = (spec.prior(sites[name]).is_normal for name in ("mu", "r"))
    return Learned(*(not each for each in given))


def shared_priors_of(spec: ModelSpec, tables: GeneTables) -> tuple[GenePriors, Learned]:
    """Where the priors of ``spec`` start, and which of them are learned; the others are given.

    A prior that is given and not (log-)normal is no prior that genes can share here: in its place
    one is learned, so that the other can be told.
    """
    sites = {site.quantity: site for site in spec.sites}
    mean, dispersion = (spec.prior(sites[name]) for name in ("mu", "r"))
    priors = first_priors(tables)
    learned = learned_of(spec)
    if not learned.mean:
        priors = replace(priors, mean=mean.numbers[0], spread=mean.numbers[1])
    if not learned.dispersion:
        flat = np.array([dispersion.numbers[0]])
        priors = replace(priors, knots=np.zeros(1), at_knots=flat, scatter=dispersion.numbers[1])
    return priors, learned


def first_priors(tables: GeneTables) -> GenePriors:
    """What the totals of the genes suggest, before anything is fitted."""
    log_means = np.log((tables.total + 0.5) / tables.depth_total)
    knots = knots_for(log_means)
    spread = max(float(log_means.std()), 0.5)
    return GenePriors(float(log_means.mean()), spread, knots, np.zeros(knots.size), 1.5)


def log_density_of_priors(priors: GenePriors, learned: Learned) -> float:
    """What is known of the learned numbers beforehand, in nats."""
    total = 0.0
    if learned.mean:
        total += log_density_of_spread(priors.spread, _SPREAD_BEFORE)
    if learned.dispersion:
        total += log_density_of_spread(priors.scatter, _SCATTER_BEFORE)
        total -= 0.5 * _STIFFNESS * float(priors.at_knots @ priors.at_knots) / priors.scatter**2
    return total


def log_density_of_spread(spread: float, before: float) -> float:
    """What is known of a spread beforehand, in nats: as from two genes of the spread ``before``."""
    return -0.5 * _GENES_BEFORE * (2 * np.log(spread) + (before / spread) ** 2)


def better_priors(
    summary: Summary, priors: GenePriors, learned: Learned
) -> tuple[GenePriors, float]:
    """Priors under which the genes are more probable.

    Returns
    -------
    GenePriors
        After EM steps, extrapolated until they change little (SQUAREM: Varadhan & Roland 2008,
        Scand. J. Stat. 35, 335).
    float
        By how much they are expected to raise the log evidence, in nats.
    """
    if not learned.any:
        return priors, 0.0
    step = _EMStep(summary, priors, learned)
    best, numbers = step.gain(priors), _numbers(priors)
    for _ in range(_MOST_ROUNDS):
        first = _numbers(step(_from_numbers(numbers, priors)))
        second = _numbers(step(_from_numbers(first, priors)))
        change, bend = first - numbers, second - 2 * first + numbers
        length = float(np.linalg.norm(bend))
        if length == 0 or np.abs(change).max() < _SMALLEST_CHANGE:
            numbers = second
            break
        stride = max(float(np.linalg.norm(change)) / length, 1.0)
        far = _numbers(
            step(_from_numbers(numbers + 2 * stride * change + stride**2 * bend, priors))
        )
        gain = step.gain(_from_numbers(far, priors))
        numbers, best = (far, gain) if gain > best else (second, best)
    new = _from_numbers(numbers, priors)
    return new, step.gain(new)


def _numbers(priors: GenePriors) -> np.ndarray:
    """All that may be learned, where every real number is allowed."""
    return np.array([priors.mean, np.log(priors.spread), np.log(priors.scatter), *priors.at_knots])


def _from_numbers(numbers: np.ndarray, priors: GenePriors) -> GenePriors:
    mean, log_spread, log_scatter, *at_knots = numbers
    return replace(
        priors,
        mean=float(mean),
        spread=float(np.exp(log_spread)),
        scatter=float(np.exp(log_scatter)),
        at_knots=np.array(at_knots),
    )


class _EMStep:
    """One step of EM, from the posteriors under the priors of the last sweep."""

    def __init__(self, summary: Summary, priors: GenePriors, learned: Learned) -> None:
        self._summary = summary
        self._learned = learned
        point, share = (each.ravel() for each in between(summary.log_mean))
        curves = basis(priors.knots)
        # Knots first: products over millions of points go along memory.
        self._curves = curves.T[:, point] * (1 - share) + curves.T[:, point + 1] * share
        self._slopes = (np.diff(curves.T, axis=1) / GRID_STEP)[:, point]
        self._likelihood = summary.log_weight - self._log_prior(priors)
        self._before = log_density_of_priors(priors, learned)

    def gain(self, priors: GenePriors) -> float:
        """By how much the log evidence is expected to be higher under these priors."""
        height = self._likelihood + self._log_prior(priors)
        top = height.max(axis=1)
        evidence = (top + np.log(np.exp(height - top[:, None]).sum(axis=1))).sum()
        return float(evidence) + log_density_of_priors(priors, self._learned) - self._before

    def __call__(self, priors: GenePriors) -> GenePriors:
        """The likeliest priors for genes whose posteriors are those under ``priors``."""
        height = self._likelihood + self._log_prior(priors)
        weight = np.exp(height - height.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        n_genes, log_mean, new = len(weight), self._summary.log_mean, priors
        if self._learned.mean:
            mean = float((weight * log_mean).sum() / n_genes)
            squares = (weight * ((log_mean - mean) ** 2 + self._summary.variance)).sum()
            new = replace(new, mean=mean, spread=spread_of(squares, n_genes, _SPREAD_BEFORE))
        if self._learned.dispersion:
            at_knots, squares = self._trend(weight.ravel())
            scatter = spread_of(squares, n_genes, _SCATTER_BEFORE)
            new = replace(new, at_knots=at_knots, scatter=scatter)
        return new

    def _log_prior(self, priors: GenePriors) -> np.ndarray:
        summary = self._summary
        trend = (priors.at_knots @ self._curves).reshape(summary.log_r.shape)
        of_mean = ((summary.log_mean - priors.mean) / priors.spread) ** 2
        of_r = ((summary.log_r - trend) / priors.scatter) ** 2
        return -0.5 * (of_mean + of_r) - np.log(priors.spread * priors.scatter)

    def _trend(self, weight: np.ndarray) -> tuple[Float[np.ndarray, " knots"], float]:
        """Least squares of ln(r) on the trend's knots: values there, and what squares are left."""
        log_r = self._summary.log_r.ravel()
        blur = weight * self._summary.variance.ravel()
        normal = (self._curves * weight) @ self._curves.T
        normal += (self._slopes * blur) @ self._slopes.T
        right = self._curves @ (weight * log_r)
        values = np.linalg.solve(normal + _STIFFNESS * np.eye(right.size), right)
        left = float((weight * log_r**2).sum() - 2 * right @ values + values @ normal @ values)
        return values, max(left, 0.0) + _STIFFNESS * float(values @ values)


def spread_of(squares: float, n_genes: int, before: float) -> float:
    """The likeliest spread of genes whose squares sum to ``squares``; the inverse of the above."""
    return float(np.sqrt((squares + _GENES_BEFORE * before**2) / (n_genes + _GENES_BEFORE)))
