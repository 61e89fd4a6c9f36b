"""Where a random variable lives, comparable and in words."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import constraints

_NUMBERS = "numbers"
_WHOLE = "whole numbers"
_UNKNOWN = math.nan  # a bound that is known only when the model runs
_WRAPPERS = (dist.Independent, dist.ExpandedDistribution, dist.MaskedDistribution)


@dataclass(frozen=True, slots=True)
class ValueRange:
    """A range of numbers or whole numbers, or another set by its name.

    Whether a bound belongs to a range is left out: it makes no difference to a fit.
    """

    kind: str
    low: float = -math.inf
    high: float = math.inf

    def agrees(self, other: "ValueRange") -> bool:
        """Whether the two may be the same; bounds that are not known agree with all."""
        bounds = ((self.low, other.low), (self.high, other.high))
        same = all(a == b or math.isnan(a) or math.isnan(b) for a, b in bounds)
        return self.kind == other.kind and same

    def __str__(self) -> str:
        if (self.low, self.high) == (-math.inf, math.inf):
            return f"all {self.kind}" if self.kind in (_NUMBERS, _WHOLE) else self.kind
        if self.high == math.inf:
            return f"{self.kind} from {_shown(self.low)} up"
        if self.low == -math.inf:
            return f"{self.kind} up to {_shown(self.high)}"
        return f"{self.kind} between {_shown(self.low)} and {_shown(self.high)}"


def support_of(fn: Any) -> ValueRange | None:
    """Where values of the distribution ``fn`` live; ``None`` where it cannot be told."""
    while isinstance(fn, _WRAPPERS):
        fn = fn.base_dist
    # A point estimate (Delta) has its value's support, whatever NumPyro says of it.
    if isinstance(fn, dist.Delta):
        return None
    try:
        constraint = fn.support
    except NotImplementedError:
        return None
    return None if constraint is None else _of_constraint(constraint)


def _of_constraint(constraint: Any) -> ValueRange:
    while isinstance(constraint, constraints.independent):
        constraint = constraint.base_constraint
    kind, low, high = _NUMBERS, -math.inf, math.inf
    match constraint:
        case constraints.greater_than():
            low = _bound(constraint.lower_bound)
        case constraints.less_than():
            high = _bound(constraint.upper_bound)
        case constraints.interval():
            low, high = _bound(constraint.lower_bound), _bound(constraint.upper_bound)
        case constraints.integer_interval():
            kind = _WHOLE
            low, high = _bound(constraint.lower_bound), _bound(constraint.upper_bound)
        case constraints.integer_greater_than():
            kind, low = _WHOLE, _bound(constraint.lower_bound)
        case constraints.boolean:
            kind, low, high = _WHOLE, 0.0, 1.0
        case constraints.real:
            pass
        case _:
            kind = type(constraint).__name__.removeprefix("_")
    return ValueRange(kind, low, high)


def _bound(bound: Any) -> float:
    """A bound that is one known number, or :data:`_UNKNOWN`."""
    if isinstance(bound, jax.core.Tracer):
        return _UNKNOWN
    distinct = np.unique(np.asarray(bound))
    return float(distinct[0]) if distinct.size == 1 else _UNKNOWN


def _shown(bound: float) -> str:
    return "?" if math.isnan(bound) else f"{bound:g}"
