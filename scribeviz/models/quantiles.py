"""Quantiles of the prior families: exact, and without a compiled program.

Each function takes shares between 0 and 1, then the numbers of its family.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import betaincinv, gammaincinv, ndtri

type Shares = Float[np.ndarray, "..."]


def of_normal(shares: Shares, loc: float, scale: float) -> Shares:
    """Normal."""
    return loc + scale * ndtri(shares)


def of_lognormal(shares: Shares, loc: float, scale: float) -> Shares:
    """Log-normal."""
    return np.exp(of_normal(shares, loc, scale))


def of_gamma(shares: Shares, concentration: float, rate: float) -> Shares:
    """Gamma."""
    return gammaincinv(concentration, shares) / rate


def of_exponential(shares: Shares, rate: float) -> Shares:
    """Exponential."""
    return -np.log1p(-np.asarray(shares)) / rate


def of_beta(shares: Shares, alpha: float, beta: float) -> Shares:
    """Beta."""
    return betaincinv(alpha, beta, shares)


def of_beta_mean(shares: Shares, mean: float, concentration: float) -> Shares:
    """Beta, by its mean."""
    return of_beta(shares, mean * concentration, (1 - mean) * concentration)


def of_betaprime(shares: Shares, alpha: float, beta: float) -> Shares:
    """Odds of failure (1 - p) / p of a beta probability p."""
    # Of 1 - p, which is a beta with its numbers exchanged: nothing is lost where p is near 1.
    failure, success = betaincinv(beta, alpha, shares), betaincinv(alpha, beta, 1 - shares)
    return failure / np.maximum(success, np.finfo(float).tiny)


def of_betaprime_mean(shares: Shares, mean: float, concentration: float) -> Shares:
    """The same, by the mean of the probability."""
    return of_betaprime(shares, mean * concentration, (1 - mean) * concentration)


def of_share(shares: Shares, concentration: float, n_components: int) -> Shares:
    """One share of a symmetric Dirichlet."""
    return of_beta(shares, concentration, concentration * (n_components - 1))
