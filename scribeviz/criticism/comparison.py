"""Models of the same cells side by side, and the verdict.

Stacking: Yao et al. 2018, Bayesian Anal. 13, 917; the weights are ArviZ's.
"""

import warnings
from collections.abc import Mapping
from functools import reduce

import numpy as np
import pandas as pd
from jaxtyping import Float

from scribeviz.criticism.loo import EXACT, GOOD_K, MOST_UNRELIABLE, PSIS, CellScores, spread_of_sum

_CLEAR = 2.0  # standard errors
_COLUMNS = ["elpd_loo", "se", "difference", "difference_se", "draw_error", "p_loo", "worst_k"]
_COLUMNS += ["n_unreliable", "weight", "n_cells", "method"]
_FEWEST_CELLS = 30  # fewer say nothing about a difference


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
        ``difference_se``; ``draw_error``, what of ``se`` comes from posterior draws (the error of a
        difference has that of both models in it); ``p_loo``; ``worst_k`` and ``n_unreliable``
        (cells with k above 0.7); ``weight``, by stacking; ``n_cells``; ``method``, how cells were
        left out.  Of no scores an empty table.

        Where a model is scored on some of the cells only (a network, on those that it was not
        trained on), all are compared on the cells that every one is scored on.

    Raises
    ------
    ValueError
        If the models were not scored on the same cells and genes.

    Examples
    --------
    >>> import scribeviz
    >>> counts = scribeviz.demo()
    >>> learned = scribeviz.fit(counts, "nb", progress=False)
    >>> priors = {"mu": ("lognormal", 0, 1), "r": ("lognormal", 0, 1)}
    >>> given = scribeviz.fit(counts, "nb", priors=priors, progress=False)
    >>> table = scribeviz.compare({"given": given.loo(counts), "learned": learned.loo(counts)})
    >>> table.index.tolist()
    ['learned', 'given']
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
            "difference_se": _error_of_difference(scored[name], best),
            "draw_error": scored[name].draw_error,
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


def verdict(table: pd.DataFrame, models: Mapping[str, object] | None = None) -> str:
    """Who wins, and by how much, in a sentence.

    Parameters
    ----------
    table
        From :func:`compare`.
    models
        By name what is equal where two are fits of the same model, with other seeds say: by how
        much these differ is then said, and counted as an error.
    """
    best = table.index[0]
    if len(table) == 1:
        return f"Only {best} has been scored; choose another run to compare it with."
    model_of = dict(zip(table.index, table.index, strict=True)) | dict(models or {})
    others = [name for name in table.index if model_of[name] != model_of[best]]
    fits = [name for name in table.index if model_of[name] == model_of[best]]
    apart = -float(table.loc[fits[-1], "difference"])
    between_fits = (
        f"{' and '.join(fits)} are fits of the same model: what they differ by, elpd {apart:,.0f}, "
        "is how much a score depends on the fit."
    )
    if not others:
        return f"No clear winner: {between_fits}"
    more = "" if len(fits) == 1 else f" {between_fits}"
    return _lead(table.loc[[best, others[0]]], apart) + more


def asks_one_question(table: pd.DataFrame) -> bool:
    """Whether all were left out alike: one at a time, or in the same folds."""
    return len(set(map(_question, table["method"]))) <= 1


def can_be_relied_on(table: pd.DataFrame) -> bool:
    """Whether a verdict may rest on these scores; else they are a first look."""
    few = table["n_unreliable"] <= MOST_UNRELIABLE * table["n_cells"]
    return bool(few.all()) and asks_one_question(table)


def _question(method: str) -> str:
    return "leaving one out" if method in {EXACT, PSIS} else method


def _lead(pair: pd.DataFrame, apart: float) -> str:
    """The verdict on two models; ``apart`` is how much fits of the first differ."""
    best, second = pair.index
    margin = -pair["difference"].iloc[1]
    error = float(np.hypot(pair["difference_se"].iloc[1], apart))
    lead = f"elpd {margin:,.0f} ± {error:,.0f} nats"
    worst = pair["n_unreliable"].idxmax()
    unreliable, n_cells = int(pair["n_unreliable"].max()), int(pair["n_cells"].max())
    if not asks_one_question(pair):
        methods = zip(pair.index, pair["method"], strict=True)
        asked = " and ".join(f"{name} by {_question(method)}" for name, method in methods)
        return (
            f"No verdict: the scores answer different questions, {asked}. Cross-validation asks "
            "all the same."
        )
    if margin <= _CLEAR * error:
        return (
            f"No clear winner: {best} and {second} are within two standard errors of each other "
            f"({lead} apart)."
        )
    if unreliable > MOST_UNRELIABLE * n_cells:
        return (
            f"No verdict: {best} is ahead of {second} by {lead}, but for {unreliable:,} of "
            f"{n_cells:,} cells the estimate of {worst} is not to be relied on (Pareto k above "
            "0.7). Fits that have not seen these cells can tell: cross-validation."
        )
    warning = (
        f" For {unreliable:,} cells the estimate is not to be relied on (Pareto k above 0.7)."
        if unreliable
        else ""
    )
    return f"{best} predicts unseen cells best, ahead of {second} by {lead}.{warning}"


def _error_of_difference(one: CellScores, best: CellScores) -> float:
    """Other cells, and other draws: those of two fits do not know of each other."""
    if one is best:
        return 0.0
    return float(
        np.hypot(spread_of_sum(one.elpd - best.elpd), np.hypot(one.draw_error, best.draw_error))
    )


def _elpd_data(kind: type, values: np.ndarray) -> object:
    import xarray as xr

    pointwise = xr.DataArray(values, dims="cell")
    return kind(
        elpd=float(values.sum()),
        se=spread_of_sum(values),
        p=0.0,
        n_samples=1_000,
        n_data_points=values.size,
        scale="log",
        warning=False,
        good_k=GOOD_K,
        elpd_i=pointwise,
        pareto_k=xr.zeros_like(pointwise),
    )
