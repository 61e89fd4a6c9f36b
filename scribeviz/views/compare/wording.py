"""The table of a comparison in words, for the page and for a report."""

from typing import Any

import numpy as np
import pandas as pd

from scribeviz.views.shared.parts import in_words

COLUMNS = {
    "model": "Model",
    "described": "In words",
    "state": "State",
    "elpd_loo": "elpd",
    "difference": "Difference",
    "method": "Scored by",
    "p_loo": "p",
    "worst_k": "Worst k",
    "weight": "Weight",
    "loss": "Loss",
    "took": "Time",
}
"""Headings of the table."""

HOW_TO_READ = (
    "elpd is the log-probability that a model gives to cells that it has not seen, in nats, "
    "summed over cells: higher is better. The difference is to the best, ± its standard error, in "
    "which the error of posterior draws is counted. How a cell is left out stands under Scored by: "
    "exact, without drawing; by PSIS, importance sampling from one fit, where k says how heavily "
    "single cells weigh (above 0.7 the estimate is not to be relied on); held out, of the cells "
    "that a network was not trained on; or in folds, by fits that have not seen it, of the genes "
    "that all of these fits see. p is the effective number of parameters. Weights are those of a "
    "mixture of the models' predictions (stacking). The loss is the negative ELBO per fit, in "
    "nats, of an exact fit minus the log evidence; that of a sampler is its energy, which cannot "
    "be set beside them."
)


def compared_in_words(table: pd.DataFrame) -> pd.DataFrame:
    """What :func:`~scribeviz.views.compare.compare_state.score` gave, with units and errors."""
    return pd.DataFrame(
        {
            "model": table.index,
            "described": table["model"],
            "state": table["state"],
            "elpd_loo": _with_error(table["elpd_loo"], table["se"]),
            "difference": [
                "best" if difference == 0 else error
                for difference, error in zip(
                    table["difference"],
                    _with_error(table["difference"], table["difference_se"]),
                    strict=True,
                )
            ],
            "p_loo": table["p_loo"].map(_number("{:,.0f}")),
            "method": table["method"].fillna("-"),
            "worst_k": table["worst_k"].replace(0, np.nan).map(_number("{:.2f}")),
            "weight": table["weight"].map(_number("{:.2f}")),
            "loss": table["loss"].map(_number("{:,.0f}")),
            "took": table["seconds"].map(in_words),
        },
        dtype=str,
    )


def _number(format_: str) -> Any:
    return lambda value: "-" if pd.isna(value) else format_.format(value)


def _with_error(values: pd.Series, errors: pd.Series) -> list[str]:
    return [
        "-" if pd.isna(value) else f"{value:,.0f} ± {error:,.0f}"
        for value, error in zip(values, errors, strict=True)
    ]
