"""What a variational family of a site owns: how it is declared, drawn, and what follows from it.

Most are mean field: each value by itself (:class:`MeanField`).  A guide may also follow the odds
that all genes share (:mod:`scribeviz.models.low_rank`); for it, ``deviation`` is how far the drawn
odds lie from their mean and ``spread`` their standard deviation, both on the free scale and called
only by whoever needs them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.distributions import constraints

from scribeviz.models.parameterizations import Site

type Shape = tuple[int, ...]
type Lazy = Callable[[], Array]


class Guide(ABC):
    """A variational family for sites of some supports.

    Attributes
    ----------
    key
        Name in specs and files.
    label
        Name on screen.
    supports
        Those of the sites that it can stand for: a site's prior and its guide share one.
    follows_odds
        Whether its values move with the odds.
    """

    key: str
    label: str
    supports: tuple[str, ...]
    follows_odds: bool = False

    @abstractmethod
    def names(self, site: Site) -> list[str]:
        """Names of the parameters, as in the reference: ``r_loc`` or ``phi_alpha``."""

    @abstractmethod
    def declare(self, site: Site, shape: Shape, rank: int) -> list[Array]:
        """Declare the parameters to NumPyro, at their first values."""

    @abstractmethod
    def conditional(self, site: Site, params: list[Array], deviation: Lazy) -> dist.Distribution:
        """The site's distribution given the odds."""

    @abstractmethod
    def joint(self, site: Site, params: list[Array], spread: Lazy) -> dist.Distribution:
        """The same whatever the odds."""

    @abstractmethod
    def marginal(
        self, site: Site, params: list[Array], spread: Lazy
    ) -> tuple["MeanField", list[Array]]:
        """That of single values: a mean-field family, and its parameters."""

    @abstractmethod
    def start(self, site: Site, center: Array, spread: Array, slope: float) -> dict[str, Array]:
        """Parameters by name for a typical value and a standard deviation on the free scale.

        ``slope`` is how far the site moves with the odds.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class MeanField(Guide):
    """A family of single values.

    Attributes
    ----------
    parameters
        Suffixes of its NumPyro parameters, with their constraint and first value, as in
        ``r_loc``, ``r_scale``.
    make
        From these parameters, in order, to the distribution of the site; no axis is an event.
    scipy
        The same as a frozen distribution of SciPy, from arrays of NumPy.
    from_free
        ``(center, spread) -> parameters``: start values from a typical value and a standard
        deviation on the free scale.
    free_moments
        ``parameters -> (mean, standard deviation)`` on the free scale.
    mode, mean
        ``parameters -> value`` of the site; the mode is NaN where there is none.
    is_vector
        Whether the last axis is one value, as of a simplex.
    """

    key: str
    label: str
    supports: tuple[str, ...]
    parameters: Mapping[str, tuple[constraints.Constraint, float]]
    make: Callable[..., dist.Distribution]
    scipy: Callable[..., Any]
    from_free: Callable[[Array, Array], tuple[Array, ...]]
    free_moments: Callable[..., tuple[Array, Array]]
    mode: Callable[..., Array]
    mean: Callable[..., Array]
    is_vector: bool = False

    def names(self, site: Site) -> list[str]:
        """Names of the parameters; of an unconstrained site those of its quantity."""
        prefix = site.quantity.removesuffix("_weights")
        return [f"{prefix}_{suffix}" for suffix in self.parameters]

    def declare(self, site: Site, shape: Shape, rank: int) -> list[Array]:
        """Declare the parameters to NumPyro, at their first values."""
        del rank
        entries = zip(self.names(site), self.parameters.values(), strict=True)
        return [
            numpyro.param(name, jnp.full(shape, first), constraint=constraint)
            for name, (constraint, first) in entries
        ]

    def conditional(self, site: Site, params: list[Array], deviation: Lazy) -> dist.Distribution:
        """Whatever the odds are."""
        del site, deviation
        return self.make(*params)

    def joint(self, site: Site, params: list[Array], spread: Lazy) -> dist.Distribution:
        """The distribution of all values, each by itself."""
        del site, spread
        return self.make(*params)

    def marginal(
        self, site: Site, params: list[Array], spread: Lazy
    ) -> tuple["MeanField", list[Array]]:
        """Itself."""
        del site, spread
        return self, params

    def start(self, site: Site, center: Array, spread: Array, slope: float) -> dict[str, Array]:
        """Parameters by name for a typical value and a standard deviation on the free scale."""
        del slope
        return dict(zip(self.names(site), self.from_free(center, spread), strict=True))
