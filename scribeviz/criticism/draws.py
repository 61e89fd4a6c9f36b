"""Posterior draws in the likelihood's own parameters: what every check starts from."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from scribeviz.models.builder import CountModel
from scribeviz.models.likelihoods import LIKELIHOODS, Likelihood
from scribeviz.models.parameterizations import Values

_BUDGET_BYTES = 64_000_000
_MOST, _FEWEST = 200, 50


@dataclass(frozen=True, slots=True)
class NaturalDraws:
    """Draws from the posterior.

    Attributes
    ----------
    likelihood_key
        Which likelihood the parameters belong to.
    natural
        Its parameters by name: per gene of shape ``(draws, components, genes)``, others
        ``(draws, components)``.
    weights
        Shares of the components, shape ``(draws, components)``.
    """

    likelihood_key: str
    natural: Mapping[str, Float[np.ndarray, "draws components *genes"]]
    weights: Float[np.ndarray, "draws components"]

    @property
    def likelihood(self) -> Likelihood:
        """The registry entry."""
        return LIKELIHOODS[self.likelihood_key]

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return self.weights.shape[0]

    def genes(self, index: int | slice) -> dict[str, Float[np.ndarray, "draws components genes"]]:
        """Parameters of some genes, float64, all with a gene axis (of length one if shared)."""
        columns = slice(index, index + 1) if isinstance(index, int) else index
        return {
            name: np.asarray(value[..., columns] if value.ndim > 2 else value[..., None], float)
            for name, value in self.natural.items()
        }


def natural_draws(model: CountModel, values: Values) -> NaturalDraws:
    """Translate draws of the sites into the likelihood's parameters.

    Parameters
    ----------
    model
        The model that was fitted.
    values
        Draws by site, with a leading axis of draws.
    """

    def one(draw: Values) -> tuple[Mapping[str, jax.Array], jax.Array]:
        counts = model.counts_given(draw)
        return counts.natural, counts.weights

    natural, weights = jax.vmap(one)(dict(values))
    return NaturalDraws(
        likelihood_key=model.spec.likelihood,
        natural={name: np.asarray(value, np.float32) for name, value in natural.items()},
        weights=np.asarray(weights),
    )


def affordable_draws(model: CountModel) -> int:
    """How many draws of a model's parameters fit the memory that checks may take (64 MB)."""
    per_draw = 4 * model.spec.n_components * model.n_genes
    return int(np.clip(_BUDGET_BYTES // per_draw, _FEWEST, _MOST))
