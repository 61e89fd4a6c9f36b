"""What all negative binomial count distributions share: their probabilities, once odds are known.

The parameters of single counts are ``r``, ``log_odds`` and, where cells differ, ``log_depth``.
"""

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from scribeviz.models import nb_predictions
from scribeviz.models.likelihood import Likelihood, Parameters
from scribeviz.models.parameterizations import Values


@dataclass(frozen=True, kw_only=True, eq=False)
class NegativeBinomialLikelihood(Likelihood, ABC):
    """Counts that are negative binomial in every cell."""

    def dense(self, parameters: Values) -> dist.Distribution:
        """NumPyro's own distribution of single counts: what all the fast forms must equal."""
        eta = parameters["log_odds"] + parameters.get("log_depth", 0.0)
        return dist.NegativeBinomialLogits(parameters["r"], eta)

    def pmfs(
        self,
        parameters: Mapping[str, Float[Array, "draws components groups genes"]],
        weights: Float[Array, "draws components groups"],
        n_counts: int,
    ) -> Float[Array, "draws genes counts"]:
        """Probability of the counts 0 … ``n_counts - 1``."""
        return nb_predictions.pmfs(parameters, weights, n_counts=n_counts)

    def log_pmf(self, counts: np.ndarray, parameters: Parameters) -> np.ndarray:
        """Log-probability of single counts."""
        return nb_predictions.log_pmf(counts, parameters)

    def mean(self, parameters: Parameters) -> np.ndarray:
        """Expected count."""
        return nb_predictions.mean(parameters)

    def variance(self, parameters: Parameters) -> np.ndarray:
        """Variance of a count."""
        return nb_predictions.variance(parameters)

    def oracle_arguments(self, parameters: Parameters) -> tuple[np.ndarray, ...]:
        """``n`` and ``p`` of SciPy's ``nbinom``, whose p is that of a failure."""
        eta = nb_predictions.log_odds(parameters)
        return parameters["r"], 1 / (1 + np.exp(eta))
