"""The reference's priors: numbers of a site's own family, or a family and its numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from scribeviz.models.parameterizations import MIXING
from scribeviz.models.priors import Prior, as_prior
from scribeviz.models.spec import ModelSpec


def priors_of(spec: ModelSpec, given: Mapping[str, Any]) -> tuple[tuple[str, Prior], ...]:
    """Read the reference's priors: numbers of a site's own family, or a family and numbers."""
    sites = {site.quantity.removesuffix("_weights"): site for site in spec.sites}
    priors = []
    for quantity, prior in given.items():
        if prior is None:
            continue
        if quantity not in sites:
            has = ", ".join(f"{name}_prior" for name in sites)
            raise ValueError(
                f"{quantity}_prior: {spec.name} ({spec.parameterization}) has no parameter "
                f"{quantity!r}; its priors are {has}."
            )
        site = sites[quantity]
        numbers = prior_numbers(prior)
        if numbers is None:
            priors.append((site.key, _family(prior)))
        elif site.quantity == MIXING.quantity and not spec.unconstrained:
            priors.append((site.key, Prior(site.prior.family, _symmetric(numbers, spec))))
        else:
            priors.append((site.key, Prior(site.prior.family, numbers)))
    return tuple(priors)


def prior_numbers(prior: Any) -> tuple[float, ...] | None:
    """Numbers alone, however they come: one, some, an array; None where a family is named."""
    if isinstance(prior, str | Mapping | Prior) or _names_family(prior):
        return None
    values = np.asarray(prior)
    if values.ndim > 1 or values.dtype.kind not in "iuf":
        return None
    return tuple(float(value) for value in np.atleast_1d(values))


def _names_family(prior: Any) -> bool:
    return isinstance(prior, list | tuple) and any(isinstance(part, str) for part in prior)


def _family(prior: Any) -> Prior:
    """A family and its numbers, which may be arrays of one number each."""
    if not _names_family(prior):
        return as_prior(prior)
    family, *numbers = prior
    return as_prior(
        (family, *(number for part in numbers for number in prior_numbers(part) or (part,)))
    )


def _symmetric(numbers: tuple[float, ...], spec: ModelSpec) -> tuple[float, ...]:
    """One concentration for all components: they have no names that a prior could tell apart."""
    if len(numbers) not in {1, spec.n_components} or len(set(numbers)) != 1:
        raise ValueError(
            f"mixing_prior={numbers} should be one concentration, or the same one "
            f"{spec.n_components} times: components are told apart only by the data."
        )
    return numbers[:1]
