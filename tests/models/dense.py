"""The whole family the usual way: NumPyro's own distributions over every entry of the matrix."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.negative_binomial import NegativeBinomial
from scribeviz.models.spec import ModelSpec

NB_KEYS = [key for key, entry in LIKELIHOODS.items() if isinstance(entry, NegativeBinomial)]

FROM_REAL = {"positive": jnp.exp, "unit interval": jax.nn.sigmoid, "simplex": jax.nn.softmax}


def textbook(spec: ModelSpec, values: Mapping[str, Any]) -> dict[str, jax.Array]:
    """p, r, gate, capture and weights from the values of the sites, by the textbook's formulas."""
    known = {}
    for site in spec.sites:
        value = values[site.key]
        known[site.quantity] = FROM_REAL[site.target](value) if spec.unconstrained else value
    k = spec.n_components
    p = known["p"] if "p" in known else 1 / (1 + known["phi"])
    p = jnp.broadcast_to(p, (k,))[:, None]
    r = jnp.reshape(known["r" if "r" in known else "mu"], (k, -1))
    if "r" not in known:
        r = r * (1 - p) / p
    found = {"p": p, "r": r}
    if "gate" in known:
        found["gate"] = jnp.reshape(known["gate"], (k, -1))
    if "p_capture" in known:
        found["capture"] = known["p_capture"]
    if "phi_capture" in known:
        found["capture"] = 1 / (1 + known["phi_capture"])
    weights = known.get("mixing_weights", jnp.ones(1))
    return found | {"weights": weights / weights.sum()}


def components(known: Mapping[str, jax.Array], counts: jax.Array) -> jax.Array:
    """Log-probability of each entry under each component, shape (components, cells, genes)."""
    p = known["p"][:, :, None]
    if "capture" in known:
        nu = known["capture"][None, :, None]
        p = p * nu / (1 - p * (1 - nu))
    fn = dist.NegativeBinomialProbs(known["r"][:, None, :], p)
    if "gate" in known:
        fn = dist.ZeroInflatedDistribution(fn, gate=known["gate"][:, None, :])
    return fn.log_prob(counts[None])


def log_likelihood(known: Mapping[str, jax.Array], counts: jax.Array) -> jax.Array:
    """Log-probability of all counts."""
    by_cell = components(known, counts).sum(axis=-1)
    return jax.nn.logsumexp(by_cell + jnp.log(known["weights"])[:, None], axis=0).sum()
