"""Where a fit starts: moments of the data, and for mixtures a quick clustering of the cells.

Components that start alike stay alike; these start from groups of cells that really differ.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, ArrayLike
from scipy.cluster.vq import kmeans2
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import svds
from scipy.special import expit, gammaln

from scribeviz.data.counts import Counts
from scribeviz.data.tables import distinct_pairs
from scribeviz.models.builder import CountModel
from scribeviz.models.guides import GUIDE_FAMILIES
from scribeviz.models.parameterizations import MIXING, PARAMETERIZATIONS

_N_VARIABLE_GENES = 2_000
_N_DIRECTIONS = 20
_N_RESTARTS = 10
_TARGET_DEPTH = 1e4


class _Start(NamedTuple):
    center: ArrayLike
    spread: ArrayLike  # relative standard deviation


def initial_params(model: CountModel, counts: Counts, seed: int = 0) -> dict[str, Array]:
    """Start values of the guide's parameters, by name.

    Parameters
    ----------
    model
        From :func:`scribeviz.models.builder.build`.
    counts
        The data that will be fitted, every gene with at least one count.
    seed
        Of the clustering (mixtures only).
    """
    k = model.spec.n_components
    groups = cluster_cells(counts, k, seed) if k > 1 else np.zeros(counts.n_cells, int)
    starts = _natural_starts(counts, groups, k)
    centers = PARAMETERIZATIONS[model.spec.parameterization].from_natural(
        {name: start.center for name, start in starts.items()}
    )
    sizes = np.bincount(groups, minlength=k) + 1.0
    starts[MIXING.key] = _Start(sizes / sizes.sum(), 1 / np.sqrt(sizes))
    centers[MIXING.key] = starts[MIXING.key].center
    params: dict[str, Array] = {}
    for site in model.spec.sites:
        family = GUIDE_FAMILIES[site.support]
        shape = model.shape(site)
        values = family.from_moments(
            jnp.asarray(np.reshape(centers[site.key], shape), jnp.float32),
            jnp.asarray(np.reshape(starts[site.key].spread, shape), jnp.float32),
        )
        params |= dict(zip(family.names(site.key), values, strict=True))
    return params


def cluster_cells(counts: Counts, k: int, seed: int = 0) -> np.ndarray:
    """Sort cells into ``k`` groups by k-means on log-normalised counts.

    Returns
    -------
    numpy.ndarray
        Group of each cell, shape ``(n_cells,)``.
    """
    rng = np.random.default_rng(seed)
    coordinates = _principal_coordinates(counts, rng)
    if not coordinates.any():  # all cells alike
        return np.arange(counts.n_cells) % k
    best, groups = np.inf, np.zeros(counts.n_cells, int)
    for _ in range(_N_RESTARTS):
        centers, labels = kmeans2(coordinates, k, minit="++", rng=rng, missing="warn")
        inertia = ((coordinates - centers[labels]) ** 2).sum()
        if inertia < best:
            best, groups = inertia, labels
    return groups


def _principal_coordinates(counts: Counts, rng: np.random.Generator) -> np.ndarray:
    depth = np.maximum(counts.cell_totals, 1.0)
    logged = sp.csr_array(sp.diags_array(_TARGET_DEPTH / depth) @ counts.matrix)
    logged.data = np.log1p(logged.data)
    mean = np.asarray(logged.mean(axis=0)).ravel()
    variance = np.asarray((logged**2).mean(axis=0)).ravel() - mean**2
    if np.allclose(variance, 0):  # there is no direction to find
        return np.zeros((counts.n_cells, 1))
    variable = np.argsort(variance)[-_N_VARIABLE_GENES:]
    logged, mean = logged[:, variable], mean[variable]
    rank = min(_N_DIRECTIONS, min(logged.shape) - 1)
    if rank < 1:
        return logged.toarray() - mean
    # Centred without making the matrix dense: the mean enters as a rank-one correction.
    centred = sp.linalg.aslinearoperator(logged) - sp.linalg.aslinearoperator(
        np.ones((counts.n_cells, 1))
    ) @ sp.linalg.aslinearoperator(mean[None, :])
    left, size, _ = svds(centred, k=rank, rng=rng)
    return left * size


def _natural_starts(counts: Counts, groups: np.ndarray, k: int) -> dict[str, _Start]:
    sizes = np.bincount(groups, minlength=k)[:, None]
    per_group = [counts.select_cells(np.flatnonzero(groups == group)) for group in range(k)]
    totals = np.stack([group.gene_totals for group in per_group])
    # A gene that a group never shows still has a mean: half a cell's worth of the overall one.
    overall = totals.sum(axis=0) / counts.n_cells
    means = (totals + 0.5 * overall) / (sizes + 0.5)
    p = _likeliest_p(per_group, means)
    return {
        # The relative spread of a beta posterior that has seen this many counts.
        "p": _Start(p, np.sqrt((1 - p) / (1 + totals.sum()))),
        "r": _Start(means * (1 - p) / p, 1 / np.sqrt(1 + totals * (1 - p))),
    }


def _likeliest_p(groups: list[Counts], means: np.ndarray) -> float:
    """The success probability that fits best while each gene keeps its mean in each group.

    Pooled variance over mean would be simpler, but it listens to the few loudest genes only.
    """
    pairs = [distinct_pairs(group) for group in groups]
    total = sum(group.cell_totals.sum() for group in groups)

    def misfit(logit: float) -> float:
        r = means * np.exp(-logit)
        rising = sum(
            (
                seen.repeats * (gammaln(seen.value + r[i, seen.gene]) - gammaln(r[i, seen.gene]))
            ).sum()
            for i, seen in enumerate(pairs)
        )
        cells = np.array([group.n_cells for group in groups])
        misses = -(cells @ r.sum(axis=1)) * np.logaddexp(0, logit)
        return -(rising + misses - total * np.logaddexp(0, -logit))

    best = minimize_scalar(misfit, bounds=(-6.0, 6.0), method="bounded", options={"xatol": 1e-3})
    return float(expit(best.x))
