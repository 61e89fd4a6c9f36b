"""What the files of all results of count models share."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from scribeviz.models.depth import Depth
from scribeviz.models.gene_priors import GenePriors
from scribeviz.models.spec import spec_from_dict
from scribeviz.results.count_results import CountResults
from scribeviz.results.gene_index import ids_arrays
from scribeviz.results.stored import frame_arrays, frame_from, group, grouped


def shared_arrays(results: CountResults) -> dict[str, Any]:
    """The attributes that every result has, as arrays of a file."""
    arrays: dict[str, Any] = {
        "loss_history": results.loss_history,
        "genes": results.genes,
        "left_out_genes": results.left_out_genes,
        **ids_arrays(results.gene_ids),
        **frame_arrays("obs", results.obs),
    }
    if results.depth is not None:
        arrays |= {"depth": results.depth.relative, "depth_level": results.depth.level}
    if results.gene_priors is not None:
        arrays |= grouped("gene_priors", results.gene_priors.arrays)
    return arrays


def shared_meta(results: CountResults, format_: int) -> dict[str, Any]:
    """Those that are no arrays; ``format_`` is that of the file."""
    return {
        "format": format_,
        "model": results.model_config.as_dict(),
        "n_cells": results.n_cells,
        "settled": results.settled,
    }


def shared_from(arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Read what :func:`shared_arrays` and :func:`shared_meta` gave, as attributes of a result."""
    shared: dict[str, Any] = {
        "loss_history": arrays["loss_history"],
        "genes": arrays["genes"],
        "left_out_genes": arrays["left_out_genes"],
        "gene_ids": arrays.get("gene_ids"),
        "obs": frame_from(arrays, "obs"),
        "model_config": spec_from_dict(meta["model"]),
        "n_cells": meta["n_cells"],
        "settled": meta.get("settled", True),
    }
    if "depth" in arrays:
        shared["depth"] = Depth(arrays["depth"], float(arrays["depth_level"]))
    if learned := group(arrays, "gene_priors"):
        shared["gene_priors"] = GenePriors.from_arrays(learned)
    return shared
