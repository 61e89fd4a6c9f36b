r"""The likelihood of a cell: an integral over its place, by importance sampling.

.. math:: p(x) = E_{u \sim q}\left[\frac{p(x|u)\, p(u)}{q(u)}\right]

The encoder's normal distributions are made for speed, with independent coordinates: as proposals
they leave weights that a few draws dominate.  Here each cell gets a proposal of its own, a Student
distribution around the mode of its posterior with the curvature found there (a few Newton steps
from where the encoder puts the cell), and Pareto's k says how well that did.

References: Burda, Grosse & Salakhutdinov 2016, ICLR (importance-weighted bounds); Vehtari, Simpson,
Gelman, Yao & Gabry 2024, J. Mach. Learn. Res. 25(72) (k).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.special import logsumexp

from scribeviz.networks.batches import CountBatch
from scribeviz.networks.evaluation import Cells, compiled
from scribeviz.networks.vae import Amortized

_NEWTON_STEPS = 12
_LONGEST_STEP = 2.0  # in standard deviations of the prior
_FLATTEST = 0.5  # curvature; that of the prior of a place is 1
_DEGREES = 8.0  # of freedom
_WIDER = 1.3  # than the curvature says: places where it changes are many


class LogNormal(NamedTuple):
    """What is known of a cell's expected total before it is counted."""

    mean: float
    spread: float


def log_weights(
    module: Amortized,
    cells: Cells,
    key: PRNGKeyArray,
    n_samples: int,
    total: LogNormal | None = None,
) -> Float[np.ndarray, "draws cells"]:
    r"""Logarithms of :math:`p(x, u) / q(u)` at draws from each cell's proposal, in nats.

    Parameters
    ----------
    module
        A trained one.
    cells
        In batches.
    key
        Of the draws.
    n_samples
        Draws for each cell.
    total
        Integrate over each cell's expected total, with this prior, as well.  None: it is the total
        that was counted, which the cell then knows for free.
    """

    def of_batch(
        module: Amortized, batch: CountBatch, key: PRNGKeyArray
    ) -> Float[Array, "draws cells"]:
        def joint(u: Array) -> Array:
            return log_joint(module, batch, u, total)

        proposal = _proposal(joint, _start(module, batch, total))

        def one(key: PRNGKeyArray) -> Array:
            u = proposal.sample(key)
            return joint(u) - proposal.log_prob(u)

        return jax.lax.map(one, jax.random.split(key, n_samples))

    run = compiled(module, of_batch)
    blocks = [np.asarray(run(b, jax.random.fold_in(key, i))) for i, b in enumerate(cells)]
    return np.concatenate(blocks, axis=1).astype(np.float64)


def log_joint(
    module: Amortized,
    batch: CountBatch,
    u: Float[Array, "cells unknowns"],
    total: LogNormal | None,
) -> Float[Array, " cells"]:
    """Log-density of each cell's counts and unknowns: its place and, with ``total``, its total."""
    if total is None:
        return module.log_prior(batch, u) + module.decode(batch, u).log_prob(batch.x)
    z, log_total = u[:, :-1], u[:, -1]
    prior = module.log_prior(batch, z)
    prior += dist.Normal(total.mean, total.spread).log_prob(log_total)
    decoded = module.decode(batch.with_library(jnp.exp(log_total)[:, None]), z)
    return prior + decoded.log_prob(batch.x)


def log_marginal(weights: Float[np.ndarray, "draws cells"]) -> Float[np.ndarray, " cells"]:
    """Log-likelihood of each cell from :func:`log_weights`, in nats."""
    return logsumexp(weights, axis=0) - np.log(len(weights))


def pareto_k(weights: Float[np.ndarray, "draws cells"]) -> Float[np.ndarray, " cells"]:
    """How far the estimate of each cell can be trusted: up to 0.7 it can."""
    from arviz_stats.base import array_stats

    # ArviZ takes log-likelihoods, whose negatives weigh a left-out observation.
    return array_stats.psislw(-weights, axis=0)[1]


def _start(
    module: Amortized, batch: CountBatch, total: LogNormal | None
) -> Float[Array, "cells unknowns"]:
    place = module.encode(batch).loc
    if total is None:
        return place
    return jnp.concatenate([place, jnp.log(batch.library)], axis=1)


def _proposal(
    joint: Callable[[Array], Array], start: Float[Array, "cells unknowns"]
) -> dist.MultivariateStudentT:
    """A Student distribution around the mode of each cell, with the curvature found there."""
    slope = jax.grad(lambda u: joint(u).sum())  # cells do not know of each other

    def curvature(u: Array) -> Float[Array, "cells unknowns unknowns"]:
        # One direction after the other: all at once take as many times the memory.
        def along(v: Array) -> Array:
            return jax.jvp(slope, (u,), (jnp.broadcast_to(v, u.shape),))[1]

        return -jnp.moveaxis(jax.lax.map(along, jnp.eye(u.shape[1])), 0, -1)

    def spectrum(u: Array) -> tuple[Array, Array]:
        bends = curvature(u)
        values, vectors = jnp.linalg.eigh((bends + jnp.swapaxes(bends, 1, 2)) / 2)
        return jnp.maximum(values, _FLATTEST), vectors

    def newton(u: Array, _: None) -> tuple[Array, None]:
        values, vectors = spectrum(u)
        along = jnp.einsum("cij,ci->cj", vectors, slope(u)) / values
        step = jnp.einsum("cij,cj->ci", vectors, along)
        length = jnp.linalg.norm(step, axis=1, keepdims=True)
        step *= jnp.minimum(1.0, _LONGEST_STEP / jnp.maximum(length, 1e-12))
        # The best of a few lengths, the step not taken among them.
        tried = jnp.stack([u + share * step for share in (1.0, 0.5, 0.2, 0.05, 0.0)])
        best = jnp.argmax(jax.lax.map(joint, tried), axis=0)
        return jnp.take_along_axis(tried, best[None, :, None], axis=0)[0], None

    mode, _ = jax.lax.scan(newton, start, None, length=_NEWTON_STEPS)
    values, vectors = spectrum(mode)
    covariance = jnp.einsum("cij,cj,ckj->cik", vectors, 1 / values, vectors)
    return dist.MultivariateStudentT(_DEGREES, mode, _WIDER * jnp.linalg.cholesky(covariance))
