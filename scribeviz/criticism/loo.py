"""How well a model predicts cells that it has not seen: PSIS-LOO, and the comparison of models.

The numbers are ArviZ's (Vehtari, Gelman & Gabry 2017, Stat. Comput. 27, 1413; stacking: Yao et al.
2018, Bayesian Anal. 13, 917).
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from scribeviz._cards import Card, shown_as

GOOD_K = 0.7  # above it an estimate is not to be relied on
EXACT, PSIS, HELD_OUT = "exact", "PSIS", "held out"
"""How a cell is left out: by quadrature, by importance sampling, or by another fit."""

_CLEAR = 2.0  # standard errors
_MOST_UNRELIABLE = 0.05  # of the cells: where k is too high for more, there is no verdict
_COLUMNS = ["elpd_loo", "se", "difference", "difference_se", "p_loo", "worst_k", "n_unreliable"]
_COLUMNS += ["weight", "n_cells", "method"]
_FEWEST_DRAWS = 25  # a fifth of them are a tail, to which two numbers are fitted
_FEWEST_CELLS = 30  # fewer say nothing about a difference


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
    """

    elpd: Float[np.ndarray, " cells"]
    pareto_k: Float[np.ndarray, " cells"]
    p_loo: float
    scored: str = ""
    cells: Int[np.ndarray, " cells"] | None = None
    method: str = PSIS

    def at(self, chosen: Int[np.ndarray, " chosen"]) -> "CellScores":
        """The scores of some cells, by their positions among all; each has to be scored."""
        index = chosen if self.cells is None else np.searchsorted(self.cells, chosen)
        if index.size and index.max() >= self.elpd.size:
            raise ValueError(
                "only models of the same cells can be compared; one is scored on "
                f"{self.elpd.size:,} cells, and another on cell {chosen.max():,}."
            )
        return replace(
            self, elpd=self.elpd[index], pareto_k=self.pareto_k[index], p_loo=np.nan, cells=chosen
        )

    @property
    def total(self) -> float:
        """elpd_loo of the data set."""
        return float(self.elpd.sum())

    @property
    def standard_error(self) -> float:
        """Of ``total``."""
        return _standard_error(self.elpd)

    @property
    def n_unreliable(self) -> int:
        """Cells with a Pareto k above 0.7."""
        return int((self.pareto_k > GOOD_K).sum())


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
    import arviz_stats
    import xarray as xr

    if len(log_likelihood) < _FEWEST_DRAWS:
        raise ValueError(
            f"leave-one-out needs {_FEWEST_DRAWS} posterior draws at least, and 100 or more to be "
            f"steady; there are {len(log_likelihood)}."
        )
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


def compare(scores: Mapping[str, CellScores | None]) -> pd.DataFrame:
    """Models of the same cells side by side, best first.

    Parameters
    ----------
    scores
        By name; models without scores (None) are left out.

    Returns
    -------
    pandas.DataFrame
        Indexed by name: ``elpd_loo`` and ``se``; ``difference`` to the best and
        ``difference_se``; ``p_loo``; ``worst_k`` and ``n_unreliable`` (cells with k above 0.7);
        ``weight``, by stacking; ``n_cells``; ``method``, how cells were left out.  Of no scores an
        empty table.

        Where a model is scored on some of the cells only (a network, on those that it was not
        trained on), all are compared on the cells that every one is scored on.

    Raises
    ------
    ValueError
        If the models were not scored on the same cells and genes.
    """
    scored = {name: one for name, one in scores.items() if one is not None}
    if not scored:
        return pd.DataFrame(columns=_COLUMNS, dtype=float)
    _check_same_data(scored)
    scored = _on_common_cells(scored)
    _check_same_size(scored)
    order = sorted(scored, key=lambda name: -scored[name].total)
    best = scored[order[0]]
    weights = stacking_weights({name: scored[name].elpd for name in order})
    rows = {
        name: {
            "elpd_loo": scored[name].total,
            "se": scored[name].standard_error,
            "difference": scored[name].total - best.total,
            "difference_se": _standard_error(scored[name].elpd - best.elpd),
            "p_loo": scored[name].p_loo,
            "worst_k": float(scored[name].pareto_k.max()),
            "n_unreliable": scored[name].n_unreliable,
            "weight": weights[name],
            "n_cells": scored[name].elpd.size,
            "method": scored[name].method,
        }
        for name in order
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _on_common_cells(scores: Mapping[str, CellScores]) -> dict[str, CellScores]:
    """The scores of the cells that every model has scored."""
    chosen = {name: one.cells for name, one in scores.items() if one.cells is not None}
    if not chosen:
        return dict(scores)
    common = reduce(np.intersect1d, chosen.values())
    if common.size < _FEWEST_CELLS:
        raise ValueError(
            f"{' and '.join(chosen)} are scored on cells that they were not trained on, and have "
            f"only {common.size:,} of these in common; train them with the same seed and "
            "validation_share."
        )
    return {name: one.at(common) for name, one in scores.items()}


def _check_same_size(scores: Mapping[str, CellScores]) -> None:
    """Raise unless all scores are of as many cells."""
    sizes = {name: one.elpd.size for name, one in scores.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        raise ValueError(f"only models of the same cells can be compared; these have {listed}.")


def _check_same_data(scores: Mapping[str, CellScores]) -> None:
    """Raise if scores are known to be of other cells or genes."""
    if len({one.scored for one in scores.values() if one.scored}) > 1:
        raise ValueError(
            "only models of the same cells and genes can be compared, and the counts that "
            f"{', '.join(scores)} were scored on differ; give each the same data (and held-out "
            "fits the same seed and test_share)."
        )


def stacking_weights(elpd: Mapping[str, Float[np.ndarray, " cells"]]) -> dict[str, float]:
    """Weights of a mixture of the models' predictions that predicts left-out cells best."""
    if len(elpd) == 1:
        return dict.fromkeys(elpd, 1.0)
    import arviz_stats
    from arviz_stats.utils import ELPDData

    # exp of an elpd near -1,000 is 0: only differences matter, so each cell's best model is at 0.
    top = np.max(list(elpd.values()), axis=0)
    data = {name: _elpd_data(ELPDData, values - top) for name, values in elpd.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about k, which is reported beside
        table = arviz_stats.compare(data, method="stacking", round_to="none")
    return {name: float(table.loc[name, "weight"]) for name in elpd}


def verdict(table: pd.DataFrame) -> str:
    """Who wins, and by how much, in a sentence."""
    best = table.index[0]
    if len(table) == 1:
        return f"Only {best} has been scored; choose another run to compare it with."
    second = table.iloc[1]
    margin, error = -second["difference"], second["difference_se"]
    lead = f"elpd {margin:,.0f} ± {error:,.0f} nats"
    if margin <= _CLEAR * error:
        return (
            f"No clear winner: {best} and {second.name} are within two standard errors of each "
            f"other ({lead} apart)."
        )
    pair = table.iloc[:2]
    worst = pair["n_unreliable"].idxmax()
    unreliable, n_cells = int(pair["n_unreliable"].max()), int(pair["n_cells"].max())
    if unreliable > _MOST_UNRELIABLE * n_cells:
        return (
            f"No verdict: {best} is ahead of {second.name} by {lead}, but for {unreliable:,} of "
            f"{n_cells:,} cells the estimate of {worst} is not to be relied on (Pareto k above "
            "0.7). Fits that have not seen them can tell: scribeviz.cross_validate, in Python."
        )
    warning = (
        f" For {unreliable:,} cells the estimate is not to be relied on (Pareto k above 0.7)."
        if unreliable
        else ""
    )
    return f"{best} predicts unseen cells best, ahead of {second.name} by {lead}.{warning}"


def _elpd_data(kind: type, values: np.ndarray) -> object:
    import xarray as xr

    pointwise = xr.DataArray(values, dims="cell")
    return kind(
        elpd=float(values.sum()),
        se=_standard_error(values),
        p=0.0,
        n_samples=1_000,
        n_data_points=values.size,
        scale="log",
        warning=False,
        good_k=GOOD_K,
        elpd_i=pointwise,
        pareto_k=xr.zeros_like(pointwise),
    )


def _standard_error(values: Float[np.ndarray, " cells"]) -> float:
    return float(np.sqrt(values.size * values.var()))
