"""What a model expects before it has seen any data: one gene's counts, drawn from the priors."""

import jax
import numpy as np
from jaxtyping import Array, Float

from scribeviz.criticism.draws import NaturalDraws, natural_draws
from scribeviz.models.builder import build
from scribeviz.models.depth import Depth
from scribeviz.models.gene_priors import GenePriors
from scribeviz.models.spec import ModelSpec

_CELLS = 32  # as many groups as depth is averaged over


def prior_draws(
    spec: ModelSpec,
    n_draws: int = 200,
    seed: int = 0,
    cell_totals: Float[np.ndarray, " cells"] | None = None,
    gene_priors: GenePriors | None = None,
) -> NaturalDraws:
    """Draws of one gene's parameters from their priors, to be checked like a posterior.

    Parameters
    ----------
    spec
        The model; before data all genes are alike.
    n_draws
        How many.
    seed
        The same seed gives the same draws, so that a picture moves with a prior and not by chance.
    cell_totals
        Total counts of the cells, for models that take their depths as given; all of the same
        depth when left out.
    gene_priors
        The priors that are learned from all genes, for models that have such.
    """
    totals = np.ones(1) if cell_totals is None else cell_totals
    some = np.quantile(totals, (np.arange(_CELLS) + 0.5) / _CELLS)
    model = build(spec, _CELLS, 1, depth=Depth.of_totals(some), gene_priors=gene_priors)
    keys = jax.random.split(jax.random.key(seed), len(spec.sites))
    # Site by site and not through the model: a new prior would be compiled anew.
    values: dict[str, Array] = {}
    for site, key in zip(spec.sites, keys, strict=True):
        prior = model.prior_of(site, values, model.shape(site))
        # One that depends on what was drawn before has its draws already.
        values[site.key] = prior.sample(key, () if prior.batch_shape else (n_draws,))
    return natural_draws(model, values)


def typical_gene(means: np.ndarray) -> int:
    """A gene to begin with: one whose mean count is closest to 1."""
    return int(np.abs(np.log(np.maximum(means, 1e-9))).argmin())
