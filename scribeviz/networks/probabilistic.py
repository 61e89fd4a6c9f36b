"""The probabilistic interface: a NumPyro model and guide, with networks registered in them.

A custom model is a subclass of :class:`ProbabilisticModule` with two methods of the same
signature.  ``model`` samples the place ``z`` of each cell and the counts ``counts``; ``guide``
samples ``z``.  NumPyro then knows the evidence lower bound.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro import handlers
from numpyro.contrib.module import nnx_module
from numpyro.distributions.kl import kl_divergence

from scribeviz.networks.batches import CountBatch
from scribeviz.networks.layers import Decoder, Encoder
from scribeviz.networks.vae import Amortized, Terms

PLACE, COUNTS = "z", "counts"
"""Names of the two sites that results look for."""

type _Trace = Mapping[str, Mapping[str, Any]]


class ProbabilisticModule(Amortized):
    """A pair of NumPyro functions of a minibatch.

    Examples
    --------
    ::

        class Mine(scribeviz.ProbabilisticModule):
            def __init__(self, n_genes, *, rngs): ...
            def model(self, batch): ...  # samples "z" and "counts"
            def guide(self, batch): ...  # samples "z"

        results = scribeviz.fit(counts, Mine)
    """

    @abstractmethod
    def model(self, batch: CountBatch) -> None:
        """How counts arise; samples ``z`` and ``counts``."""

    @abstractmethod
    def guide(self, batch: CountBatch) -> None:
        """How places are inferred from counts; samples ``z``."""

    def network(self, name: str) -> Any:
        """The network that is the attribute ``name``, registered in NumPyro."""
        return nnx_module(name, getattr(self, name))

    def cells(self, batch: CountBatch) -> numpyro.plate:
        """A plate over all cells of the data, of which ``batch`` holds some.

        With the size of the data NumPyro's ELBO is that of all cells, not of the minibatch.
        """
        shown = batch.x.shape[0]
        return numpyro.plate("cells", max(self.n_cells, shown), subsample_size=shown)

    def terms(self, batch: CountBatch, key: PRNGKeyArray) -> Terms:
        """The negative ELBO of each cell, from the traces of guide and model.

        The divergence of two distributions is exact where NumPyro knows it, as in its
        ``TraceMeanField_ELBO``; else it is the difference of their log-densities at the draw.
        """
        of_model, of_guide = jax.random.split(key)
        guide = handlers.trace(handlers.seed(self.guide, of_guide)).get_trace(batch)
        replayed = handlers.replay(handlers.seed(self.model, of_model), guide)
        model = handlers.trace(replayed).get_trace(batch)
        for trace in (guide, model):
            self._remember(trace)
        n_cells = batch.x.shape[0]
        has_plates = any(site["type"] == "plate" for site in model.values())

        def by_cell(values: Array, site: Mapping[str, Any]) -> Float[Array, " cells"]:
            of_cells = values.shape[:1] == (n_cells,)
            if of_cells and (site["cond_indep_stack"] or not has_plates):
                return values.reshape(n_cells, -1).sum(axis=1)
            # What belongs to all cells is shared out among all of them, not among these.
            return jnp.full(n_cells, values.sum() / max(self.n_cells, n_cells))

        reconstruction, kl = jnp.zeros(n_cells), jnp.zeros(n_cells)
        for name, site in model.items():
            if site["type"] != "sample" or isinstance(site["fn"], dist.Delta):
                continue
            if site["is_observed"]:
                reconstruction -= by_cell(site["fn"].log_prob(site["value"]), site)
            elif name in guide:
                kl += by_cell(_divergence(guide[name], site), site)
        return Terms(reconstruction, kl)

    def encode(self, batch: CountBatch) -> dist.Normal:
        """The variational posterior of each cell's place."""
        guide = handlers.trace(handlers.seed(self.guide, jax.random.key(0))).get_trace(batch)
        place = guide[PLACE]["fn"]
        return place.base_dist if isinstance(place, dist.Independent) else place

    def decode(self, batch: CountBatch, z: Float[Array, "cells latent"]) -> dist.Distribution:
        """The distribution of counts of cells at ``z``."""
        return self._given(batch, z)[COUNTS]["fn"]

    def log_prior(
        self, batch: CountBatch, z: Float[Array, "cells latent"]
    ) -> Float[Array, " cells"]:
        """Log-density of each cell's place under the model's own prior."""
        return self._given(batch, z)[PLACE]["fn"].log_prob(z).reshape(z.shape[0], -1).sum(axis=1)

    def knows_only_places(self, batch: CountBatch) -> bool:
        """Whether the model samples nothing else that is not observed."""
        traced = handlers.trace(handlers.seed(self.model, jax.random.key(0))).get_trace(batch)
        hidden = {
            name
            for name, site in traced.items()
            if site["type"] == "sample" and not site["is_observed"]
        }
        return hidden == {PLACE}

    def _given(self, batch: CountBatch, z: Array) -> _Trace:
        given = handlers.substitute(handlers.seed(self.model, jax.random.key(0)), {PLACE: z})
        return handlers.trace(given).get_trace(batch)

    def _remember(self, trace: _Trace) -> None:
        """Keep what networks changed while they ran, such as running means."""
        for name, site in trace.items():
            if site["type"] == "mutable":
                network = getattr(self, name.removesuffix("$state"))
                memory = nnx.state(network, nnx.Not(nnx.Param))
                nnx.replace_by_pure_dict(memory, site["value"]["state"])
                nnx.update(network, memory)


class CellVAEProbabilistic(ProbabilisticModule):
    """The model of :class:`~scribeviz.networks.cellvae.CellVAE` in NumPyro's words.

    Its parameters are those of :class:`~scribeviz.networks.vae.CellVAEModule`, so either can be
    made of the networks of the other.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, n_latent: int) -> None:
        self.encoder, self.decoder, self.n_latent = encoder, decoder, n_latent

    def model(self, batch: CountBatch) -> None:
        """A place, then counts around library size times the decoder's shares."""
        decoder = self.network("decoder")
        with self.cells(batch):
            z = numpyro.sample(PLACE, dist.Normal(0, 1).expand([self.n_latent]).to_event(1))
            counts = decoder(z, batch.covariate, batch.library)
            numpyro.sample(COUNTS, counts, obs=batch.x)

    def guide(self, batch: CountBatch) -> None:
        """The encoder's normal distribution over places."""
        encoder = self.network("encoder")
        with self.cells(batch):
            mean, variance = encoder(batch.x)
            numpyro.sample(PLACE, dist.Normal(mean, jnp.sqrt(variance)).to_event(1))


def _divergence(guide: Mapping[str, Any], model: Mapping[str, Any]) -> Array:
    try:
        return kl_divergence(guide["fn"], model["fn"])
    except NotImplementedError:
        value = guide["value"]
        return guide["fn"].log_prob(value) - model["fn"].log_prob(value)
