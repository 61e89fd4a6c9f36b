"""Where a fit starts: moments of the data, and for mixtures a quick clustering of the cells.

Components that start alike stay alike; these start from groups of cells that really differ.
"""

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array
from scipy.cluster.vq import kmeans2
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import svds
from scipy.special import expit, gammaln, logit

from scribeviz.data.counts import Counts
from scribeviz.data.tables import distinct_pairs
from scribeviz.models.builder import CountModel
from scribeviz.models.parameterizations import PARAMETERIZATIONS

_N_VARIABLE_GENES = 2_000
_N_DIRECTIONS = 20
_N_RESTARTS = 10
_TARGET_DEPTH = 1e4


_FIRST_GATES = (0.02, 0.9)
_SPREAD_OF_GATES = 0.5  # log odds
_MOST_CAPTURE = 0.9
_BEND = 0.02  # step of the second difference, in log odds


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
    natural, spreads = _natural_starts(model, counts, groups)
    arrays = {name: jnp.asarray(value, jnp.float32) for name, value in natural.items()}
    centers = model.from_natural(arrays)
    params: dict[str, Array] = {}
    for site in model.spec.sites:
        spread = jnp.asarray(spreads[site.quantity], jnp.float32)
        params |= model.start(site, centers[site.key], jnp.reshape(spread, model.shape(site)))
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


def _natural_starts(
    model: CountModel, counts: Counts, groups: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Values of the likelihood's parameters, and spreads on the free scale by quantity."""
    k, likelihood = model.spec.n_components, model.likelihood
    per_group = [counts.select_cells(np.flatnonzero(groups == group)) for group in range(k)]
    sizes = np.bincount(groups, minlength=k) + 1.0
    depth = np.ones(counts.n_cells)
    if likelihood.has_capture:
        depth = np.maximum(counts.cell_totals, 1) / np.maximum(counts.cell_totals, 1).mean()
    totals = np.stack([group.gene_totals for group in per_group])
    # A gene that a group never shows still has a mean: half a cell's worth of the overall one.
    overall = totals.sum(axis=0) / counts.n_cells
    exposure = np.bincount(groups, weights=depth, minlength=k)[:, None]
    means = (totals + 0.5 * overall) / (exposure + 0.5)
    log_odds, odds_spread = _likeliest_log_odds(
        per_group, [depth[groups == i] for i in range(k)], means
    )
    natural = {
        "log_odds": np.full(k, log_odds),
        "log_r": np.log(means) - log_odds,
        "log_weights": np.log(sizes / sizes.sum()),
    }
    p = expit(log_odds)
    spread = 1 / np.sqrt(1 + totals * (1 - p))
    spreads = {
        "p": np.full(k, odds_spread),
        "r": spread,
        "mu": spread,
        "mixing_weights": 1 / np.sqrt(sizes),
    }
    if PARAMETERIZATIONS[model.spec.parameterization].slope and not model.spec.guide_rank:
        # A mean-field guide must stay where r does: as far as one beta posterior would spread.
        spreads["p"] = np.full(k, 1 / np.sqrt((1 - p) * (1 + totals.sum())))
    if not model.spec.component_specific_params:
        spreads["p"] = spreads["p"][0]
    spreads["phi"] = spreads["p"]
    if likelihood.has_gate:
        natural["gate_logit"] = _gate_logits(per_group, natural["log_r"], log_odds)
        spreads["gate"] = np.full(natural["gate_logit"].shape, _SPREAD_OF_GATES)
    if likelihood.has_capture:
        capture = np.minimum(depth * _mean_capture(model, counts, depth), _MOST_CAPTURE)
        natural["log_capture"] = np.log(capture)
        # Captured depth and odds together give the level that was found above.
        natural["log_odds"] = natural["log_odds"] - np.log(capture.mean())
        spreads["p_capture"] = 1 / ((1 - capture) * np.sqrt(1 + counts.cell_totals * (1 - p)))
        spreads["phi_capture"] = spreads["p_capture"]
    return natural, spreads


def _mean_capture(model: CountModel, counts: Counts, depth: np.ndarray) -> float:
    """Where the level of capture starts: as anchored, else as the prior has it."""
    total = model.spec.total_mrna
    wanted = float(counts.cell_totals.mean()) / total if total else 0.5
    # No cell may start beyond what can be captured.
    return float(min(wanted, _MOST_CAPTURE / depth.max()))


def _gate_logits(groups: list[Counts], log_r: np.ndarray, log_odds: float) -> np.ndarray:
    """Dropouts that explain the zeros which a negative binomial of this mean does not."""
    log_zero = -np.exp(log_r) * np.logaddexp(0, log_odds)
    seen = np.stack([np.diff(group.columns.indptr) / max(group.n_cells, 1) for group in groups])
    excess = (1 - seen - np.exp(log_zero)) / -np.expm1(log_zero)
    return logit(np.clip(excess, *_FIRST_GATES))


def _likeliest_log_odds(
    groups: list[Counts], depths: list[np.ndarray], means: np.ndarray
) -> tuple[float, float]:
    """The log odds of success that fit best while each gene keeps its mean, and their spread.

    Pooled variance over mean would be simpler, but it listens to the few loudest genes only.
    ``depths`` are relative depths of the cells: their odds are those of an average cell times it.
    """
    pairs = [distinct_pairs(group) for group in groups]

    def misfit(log_odds: float) -> float:
        r = means * np.exp(-log_odds)
        log_likelihood = 0.0
        for i, (group, seen, depth) in enumerate(zip(groups, pairs, depths, strict=True)):
            own = r[i, seen.gene]
            rising = seen.repeats * (gammaln(seen.value + own) - gammaln(own))
            eta = log_odds + np.log(depth)
            hits = -(group.cell_totals @ np.logaddexp(0, -eta))
            misses = -r[i].sum() * np.logaddexp(0, eta).sum()
            log_likelihood += rising.sum() + hits + misses
        return -log_likelihood

    best = minimize_scalar(misfit, bounds=(-6.0, 6.0), method="bounded", options={"xatol": 1e-3})
    bend = (misfit(best.x + _BEND) - 2 * misfit(best.x) + misfit(best.x - _BEND)) / _BEND**2
    return float(best.x), float(1 / np.sqrt(max(bend, 1.0)))
