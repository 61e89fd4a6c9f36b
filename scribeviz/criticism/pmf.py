"""Predictive probabilities of the counts of many genes at once, for every posterior draw."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from scribeviz.criticism.draws import NaturalDraws


def predictive_pmfs(
    draws: NaturalDraws, genes: Int[np.ndarray, " chosen"], n_counts: int
) -> Float[np.ndarray, "draws chosen n_counts"]:
    """Probability of the counts 0 … ``n_counts - 1`` of some genes, for each posterior draw.

    Parameters
    ----------
    draws
        Posterior draws.
    genes
        Positions among the fitted genes.
    n_counts
        How many counts.

    Returns
    -------
    numpy.ndarray
        float32; what is missing to 1 lies beyond.
    """
    shape = (draws.n_draws, draws.weights.shape[1], draws.groups.size)
    parameters = {
        name: jnp.asarray(value if value.shape[-1] == 1 else value[..., genes])
        for name, value in draws.natural.items()
    }
    weights = jnp.asarray(draws.mixed_weights.reshape(shape), jnp.float32)
    return np.asarray(draws.likelihood.pmfs(parameters, weights, n_counts))
