"""The custom model of the tutorial, word for word, in the form that ``--models`` loads.

Only the slipped indentation of ``if counts is not None`` is mended.
"""
# ruff: noqa: ARG001, RET503, RET505 - the tutorial's words

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from scipy import stats

from scribeviz.models.custom.model import CustomModel
from scribeviz.models.custom.registry import register_model


def nbdm_lognormal_model(
    n_cells: int,
    n_genes: int,
    p_prior: tuple = (1, 1),
    r_prior: tuple = (0, 1),  # Changed to mean, std for lognormal
    counts=None,
    total_counts=None,
    batch_size=None,
):
    # Define success probability prior (unchanged)
    p = numpyro.sample("p", dist.Beta(p_prior[0], p_prior[1]))

    # Define dispersion prior using LogNormal instead of Gamma
    r = numpyro.sample("r", dist.LogNormal(r_prior[0], r_prior[1]).expand([n_genes]))

    # Define the total dispersion parameter
    r_total = numpyro.deterministic("r_total", jnp.sum(r))

    # If we have observed data, condition on it
    if counts is not None:
        # If batch size is not provided, use the entire dataset
        if batch_size is None:
            # Define plate for cells total counts
            with numpyro.plate("cells", n_cells):
                # Likelihood for the total counts - one for each cell
                numpyro.sample(
                    "total_counts", dist.NegativeBinomialProbs(r_total, p), obs=total_counts
                )

            # Define plate for cells individual counts
            with numpyro.plate("cells", n_cells):
                # Likelihood for the individual counts - one for each cell
                numpyro.sample(
                    "counts", dist.DirichletMultinomial(r, total_count=total_counts), obs=counts
                )
        else:
            # Define plate for cells total counts
            with numpyro.plate(
                "cells",
                n_cells,
                subsample_size=batch_size,
            ) as idx:
                # Likelihood for the total counts - one for each cell
                numpyro.sample(
                    "total_counts", dist.NegativeBinomialProbs(r_total, p), obs=total_counts[idx]
                )

            # Define plate for cells individual counts
            with numpyro.plate("cells", n_cells, subsample_size=batch_size) as idx:
                # Likelihood for the individual counts - one for each cell
                numpyro.sample(
                    "counts",
                    dist.DirichletMultinomial(r, total_count=total_counts[idx]),
                    obs=counts[idx],
                )
    else:
        # Predictive model (no obs)
        with numpyro.plate("cells", n_cells):
            # Make a NegativeBinomial distribution that returns a vector of
            # length n_genes
            dist_nb = dist.NegativeBinomialProbs(r, p).to_event(1)
            counts = numpyro.sample("counts", dist_nb)


def nbdm_lognormal_guide(
    n_cells: int,
    n_genes: int,
    p_prior: tuple = (1, 1),
    r_prior: tuple = (0, 1),
    counts=None,
    total_counts=None,
    batch_size=None,
):
    # Parameters for p (using Beta)
    alpha_p = numpyro.param(
        "alpha_p", jnp.array(p_prior[0]), constraint=numpyro.distributions.constraints.positive
    )
    beta_p = numpyro.param(
        "beta_p", jnp.array(p_prior[1]), constraint=numpyro.distributions.constraints.positive
    )

    # Parameters for r (using LogNormal)
    mu_r = numpyro.param(
        "mu_r",
        jnp.ones(n_genes) * r_prior[0],
        constraint=numpyro.distributions.constraints.real,
    )
    sigma_r = numpyro.param(
        "sigma_r",
        jnp.ones(n_genes) * r_prior[1],
        constraint=numpyro.distributions.constraints.positive,
    )

    # Sample from variational distributions
    numpyro.sample("p", dist.Beta(alpha_p, beta_p))
    numpyro.sample("r", dist.LogNormal(mu_r, sigma_r))


def get_distributions_fn(params, backend="scipy"):
    if backend == "scipy":
        return {
            "p": stats.beta(params["alpha_p"], params["beta_p"]),
            "r": stats.lognorm(s=params["sigma_r"], scale=np.exp(params["mu_r"])),
        }
    elif backend == "numpyro":
        return {
            "p": dist.Beta(params["alpha_p"], params["beta_p"]),
            "r": dist.LogNormal(params["mu_r"], params["sigma_r"]),
        }


param_spec = {
    "alpha_p": {"type": "global"},
    "beta_p": {"type": "global"},
    "mu_r": {"type": "gene-specific"},
    "sigma_r": {"type": "gene-specific"},
}


def total_counts(counts):
    return {"total_counts": counts.cell_totals}


register_model(
    CustomModel(
        key="nbdm-lognormal",
        label="NBDM, log-normal dispersions",
        use_when="When dispersions spread over orders of magnitude from gene to gene.",
        model=nbdm_lognormal_model,
        guide=nbdm_lognormal_guide,
        param_spec=param_spec,
        prior_params={"p_prior": (1, 1), "r_prior": (0, 1)},
        custom_args=total_counts,
        get_distributions_fn=get_distributions_fn,
    )
)
