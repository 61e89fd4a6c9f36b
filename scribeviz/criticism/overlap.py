"""How far the data moved a parameter: its prior and its posterior on one axis."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import logit
from scipy.stats import gaussian_kde

from scribeviz._cards import shown_by_fields
from scribeviz.models.priors import POSITIVE, REAL, Prior

_POINTS = 300
_ROOM = 0.3  # of the range of the draws, on either side
_INSIDE = 1e-9  # draws that rounded to 0 or 1


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class PriorPosterior:
    """Two densities over the values of a parameter.

    Attributes
    ----------
    values
        Where they are known.
    prior, posterior
        Densities; per unit of ln(value) for parameters above 0.
    overlap
        The area under both: 1 where the data said nothing, 0 where they decided all (Garrett &
        Zeger 2000, Biometrics 56, 1055).
    """

    values: Float[np.ndarray, " points"]
    prior: Float[np.ndarray, " points"]
    posterior: Float[np.ndarray, " points"]
    overlap: float


def prior_posterior(
    prior: Prior, support: str, draws: Float[np.ndarray, " draws"], n_components: int = 1
) -> PriorPosterior:
    """Compare the prior of one value with its posterior draws.

    Parameters
    ----------
    prior
        Of the value.
    support
        Which values it takes (:mod:`scribeviz.models.priors`).
    draws
        At least two different ones.
    n_components
        For the prior of a mixture's weights.
    """
    places, density = prior.density(n_components)
    seen = np.asarray(draws, np.float64)
    if support == POSITIVE:
        places, seen = np.log(places), np.log(np.maximum(seen, np.finfo(float).tiny))
    if support in {POSITIVE, REAL}:
        room = _ROOM * np.ptp(seen)
        fine = np.linspace(seen.min() - room, seen.max() + room, _POINTS)
        posterior = gaussian_kde(seen)
        grid = np.unique(np.concatenate([places, fine]))
        estimate = posterior(grid)
    else:
        # Between 0 and 1 on the scale of log odds, where nothing lies outside.
        odds = logit(np.clip(seen, _INSIDE, 1 - _INSIDE))
        room = _ROOM * np.ptp(odds)
        fine = 1 / (1 + np.exp(-np.linspace(odds.min() - room, odds.max() + room, _POINTS)))
        grid = np.unique(np.concatenate([places[(places > 0) & (places < 1)], fine]))
        estimate = gaussian_kde(odds)(logit(grid)) / (grid * (1 - grid))
    # Between 0 and 1 the drawn prior ends just short of both.
    ends = (0.0, 0.0) if support in {POSITIVE, REAL} else (density[0], density[-1])
    before = np.interp(grid, places, density, left=ends[0], right=ends[1])
    return PriorPosterior(
        values=np.exp(grid) if support == POSITIVE else grid,
        prior=before,
        posterior=estimate,
        overlap=float(np.trapezoid(np.minimum(before, estimate), grid)),
    )
