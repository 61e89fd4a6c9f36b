"""Results written into AnnData, and as a DataTree for ArviZ."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from scribeviz.criticism.assignments import entropy
from scribeviz.data.counts import Counts, CountsError, are_made_up
from scribeviz.data.names import gene_names

if TYPE_CHECKING:
    import xarray as xr
    from anndata import AnnData

    from scribeviz.models.likelihood import GeneSummary
    from scribeviz.results.count_results import CountResults

_LAST_LOSSES = 200
_ENDS = (0.05, 0.95)  # of an interval
_OF_ENTROPY = (
    "Probabilities and entropies are calibrated: log-likelihoods are divided by the temperature at "
    "which two random halves of the genes agree as often as they claim. The margin is in nats per "
    "gene, without it."
)


def write_results(
    results: "CountResults", adata: "AnnData", key: str, counts: Counts | None
) -> None:
    """Write results into ``adata``; see :meth:`CountResults.to_anndata`.

    ``counts`` are those of ``adata``, needed for mixtures only.
    """
    if adata.n_obs != results.n_cells:
        raise CountsError(
            f"{results.n_cells:,} cells were fitted, and this AnnData has {adata.n_obs:,}; pass "
            "the one that was fitted."
        )
    names_there = set(_names(results.genes, adata))
    missing = [name for name in results.genes if name not in names_there]
    if missing:
        raise CountsError(f"this AnnData has no gene {missing[0]!r}, which was fitted.")
    spec, point = results.model_config, results.get_map(use_mean=True)
    k = spec.n_components
    weights = point.get("mixing_weights", np.ones(1))
    summary = results.model.likelihood.summary(point, k)
    obs: dict[str, Any] = dict(summary.cells)
    about: dict[str, Any] = {}
    obsm: dict[str, np.ndarray] = {}
    varm: dict[str, np.ndarray] = {}
    if counts is not None and spec.is_mixture:
        means = [_of_all(results, adata, one) for one in summary.mean]
        varm["component_means"] = np.stack(means, axis=1)
        calibration = results.calibrated_assignments(counts)
        probabilities = calibration.probabilities
        names = [str(i + 1) for i in range(k)]
        likeliest = [names[i] for i in probabilities.argmax(axis=1)]
        obs["component"] = pd.Categorical(likeliest, categories=names)
        obs["entropy"] = entropy(probabilities)
        obs["margin"] = calibration.margin
        about = {"temperature": calibration.temperature, "entropy": _OF_ENTROPY}
        obsm["probabilities"] = probabilities
    for slot, columns in ((adata.obs, obs), (adata.obsm, obsm), (adata.varm, varm)):
        for name, values in columns.items():
            slot[f"{key}_{name}"] = values
    for name, by_component in ({"mean": summary.mean} | summary.genes).items():
        adata.var[f"{key}_{name}"] = _of_all(results, adata, weights @ by_component)
    for name, (low, high) in _intervals(results, summary).items():
        adata.var[f"{key}_{name}_low"] = _of_all(results, adata, low)
        adata.var[f"{key}_{name}_high"] = _of_all(results, adata, high)
    adata.uns[key] = _about(results) | about


def write_gene_table(table: pd.DataFrame, adata: "AnnData", key: str) -> None:
    """Write how wrong the model is about every gene.

    Parameters
    ----------
    table
        From :func:`scribeviz.criticism.misfit.gene_table`.
    """
    rows = table.set_index(table["gene"].astype(str)).reindex(_names(table["gene"], adata))
    for name in ("misfit", "p_value"):
        adata.var[f"{key}_{name}"] = rows[name].to_numpy()
    problem = rows["problem"].astype(object).where(rows["problem"].notna(), "not fitted")
    adata.var[f"{key}_problem"] = problem.to_numpy(object)


def data_tree(results: "CountResults", n_samples: int) -> "xr.DataTree":
    """The posterior for ArviZ; see :meth:`CountResults.to_datatree`."""
    import xarray as xr

    groups: dict[str, Any] = {}
    chains = results.chains(n_samples)
    if results.diverging is not None:
        groups["sample_stats"] = xr.Dataset({"diverging": (("chain", "draw"), results.diverging)})
    spec = results.model_config
    axes = {"components": "component", "genes": "gene", "cells": "cell"}
    variables = {}
    for site in spec.sites:
        own = [dim for axis, dim in axes.items() if spec.has_axis(site, axis)]
        variables[site.key] = (("chain", "draw", *own), np.asarray(chains[site.key]))
    used = {dim for dims, _ in variables.values() for dim in dims}
    coords: dict[str, Any] = {"gene": np.asarray(results.genes, str)}
    if "component" in used:
        coords["component"] = np.arange(spec.n_components)
    posterior = xr.Dataset(variables, coords=coords, attrs={"model": spec.name})
    return xr.DataTree.from_dict({"posterior": posterior, **groups})


def _intervals(
    results: "CountResults", summary: "GeneSummary"
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of the mean and the dispersion of every gene: 5 % and 95 % points of the posterior."""
    if results.model_config.is_mixture or results.model.likelihood.has_capture:
        return {}  # averaged over components and cells
    params = {"mean": "mu"} | ({"dispersion": "r"} if "dispersion" in summary.genes else {})
    ends = results.quantiles_of(list(params.values()), _ENDS)
    return {name: (ends[param][0], ends[param][1]) for name, param in params.items()}


def _of_all(results: "CountResults", adata: "AnnData", values: np.ndarray) -> np.ndarray:
    """Values of the fitted genes among all genes; NaN for the others."""
    by_name = pd.Series(values, index=results.genes)
    return by_name.reindex(_names(results.genes, adata)).to_numpy()


def _names(fitted: Iterable[str], adata: "AnnData") -> list[str]:
    """Names of the genes of ``adata`` as they were when it was read."""
    given, named = np.asarray(list(fitted)), gene_names(cast("pd.DataFrame", adata.var))[0]
    # The genes of a bare matrix have no names, but places.
    return list(given if len(given) == len(named) and are_made_up(given) else named)


def _about(results: "CountResults") -> dict[str, Any]:
    """What was fitted, in kinds of values that h5ad can hold."""
    spec = results.model_config
    losses = np.asarray(results.loss_history)
    return {
        "model": spec.name,
        "parameterization": spec.parameterization,
        "n_components": spec.n_components,
        "unconstrained": spec.unconstrained,
        "component_specific_params": spec.component_specific_params,
        "guide_rank": spec.guide_rank,
        "total_mrna": spec.total_mrna,
        "guides": {site.key: spec.guide(site) for site in spec.sites},
        "priors": {
            site.key: [spec.prior(site).family, *map(str, spec.prior(site).numbers)]
            for site in spec.sites
        },
        "n_steps": losses.size,
        "loss": float(losses[-_LAST_LOSSES:].mean()),
        "notes": results.notes or [""],
    }
