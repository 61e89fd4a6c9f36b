"""What is asked of exact posteriors: draws, means, quantiles; computed where it is asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from scribeviz._cards import shown_by_fields
from scribeviz.data.gene_tables import GeneTables
from scribeviz.inference.gene_quadrature import (
    FROM_MODE,
    Nodes,
    Region,
    poisson_evidence,
    quadrature,
)
from scribeviz.models.gene_priors import GenePriors

_FINE = 8  # points between two nodes, where a density is integrated
_LEAST = 1e-300
_HALVINGS = 45


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class GenePosterior:
    """The posteriors of all genes, given the priors that they share.

    Attributes
    ----------
    tables
        What the data say.
    priors
        The shared priors.
    region
        Where the posteriors lie.
    """

    tables: GeneTables
    priors: GenePriors
    region: Region

    def blocks(self) -> Iterator[tuple[slice, Nodes]]:
        """Weighted points, block of genes after block."""
        return quadrature(self.tables, self.priors, self.region.copy())

    def over_poisson(self) -> Float[np.ndarray, " genes"]:
        """Log evidence of every gene for a dispersion of its own, against none, in nats.

        The logarithm of the Bayes factor of the model against a Poisson with the same prior of the
        mean (Kass & Raftery 1995, J. Am. Stat. Assoc. 90, 773: from 3 on it is strong).
        """
        evidence = np.empty(self.tables.n_genes)
        for genes, nodes in self.blocks():
            evidence[genes] = nodes.log_evidence
        return evidence - poisson_evidence(self.tables, self.priors)

    def draws(
        self, rng: np.random.Generator, n_draws: int
    ) -> tuple[Float[np.ndarray, "draws genes"], Float[np.ndarray, "draws genes"]]:
        """Draw ln(mean) and ln(r) of every gene."""
        log_mean = np.empty((n_draws, self.tables.n_genes))
        log_r = np.empty_like(log_mean)
        for genes, nodes in self.blocks():
            log_mean[:, genes], log_r[:, genes] = _drawn(rng, n_draws, nodes)
        return log_mean, log_r

    def means(self) -> dict[str, Float[np.ndarray, " genes"]]:
        """Posterior means: ``mu``, ``r``, ``log_mu``, ``log_r``."""
        means = {name: np.empty(self.tables.n_genes) for name in ("mu", "r", "log_mu", "log_r")}
        for genes, nodes in self.blocks():
            of_r = nodes.weight.sum(axis=2)
            means["mu"][genes] = (nodes.weight * np.exp(nodes.log_mean)).sum(axis=(1, 2))
            means["log_mu"][genes] = (nodes.weight * nodes.log_mean).sum(axis=(1, 2))
            means["r"][genes] = (of_r * np.exp(nodes.log_r)).sum(axis=1)
            means["log_r"][genes] = (of_r * nodes.log_r).sum(axis=1)
        return means

    def quantiles(
        self, shares: Sequence[float]
    ) -> tuple[Float[np.ndarray, "shares genes"], Float[np.ndarray, "shares genes"]]:
        """Quantiles of ln(mean) and of ln(r)."""
        log_mean = np.empty((len(shares), self.tables.n_genes))
        log_r = np.empty_like(log_mean)
        for genes, nodes in self.blocks():
            for i, share in enumerate(shares):
                log_mean[i, genes] = _quantile_of_mean(nodes, share)
                log_r[i, genes] = _quantile_of_r(nodes, share)
        return log_mean, log_r


class Distributions:
    """Densities over equally spaced points, one per row, as distributions that can be inverted."""

    def __init__(self, weight: Float[np.ndarray, "rows points"]) -> None:
        n_rows, n_points = weight.shape
        log_weight = np.log(np.maximum(weight, _LEAST))
        log_weight -= log_weight.max(axis=1, keepdims=True)
        # Between points the logarithm of a density is nearly a parabola.
        spline = CubicSpline(np.arange(n_points), np.maximum(log_weight, -40.0), axis=1)
        self._place = np.linspace(0, n_points - 1, _FINE * (n_points - 1) + 1)
        density = np.exp(spline(self._place))
        step = np.cumsum(0.5 * (density[:, 1:] + density[:, :-1]), axis=1)
        self._below = np.concatenate([np.zeros((n_rows, 1)), step / step[:, -1:]], axis=1)

    def inverse(self, rows: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Place, counted in points, below which a share of a row's distribution lies."""
        flat = (self._below + np.arange(len(self._below))[:, None]).ravel()
        after = np.clip(np.searchsorted(flat, rows + share), 1, flat.size - 1)
        before = after - 1
        width = np.maximum(flat[after] - flat[before], _LEAST)
        part = np.clip((rows + share - flat[before]) / width, 0, 1)
        column = before - rows * self._place.size
        return (np.clip(column, 0, self._place.size - 2) + part) / _FINE

    def below(self, rows: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Share of a row's distribution below a place."""
        fine = np.clip(place * _FINE, 0, self._place.size - 1)
        before = np.minimum(fine.astype(int), self._place.size - 2)
        part = fine - before
        return self._below[rows, before] * (1 - part) + self._below[rows, before + 1] * part


def _of_r(nodes: Nodes) -> Distributions:
    return Distributions(nodes.weight.sum(axis=2))


def _of_mean(nodes: Nodes) -> Distributions:
    """Of ln(mean) at every ln(r), a row each."""
    return Distributions(nodes.weight.reshape(-1, nodes.weight.shape[2]))


def _drawn(
    rng: np.random.Generator, n_draws: int, nodes: Nodes
) -> tuple[Float[np.ndarray, "draws genes"], Float[np.ndarray, "draws genes"]]:
    n_genes, n_dispersions = nodes.log_r.shape
    genes = np.broadcast_to(np.arange(n_genes), (n_draws, n_genes))
    place = _of_r(nodes).inverse(genes, rng.random(genes.shape))
    before = np.minimum(place.astype(int), n_dispersions - 2)
    part = place - before
    # Between two points of ln(r), the shape of the nearer one more often.
    column = before + (rng.random(genes.shape) < part)
    row = genes * n_dispersions + column
    step = FROM_MODE[1] - FROM_MODE[0]
    off = FROM_MODE[0] + step * _of_mean(nodes).inverse(row, rng.random(genes.shape))
    log_r = nodes.log_r[:, 0] + place * (nodes.log_r[:, 1] - nodes.log_r[:, 0])

    def between(values: np.ndarray) -> np.ndarray:
        return values[genes, before] * (1 - part) + values[genes, before + 1] * part

    return between(nodes.mode) + between(nodes.spread) * off, log_r


def _quantile_of_r(nodes: Nodes, share: float) -> Float[np.ndarray, " genes"]:
    genes = np.arange(len(nodes.log_r))
    place = _of_r(nodes).inverse(genes, np.full(genes.size, share))
    return nodes.log_r[:, 0] + place * (nodes.log_r[:, 1] - nodes.log_r[:, 0])


def _quantile_of_mean(nodes: Nodes, share: float) -> Float[np.ndarray, " genes"]:
    """By halving: the distribution of ln(mean) is a mixture over ln(r)."""
    n_genes, n_dispersions = nodes.log_r.shape
    weight, given = nodes.weight.sum(axis=2), _of_mean(nodes)
    rows = np.arange(n_genes * n_dispersions).reshape(n_genes, n_dispersions)
    low, high = nodes.log_mean.min(axis=(1, 2)), nodes.log_mean.max(axis=(1, 2))
    step = FROM_MODE[1] - FROM_MODE[0]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        place = ((middle[:, None] - nodes.mode) / nodes.spread - FROM_MODE[0]) / step
        below = (weight * given.below(rows, place)).sum(axis=1) < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2
