"""From a finished ``MCMC`` of NumPyro to what :class:`ScribeMCMCResults` holds."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpyro.handlers import seed
from numpyro.infer import MCMC

from scribeviz.models.builder import CountModel
from scribeviz.models.spec import ModelSpec


def held_by(mcmc: MCMC, spec: ModelSpec) -> dict[str, Any]:
    """Draws by chain, divergences and the energy of each transition.

    Parameters
    ----------
    mcmc
        Has run on a model with the sites of ``spec``.
    spec
        The model.

    Raises
    ------
    ValueError
        If it sampled none of these sites.
    """
    drawn = mcmc.get_samples(group_by_chain=True)
    missing = [site.key for site in spec.sites if site.key not in drawn]
    if missing:
        raise ValueError(
            f"mcmc has no draws of {', '.join(missing)}, which {spec.name} "
            f"({spec.parameterization}) has; it has {', '.join(drawn)}."
        )
    samples = {site.key: np.asarray(drawn[site.key]) for site in spec.sites}
    extra = mcmc.get_extra_fields(group_by_chain=True)
    chains = next(iter(samples.values())).shape[:2]
    energy = np.asarray(extra.get("potential_energy", np.full(chains, np.nan)), np.float32)
    return {
        "samples": samples,
        "diverging": np.asarray(extra.get("diverging", np.zeros(chains, bool))),
        "loss_history": energy.ravel(),
    }


def prior_draws_of(model: CountModel, key: PRNGKeyArray, n_draws: int) -> dict[str, Array]:
    """Draws of every site from its prior, a leading axis of draws."""
    keys = jax.random.split(key, n_draws)
    return jax.vmap(lambda one: seed(model.sample_priors, one)())(keys)
