"""The prior families.  To add one: one entry in ``PRIOR_FAMILIES``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NoReturn

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Float

from scribeviz._offered import NotOfferedError
from scribeviz.models import quantiles
from scribeviz.models.families import Beta, BetaPrime, Dirichlet, LogNormal

REAL = "real"
POSITIVE = "positive"
UNIT_INTERVAL = "unit interval"
SIMPLEX = "simplex"
OF_GENES = "of genes"  # what only all genes together decide

LEARNED = "learned"
"""The family of priors that are learned from all genes; it has no numbers of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorParameter:
    """One number of a prior family; ``bounds`` are what a spec allows."""

    name: str
    label: str
    default: float
    bounds: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorFamily:
    """A family of distributions for a parameter.

    Attributes
    ----------
    key
        Name in specs and files.
    label
        Name on screen.
    support
        What values it gives: ``REAL``, ``POSITIVE``, ``UNIT_INTERVAL`` or ``SIMPLEX``;
        ``OF_GENES`` where that follows from the parameter.
    parameters
        In the order of a :class:`Prior`'s numbers.
    make
        From these numbers and the shape of a value to a distribution (all axes are one event).
    quantiles
        From shares and these numbers to values; of a simplex, and of the number of components, to
        values of one share.
    """

    key: str
    label: str
    support: str
    parameters: tuple[PriorParameter, ...]
    make: Callable[..., dist.Distribution]
    quantiles: Callable[..., np.ndarray]


@dataclass(frozen=True, slots=True)
class Prior:
    """A prior as data: a family and its numbers.

    Parameters
    ----------
    family
        A key of ``PRIOR_FAMILIES``, such as ``"lognormal"``, or ``"learned"``.
    numbers
        Its parameters, in the family's order.

    Raises
    ------
    ValueError
        If there is no such family, or its numbers are too few, too many or out of bounds.

    Examples
    --------
    >>> import scribeviz
    >>> prior = scribeviz.Prior("lognormal", (0.0, 1.0))
    >>> prior.quantiles([0.05, 0.5, 0.95]).round(2).tolist()
    [0.19, 1.0, 5.18]
    """

    family: str
    numbers: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.family != LEARNED and self.family not in PRIOR_FAMILIES:
            allowed = ", ".join(map(repr, PRIOR_FAMILIES))
            raise ValueError(f"prior family {self.family!r} is not known; choose one of {allowed}.")
        parameters = prior_family(self.family).parameters
        names = ", ".join(p.name for p in parameters)
        if len(self.numbers) != len(parameters):
            raise ValueError(
                f"a {self.family} prior takes {len(parameters)} numbers ({names}); "
                f"got {len(self.numbers)}: {self.numbers}."
            )
        for parameter, number in zip(parameters, self.numbers, strict=True):
            low, high = parameter.bounds
            if not low <= number <= high:
                raise ValueError(
                    f"{parameter.name}={number:g} of a {self.family} prior is outside "
                    f"[{low:g}, {high:g}]."
                )

    @property
    def is_learned(self) -> bool:
        """Whether it is learned from all genes."""
        return self.family == LEARNED

    @property
    def is_normal(self) -> bool:
        """Whether it is normal where every real number is allowed."""
        return self.family in {"normal", "lognormal"}

    def distribution(self, shape: tuple[int, ...] = ()) -> dist.Distribution:
        """The NumPyro distribution of a parameter of this ``shape``.

        Raises
        ------
        NotOfferedError
            Of a prior that is learned: only data tell it.
        """
        return prior_family(self.family).make(shape, *self.numbers)

    def quantiles(
        self, shares: Sequence[float], n_components: int = 2
    ) -> Float[np.ndarray, " shares"]:
        """Values below which these shares of the prior lie; of a simplex, of one share."""
        family = prior_family(self.family)
        more = (n_components,) if family.support is SIMPLEX else ()
        return family.quantiles(np.asarray(shares, float), *self.numbers, *more)

    def density(
        self, n_components: int = 2
    ) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
        """The density over the middle 99 % of the values, for drawing.

        Positive values are equally spaced in ln, and their density is per unit of ln(value).  Of a
        simplex the density is that of one share.

        Parameters
        ----------
        n_components
            Length of a draw from a simplex.
        """
        support = prior_family(self.family).support
        if support is SIMPLEX:
            (concentration,) = self.numbers
            one = dist.Beta(concentration, concentration * (n_components - 1))
        else:
            one = self.distribution()
        if support is POSITIVE:
            low, high = np.log(np.clip(self.quantiles(_MIDDLE), 1e-30, 1e30))
            logs = np.linspace(low, high, 200)
            values = np.exp(logs)
            return values, values * np.exp(np.asarray(one.log_prob(values)))
        if support is REAL:
            low, high = self.quantiles(_MIDDLE)
            values = np.linspace(low, high, 200)
        else:
            values = np.linspace(0.0025, 0.9975, 200)
        return values, np.exp(np.asarray(one.log_prob(values)))


def as_prior(value: Any) -> Prior:
    """Read ``("gamma", 2, 0.1)``, ``{"family": …, "numbers": …}`` or a :class:`Prior`."""
    match value:
        case Prior():
            return value
        case {"family": str(family), "numbers": [*numbers]} | [str(family), *numbers]:
            if all(isinstance(number, Real) for number in numbers):
                return Prior(family, tuple(float(number) for number in numbers))
    raise ValueError(
        f"a prior is a family with its numbers, such as ('lognormal', 0, 1); got {value!r}."
    )


def prior_family(key: str) -> PriorFamily:
    """The family of that key; also that of priors that are learned."""
    return LEARNED_FAMILY if key == LEARNED else PRIOR_FAMILIES[key]


def families_on(support: str) -> Sequence[PriorFamily]:
    """The families whose values lie in ``support``."""
    return [family for family in PRIOR_FAMILIES.values() if family.support == support]


def _repeated(family: Callable[..., dist.Distribution]) -> Callable[..., dist.Distribution]:
    def make(shape: tuple[int, ...], *numbers: float) -> dist.Distribution:
        return family(*numbers).expand(list(shape)).to_event(len(shape))

    return make


def _beta_by_mean(mean: float, concentration: float) -> Beta:
    return Beta(mean * concentration, (1 - mean) * concentration)


def _odds_by_mean(mean: float, concentration: float) -> BetaPrime:
    return BetaPrime(mean * concentration, (1 - mean) * concentration)


_MIDDLE = (0.005, 0.995)  # of the values, which a density is drawn over
_SHAPE = (1e-3, 1e4)
_MEAN = PriorParameter(name="mean", label="mean", default=0.1, bounds=(1e-4, 0.9999))
_CONCENTRATION = PriorParameter(
    name="concentration", label="concentration", default=10.0, bounds=_SHAPE
)


def _is_learned(*_: object) -> NoReturn:
    raise NotOfferedError(
        "a prior that is learned from all genes has no density before there are data; fit the "
        "model, or give it numbers."
    )


LEARNED_FAMILY = PriorFamily(
    key=LEARNED,
    label="Learned from all genes",
    support=OF_GENES,
    parameters=(),
    make=_is_learned,
    quantiles=_is_learned,
)

PRIOR_FAMILIES: Mapping[str, PriorFamily] = {
    entry.key: entry
    for entry in (
        PriorFamily(
            key="lognormal",
            label="Log-normal",
            support=POSITIVE,
            parameters=(
                PriorParameter(name="loc", label="log median", default=0.0, bounds=(-20, 20)),
                PriorParameter(name="scale", label="log spread", default=1.0, bounds=(1e-3, 20)),
            ),
            make=_repeated(LogNormal),
            quantiles=quantiles.of_lognormal,
        ),
        PriorFamily(
            key="gamma",
            label="Gamma",
            support=POSITIVE,
            parameters=(
                PriorParameter(name="concentration", label="shape", default=2.0, bounds=_SHAPE),
                PriorParameter(name="rate", label="rate", default=1.0, bounds=_SHAPE),
            ),
            make=_repeated(dist.Gamma),
            quantiles=quantiles.of_gamma,
        ),
        PriorFamily(
            key="exponential",
            label="Exponential",
            support=POSITIVE,
            parameters=(PriorParameter(name="rate", label="rate", default=1.0, bounds=_SHAPE),),
            make=_repeated(dist.Exponential),
            quantiles=quantiles.of_exponential,
        ),
        PriorFamily(
            key="beta",
            label="Beta",
            support=UNIT_INTERVAL,
            parameters=(
                PriorParameter(name="alpha", label="alpha", default=1.0, bounds=_SHAPE),
                PriorParameter(name="beta", label="beta", default=1.0, bounds=_SHAPE),
            ),
            make=_repeated(Beta),
            quantiles=quantiles.of_beta,
        ),
        PriorFamily(
            key="beta_mean",
            label="Beta, by its mean",
            support=UNIT_INTERVAL,
            parameters=(_MEAN, _CONCENTRATION),
            make=_repeated(_beta_by_mean),
            quantiles=quantiles.of_beta_mean,
        ),
        PriorFamily(
            key="betaprime",
            label="Beta prime",
            support=POSITIVE,
            parameters=(
                PriorParameter(name="alpha", label="alpha", default=1.0, bounds=_SHAPE),
                PriorParameter(name="beta", label="beta", default=1.0, bounds=_SHAPE),
            ),
            make=_repeated(BetaPrime),
            quantiles=quantiles.of_betaprime,
        ),
        PriorFamily(
            key="betaprime_mean",
            label="Beta prime, by the mean of the probability",
            support=POSITIVE,
            parameters=(_MEAN, _CONCENTRATION),
            make=_repeated(_odds_by_mean),
            quantiles=quantiles.of_betaprime_mean,
        ),
        PriorFamily(
            key="normal",
            label="Normal",
            support=REAL,
            parameters=(
                PriorParameter(name="loc", label="mean", default=0.0, bounds=(-20, 20)),
                PriorParameter(name="scale", label="spread", default=1.0, bounds=(1e-3, 20)),
            ),
            make=_repeated(dist.Normal),
            quantiles=quantiles.of_normal,
        ),
        PriorFamily(
            key="dirichlet",
            label="Dirichlet",
            support=SIMPLEX,
            parameters=(
                PriorParameter(
                    name="concentration", label="concentration", default=1.0, bounds=_SHAPE
                ),
            ),
            make=lambda shape, concentration: Dirichlet(jnp.full(shape, concentration)),
            quantiles=quantiles.of_share,
        ),
    )
}
