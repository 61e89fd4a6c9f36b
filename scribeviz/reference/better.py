"""Whether going on with a fit has made it better, on one footing for both."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.infer import TraceMeanField_ELBO

from scribeviz.fitting.count_models import SVIFit
from scribeviz.fitting.custom_models import CustomFit

type Params = Mapping[str, Any]

_PARTICLES = 50


def improvement(
    prepared: SVIFit | CustomFit, before: Params, after: Params, seed: int
) -> tuple[float, float]:
    """How much the loss has fallen, in nats, and the standard error of that.

    Both are scored with the same draws, so that their noise is nearly the same and drops out.

    Parameters
    ----------
    prepared
        The model, its data and its loss.
    before, after
        Parameters of the guide.
    seed
        Of the draws.
    """
    loss = prepared.method.loss or TraceMeanField_ELBO()
    model, guide = prepared.model.model, prepared.model.guide
    keys = jax.random.split(jax.random.PRNGKey(seed), _PARTICLES)

    @jax.jit
    def losses(params: Params, data: Any) -> Float[Array, " particles"]:
        return jax.lax.map(lambda key: loss.loss(key, params, model, guide, data), keys)

    data = jax.tree.map(jnp.asarray, prepared.tables)
    scores = [
        np.asarray(losses({name: jnp.asarray(v) for name, v in params.items()}, data), np.float64)
        for params in (before, after)
    ]
    fall = scores[0] - scores[1]
    return float(fall.mean()), float(fall.std(ddof=1)) / math.sqrt(_PARTICLES)
