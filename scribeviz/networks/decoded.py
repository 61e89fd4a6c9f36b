"""Count distributions whose every entry has a mean of its own: what decoders give.

NumPyro distributions over the genes of a cell, so that ``numpyro.sample("counts", d, obs=x)`` and
``d.log_prob(x)`` are the same thing.  To add one: a class, an entry in ``DECODED``, and its words
in :mod:`scribeviz.networks.cellvae`.
"""

from abc import abstractmethod
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray

from scribeviz.networks.dense import by_blocks, log_factorial, nb_log_prob


class DecodedCounts(dist.Distribution):
    """Counts of all genes in each cell, given the mean of every entry.

    Parameters
    ----------
    log_mean
        Shape ``(cells, genes)``; with ``gate_logit`` the mean of counts that are not dropped.
    log_dispersion
        Shape ``(genes,)``: the variance is mean + mean² / exp(log_dispersion).  Not of a Poisson.
    gate_logit
        Log-odds that a count is dropped, shape ``(cells, genes)``.  Of the zero-inflated only.
    """

    support = dist.constraints.independent(dist.constraints.nonnegative_integer, 1)
    # What NumPyro's distributions carry through compiled functions.
    pytree_data_fields = ("log_mean", "log_dispersion", "gate_logit")
    has_dispersion = True
    has_gate = False

    def __init__(
        self,
        log_mean: Float[Array, "cells genes"],
        log_dispersion: Float[Array, " genes"] | None = None,
        gate_logit: Float[Array, "cells genes"] | None = None,
    ) -> None:
        self.log_mean = log_mean
        self.log_dispersion = log_dispersion
        self.gate_logit = gate_logit
        *batch, n_genes = log_mean.shape
        super().__init__(tuple(batch), (n_genes,), validate_args=False)

    @abstractmethod
    def log_prob(self, value: Float[Array, "cells genes"]) -> Float[Array, " cells"]:
        """Log-probability of each cell's counts, in nats."""

    @property
    def mean(self) -> Float[Array, "cells genes"]:
        """Mean of every entry."""
        mean = jnp.exp(self.log_mean)
        return mean if self.gate_logit is None else mean * jax.nn.sigmoid(-self.gate_logit)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw counts with JAX; :meth:`draw` is far quicker on a processor."""
        rate, drop = jax.random.split(key)
        shape = (*sample_shape, *self.log_mean.shape)
        mean = jnp.exp(self.log_mean)
        if self.log_dispersion is not None:
            theta = jnp.exp(self.log_dispersion)
            spread, rate = jax.random.split(rate)
            mean = jax.random.gamma(spread, theta, shape) * mean / theta
        counts = jax.random.poisson(rate, mean, shape)
        if self.gate_logit is None:
            return counts
        dropped = jax.random.bernoulli(drop, jax.nn.sigmoid(self.gate_logit), shape)
        return jnp.where(dropped, 0, counts)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draw counts with NumPy, shape ``(cells, genes)``."""
        mean = np.exp(np.asarray(self.log_mean, float))
        if self.log_dispersion is not None:
            theta = np.exp(np.asarray(self.log_dispersion, float))
            mean = rng.standard_gamma(theta, mean.shape) * (mean / theta)
        counts = rng.poisson(mean)
        if self.gate_logit is None:
            return counts
        kept = rng.random(mean.shape) >= jax.nn.sigmoid(self.gate_logit)
        return counts * kept


class NegativeBinomial(DecodedCounts):
    """Gamma-Poisson counts."""

    def log_prob(self, value: Float[Array, "cells genes"]) -> Float[Array, " cells"]:
        """Log-probability of each cell's counts, in nats."""
        return by_blocks(
            lambda log_mean, x: nb_log_prob(log_mean, self.log_dispersion, x).sum(axis=-1),
            self.log_mean,
            value,
        )


class ZeroInflatedNegativeBinomial(DecodedCounts):
    """The same, where each count may have been dropped."""

    has_gate = True

    def log_prob(self, value: Float[Array, "cells genes"]) -> Float[Array, " cells"]:
        """Log-probability of each cell's counts, in nats."""
        assert self.gate_logit is not None  # noqa: S101  of this kind it never is

        def of_block(log_mean: Array, gate: Array, x: Array) -> Array:
            kept = nb_log_prob(log_mean, self.log_dispersion, x) + jax.nn.log_sigmoid(-gate)
            zero = jnp.logaddexp(jax.nn.log_sigmoid(gate), kept)
            return jnp.where(x == 0, zero, kept).sum(axis=-1)

        return by_blocks(of_block, self.log_mean, self.gate_logit, value)


class Poisson(DecodedCounts):
    """Counts that scatter no more than chance alone makes them."""

    has_dispersion = False

    def log_prob(self, value: Float[Array, "cells genes"]) -> Float[Array, " cells"]:
        """Log-probability of each cell's counts, in nats."""
        terms = value * self.log_mean - jnp.exp(self.log_mean) - log_factorial(value)
        return terms.sum(axis=-1)


DECODED: Mapping[str, type[DecodedCounts]] = {
    "nb": NegativeBinomial,
    "zinb": ZeroInflatedNegativeBinomial,
    "poisson": Poisson,
}
"""By their keys in :data:`scribeviz.networks.cellvae.COUNT_DISTRIBUTIONS`."""
