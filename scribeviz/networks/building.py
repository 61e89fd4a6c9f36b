"""From a specification, or a class of the user's own, to a module that can be trained."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scribeviz.networks.batches import CountBatch
from scribeviz.networks.cellvae import CellVAE
from scribeviz.networks.layers import (
    Encoder,
    Moments,
    make_decoder,
    make_encoder,
    start_from_moments,
)
from scribeviz.networks.required_names import name_problem
from scribeviz.networks.vae import Amortized, CellVAEModule, Library


class ModuleError(ValueError):
    """A custom module cannot be trained; the message says what it gives and should give."""


NETWORKS = ("mean_encoder", "variance_encoder", "decoder")
"""Parts of a CellVAE that can be custom networks."""


def build_cellvae(
    spec: CellVAE,
    n_genes: int,
    *,
    n_levels: int = 0,
    log_totals: tuple[float, float] = (0.0, 1.0),
    networks: Mapping[str, nnx.Module] | None = None,
    start: Moments | None = None,
    seed: int = 0,
) -> CellVAEModule:
    """Make the module that ``spec`` describes.

    Parameters
    ----------
    spec
        The model.
    n_genes
        How many genes.
    n_levels
        Levels of the batch covariate; 0 if there is none.
    log_totals
        Mean and variance of the logarithms of cells' totals: the prior of a learned library.
    networks
        Custom networks: ``mean_encoder`` and ``variance_encoder`` from log1p of the counts,
        ``(cells, n_genes)``, to ``(cells, n_latent)`` (the exponential of the second, plus a floor,
        is the variance), and ``decoder`` from ``(cells, n_latent + n_levels)`` to
        ``(cells, n_genes)``, of which the softmax is each gene's share.
    start
        Shares and dispersions of genes to start from.
    seed
        Of the first weights.

    Raises
    ------
    NetworkShapeError
        If a network gives another shape; the message has both.
    ValueError
        If ``networks`` has a name that is none of these.
    """
    given = {name: nnx.clone(network) for name, network in (networks or {}).items()}
    unknown = sorted(set(given) - set(NETWORKS))
    if unknown:
        raise ValueError(
            f"networks={unknown[0]!r} is no part of a CellVAE; it has {', '.join(NETWORKS)}."
        )
    rngs = nnx.Rngs(seed)
    encoder = make_encoder(
        spec,
        n_genes,
        mean=given.get("mean_encoder"),
        variance=given.get("variance_encoder"),
        rngs=rngs,
    )
    decoder = make_decoder(spec, n_genes, n_levels, logits=given.get("decoder"), rngs=rngs)
    if start is not None:
        start_from_moments(decoder, start, shares="decoder" not in given)
    return CellVAEModule(encoder, decoder, _library(spec, n_genes, log_totals, rngs))


def check_module(module: Amortized, n_genes: int, n_levels: int = 0) -> None:
    """Try a module on a few made-up cells, without computing anything.

    Raises
    ------
    TypeError
        If it is no subclass of ``VAE`` or ``ProbabilisticModule``.
    ModuleError
        If it fails, or gives other shapes than results need; the message has both.
    """
    if not isinstance(module, Amortized):
        raise TypeError(
            "a model of cells is a subclass of scribeviz.networks.vae.VAE or "
            f"scribeviz.networks.probabilistic.ProbabilisticModule; got {type(module).__name__}."
        )
    n_cells, name = 5, type(module).__name__
    batch = CountBatch(
        x=jnp.ones((n_cells, n_genes)),
        library=jnp.full((n_cells, 1), float(n_genes)),
        covariate=jnp.zeros(n_cells, jnp.int32) + max(n_levels - 1, 0),
    )

    def tried(module: Amortized) -> tuple[Any, ...]:
        terms, place = module.terms(batch, jax.random.key(0)), module.encode(batch)
        z = place.sample(jax.random.key(0))
        counts = module.decode(batch, z)
        scored = counts.log_prob(batch.x)
        return terms.reconstruction, terms.kl, z, place.scale, counts.mean, scored

    with _failing_as(f"{name} fails on {n_cells} cells of {n_genes:,} genes"):
        problem = name_problem(module, batch)
    if problem is not None:
        raise ModuleError(f"{name}: {problem}")
    with _failing_as(f"{name} fails on {n_cells} cells of {n_genes:,} genes"):
        reconstruction, kl, z, scale, mean, scored = nnx.eval_shape(tried, nnx.clone(module))
    wanted = {
        "its reconstruction": (reconstruction.shape, (n_cells,)),
        "its KL divergence": (kl.shape, (n_cells,)),
        "the place of its cells": (z.shape, (n_cells, z.shape[-1])),
        "the spread of its places": (scale.shape, z.shape),
        "the mean of its counts": (mean.shape, (n_cells, n_genes)),
        "the log-probability of its counts (genes are to_event(1))": (scored.shape, (n_cells,)),
    }
    for what, (shape, needed) in wanted.items():
        if shape != needed:
            raise ModuleError(
                f"{name}: {what} has shape {shape} for {n_cells} cells of {n_genes:,} genes, and "
                f"{needed} is needed."
            )


@contextmanager
def _failing_as(what: str) -> Iterator[None]:
    """Let what goes wrong in a module of the user's own say so."""
    try:
        yield
    except (TypeError, ValueError, AttributeError, LookupError, NameError, AssertionError) as error:
        raise ModuleError(f"{what}: {type(error).__name__}: {error}") from error


def _library(
    spec: CellVAE, n_genes: int, log_totals: tuple[float, float], rngs: nnx.Rngs
) -> Library | None:
    if spec.library == "observed":
        return None
    # They begin at the total that was counted, with a spread of about a tenth.
    zeros = nnx.initializers.zeros
    shift = nnx.Linear(n_genes, 1, kernel_init=zeros, rngs=rngs)
    log_variance = nnx.Linear(
        n_genes, 1, kernel_init=zeros, bias_init=nnx.initializers.constant(-5.0), rngs=rngs
    )
    return Library(Encoder(shift, log_variance), log_totals)
