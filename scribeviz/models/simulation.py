"""Counts with known truth, drawn from a model."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pandas as pd
from numpyro.handlers import seed as seed_handler

from scribeviz.data.counts import Counts, plain_counts
from scribeviz.models.builder import build
from scribeviz.models.depth import Depth
from scribeviz.models.gene_priors import TYPICAL
from scribeviz.models.likelihood import GIVEN
from scribeviz.models.spec import ModelSpec, model_spec

_SPREAD = 0.4  # of log depths that are not given


def simulate(
    model: str | ModelSpec = "nbdm",
    *,
    n_cells: int = 300,
    n_genes: int = 60,
    n_components: int | None = None,
    values: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> tuple[Counts, dict[str, np.ndarray]]:
    """Draw parameters and counts from a model.

    Parameters
    ----------
    model
        A model's name, or a spec.
    n_cells, n_genes
        Size of the count matrix.
    n_components
        Number of components, when ``model`` is a name.
    values
        Parameters to take as given (``{"p": 0.5, "r": …}``); the others come from their priors.
        ``depth`` is that of each cell, of models that take it as given; log-normal when left out.
        Priors that would be learned from data are those of typical ones.
    seed
        The same seed gives the same counts.

    Returns
    -------
    counts
        The data; of a mixture, ``obs["component"]`` says where each cell is from.
    truth
        Every parameter by name, and of a mixture ``component``, shape ``(n_cells,)``.

    Raises
    ------
    ValueError
        If ``values`` names a parameter that the model does not have, or in another shape.

    Examples
    --------
    >>> counts, truth = simulate("nbdm", n_cells=4, n_genes=3, values={"p": 0.5})
    >>> counts.n_cells, counts.n_genes, truth["r"].shape
    (4, 3, (3,))
    """
    spec = model if isinstance(model, ModelSpec) else model_spec(model, n_components=n_components)
    rng = np.random.default_rng(seed)
    described = build(spec, n_cells, n_genes, gene_priors=TYPICAL if spec.learns_priors else None)
    shapes = {site.key: described.shape(site) for site in spec.sites}
    given = {key: np.asarray(value, float) for key, value in (values or {}).items()}
    depth = {}
    if described.likelihood.depth == GIVEN:
        shapes["depth"] = (n_cells,)
        depth = {"depth": np.random.default_rng([seed, 1]).lognormal(0.0, _SPREAD, n_cells)}
    for key, value in given.items():
        if key not in shapes:
            raise ValueError(
                f"{spec.name} has no parameter {key!r}; it has {', '.join(map(repr, shapes))}."
            )
        if value.shape != shapes[key]:
            raise ValueError(f"{key!r} has shape {shapes[key]} here; got {value.shape}.")
    prior = seed_handler(described.sample_priors, jax.random.key(seed))()
    truth = {key: np.asarray(value) for key, value in prior.items()}
    truth |= depth | given
    if "depth" in truth:
        described = replace(described, depth=Depth(truth["depth"], 1.0))
    matrix, component = described.draw(rng, truth)
    if not spec.is_mixture:
        return plain_counts(matrix, name=f"simulated {spec.name}"), truth
    obs = pd.DataFrame({"component": pd.Categorical(component.astype(str))})
    counts = plain_counts(matrix, name=f"simulated {spec.name}", obs=obs)
    return counts, truth | {"component": component}
