"""Posteriors of known form: draws are made when they are asked for."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from jaxtyping import PRNGKeyArray

from scribeviz.results.drawn import keep, key_or_default
from scribeviz.results.reference_members import ReferenceMembers

_QUANTILE_DRAWS = 1_000


class DrawnResults(ReferenceMembers):
    """A posterior of a count model from which any number of draws can be made."""

    @abstractmethod
    def _draw(self, key: PRNGKeyArray, n_draws: int) -> dict[str, np.ndarray]:
        """Draws of the sites and of what follows from them, a leading axis of draws."""

    @property
    def diverging(self) -> None:  # type: ignore[override]  # nothing is sampled here
        """Only samplers diverge."""
        return

    def get_posterior_samples(
        self,
        rng_key: PRNGKeyArray | None = None,
        n_samples: int = 100,
        store_samples: bool = True,
    ) -> dict[str, np.ndarray]:
        """Draw parameters from the posterior, and what follows from them.

        Parameters
        ----------
        rng_key
            A JAX key; ``PRNGKey(42)`` when left out.
        n_samples
            Number of draws.
        store_samples
            Keep them in ``posterior_samples`` for the methods that need draws.

        Returns
        -------
        dict
            Per parameter an array with a leading axis of draws: ``p`` (n_samples,), ``r``
            (n_samples, n_genes) or (n_samples, n_components, n_genes), ``p_hat`` (n_samples,
            n_cells) with capture …
        """
        drawn = self._draw(key_or_default(rng_key), n_samples)
        if store_samples:
            keep(self, "posterior_samples", drawn)
        return drawn

    def quantiles_of(
        self, params: Sequence[str], quantiles: Sequence[float]
    ) -> dict[str, np.ndarray]:
        """Over draws that are made for it."""
        draws = self.get_posterior_samples(n_samples=_QUANTILE_DRAWS, store_samples=False)
        chosen = self._chosen(params, draws)
        return {param: np.quantile(value, quantiles, axis=0) for param, value in chosen.items()}

    def chains(self, n_samples: int) -> dict[str, np.ndarray]:
        """Draws of the sites as one chain."""
        drawn = self.get_posterior_samples(n_samples=n_samples, store_samples=False)
        return {site.key: drawn[site.key][None] for site in self.model_config.sites}
