"""Predictive probabilities of the counts of many genes at once, for every posterior draw."""

from collections.abc import Iterator

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


def pmfs_of_kinds(
    draws: NaturalDraws, genes: Int[np.ndarray, " chosen"], n_counts: int
) -> Iterator[Float[np.ndarray, "groups chosen n_counts"]]:
    """The same of cells of each kind, at one draw: of the groups of each component in turn.

    The kinds are those of :attr:`NaturalDraws.mixed_weights`, in their order.
    """
    n_components, n_groups = draws.weights.shape[1], draws.groups.size
    counts = np.arange(n_counts, dtype=float)
    one = {name: value[0].astype(float) for name, value in draws.natural.items()}
    for k in range(n_components):
        parameters = {}
        for name, value in one.items():
            of_component = value[min(k, len(value) - 1)]
            some = of_component if of_component.shape[-1] == 1 else of_component[:, genes]
            parameters[name] = some[..., None]
        pmf = np.exp(draws.likelihood.log_pmf(counts, parameters))
        yield np.broadcast_to(pmf, (n_groups, genes.size, n_counts))
