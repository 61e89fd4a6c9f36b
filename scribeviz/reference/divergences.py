"""How far apart two distributions are, in closed form, by the reference's names.

A beta prime is a change of variables of a Beta, and a log-normal of a normal: their divergences
are the same.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpyro.distributions as dist
from scipy.special import betaln, digamma, gammaln

from scribeviz.models.families import BetaPrime


def kl_beta(alpha1: Any, beta1: Any, alpha2: Any, beta2: Any) -> Any:
    """Kullback-Leibler divergence of Beta(alpha1, beta1) from Beta(alpha2, beta2), in nats.

    Parameters
    ----------
    alpha1, beta1, alpha2, beta2
        Numbers, or arrays that broadcast; positive.  What comes back has their shape.

    Examples
    --------
    >>> from scribeviz import stats
    >>> round(float(stats.kl_beta(2, 2, 1, 1)), 4)
    0.1251
    """
    a1, b1, a2, b2 = _arrays(alpha1, beta1, alpha2, beta2)
    both = (a2 - a1 + b2 - b1) * digamma(a1 + b1)
    means = (a1 - a2) * digamma(a1) + (b1 - b2) * digamma(b1) + both
    return betaln(a2, b2) - betaln(a1, b1) + means


def kl_gamma(alpha1: Any, beta1: Any, alpha2: Any, beta2: Any) -> Any:
    """Kullback-Leibler divergence of Gamma(shape alpha1, rate beta1) from another, in nats.

    Parameters
    ----------
    alpha1, beta1, alpha2, beta2
        Shapes and rates: numbers, or arrays that broadcast; positive.

    Examples
    --------
    >>> from scribeviz import stats
    >>> round(float(stats.kl_gamma(2, 1, 1, 1)), 4)
    0.4228
    """
    a1, b1, a2, b2 = _arrays(alpha1, beta1, alpha2, beta2)
    shapes = (a1 - a2) * digamma(a1) - gammaln(a1) + gammaln(a2)
    return shapes + a2 * np.log(b1 / b2) + a1 * (b2 / b1 - 1)


def kl_lognormal(mu1: Any, sigma1: Any, mu2: Any, sigma2: Any) -> Any:
    """Kullback-Leibler divergence of LogNormal(mu1, sigma1) from another, in nats.

    Parameters
    ----------
    mu1, sigma1, mu2, sigma2
        Numbers, or arrays that broadcast; ``sigma`` positive.  What comes back has their shape.

    Examples
    --------
    >>> from scribeviz import stats
    >>> round(float(stats.kl_lognormal(0, 1, 1, 1)), 4)
    0.5
    """
    m1, s1, m2, s2 = _arrays(mu1, sigma1, mu2, sigma2)
    return np.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5


def jensen_shannon_beta(alpha1: Any, beta1: Any, alpha2: Any, beta2: Any) -> Any:
    """Mean of both Kullback-Leibler divergences, which the reference calls by this name.

    Parameters
    ----------
    alpha1, beta1, alpha2, beta2
        Numbers, or arrays that broadcast; positive.  What comes back has their shape.

    Examples
    --------
    >>> from scribeviz import stats
    >>> round(float(stats.jensen_shannon_beta(2, 2, 1, 1)), 4)
    0.1667
    """
    return _mean_of_both(kl_beta, alpha1, beta1, alpha2, beta2)


def jensen_shannon_gamma(alpha1: Any, beta1: Any, alpha2: Any, beta2: Any) -> Any:
    """Mean of both Kullback-Leibler divergences, which the reference calls by this name.

    Parameters
    ----------
    alpha1, beta1, alpha2, beta2
        Shapes and rates: numbers, or arrays that broadcast; positive.

    Examples
    --------
    >>> from scribeviz import stats
    >>> round(float(stats.jensen_shannon_gamma(2, 1, 1, 1)), 4)
    0.5
    """
    return _mean_of_both(kl_gamma, alpha1, beta1, alpha2, beta2)


def jensen_shannon_lognormal(mu1: Any, sigma1: Any, mu2: Any, sigma2: Any) -> Any:
    """Mean of both Kullback-Leibler divergences, which the reference calls by this name.

    Parameters
    ----------
    mu1, sigma1, mu2, sigma2
        Numbers, or arrays that broadcast; ``sigma`` positive.  What comes back has their shape.

    Examples
    --------
    >>> from scribeviz import stats
    >>> round(float(stats.jensen_shannon_lognormal(0, 1, 1, 1)), 4)
    0.5
    """
    return _mean_of_both(kl_lognormal, mu1, sigma1, mu2, sigma2)


def sq_hellinger_beta(alpha1: Any, beta1: Any, alpha2: Any, beta2: Any) -> Any:
    """Squared Hellinger distance of two Beta distributions, from 0 to 1.

    Parameters
    ----------
    alpha1, beta1, alpha2, beta2
        Numbers, or arrays that broadcast; positive.  What comes back has their shape.

    Examples
    --------
    >>> from scribeviz import stats
    >>> round(float(stats.sq_hellinger_beta(2, 2, 1, 1)), 4)
    0.0381
    """
    a1, b1, a2, b2 = _arrays(alpha1, beta1, alpha2, beta2)
    between = betaln((a1 + a2) / 2, (b1 + b2) / 2)
    return -np.expm1(between - (betaln(a1, b1) + betaln(a2, b2)) / 2)


def sq_hellinger_gamma(alpha1: Any, beta1: Any, alpha2: Any, beta2: Any) -> Any:
    """Squared Hellinger distance of two Gamma distributions (shapes and rates), from 0 to 1.

    Parameters
    ----------
    alpha1, beta1, alpha2, beta2
        Shapes and rates: numbers, or arrays that broadcast; positive.

    Examples
    --------
    >>> from scribeviz import stats
    >>> round(float(stats.sq_hellinger_gamma(2, 1, 1, 1)), 4)
    0.1138
    """
    a1, b1, a2, b2 = _arrays(alpha1, beta1, alpha2, beta2)
    shape, rate = (a1 + a2) / 2, (b1 + b2) / 2
    between = gammaln(shape) - shape * np.log(rate)
    separate = a1 * np.log(b1) - gammaln(a1) + a2 * np.log(b2) - gammaln(a2)
    return -np.expm1(between + separate / 2)


def sq_hellinger_lognormal(mu1: Any, sigma1: Any, mu2: Any, sigma2: Any) -> Any:
    """Squared Hellinger distance of two log-normal distributions, from 0 to 1.

    Parameters
    ----------
    mu1, sigma1, mu2, sigma2
        Numbers, or arrays that broadcast; ``sigma`` positive.  What comes back has their shape.

    Examples
    --------
    >>> from scribeviz import stats
    >>> round(float(stats.sq_hellinger_lognormal(0, 1, 1, 1)), 4)
    0.1175
    """
    m1, s1, m2, s2 = _arrays(mu1, sigma1, mu2, sigma2)
    variance = s1**2 + s2**2
    return -np.expm1(np.log(2 * s1 * s2 / variance) / 2 - (m1 - m2) ** 2 / (4 * variance))


def hellinger_beta(alpha1: Any, beta1: Any, alpha2: Any, beta2: Any) -> Any:
    """Hellinger distance of two Beta distributions, from 0 to 1.

    Parameters
    ----------
    alpha1, beta1, alpha2, beta2
        Numbers, or arrays that broadcast; positive.  What comes back has their shape.

    Examples
    --------
    >>> from scribeviz import stats
    >>> round(float(stats.hellinger_beta(2, 2, 1, 1)), 4)
    0.1952
    """
    return np.sqrt(sq_hellinger_beta(alpha1, beta1, alpha2, beta2))


def hellinger_gamma(alpha1: Any, beta1: Any, alpha2: Any, beta2: Any) -> Any:
    """Hellinger distance of two Gamma distributions (shapes and rates), from 0 to 1.

    Parameters
    ----------
    alpha1, beta1, alpha2, beta2
        Shapes and rates: numbers, or arrays that broadcast; positive.

    Examples
    --------
    >>> from scribeviz import stats
    >>> round(float(stats.hellinger_gamma(2, 1, 1, 1)), 4)
    0.3373
    """
    return np.sqrt(sq_hellinger_gamma(alpha1, beta1, alpha2, beta2))


def hellinger_lognormal(mu1: Any, sigma1: Any, mu2: Any, sigma2: Any) -> Any:
    """Hellinger distance of two log-normal distributions, from 0 to 1.

    Parameters
    ----------
    mu1, sigma1, mu2, sigma2
        Numbers, or arrays that broadcast; ``sigma`` positive.  What comes back has their shape.

    Examples
    --------
    >>> from scribeviz import stats
    >>> round(float(stats.hellinger_lognormal(0, 1, 1, 1)), 4)
    0.3428
    """
    return np.sqrt(sq_hellinger_lognormal(mu1, sigma1, mu2, sigma2))


def jensen_shannon(p: dist.Distribution, q: dist.Distribution) -> Any:
    """Mean of both Kullback-Leibler divergences of NumPyro distributions of one family.

    Parameters
    ----------
    p, q
        Two NumPyro distributions: both Beta, BetaPrime, Gamma, LogNormal or Normal.

    Raises
    ------
    TypeError
        If they are of different families, or of another one.

    Examples
    --------
    >>> import numpyro.distributions as dist
    >>> from scribeviz import stats
    >>> round(float(stats.jensen_shannon(dist.Normal(0.0, 1.0), dist.Normal(1.0, 1.0))), 4)
    0.5
    """
    family = _family_of(p, q)
    return _mean_of_both(family.kl, *family.numbers(p), *family.numbers(q))


def sq_hellinger(p: dist.Distribution, q: dist.Distribution) -> Any:
    """Squared Hellinger distance of NumPyro distributions of one family, from 0 to 1.

    Parameters
    ----------
    p, q
        Two NumPyro distributions: both Beta, BetaPrime, Gamma, LogNormal or Normal.

    Raises
    ------
    TypeError
        If they are of different families, or of another one.

    Examples
    --------
    >>> import numpyro.distributions as dist
    >>> from scribeviz import stats
    >>> round(float(stats.sq_hellinger(dist.Normal(0.0, 1.0), dist.Normal(1.0, 1.0))), 4)
    0.1175
    """
    family = _family_of(p, q)
    return family.sq_hellinger(*family.numbers(p), *family.numbers(q))


def hellinger(p: dist.Distribution, q: dist.Distribution) -> Any:
    """Hellinger distance of NumPyro distributions of one family, from 0 to 1.

    Parameters
    ----------
    p, q
        Two NumPyro distributions: both Beta, BetaPrime, Gamma, LogNormal or Normal.

    Raises
    ------
    TypeError
        If they are of different families, or of another one.

    Examples
    --------
    >>> import numpyro.distributions as dist
    >>> from scribeviz import stats
    >>> round(float(stats.hellinger(dist.Normal(0.0, 1.0), dist.Normal(1.0, 1.0))), 4)
    0.3428
    """
    return np.sqrt(sq_hellinger(p, q))


class _Family(NamedTuple):
    kind: type[dist.Distribution]
    names: tuple[str, str]
    kl: Callable[..., Any]
    sq_hellinger: Callable[..., Any]

    def numbers(self, fn: dist.Distribution) -> tuple[Any, Any]:
        """Its two parameters."""
        first, second = self.names
        return getattr(fn, first), getattr(fn, second)


_FAMILIES = (
    _Family(dist.Beta, ("concentration1", "concentration0"), kl_beta, sq_hellinger_beta),
    _Family(BetaPrime, ("alpha", "beta"), kl_beta, sq_hellinger_beta),
    _Family(dist.Gamma, ("concentration", "rate"), kl_gamma, sq_hellinger_gamma),
    _Family(dist.LogNormal, ("loc", "scale"), kl_lognormal, sq_hellinger_lognormal),
    _Family(dist.Normal, ("loc", "scale"), kl_lognormal, sq_hellinger_lognormal),
)


def _family_of(p: dist.Distribution, q: dist.Distribution) -> _Family:
    for family in _FAMILIES:
        if isinstance(p, family.kind) and isinstance(q, family.kind):
            return family
    kinds = ", ".join(family.kind.__name__ for family in _FAMILIES)
    raise TypeError(
        f"{type(p).__name__} and {type(q).__name__} have no closed form here; give two NumPyro "
        f"distributions of one family: {kinds}."
    )


def _mean_of_both(kl: Callable[..., Any], *numbers: Any) -> Any:
    first, second = numbers[:2], numbers[2:]
    return (kl(*first, *second) + kl(*second, *first)) / 2


def _arrays(*numbers: Any) -> list[np.ndarray]:
    return [np.asarray(number, np.float64) for number in numbers]
