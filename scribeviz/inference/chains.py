"""Whether the chains of a sampler can be trusted: R-hat, effective sample size, divergences."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

from scribeviz._cards import shown_by_fields

# Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, Bayesian Analysis 16, 667.
_AGREES = 1.01
_DISAGREES = 1.05
_FEWEST_EFFECTIVE = 100
_GENES_AT_ONCE = 2_000
# Within so much of itself a value has not changed: some roundings of float32.  A posterior as
# narrow as that would take a trillion counts.
_UNCHANGED = 1e-6
_MOST_UNCHANGED = 0.5  # share of the values from which on a chain does not move


class SamplerWarning(UserWarning):
    """The draws of a sampler say nothing about the posterior; the message names a cure.

    Examples
    --------
    >>> import warnings
    >>> import scribeviz
    >>> with warnings.catch_warnings():
    ...     # Chains that are stuck end a script here.
    ...     warnings.simplefilter("error", scribeviz.SamplerWarning)
    """


@shown_by_fields
@dataclass(frozen=True, slots=True)
class ChainDiagnostics:
    """How well chains mixed.

    Attributes
    ----------
    r_hat
        Split R-hat of every value of every site; NaN where a value never changed, infinite where
        it changed from chain to chain only.
    effective
        Effective number of draws, of the same shapes; 0 where R-hat is infinite.
    divergences, n_draws
        Kept draws that were reached by a divergent transition, and all of them.
    n_stuck, n_chains
        Chains in which most values never changed, and all of them.
    """

    r_hat: Mapping[str, np.ndarray]
    effective: Mapping[str, np.ndarray]
    divergences: int
    n_draws: int
    n_stuck: int
    n_chains: int

    @property
    def worst_r_hat(self) -> float:
        """The largest R-hat of all."""
        return _extreme(self.r_hat.values(), np.max)

    @property
    def fewest_effective(self) -> float:
        """The smallest effective number of draws."""
        return _extreme(self.effective.values(), np.min)

    @property
    def trustworthy(self) -> bool:
        """Whether no check fails."""
        return (
            self.n_stuck == 0
            and self.worst_r_hat <= _DISAGREES
            and self.fewest_effective >= _FEWEST_EFFECTIVE
            and self.divergences == 0
        )

    @property
    def sentences(self) -> list[str]:
        """What the user should know."""
        if self.n_stuck:
            # Nothing else that is said of such draws would mean anything, but why they are so.
            return [self.problem, *([self._about_divergences()] if self.divergences else [])]
        return [self._about_r_hat(), self._about_effective(), self._about_divergences()]

    @property
    def problem(self) -> str:
        """Why the draws say nothing, and what to do; empty where they say something."""
        if self.n_stuck == 0:
            return ""
        return (
            f"The sampler does not move: in {self.n_stuck} of {self.n_chains} chains most values "
            "are the same in every draw, so that the draws say nothing about the posterior. Start "
            "it from a variational fit of the same model, with a longer warm-up, or take another "
            "parameterization."
        )

    def _about_r_hat(self) -> str:
        name = max(self.r_hat, key=lambda site: _extreme([self.r_hat[site]], np.max))
        worst = self.worst_r_hat
        if worst <= _AGREES:
            return f"The chains agree: R-hat is at most {worst:.3f} ({_AGREES} or less is good)."
        over = int((self.r_hat[name] > _AGREES).sum())
        which = f"of {name}, above {_AGREES} for {over:,} of {self.r_hat[name].size:,} values"
        if worst <= _DISAGREES:
            return f"The chains nearly agree: R-hat is up to {worst:.3f} {which}."
        up_to = "infinite" if np.isinf(worst) else f"up to {worst:.2f}"
        return f"The chains do not agree yet: R-hat is {up_to} {which}; draw longer."

    def _about_effective(self) -> str:
        fewest = self.fewest_effective
        word = "" if fewest >= _FEWEST_EFFECTIVE else "; that is few, so draw longer"
        return f"{self.n_draws:,} draws are worth at least {fewest:,.0f} independent ones{word}."

    def _about_divergences(self) -> str:
        if self.divergences == 0:
            return "No divergences."
        share = self.divergences / self.n_draws
        return (
            f"{self.divergences:,} draws ({share:.1%}) diverged: parts of the posterior were not "
            "reached. Raise the target acceptance, or take another parameterization."
        )


def chain_diagnostics(
    samples: Mapping[str, Float[np.ndarray, "chains draws *shape"]],
    diverging: Bool[np.ndarray, "..."],
) -> ChainDiagnostics:
    """Judge chains.

    Parameters
    ----------
    samples
        Per site an array of shape ``(chains, draws, *shape)``, at least 4 draws.
    diverging
        Of every kept draw.
    """
    n_chains, n_draws = next(iter(samples.values())).shape[:2]
    # Where draws alternate around the mean they are worth more than as many independent ones, but
    # the estimate, n over a sum that may fall to 0 and below, has no limit (Vehtari et al. 2021).
    most = n_chains * n_draws * np.log10(n_chains * n_draws)
    r_hat, effective, unchanged = {}, {}, []
    for name, value in samples.items():
        shape = value.shape[2:]
        flat = np.asarray(value, np.float64).reshape(*value.shape[:2], -1)
        blocks = np.array_split(flat, max(flat.shape[2] // _GENES_AT_ONCE, 1), axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            r_hat[name] = np.concatenate([split_gelman_rubin(b) for b in blocks]).reshape(shape)
            estimate = np.concatenate([effective_sample_size(b) for b in blocks]).reshape(shape)
            worth = np.where(estimate > 0, np.minimum(estimate, most), most)
        worth[np.isinf(r_hat[name])] = 0
        # A value that never changed has neither an R-hat nor an effective number.
        worth[np.isnan(r_hat[name])] = np.nan
        effective[name] = worth
        unchanged.append(np.ptp(flat, axis=1) <= _UNCHANGED * np.abs(flat).max(axis=1))
    share_unchanged = np.concatenate(unchanged, axis=1).mean(axis=1)
    return ChainDiagnostics(
        r_hat=r_hat,
        effective=effective,
        divergences=int(np.sum(diverging)),
        n_draws=int(np.size(diverging)),
        n_stuck=int((share_unchanged > _MOST_UNCHANGED).sum()),
        n_chains=n_chains,
    )


def _extreme(values: Iterable[np.ndarray], of: Callable[..., Any]) -> float:
    """Over everything that changed at all; 1 where nothing did."""
    flat = np.concatenate([np.ravel(value) for value in values])
    changed = flat[~np.isnan(flat)]
    return float(of(changed)) if changed.size else 1.0
