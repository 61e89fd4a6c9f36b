"""Results written into AnnData, and as a DataTree for ArviZ."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scribeviz.criticism.assignments import entropy
from scribeviz.data.counts import CountsError

if TYPE_CHECKING:
    import xarray as xr
    from anndata import AnnData

    from scribeviz.results import CountResults

_LAST_LOSSES = 200


def write_results(results: "CountResults", adata: "AnnData", key: str) -> None:
    """Write results into ``adata``; see :meth:`scribeviz.results.CountResults.to_anndata`."""
    if adata.n_obs != results.n_cells:
        raise CountsError(
            f"{results.n_cells:,} cells were fitted, and this AnnData has {adata.n_obs:,}; pass "
            "the one that was fitted."
        )
    known = set(map(str, adata.var_names))
    missing = [name for name in results.genes if str(name) not in known]
    if missing:
        raise CountsError(f"this AnnData has no gene {missing[0]!r}, which was fitted.")
    spec, point = results.model_config, results.get_map(use_mean=True)
    k = spec.n_components
    weights = point.get("mixing_weights", np.ones(1))
    r, mu = (np.asarray(point[name], float).reshape(k, -1) for name in ("r", "mu"))
    mean = mu
    if "gate" in point:
        mean = mu * (1 - np.asarray(point["gate"], float).reshape(k, -1))
    if "p_capture" in point:
        mean = mean * np.mean(point["p_capture"])
        adata.obs[f"{key}_capture"] = np.asarray(point["p_capture"], float)
    adata.var[f"{key}_mean"] = _of_all(results, adata, weights @ mean)
    adata.var[f"{key}_dispersion"] = _of_all(results, adata, weights @ r)
    if spec.is_mixture:
        adata.varm[f"{key}_component_means"] = np.stack(
            [_of_all(results, adata, one) for one in mean], axis=1
        )
        probabilities = results.cell_type_probabilities_map(adata, use_mean=True)["probabilities"]
        names = [str(i + 1) for i in range(k)]
        likeliest = probabilities.argmax(axis=1)
        adata.obs[f"{key}_component"] = pd.Categorical(
            [names[i] for i in likeliest], categories=names
        )
        adata.obs[f"{key}_entropy"] = entropy(probabilities)
        adata.obsm[f"{key}_probabilities"] = probabilities
    adata.uns[key] = _about(results)


def write_gene_table(table: pd.DataFrame, adata: "AnnData", key: str) -> None:
    """Write how wrong the model is about every gene.

    Parameters
    ----------
    table
        From :func:`scribeviz.criticism.misfit.gene_table`.
    """
    found = table.set_index(table["gene"].astype(str))
    found = found.reindex([str(name) for name in adata.var_names])
    for name in ("misfit", "p_value"):
        adata.var[f"{key}_{name}"] = found[name].to_numpy()
    problem = found["problem"].astype(object).where(found["problem"].notna(), "not fitted")
    adata.var[f"{key}_problem"] = problem.to_numpy(object)


def data_tree(results: "CountResults", n_samples: int) -> "xr.DataTree":
    """The posterior for ArviZ; see :meth:`scribeviz.results.CountResults.to_datatree`."""
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


def _of_all(results: "CountResults", adata: "AnnData", values: np.ndarray) -> np.ndarray:
    """Values of the fitted genes among all genes; NaN for the others."""
    by_name = pd.Series(values, index=[str(name) for name in results.genes])
    return by_name.reindex([str(name) for name in adata.var_names]).to_numpy()


def _about(results: "CountResults") -> dict[str, Any]:
    """What was fitted, in kinds of values that h5ad can hold."""
    spec = results.model_config
    losses = np.asarray(results.loss_history)
    return {
        "model": spec.name,
        "parameterization": spec.parameterization,
        "n_components": spec.n_components,
        "unconstrained": spec.unconstrained,
        "guide_rank": spec.guide_rank,
        "priors": {
            site.key: [spec.prior(site).family, *map(str, spec.prior(site).numbers)]
            for site in spec.sites
        },
        "n_steps": losses.size,
        "loss": float(losses[-_LAST_LOSSES:].mean()),
        "notes": results.notes or [""],
    }
