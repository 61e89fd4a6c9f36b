"""Small cells and small modules, and modules as users write them: plain NumPyro distributions."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from flax import nnx
from numpyro.contrib.module import nnx_module

from scribeviz.networks.batches import CountBatch
from scribeviz.networks.building import build_cellvae
from scribeviz.networks.cellvae import CellVAE
from scribeviz.networks.probabilistic import CellVAEProbabilistic, ProbabilisticModule
from scribeviz.networks.vae import VAE, Terms, kl_from_standard_normal

SMALL = CellVAE(n_latent=2, n_hidden=8)


def batch_of(x, covariate=None):
    x = np.asarray(x, np.float32)
    codes = np.zeros(len(x), np.int32) if covariate is None else np.asarray(covariate, np.int32)
    return CountBatch(x=x, library=np.maximum(x.sum(axis=1, keepdims=True), 1), covariate=codes)


def some_cells(n_cells=9, n_genes=6, seed=0):
    rng = np.random.default_rng(seed)
    return batch_of(rng.negative_binomial(2, 0.4, (n_cells, n_genes)))


def untrained(spec=SMALL, n_genes=6, *, stirred=0.3, **options):
    """A module with weights that are none of the special ones it begins with, evaluating."""
    module = build_cellvae(spec, n_genes, seed=1, **options)
    rng = np.random.default_rng(2)
    _, params, _ = nnx.split(module, nnx.Param, ...)
    moved = jax.tree.map(lambda a: a + stirred * rng.normal(size=a.shape).astype(a.dtype), params)
    nnx.update(module, moved)
    module.eval()
    return module


def in_both(spec=SMALL, n_genes=6, **options):
    """The explicit module, and the probabilistic one of the same networks."""
    explicit = untrained(spec, n_genes, **options)
    probabilistic = CellVAEProbabilistic(explicit.encoder, explicit.decoder, spec.n_latent)
    probabilistic.eval()
    return explicit, probabilistic


def two_layers(n_in, n_out, rngs, last=None):
    parts = [nnx.Linear(n_in, 16, rngs=rngs), nnx.relu, nnx.Linear(16, n_out, rngs=rngs)]
    return nnx.Sequential(*parts, *([last] if last else []))


class OwnVAE(VAE):
    """The simplified scVI of the reference, in the explicit interface."""

    def __init__(self, n_genes, n_latent=2, *, rngs):
        self.decoder = two_layers(n_latent, n_genes, rngs, nnx.softmax)
        self.log_theta = nnx.Param(jnp.zeros(n_genes))
        self.mean_encoder = two_layers(n_genes, n_latent, rngs)
        self.variance_encoder = two_layers(n_genes, n_latent, rngs, jnp.exp)

    def inference(self, batch, key):
        logs = jnp.log1p(batch.x)
        mean, variance = self.mean_encoder(logs), self.variance_encoder(logs) + 1e-4
        z = mean + jnp.sqrt(variance) * jax.random.normal(key, mean.shape)
        return {"mean": mean, "variance": variance, "z": z}

    def generative(self, batch, inferred):
        rate = batch.library * self.decoder(inferred["z"]) + 1e-6
        return dist.NegativeBinomial2(rate, jnp.exp(self.log_theta[...])).to_event(1)

    def loss(self, batch, inferred, counts):
        kl = kl_from_standard_normal(inferred["mean"], inferred["variance"])
        return Terms(-counts.log_prob(batch.x), kl)


class OwnProbabilistic(ProbabilisticModule):
    """The same in NumPyro's words."""

    def __init__(self, n_genes, n_latent=2, *, rngs):
        self.n_latent = n_latent
        self.decoder = two_layers(n_latent, n_genes, rngs, nnx.softmax)
        self.log_theta = nnx.Param(jnp.zeros(n_genes))
        self.mean_encoder = two_layers(n_genes, n_latent, rngs)
        self.variance_encoder = two_layers(n_genes, n_latent, rngs, jnp.exp)

    def model(self, batch):
        decoder = nnx_module("decoder", self.decoder)
        with self.cells(batch):
            z = numpyro.sample("z", dist.Normal(0, 1).expand([self.n_latent]).to_event(1))
            rate = batch.library * decoder(z) + 1e-6
            counts = dist.NegativeBinomial2(rate, jnp.exp(self.log_theta[...]))
            numpyro.sample("counts", counts.to_event(1), obs=batch.x)

    def guide(self, batch):
        logs = jnp.log1p(batch.x)
        mean = self.network("mean_encoder")(logs)
        variance = self.network("variance_encoder")(logs) + 1e-4
        with self.cells(batch):
            numpyro.sample("z", dist.Normal(mean, jnp.sqrt(variance)).to_event(1))
