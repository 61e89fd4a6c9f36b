"""What a trained module says about cells: where they lie, and how close its bound is."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from scribeviz.networks.batches import CountBatch
from scribeviz.networks.vae import Amortized

type Cells = Iterable[CountBatch]


def compiled(module: Amortized, call: Callable[..., Any]) -> Callable[..., Any]:
    """``call(module, *arguments)`` as a compiled function of the arguments."""
    graph, state = nnx.split(module)

    @jax.jit
    def run(state: nnx.State, *arguments: Any) -> Any:
        return call(nnx.merge(graph, state, copy=True), *arguments)

    return lambda *arguments: run(state, *arguments)


def places(
    module: Amortized, cells: Cells
) -> tuple[Float[np.ndarray, "cells latent"], Float[np.ndarray, "cells latent"]]:
    """Mean and standard deviation of each cell's place."""

    def of_batch(module: Amortized, batch: CountBatch) -> tuple[Array, Array]:
        place = module.encode(batch)
        return place.loc, place.scale

    run = compiled(module, of_batch)
    batches = [run(batch) for batch in cells]
    mean, spread = (
        np.concatenate(list(map(np.asarray, one))) for one in zip(*batches, strict=True)
    )
    return mean, spread


def negative_elbo(
    module: Amortized, cells: Cells, key: PRNGKeyArray, n_samples: int = 1
) -> dict[str, Float[np.ndarray, " cells"]]:
    """``reconstruction`` and ``kl`` of each cell, in nats, averaged over draws."""

    def of_batch(module: Amortized, batch: CountBatch, key: PRNGKeyArray) -> tuple[Array, Array]:
        keys = jax.random.split(key, n_samples)
        terms = jax.lax.map(lambda one: tuple(module.terms(batch, one)), keys)
        return terms[0].mean(axis=0), terms[1].mean(axis=0)

    run = compiled(module, of_batch)
    found = [run(batch, jax.random.fold_in(key, i)) for i, batch in enumerate(cells)]
    names = ("reconstruction", "kl")
    return {
        name: np.concatenate([np.asarray(terms[i]) for terms in found])
        for i, name in enumerate(names)
    }
