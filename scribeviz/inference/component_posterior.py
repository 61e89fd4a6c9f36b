"""What is asked of the posterior of a mixture's genes: draws, means, quantiles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from scribeviz.data.component_tables import CellsByDepth, ComponentTables
from scribeviz.inference.component_moments import Moments, moments_of
from scribeviz.inference.component_quadrature import (
    ComponentNodes,
    ComponentRegion,
    component_quadrature,
)
from scribeviz.inference.gene_posterior import Distributions
from scribeviz.models.component_priors import ComponentPriors

type OfGenes = Float[np.ndarray, "draws components genes"]


@dataclass(frozen=True, slots=True, eq=False)
class ComponentPosterior:
    """The posteriors of all genes in every component, given where cells belong.

    Attributes
    ----------
    tables
        What the data say.
    priors
        Shared by the genes.
    region
        Where the posteriors lie.
    """

    tables: ComponentTables
    priors: ComponentPriors
    region: ComponentRegion

    def blocks(self) -> Iterator[tuple[slice, ComponentNodes]]:
        """Weighted points, block of genes after block."""
        return component_quadrature(self.tables, self.priors, self.region.copy())

    def moments(self, cells: CellsByDepth) -> Moments:
        """What the log-probabilities of some cells follow from."""
        return moments_of(self.tables, self.priors, self.region.copy(), cells)

    def draws(self, rng: np.random.Generator, n_draws: int) -> tuple[OfGenes, OfGenes]:
        """Draw ln(mean) and ln(r); the latter's axis of components has one entry where shared."""
        log_mean, log_r = self._empty(n_draws)
        for genes, nodes in self.blocks():
            mean, r = _drawn(rng, n_draws, nodes)
            log_mean[:, :, genes], log_r[:, :, genes] = mean.swapaxes(1, 2), r.swapaxes(1, 2)
        return log_mean, log_r

    def means(self) -> dict[str, Float[np.ndarray, "components genes"]]:
        """Posterior means: ``mu``, ``log_mu``, ``log_r``."""
        log_mean, log_r = self._empty(1)
        means = {"mu": np.empty_like(log_mean), "log_mu": log_mean, "log_r": log_r}
        for genes, nodes in self.blocks():
            weight = nodes.weight.sum(axis=2)
            means["mu"][0, :, genes] = (weight * np.exp(nodes.log_mean)).sum(axis=2).T
            means["log_mu"][0, :, genes] = (weight * nodes.log_mean).sum(axis=2).T
            means["log_r"][0, :, genes] = (nodes.joint.sum(axis=3) * nodes.log_r).sum(axis=2).T
        return {name: value[0] for name, value in means.items()}

    def quantiles(self, shares: Sequence[float]) -> tuple[OfGenes, OfGenes]:
        """Quantiles of ln(mean) and of ln(r)."""
        log_mean, log_r = self._empty(len(shares))
        for genes, nodes in self.blocks():
            for points, weight, into in (
                (nodes.log_mean, nodes.weight.sum(axis=2), log_mean),
                (nodes.log_r, nodes.joint.sum(axis=3), log_r),
            ):
                into[:, :, genes] = _quantiles(points, weight, shares).swapaxes(1, 2)
        return log_mean, log_r

    def _empty(self, n: int) -> tuple[OfGenes, OfGenes]:
        k, n_genes = self.tables.n_components, self.tables.n_genes
        n_dispersions = k if self.tables.rising else 1
        return np.empty((n, k, n_genes)), np.empty((n, n_dispersions, n_genes))


def _quantiles(points: np.ndarray, weight: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Of equally spaced points with weights, in their last axis."""
    n_points = points.shape[-1]
    flat, rows = points.reshape(-1, n_points), np.arange(points[..., 0].size)
    spread = Distributions(weight.reshape(-1, n_points))
    step = flat[:, 1] - flat[:, 0]
    each = [flat[:, 0] + step * spread.inverse(rows, np.full(rows.size, s)) for s in shares]
    return np.stack(each).reshape(len(shares), *points.shape[:-1])


def _drawn(
    rng: np.random.Generator, n_draws: int, nodes: ComponentNodes
) -> tuple[np.ndarray, np.ndarray]:
    """ln(mean), (draws, genes, components), and ln(r)."""
    n_genes, n_dispersions = nodes.joint.shape[:2]
    of_level = nodes.joint[:, 0].sum(axis=1)
    level = _chosen(rng, np.broadcast_to(of_level, (n_draws, *of_level.shape)))
    gene = np.arange(n_genes)[:, None]
    dispersion = np.arange(n_dispersions)
    of_r = nodes.joint[gene, dispersion, :, level[..., None]]  # draws, genes, dispersions, points
    point = _chosen(rng, of_r)
    log_r = _jittered(rng, nodes.log_r, nodes.joint.sum(axis=3), point)
    k = np.arange(nodes.log_mean.shape[1])
    shared = np.broadcast_to(point, (n_draws, n_genes, k.size))
    of_mean = nodes.likelihood[gene, k, shared] * nodes.prior[gene, k, :, level[..., None]]
    mean = _jittered(rng, nodes.log_mean, nodes.weight.sum(axis=2), _chosen(rng, of_mean))
    return mean, log_r


def _chosen(rng: np.random.Generator, weight: np.ndarray) -> np.ndarray:
    """A place in the last axis, as often as its weight says."""
    below = weight.cumsum(axis=-1)
    share = rng.random(below.shape[:-1]) * below[..., -1]
    return np.asarray((below < share[..., None]).sum(axis=-1))


def _jittered(
    rng: np.random.Generator, points: np.ndarray, weight: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    """Chosen points, moved within half a step; the spread stays what the weights say."""
    step = points[..., 1] - points[..., 0]
    mean = (weight * points).sum(axis=-1)
    variance = (weight * (points - mean[..., None]) ** 2).sum(axis=-1)
    rows = np.ix_(*map(np.arange, points.shape[:-1]))
    value = points[(*rows, chosen)] + step * (rng.random(chosen.shape) - 0.5)
    return np.asarray(mean + (value - mean) * np.sqrt(variance / (variance + step**2 / 12)))
