r"""Priors that all genes share, learned from all of them.

.. math:: \ln\mu_g \sim \mathrm{Normal}(m, s), \quad
          \ln r_g \mid \mu_g \sim \mathrm{Normal}(t(\ln\mu_g), \tau)

The trend t is a natural cubic spline through a few knots.  Genes with few counts hardly know their
dispersion: they take it from genes of like abundance.  DESeq2 does so in steps (Love, Huber &
Anders 2014, Genome Biol. 15, 550); here it is a prior like others.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import CubicSpline
from scipy.stats import norm

from scribeviz._cards import shown_by_fields

_LOWEST, GRID_STEP, _N_POINTS = -24.0, 0.1, 401  # of ln(mean), where the trend is tabulated
_MOST_KNOTS = 6
_GENES_PER_KNOT = 15

GRID = _LOWEST + GRID_STEP * np.arange(_N_POINTS)
"""Where the trend is tabulated; between it is linear."""


class Between(NamedTuple):
    """Where values of ln(mean) lie on :data:`GRID`: after which point, and how far."""

    point: np.ndarray
    share: np.ndarray


def between(log_mean: np.ndarray) -> Between:
    """Find values on the grid; those beyond it follow its ends in a straight line."""
    place = (log_mean - _LOWEST) / GRID_STEP
    point = np.clip(place.astype(np.int64), 0, _N_POINTS - 2)
    return Between(point, place - point)


@shown_by_fields
@dataclass(frozen=True, eq=False)
class GenePriors:
    """The priors of means and dispersions.

    Attributes
    ----------
    mean, spread
        Of ln(mean count in a cell of depth 1).
    knots, at_knots
        The trend of ln(r) over ln(mean).
    scatter
        Standard deviation of ln(r) about the trend.
    """

    mean: float
    spread: float
    knots: Float[np.ndarray, " knots"]
    at_knots: Float[np.ndarray, " knots"]
    scatter: float

    @cached_property
    def table(self) -> Float[np.ndarray, " grid"]:
        """The trend over :data:`GRID`."""
        return basis(self.knots) @ self.at_knots

    def trend(self, log_mean: np.ndarray) -> np.ndarray:
        """Expected ln(r) of genes with these ln(mean)."""
        point, share = between(np.asarray(log_mean, float))
        return self.table[point] * (1 - share) + self.table[point + 1] * share

    def dispersions(self, means: Float[np.ndarray, " genes"]) -> Float[np.ndarray, "3 genes"]:
        """5 %, 50 % and 95 % points of the dispersion r of genes with these means."""
        trend = self.trend(np.log(means))
        return np.exp([trend + self.scatter * norm.ppf(share) for share in (0.05, 0.5, 0.95)])

    def trend_in_jax(self, log_mean: Array) -> Array:
        """The same as a function that JAX can differentiate."""
        table = jnp.asarray(self.table, log_mean.dtype)
        place = (log_mean - _LOWEST) / GRID_STEP
        point = jnp.clip(place.astype(int), 0, _N_POINTS - 2)
        share = place - point
        return table[point] * (1 - share) + table[point + 1] * share

    @property
    def arrays(self) -> dict[str, Any]:
        """Numbers, as a file keeps them."""
        numbers = np.array([self.mean, self.spread, self.scatter])
        return {"numbers": numbers, "knots": self.knots, "at_knots": self.at_knots}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "GenePriors":
        """Read what :attr:`arrays` gave."""
        mean, spread, scatter = map(float, arrays["numbers"])
        return cls(mean, spread, arrays["knots"], arrays["at_knots"], scatter)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenePriors) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    @property
    def _content(self) -> tuple[Any, ...]:
        return (
            self.mean,
            self.spread,
            self.scatter,
            tuple(self.knots.tolist()),
            tuple(self.at_knots.tolist()),
        )


TYPICAL = GenePriors(
    mean=-1.0,
    spread=1.5,
    knots=np.array([-4.0, 0.0, 4.0]),
    at_knots=np.array([-1.0, 0.0, 1.5]),
    scatter=0.7,
)
"""As of UMI counts of cells of one kind, for data that are simulated."""


def knots_for(log_means: Float[np.ndarray, " genes"]) -> Float[np.ndarray, " knots"]:
    """Knots for genes of these ln(mean): more genes can tell more of a trend."""
    n_knots = int(np.clip(log_means.size // _GENES_PER_KNOT, 1, _MOST_KNOTS))
    if n_knots == 1:
        return np.array([float(np.median(log_means))])
    knots = np.quantile(log_means, np.linspace(0.02, 0.98, n_knots))
    return np.unique(np.round(knots, 3))


def basis(knots: Float[np.ndarray, " knots"]) -> Float[np.ndarray, "grid knots"]:
    """Natural cubic splines that are 1 at one knot and 0 at the others, over :data:`GRID`."""
    if knots.size == 1:
        return np.ones((GRID.size, 1))
    spline = CubicSpline(knots, np.eye(knots.size), bc_type="natural")
    inside = np.clip(GRID, knots[0], knots[-1])
    return spline(inside) + (GRID - inside)[:, None] * spline(inside, 1)
