r"""Which quantities carry the priors.  A count distribution lists its own.

A model is computed on the *free* scale: a probability by its log odds, a positive quantity by its
logarithm.  There every parameterization is a sum or a difference, and nothing is lost near 0 or 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from scribeviz.models.priors import (
    LEARNED_FAMILY,
    POSITIVE,
    REAL,
    SIMPLEX,
    UNIT_INTERVAL,
    Prior,
    PriorFamily,
    families_on,
)

# The axis of p and phi: one value, or one per component where these have odds of their own.
COMPONENT_SPECIFIC = "component-specific"

# Parameters by name: arrays of JAX, or of NumPy outside of a fit.
type Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """How values of a support go to the free scale and back."""

    to_free: Callable[[Any], Any]
    from_free: Callable[[Any], Any]


def _logit(p: Any) -> Any:
    # A probability that rounds to 0 or 1 has log odds all the same.
    finfo = jnp.finfo(jnp.result_type(float))
    inside = jnp.clip(p, finfo.tiny, 1 - finfo.epsneg)
    return jnp.log(inside) - jnp.log1p(-inside)


SUPPORTS: Mapping[str, Support] = {
    REAL: Support(to_free=jnp.asarray, from_free=jnp.asarray),
    POSITIVE: Support(to_free=jnp.log, from_free=jnp.exp),
    UNIT_INTERVAL: Support(to_free=_logit, from_free=jax.nn.sigmoid),
    SIMPLEX: Support(to_free=jnp.log, from_free=jax.nn.softmax),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A parameter that is inferred.

    Attributes
    ----------
    key
        Its NumPyro name.
    quantity
        What it stands for: ``key``, unless the site is unconstrained (``p_unconstrained`` for
        ``p``).
    label
        Its name on screen.
    doc
        What it means to a biologist, one sentence.
    support
        Which values the site takes; its prior and its guide share it.
    axes
        What it is repeated over: ``"components"`` (in mixtures), ``"genes"``, ``"cells"``, or
        ``COMPONENT_SPECIFIC`` (in mixtures, where each component has its own).
    prior
        The prior unless the user chooses another.
    guide
        Its family in ``GUIDE_FAMILIES``.
    target
        The support of the quantity.
    """

    key: str
    quantity: str
    label: str
    doc: str
    support: str
    axes: tuple[str, ...]
    prior: Prior
    guide: str
    target: str

    def free(self, value: Any) -> Any:
        """A value of the site on the free scale."""
        return SUPPORTS[self.support].to_free(value)

    def value(self, free: Any) -> Any:
        """The quantity itself, from the free scale."""
        return SUPPORTS[self.target].from_free(free)


def _site(key: str, label: str, doc: str, support: str, axes: tuple[str, ...]) -> Site:
    family = _DEFAULT_PRIOR[key].family
    return Site(
        key=key,
        quantity=key,
        label=label,
        doc=doc,
        support=support,
        axes=axes,
        prior=_DEFAULT_PRIOR[key],
        guide=family,
        target=support,
    )


_DEFAULT_PRIOR = {
    "p": Prior("beta", (1.0, 1.0)),
    "phi": Prior("betaprime", (1.0, 1.0)),
    "r": Prior("lognormal", (0.0, 1.0)),
    "mu": Prior("lognormal", (0.0, 1.0)),
    "gate": Prior("beta", (1.0, 1.0)),
    "p_capture": Prior("beta", (1.0, 1.0)),
    "phi_capture": Prior("betaprime", (1.0, 1.0)),
    "mixing_weights": Prior("dirichlet", (1.0,)),
}

P = _site(
    "p",
    "Success probability p",
    "Shared by all genes: the larger, the noisier the counts.",
    UNIT_INTERVAL,
    (COMPONENT_SPECIFIC,),
)
PHI = _site(
    "phi",
    "Odds φ = (1 - p) / p",
    "Shared by all genes: the smaller, the noisier the counts.",
    POSITIVE,
    (COMPONENT_SPECIFIC,),
)
R = _site(
    "r",
    "Dispersion r",
    "One per gene: how much it is expressed; the mean is proportional to it.",
    POSITIVE,
    ("components", "genes"),
)
MU = _site(
    "mu",
    "Mean μ",
    "One per gene: its mean count in a cell of which every molecule is captured.",
    POSITIVE,
    ("components", "genes"),
)
GATE = _site(
    "gate",
    "Dropout gate",
    "One per gene: how often a zero has nothing to do with expression.",
    UNIT_INTERVAL,
    ("components", "genes"),
)
P_CAPTURE = _site(
    "p_capture",
    "Capture probability ν",
    "One per cell: the share of its molecules that were counted.",
    UNIT_INTERVAL,
    ("cells",),
)
PHI_CAPTURE = _site(
    "phi_capture",
    "Capture odds (1 - ν) / ν",
    "One per cell: molecules missed for each one counted.",
    POSITIVE,
    ("cells",),
)
MIXING = _site(
    "mixing_weights",
    "Mixing weights",
    "The share of cells in each component.",
    SIMPLEX,
    ("components",),
)


def families_for(site: Site) -> Sequence[PriorFamily]:
    """The families that the prior of ``site`` can have."""
    fitting = families_on(site.support)
    return [LEARNED_FAMILY, *fitting] if site.prior.is_learned else fitting


def unconstrained(site: Site) -> Site:
    """The same quantity with a Normal prior and a Normal guide on its free scale.

    A prior that is learned stays so: it is Normal there.
    """
    key = "mixing_logits" if site.quantity == MIXING.key else f"{site.key}_unconstrained"
    scale = {POSITIVE: "log", UNIT_INTERVAL: "log odds", SIMPLEX: "logits"}[site.support]
    return replace(
        site,
        key=key,
        label=f"{site.label} ({scale})",
        support=REAL,
        prior=site.prior if site.prior.is_learned else Prior("normal", (0.0, 1.0)),
        guide="normal",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameterization:
    """Sites, and how the likelihood's own parameters follow from them and back.

    Attributes
    ----------
    key, label, doc, formula
        Name in specs, name on screen, what it is good for, and how its parameters hang together.
    odds, expression, capture
        The sites that carry the odds (None where there are none), the expression, and (where a
        likelihood has it) the capture.
    natural
        From free values of the sites by quantity to natural parameters, such as ``log_odds`` of
        success and ``log_r``, and ``log_depth`` where there is capture.
    from_natural
        Back again.
    slope
        How far the expression moves with the odds (both on the free scale) while the mean stays:
        data know the mean best, so the posterior lies along that line.
    """

    key: str
    label: str
    doc: str
    formula: str
    odds: Site | None = None
    expression: Site
    capture: Site | None = None
    natural: Callable[[Values], dict[str, Any]]
    from_natural: Callable[[Values], dict[str, Any]]
    slope: float = 0.0

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites of genes and odds."""
        return (self.expression,) if self.odds is None else (self.odds, self.expression)


def _over_genes(shared: Any) -> Any:
    """Give a per-component (or shared) value an axis of genes."""
    return jnp.asarray(shared)[..., None]


def _standard(free: Values) -> dict[str, Any]:
    natural = {"log_odds": free["p"], "log_r": free["r"]}
    if "p_capture" in free:
        natural["log_depth"] = jax.nn.log_sigmoid(free["p_capture"])
    return natural


def _from_standard(natural: Values) -> dict[str, Any]:
    free = {"p": natural["log_odds"], "r": natural["log_r"]}
    return free | _capture_logit(natural)


def _linked(free: Values) -> dict[str, Any]:
    natural = {"log_odds": free["p"], "log_r": free["mu"] - _over_genes(free["p"])}
    if "p_capture" in free:
        natural["log_depth"] = jax.nn.log_sigmoid(free["p_capture"])
    return natural


def _from_linked(natural: Values) -> dict[str, Any]:
    mu = natural["log_r"] + _over_genes(natural["log_odds"])
    return {"p": natural["log_odds"], "mu": mu} | _capture_logit(natural)


def _odds_ratio(free: Values) -> dict[str, Any]:
    natural = {"log_odds": -free["phi"], "log_r": free["mu"] + _over_genes(free["phi"])}
    if "phi_capture" in free:
        natural["log_depth"] = -jax.nn.softplus(free["phi_capture"])
    return natural


def _from_odds_ratio(natural: Values) -> dict[str, Any]:
    mu = natural["log_r"] + _over_genes(natural["log_odds"])
    free = {"phi": -natural["log_odds"], "mu": mu}
    if "log_depth" in natural:
        free["phi_capture"] = -_capture_logit(natural)["p_capture"]
    return free


def _capture_logit(natural: Values) -> dict[str, Any]:
    if "log_depth" not in natural:
        return {}
    log_depth = natural["log_depth"]
    return {"p_capture": log_depth - jnp.log(-jnp.expm1(log_depth))}


SHARED_ODDS: Mapping[str, Parameterization] = {
    entry.key: entry
    for entry in (
        Parameterization(
            key="standard",
            label="Standard (p, r)",
            doc="Success probability p and one dispersion r per gene; the mean is r p / (1 - p).",
            formula="mean = r p / (1 - p), variance = mean / (1 - p)",
            odds=P,
            expression=R,
            capture=P_CAPTURE,
            natural=_standard,
            from_natural=_from_standard,
            slope=-1.0,
        ),
        Parameterization(
            key="linked",
            label="Linked (p, μ)",
            doc="Success probability p and one mean μ per gene: p no longer moves the means, so "
            "the intervals of p and of the genes can be read side by side.",
            formula="r = μ (1 - p) / p, mean = μ",
            odds=P,
            expression=MU,
            capture=P_CAPTURE,
            natural=_linked,
            from_natural=_from_linked,
            slope=0.0,
        ),
        Parameterization(
            key="odds_ratio",
            label="Odds ratio (φ, μ)",
            doc="As linked, with the odds φ = (1 - p) / p in place of p: the steadiest choice when "
            "counts are very noisy (p near 1) and for models with capture.",
            formula="p = 1 / (1 + φ), r = μ φ, mean = μ, ν = 1 / (1 + φ of the cell)",
            odds=PHI,
            expression=MU,
            capture=PHI_CAPTURE,
            natural=_odds_ratio,
            from_natural=_from_odds_ratio,
            slope=0.0,
        ),
    )
}
"""Of negative binomial counts whose genes share the odds of success."""
