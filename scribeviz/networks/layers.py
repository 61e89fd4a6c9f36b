"""The networks of a CellVAE: what maps counts to a place, and a place to counts.

Each takes networks of the user's own in place of its parts; shapes are checked before training
(:func:`check_shapes`).
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from flax import nnx
from jaxtyping import Array, Float, Int

from scribeviz.networks.cellvae import CellVAE
from scribeviz.networks.decoded import DECODED, DecodedCounts

_FLOOR = 1e-4  # of variances
_DISPERSIONS = (0.5, 30.0)  # to start from
_PRIOR_WEIGHT = 50.0  # squared counts
_LARGEST = 15.0  # of logarithms of variances and dispersions, either way


class NetworkShapeError(ValueError):
    """A network gives another shape than the model needs; the message says both."""


class Dense(nnx.Module):
    """Hidden layers: linear, normalised, ReLU, dropout."""

    def __init__(self, n_in: int, spec: CellVAE, *, dropout: float, rngs: nnx.Rngs) -> None:
        widths = [n_in, *[spec.n_hidden] * spec.n_layers]
        self.linear = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairwise(widths)])
        norm = _NORMALIZATIONS[spec.normalization]
        self.norm = nnx.List([norm(spec.n_hidden, rngs) for _ in range(spec.n_layers)])
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

    def __call__(self, x: Float[Array, "cells n_in"]) -> Float[Array, "cells n_hidden"]:
        """Apply all layers."""
        for linear, norm in zip(self.linear, self.norm, strict=True):
            x = self.dropout(nnx.relu(norm(linear(x))))
        return x


class Encoder(nnx.Module):
    """From counts to a normal distribution over places.

    Parameters
    ----------
    mean, variance
        Networks from what ``body`` gives to ``n_latent`` numbers; the variance is the exponential
        of the latter plus a small floor.
    body
        From log1p of the counts to hidden units, shared by both; the identity when left out.
    """

    def __init__(
        self, mean: nnx.Module, variance: nnx.Module, body: nnx.Module | None = None
    ) -> None:
        self.mean, self.variance, self.body = mean, variance, body

    def __call__(
        self, counts: Float[Array, "cells genes"]
    ) -> tuple[Float[Array, "cells latent"], Float[Array, "cells latent"]]:
        """Mean and variance of each cell's place."""
        hidden = jnp.log1p(counts)
        if self.body is not None:
            hidden = self.body(hidden)
        log_variance = jnp.clip(self.variance(hidden), -_LARGEST, _LARGEST)
        return self.mean(hidden), jnp.exp(log_variance) + _FLOOR


class Decoder(nnx.Module):
    """From a place to the distribution of a cell's counts.

    Parameters
    ----------
    logits
        Network from what ``body`` gives to a number per gene; their softmax is each gene's share.
    kind
        The distribution of counts.
    n_genes, n_levels
        How many genes, and levels of the batch covariate (0: there is none).
    body
        From the place (and the covariate, one-hot) to hidden units; the identity when left out.
    gate
        Network to the log-odds that a count is dropped; of the zero-inflated only.
    """

    def __init__(
        self,
        logits: nnx.Module,
        kind: type[DecodedCounts],
        n_genes: int,
        n_levels: int = 0,
        *,
        body: nnx.Module | None = None,
        gate: nnx.Module | None = None,
    ) -> None:
        self.logits, self.body, self.gate = logits, body, gate
        self.kind, self.n_levels = kind, n_levels
        self.log_dispersion = nnx.Param(jnp.zeros(n_genes)) if kind.has_dispersion else None

    def __call__(
        self,
        z: Float[Array, "cells latent"],
        covariate: Int[Array, " cells"],
        library: Float[Array, "cells 1"],
    ) -> DecodedCounts:
        """The distribution of counts of cells at ``z`` with these expected totals."""
        hidden = z
        if self.n_levels:
            hidden = jnp.concatenate([z, jax.nn.one_hot(covariate, self.n_levels)], axis=-1)
        if self.body is not None:
            hidden = self.body(hidden)
        log_share = jax.nn.log_softmax(self.logits(hidden), axis=-1)
        log_dispersion = None
        if self.log_dispersion is not None:
            log_dispersion = jnp.clip(self.log_dispersion[...], -_LARGEST, _LARGEST)
        return self.kind(
            log_share + jnp.log(library),
            log_dispersion,
            None if self.gate is None else self.gate(hidden),
        )


def make_encoder(
    spec: CellVAE,
    n_genes: int,
    *,
    mean: nnx.Module | None = None,
    variance: nnx.Module | None = None,
    rngs: nnx.Rngs,
) -> Encoder:
    """The encoder that ``spec`` describes, or one with networks of the user's own.

    Raises
    ------
    NetworkShapeError
        If a network does not map ``n_genes`` numbers to ``n_latent``.
    """
    if mean is None and variance is None:
        body = Dense(n_genes, spec, dropout=spec.dropout, rngs=rngs)
        heads = [nnx.Linear(spec.n_hidden, spec.n_latent, rngs=rngs) for _ in range(2)]
        return Encoder(heads[0], heads[1], body)

    def own() -> nnx.Module:
        return nnx.Sequential(
            Dense(n_genes, spec, dropout=spec.dropout, rngs=rngs),
            nnx.Linear(spec.n_hidden, spec.n_latent, rngs=rngs),
        )

    for name, network in (("mean encoder", mean), ("variance encoder", variance)):
        if network is not None:
            check_shapes(name, network, n_genes, spec.n_latent)
    return Encoder(mean or own(), variance or own())


def make_decoder(
    spec: CellVAE,
    n_genes: int,
    n_levels: int = 0,
    *,
    logits: nnx.Module | None = None,
    rngs: nnx.Rngs,
) -> Decoder:
    """The decoder that ``spec`` describes, or one with a network of the user's own.

    Raises
    ------
    NetworkShapeError
        If the network does not map ``n_latent`` numbers (and the levels of the covariate) to
        ``n_genes``.
    """
    kind, n_in = DECODED[spec.likelihood], spec.n_latent + n_levels
    body = None
    if logits is not None:
        check_shapes("decoder", logits, n_in, n_genes)
    elif not spec.linear_decoder:
        body = Dense(n_in, spec, dropout=0.0, rngs=rngs)
    n_out = n_in if body is None else spec.n_hidden
    return Decoder(
        logits or nnx.Linear(n_out, n_genes, rngs=rngs),
        kind,
        n_genes,
        n_levels,
        body=body,
        gate=nnx.Linear(n_out, n_genes, rngs=rngs) if kind.has_gate else None,
    )


def check_shapes(name: str, network: nnx.Module, n_in: int, n_out: int) -> None:
    """Raise unless ``network`` maps ``(cells, n_in)`` to ``(cells, n_out)``.

    Raises
    ------
    NetworkShapeError
        With both shapes, or with what the network said when it was tried.
    """
    n_cells = 4
    wanted = f"({n_cells}, {n_in:,}) to ({n_cells}, {n_out:,})"
    try:
        output = nnx.eval_shape(
            lambda network: network(jnp.zeros((n_cells, n_in))), nnx.clone(network)
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise NetworkShapeError(
            f"the {name} has to map {wanted}, and failed on an array of shape "
            f"({n_cells}, {n_in:,}): {error}"
        ) from error
    if getattr(output, "shape", None) != (n_cells, n_out):
        got = getattr(output, "shape", type(output).__name__)
        raise NetworkShapeError(f"the {name} has to map {wanted}; it gives {got}.")


def _batch_norm(n: int, rngs: nnx.Rngs) -> nnx.Module:
    # A running mean over a few dozen steps, not over hundreds: epochs are short here.
    return nnx.BatchNorm(n, momentum=0.9, epsilon=1e-3, rngs=rngs)


def _layer_norm(n: int, rngs: nnx.Rngs) -> nnx.Module:
    return nnx.LayerNorm(n, rngs=rngs)


class _AsIs(nnx.Module):
    def __call__(self, x: Array) -> Array:
        return x


_NORMALIZATIONS: Mapping[str, Callable[[int, nnx.Rngs], nnx.Module]] = {
    "batch": _batch_norm,
    "layer": _layer_norm,
    "none": lambda _n, _rngs: _AsIs(),
}


class Moments(NamedTuple):
    """What counts say of genes before anything is trained.

    Attributes
    ----------
    share
        Of all counts.
    dispersion
        Of counts around the cell's total times the share: what different cells leave unexplained,
        and therefore less than the decoder's in the end.
    """

    share: Float[np.ndarray, " genes"]
    dispersion: Float[np.ndarray, " genes"]


def moments_of(matrix: sp.csr_array) -> Moments:
    """Estimate by the method of moments, from ``(cells, genes)`` counts.

    Genes with hardly any counts tell no dispersion: their estimates are drawn towards 1.
    """
    totals = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
    of_gene = np.asarray(matrix.sum(axis=0, dtype=np.float64)).ravel()
    share = (of_gene + 0.5) / (of_gene + 0.5).sum()
    squares = np.asarray(matrix.astype(np.float64).power(2).sum(axis=0)).ravel()
    squared_mean = share**2 * (totals**2).sum()
    # The sum of (x - mean)^2 - mean over cells.
    excess = squares - 2 * share * (matrix.T @ totals) + squared_mean - share * totals.sum()
    dispersion = (squared_mean + _PRIOR_WEIGHT) / np.maximum(excess + _PRIOR_WEIGHT, 1.0)
    return Moments(share, np.clip(dispersion, *_DISPERSIONS))


def start_from_moments(decoder: Decoder, moments: Moments, *, shares: bool = True) -> None:
    """Let the decoder begin at each gene's share and dispersion.

    ``shares`` only where its last layer has a bias to hold them, and is not somebody's own.
    """
    if shares and isinstance(decoder.logits, nnx.Linear) and decoder.logits.bias is not None:
        decoder.logits.bias[...] = jnp.asarray(np.log(moments.share), jnp.float32)
    if decoder.log_dispersion is not None:
        decoder.log_dispersion[...] = jnp.asarray(np.log(moments.dispersion), jnp.float32)
