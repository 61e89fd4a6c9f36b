"""How well a model predicts cells that it has not seen, from draws of its posterior.

Left out one at a time by PSIS (Vehtari, Gelman & Gabry 2017, Stat. Comput. 27, 1413; the numbers
are ArviZ's), or never fitted.  Draws have an error of their own that all cells share: scores from
halves of the draws tell it.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from scribeviz._cards import Card, shown_as

GOOD_K = 0.7  # above it an estimate is not to be relied on
MOST_UNRELIABLE = 0.05  # of the cells: where k is too high for more, there is no verdict
EXACT, PSIS, HELD_OUT = "exact", "PSIS", "held out"
"""How a cell is left out: by quadrature, by importance sampling, or by another fit."""
LEFT_OUT = frozenset({EXACT, PSIS, HELD_OUT})
"""Those that come with one fit."""

_FEWEST_DRAWS = 25  # a fifth of them are a tail, to which two numbers are fitted
_BLOCKS = 4  # of draws; any two of them are half
_HALVES = ((0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2))


def _card(scores: "CellScores") -> Card:
    facts = {
        "elpd": f"{scores.total:,.0f} ± {scores.standard_error:,.0f} nats",
        "cells": f"{scores.elpd.size:,}",
        "left out": {EXACT: "exactly", PSIS: "by importance sampling"}.get(
            scores.method, scores.method
        ),
    }
    if np.isfinite(scores.p_loo):
        facts["effective parameters"] = f"{scores.p_loo:,.1f}"
    if scores.n_unreliable:
        facts["not to be relied on"] = f"{scores.n_unreliable:,} cells, with Pareto k above 0.7"
    return Card(
        title="CellScores",
        summary="how well each cell is predicted by a fit that has not seen it",
        facts=facts,
        next_step='scribeviz.compare({"one": scores, "other": others})',
    )


@shown_as(_card)
@dataclass(frozen=True, slots=True, eq=False)
class CellScores:
    """Expected log predictive density of every cell, left out of the fit.

    Attributes
    ----------
    elpd
        In nats.
    pareto_k
        How heavily each cell weighs in the fit: above 0.7 its score is not to be relied on.
    p_loo
        Effective number of parameters.
    scored
        What tells the scored cells from others (:attr:`Counts.depths_fingerprint`); empty where
        nobody knows.
    cells
        Positions of the scored cells among those that ``scored`` tells; None if all are.
    method
        How cells were left out.
    halves
        ``elpd`` from halves of the posterior draws, one half beside the other; None of scores that
        rest on no draws.
    """

    elpd: Float[np.ndarray, " cells"]
    pareto_k: Float[np.ndarray, " cells"]
    p_loo: float
    scored: str = ""
    cells: Int[np.ndarray, " cells"] | None = None
    method: str = PSIS
    halves: Float[np.ndarray, "halves cells"] | None = None

    def at(self, chosen: Int[np.ndarray, " chosen"]) -> "CellScores":
        """The scores of some cells, by their positions among all; each has to be scored."""
        index = chosen if self.cells is None else np.searchsorted(self.cells, chosen)
        if index.size and index.max() >= self.elpd.size:
            raise ValueError(
                "only models of the same cells can be compared; one is scored on "
                f"{self.elpd.size:,} cells, and another on cell {chosen.max():,}."
            )
        return replace(
            self,
            elpd=self.elpd[index],
            pareto_k=self.pareto_k[index],
            p_loo=np.nan,
            cells=chosen,
            halves=None if self.halves is None else self.halves[:, index],
        )

    @property
    def total(self) -> float:
        """elpd_loo of the data set."""
        return float(self.elpd.sum())

    @property
    def standard_error(self) -> float:
        """Of ``total``: other cells, and other draws."""
        return float(np.hypot(spread_of_sum(self.elpd), self.draw_error))

    @property
    def draw_error(self) -> float:
        """Standard error of ``total`` that comes from the posterior draws; 0 without any.

        It is common to all cells: that they differ says nothing of it.  Two halves of the draws
        differ by twice as much as all of them err, and what halves fall short of all on average is
        the bias of too few draws.
        """
        if self.halves is None:
            return 0.0
        first, second = self.halves.sum(axis=1, dtype=np.float64).reshape(-1, 2).T
        scatter = float((((first - second) / 2) ** 2).mean())
        bias = float((first + second).mean() / 2 - self.total)
        return float(np.sqrt(scatter + bias**2))

    @property
    def n_unreliable(self) -> int:
        """Cells with a Pareto k above 0.7."""
        return int((self.pareto_k > GOOD_K).sum())

    @property
    def can_be_relied_on(self) -> bool:
        """Whether a verdict may rest on them: Pareto k is high for one cell in twenty at most."""
        return self.n_unreliable <= MOST_UNRELIABLE * self.elpd.size

    def as_file(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and plain values; :meth:`from_file` reads them back."""
        arrays = {"elpd": self.elpd, "pareto_k": self.pareto_k, "p_loo": np.asarray(self.p_loo)}
        if self.cells is not None:
            arrays["scored_cells"] = self.cells
        if self.halves is not None:
            arrays["halves"] = self.halves
        return arrays, {"scored": self.scored, "method": self.method}

    @classmethod
    def from_file(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Self:
        """Read what :meth:`as_file` gave."""
        return cls(
            arrays["elpd"],
            arrays["pareto_k"],
            float(arrays["p_loo"]),
            scored=meta.get("scored", ""),
            cells=arrays.get("scored_cells"),
            method=meta.get("method", PSIS),
            halves=arrays.get("halves"),
        )


def loo(log_likelihood: Float[np.ndarray, "draws cells"]) -> CellScores:
    """Leave one cell out at a time, by Pareto-smoothed importance sampling.

    Parameters
    ----------
    log_likelihood
        In nats, from :func:`scribeviz.criticism.integrated.integrated_log_likelihood`; draws are
        taken as independent.

    Raises
    ------
    ValueError
        If there are too few draws for a tail to be fitted to.
    """
    if len(log_likelihood) < _FEWEST_DRAWS:
        raise ValueError(
            f"leave-one-out needs {_FEWEST_DRAWS} posterior draws at least, and 100 or more to be "
            f"steady; there are {len(log_likelihood)}."
        )
    whole = _psis(log_likelihood)

    def score(some: Float[np.ndarray, "some cells"]) -> Float[np.ndarray, " cells"]:
        return _psis(some).elpd

    return replace(whole, halves=_of_halves(log_likelihood, score))


def unseen(log_likelihood: Float[np.ndarray, "draws cells"]) -> CellScores:
    """Scores of cells that the draws' fit has not seen.

    Parameters
    ----------
    log_likelihood
        In nats, as for :func:`loo`.
    """
    elpd = _log_mean(log_likelihood)
    return CellScores(
        elpd=elpd,
        pareto_k=np.zeros(elpd.size),
        p_loo=float("nan"),
        method=HELD_OUT,
        halves=_of_halves(log_likelihood, _log_mean),
    )


def _of_halves(
    log_likelihood: Float[np.ndarray, "draws cells"],
    score: Callable[[np.ndarray], Float[np.ndarray, " cells"]],
) -> Float[np.ndarray, "halves cells"] | None:
    """Scores from halves of the draws; None where there are too few."""
    blocks = np.array_split(np.arange(len(log_likelihood)), _BLOCKS)
    if 2 * min(map(len, blocks)) < _FEWEST_DRAWS:
        return None
    halves = (np.concatenate([blocks[one], blocks[other]]) for one, other in _HALVES)
    return np.stack([score(log_likelihood[half]) for half in halves])


def _log_mean(log_likelihood: Float[np.ndarray, "draws cells"]) -> Float[np.ndarray, " cells"]:
    logs = np.asarray(log_likelihood, np.float64)
    return np.asarray(logsumexp(logs, axis=0) - np.log(len(logs)))


def _psis(log_likelihood: Float[np.ndarray, "draws cells"]) -> CellScores:
    import arviz_stats
    import xarray as xr

    values = (("chain", "draw", "cell"), np.asarray(log_likelihood, np.float64)[None])
    tree = xr.DataTree.from_dict({"log_likelihood": xr.Dataset({"counts": values})})
    with warnings.catch_warnings():
        # Said in our own words, with the number of cells that it concerns.
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        elpd = arviz_stats.loo(tree, pointwise=True, reff=1.0)
    return CellScores(
        elpd=elpd.elpd_i.to_numpy(), pareto_k=elpd.pareto_k.to_numpy(), p_loo=float(elpd.p)
    )


def waic(log_likelihood: Float[np.ndarray, "draws *scored"]) -> Float[np.ndarray, "*scored"]:
    """Widely applicable information criterion on the scale of elpd, in nats, pointwise.

    Log pointwise predictive density less the variance over draws (Watanabe 2010, J. Mach. Learn.
    Res. 11, 3571); minus twice its sum is WAIC.
    """
    top = log_likelihood.max(axis=0)
    density = top + np.log(np.exp(log_likelihood - top).mean(axis=0))
    return density - log_likelihood.var(axis=0, ddof=1)


def spread_of_sum(values: Float[np.ndarray, " cells"]) -> float:
    """Standard error of a sum over cells, from how they scatter."""
    return float(np.sqrt(values.size * values.var()))
