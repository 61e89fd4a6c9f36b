"""Where a fit starts: moments of the data, and for mixtures a quick clustering of the cells.

Components that start alike stay alike; these start from groups of cells that really differ.
"""

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array
from scipy.cluster.vq import kmeans2
from scipy.sparse.linalg import svds

from scribeviz.data.counts import Counts
from scribeviz.models.builder import CountModel
from scribeviz.models.likelihood import Start, StartSettings
from scribeviz.models.parameterizations import MIXING

_N_VARIABLE_GENES = 2_000
_N_DIRECTIONS = 20
_N_RESTARTS = 10
_TARGET_DEPTH = 1e4


def initial_params(
    model: CountModel, counts: Counts, seed: int = 0, *, half: bool = False
) -> dict[str, Array]:
    """Start values of the guide's parameters, by name.

    Parameters
    ----------
    model
        From :func:`scribeviz.models.builder.build`.
    counts
        The data that will be fitted, every gene with at least one count.
    seed
        Of the clustering (mixtures only).
    half
        Whether it looks at a random half of the variable genes only.
    """
    k = model.spec.n_components
    groups = cluster_cells(counts, k, seed, half=half) if k > 1 else np.zeros(counts.n_cells, int)
    natural, spreads = _start(model, counts, groups)
    arrays = {name: jnp.asarray(value, jnp.float32) for name, value in natural.items()}
    centers = model.from_natural(arrays)
    params: dict[str, Array] = {}
    for site in model.spec.sites:
        spread = jnp.asarray(spreads[site.quantity], jnp.float32)
        params |= model.start(site, centers[site.key], jnp.reshape(spread, model.shape(site)))
    return params


def cluster_cells(counts: Counts, k: int, seed: int = 0, *, half: bool = False) -> np.ndarray:
    """Sort cells into ``k`` groups by k-means on log-normalised counts.

    Parameters
    ----------
    counts
        The data.
    k
        Number of groups.
    seed
        Of the clustering.
    half
        Whether to look at a random half of the variable genes only: clusterings that differ.

    Returns
    -------
    numpy.ndarray
        Group of each cell, shape ``(n_cells,)``.
    """
    rng = np.random.default_rng(seed)
    coordinates = _principal_coordinates(counts, rng, half=half)
    if not coordinates.any():  # all cells alike
        return np.arange(counts.n_cells) % k
    best, groups = np.inf, np.zeros(counts.n_cells, int)
    for _ in range(_N_RESTARTS):
        centers, labels = kmeans2(coordinates, k, minit="++", rng=rng, missing="warn")
        inertia = ((coordinates - centers[labels]) ** 2).sum()
        if inertia < best:
            best, groups = inertia, labels
    return groups


def variable_genes(counts: Counts, n_genes: int = _N_VARIABLE_GENES) -> np.ndarray:
    """Positions of the genes whose log-normalised counts vary most, the most variable last."""
    logged = _log_normalised(counts)
    mean = np.asarray(logged.mean(axis=0)).ravel()
    variance = np.asarray((logged**2).mean(axis=0)).ravel() - mean**2
    return np.argsort(variance)[-n_genes:]


def _log_normalised(counts: Counts) -> sp.csr_array:
    depth = np.maximum(counts.cell_totals, 1.0)
    logged = sp.csr_array(sp.diags_array(_TARGET_DEPTH / depth) @ counts.matrix)
    logged.data = np.log1p(logged.data)
    return logged


def _principal_coordinates(counts: Counts, rng: np.random.Generator, *, half: bool) -> np.ndarray:
    logged, variable = _log_normalised(counts), variable_genes(counts)
    if half:
        variable = rng.choice(variable, max(variable.size // 2, 1), replace=False)
    logged = logged[:, variable]
    mean = np.asarray(logged.mean(axis=0)).ravel()
    if np.allclose((logged**2).mean(axis=0), mean**2):  # there is no direction to find
        return np.zeros((counts.n_cells, 1))
    rank = min(_N_DIRECTIONS, min(logged.shape) - 1)
    if rank < 1:
        return logged.toarray() - mean
    # Centred without making the matrix dense: the mean enters as a rank-one correction.
    centred = sp.linalg.aslinearoperator(logged) - sp.linalg.aslinearoperator(
        np.ones((counts.n_cells, 1))
    ) @ sp.linalg.aslinearoperator(mean[None, :])
    left, size, _ = svds(centred, k=rank, rng=rng)
    return left * size


def _start(model: CountModel, counts: Counts, groups: np.ndarray) -> Start:
    spec = model.spec
    follows = model.guide_is_low_rank or not model.parameterization.slope
    stated = spec.total_mrna
    settings = StartSettings(
        n_components=spec.n_components,
        shared_odds=not spec.component_specific_params,
        along_odds=follows,
        # Where the level of capture starts: as anchored, else as the prior has it.
        mean_capture=float(counts.cell_totals.mean()) / stated if stated else 0.5,
        depth_column=spec.depth_column,
    )
    start = model.likelihood.start(counts, groups, settings)
    sizes = np.bincount(groups, minlength=spec.n_components) + 1.0
    return Start(
        start.natural | {"log_weights": np.log(sizes / sizes.sum())},
        start.spreads | {MIXING.quantity: 1 / np.sqrt(sizes)},
    )
