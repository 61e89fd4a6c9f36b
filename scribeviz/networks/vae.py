r"""A variational autoencoder of counts, with its evidence lower bound visible line by line.

.. math:: \mathrm{ELBO}_n = E_{q(z|x_n)} \ln p(x_n | z) - \mathrm{KL}(q(z|x_n) \| N(0, I))

A model of one's own is a subclass of :class:`VAE` that says three things: how a place is inferred
from counts (``inference``), which counts a place makes likely (``generative``), and what the two
terms are (``loss``).
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from scribeviz.networks.batches import CountBatch
from scribeviz.networks.counts import DecodedCounts
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
    """What results ask of a trained model, whichever interface it was written in."""

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
    """The explicit interface: inference, generative process and loss, one after the other."""

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


class CellVAEModule(VAE):
    """The model of :class:`~scribeviz.networks.spec.CellVAE`."""

    def __init__(self, encoder: Encoder, decoder: Decoder, *, kl_warmup: int = 0) -> None:
        self.encoder, self.decoder, self.kl_warmup = encoder, decoder, kl_warmup

    def inference(self, batch: CountBatch, key: PRNGKeyArray) -> Inferred:
        """Each cell's place, from its counts."""
        mean, variance = self.encoder(batch.x)
        z = mean + jnp.sqrt(variance) * jax.random.normal(key, mean.shape)
        return {"mean": mean, "variance": variance, "z": z}

    def generative(self, batch: CountBatch, inferred: Inferred) -> DecodedCounts:
        """Counts around library size times the decoder's shares."""
        return self.decoder(inferred["z"], batch.covariate, batch.library)

    def loss(self, batch: CountBatch, inferred: Inferred, counts: Any) -> Terms:
        """How badly the counts are foretold, and how far places are from their prior."""
        reconstruction = -counts.log_prob(batch.x)
        return Terms(
            reconstruction, kl_from_standard_normal(inferred["mean"], inferred["variance"])
        )
