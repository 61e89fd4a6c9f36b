r"""A variational autoencoder of counts, with its evidence lower bound visible line by line.

.. math:: \mathrm{ELBO}_n = E_{q(z|x_n)} \ln p(x_n | z) - \mathrm{KL}(q(z|x_n) \| N(0, I))

A custom model is a subclass of :class:`VAE` that says three things: how a place is inferred
from counts (``inference``), which counts a place makes likely (``generative``), and what the two
terms are (``loss``).
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from scribeviz.networks.batches import CountBatch
from scribeviz.networks.decoded import DecodedCounts
from scribeviz.networks.layers import Decoder, Encoder
from scribeviz.networks.module import Metrics, Step

type Inferred = Mapping[str, Array]


class Terms(NamedTuple):
    """The negative ELBO of each cell in its two parts, in nats."""

    reconstruction: Float[Array, " cells"]
    kl: Float[Array, " cells"]

    @property
    def negative_elbo(self) -> Float[Array, " cells"]:
        """Their sum."""
        return self.reconstruction + self.kl


class Amortized(nnx.Module):
    """What results ask of a trained model, whichever interface it was written in.

    Attributes
    ----------
    n_cells
        How many cells are trained on.
    kl_warmup
        Steps over which the KL term grows to its full weight.
    """

    n_cells: int = 0
    kl_warmup: int = 0

    @abstractmethod
    def terms(self, batch: CountBatch, key: PRNGKeyArray) -> Terms:
        """The negative ELBO of each cell, with one draw of its place."""

    @abstractmethod
    def encode(self, batch: CountBatch) -> dist.Normal:
        """The variational posterior of each cell's place, shape ``(cells, n_latent)``."""

    @abstractmethod
    def decode(self, batch: CountBatch, z: Float[Array, "cells latent"]) -> dist.Distribution:
        """The distribution of counts of cells at ``z``."""

    def log_prior(
        self, batch: CountBatch, z: Float[Array, "cells latent"]
    ) -> Float[Array, " cells"]:
        """Log-density of each cell's place before its counts are seen: standard normal."""
        del batch
        return dist.Normal(0.0, 1.0).log_prob(z).sum(axis=-1)

    def knows_only_places(self, batch: CountBatch) -> bool:
        """Whether a cell's place is all that is not observed; else its likelihood is not known."""
        del batch
        return True

    def expected_library(self, batch: CountBatch, key: PRNGKeyArray) -> Float[Array, "cells 1"]:
        """A draw of each cell's expected total, for predictions; the counted one."""
        del key
        return batch.library

    def kl_weight(self, step: Step) -> Array:
        """Grows from 0 to 1 over the first ``kl_warmup`` steps."""
        return jnp.minimum(1.0, (step.number + 1.0) / max(self.kl_warmup, 1))

    def training_step(self, batch: CountBatch, step: Step) -> Metrics:
        """Negative ELBO per cell, its KL term still growing."""
        terms = self.terms(batch, step.key)
        reconstruction, kl = terms.reconstruction.mean(), terms.kl.mean()
        loss = reconstruction + self.kl_weight(step) * kl
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl}

    def validation_step(self, batch: CountBatch, step: Step) -> Metrics:
        """Negative ELBO per cell."""
        terms = self.terms(batch, step.key)
        return {
            "loss": terms.negative_elbo.mean(),
            "reconstruction": terms.reconstruction.mean(),
            "kl": terms.kl.mean(),
        }

    def test_step(self, batch: CountBatch, step: Step) -> Metrics:
        """Negative ELBO per cell."""
        return self.validation_step(batch, step)

    def configure_optimizers(self) -> None:
        """Adam, at the rates of the training's settings."""
        return


class VAE(Amortized):
    """The explicit interface: inference, generative process and loss, one after the other.

    Examples
    --------
    ::

        class MyVAE(scribeviz.VAE):
            def __init__(self, n_genes, *, rngs): ...
            def inference(self, batch, key): ...  # {"mean": …, "variance": …, "z": …}
            def generative(self, batch, inferred): ...  # a distribution of counts
            def loss(self, batch, inferred, counts): ...  # Terms, cell by cell

        results = scribeviz.fit(counts, MyVAE)
    """

    @abstractmethod
    def inference(self, batch: CountBatch, key: PRNGKeyArray) -> Inferred:
        """Infer each cell's place.

        Returns
        -------
        dict
            At least ``mean`` and ``variance`` of the variational posterior, and ``z``, a draw from
            it, of shape ``(cells, n_latent)`` each.
        """

    @abstractmethod
    def generative(self, batch: CountBatch, inferred: Inferred) -> dist.Distribution:
        """The distribution of counts, over genes, given ``inferred["z"]``."""

    @abstractmethod
    def loss(self, batch: CountBatch, inferred: Inferred, counts: dist.Distribution) -> Terms:
        """The terms of the negative ELBO, cell by cell."""

    def sample(self, batch: CountBatch, key: PRNGKeyArray) -> Array:
        """Draw counts of cells like these: a place from the posterior, then counts."""
        place, noise = jax.random.split(key)
        return self.generative(batch, self.inference(batch, place)).sample(noise)

    def terms(self, batch: CountBatch, key: PRNGKeyArray) -> Terms:
        """The three parts, one after the other."""
        inferred = self.inference(batch, key)
        counts = self.generative(batch, inferred)
        return self.loss(batch, inferred, counts)

    def encode(self, batch: CountBatch) -> dist.Normal:
        """The variational posterior of each cell's place."""
        inferred = self.inference(batch, jax.random.key(0))
        return dist.Normal(inferred["mean"], jnp.sqrt(inferred["variance"]))

    def decode(self, batch: CountBatch, z: Float[Array, "cells latent"]) -> dist.Distribution:
        """The distribution of counts of cells at ``z``."""
        inferred = self.inference(batch, jax.random.key(0))
        return self.generative(batch, {**inferred, "z": z})


def kl_from_standard_normal(
    mean: Float[Array, "cells latent"], variance: Float[Array, "cells latent"]
) -> Float[Array, " cells"]:
    r""":math:`\mathrm{KL}(N(m, v) \| N(0, I)) = \frac12 \sum (v + m^2 - 1 - \ln v)`."""
    return 0.5 * (variance + mean**2 - 1 - jnp.log(variance)).sum(axis=-1)


class Library(nnx.Module):
    """The expected total of a cell as a latent variable: log-normal, with an encoder of its own.

    Parameters
    ----------
    encoder
        From counts to mean and variance of the logarithm.
    log_totals
        Mean and variance of the logarithms of the totals that were counted: the prior.
    """

    def __init__(self, encoder: Encoder, log_totals: tuple[float, float]) -> None:
        self.encoder = encoder
        self.log_totals = log_totals

    def __call__(
        self, batch: CountBatch, key: PRNGKeyArray
    ) -> tuple[Float[Array, "cells 1"], Float[Array, " cells"]]:
        """A draw of each cell's expected total, and the divergence from the prior."""
        prior_mean, prior_variance = self.log_totals
        shift, variance = self.encoder(batch.x)
        mean = jnp.log(batch.library) + shift
        drawn = mean + jnp.sqrt(variance) * jax.random.normal(key, mean.shape)
        scaled_mean = (mean - prior_mean) / jnp.sqrt(prior_variance)
        return jnp.exp(drawn), kl_from_standard_normal(scaled_mean, variance / prior_variance)


class CellVAEModule(VAE):
    """The model of :class:`~scribeviz.networks.cellvae.CellVAE`."""

    def __init__(self, encoder: Encoder, decoder: Decoder, library: Library | None = None) -> None:
        self.encoder, self.decoder, self.library = encoder, decoder, library

    def inference(self, batch: CountBatch, key: PRNGKeyArray) -> Inferred:
        """Each cell's place, and its expected total, from its counts."""
        of_place, of_total = jax.random.split(key)
        mean, variance = self.encoder(batch.x)
        z = mean + jnp.sqrt(variance) * jax.random.normal(of_place, mean.shape)
        inferred = {"mean": mean, "variance": variance, "z": z, "library": batch.library}
        if self.library is not None:
            inferred["library"], inferred["library_kl"] = self.library(batch, of_total)
        return inferred

    def generative(self, batch: CountBatch, inferred: Inferred) -> DecodedCounts:
        """Counts around the expected total times the decoder's shares."""
        return self.decoder(inferred["z"], batch.covariate, inferred["library"])

    def loss(self, batch: CountBatch, inferred: Inferred, counts: dist.Distribution) -> Terms:
        """How badly the counts are predicted, and how far what is inferred is from its prior."""
        reconstruction = -counts.log_prob(batch.x)
        kl = kl_from_standard_normal(inferred["mean"], inferred["variance"])
        return Terms(reconstruction, kl + inferred.get("library_kl", 0.0))

    def decode(self, batch: CountBatch, z: Float[Array, "cells latent"]) -> DecodedCounts:
        """The distribution of counts of cells at ``z`` with the totals of ``batch``."""
        return self.decoder(z, batch.covariate, batch.library)

    def expected_library(self, batch: CountBatch, key: PRNGKeyArray) -> Float[Array, "cells 1"]:
        """A draw of each cell's expected total; the counted one unless it is learned."""
        return self.inference(batch, key)["library"]
