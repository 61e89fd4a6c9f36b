"""Which component a cell belongs to, how sure that is, and what else it goes along with."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Int
from scipy.special import entr, softmax

from scribeviz._cards import shown_by_fields
from scribeviz.data.tables import CellRows
from scribeviz.models.builder import CountModel
from scribeviz.models.parameterizations import Values

# Above this share of log depth explained, a partition is said to follow depth.  True types reach
# 0.15 (cell lines), 0.23 (blood), 0.53 (sorted blood with stem cells); nbdm mixtures 0.6 to 0.8.
_FOLLOWS_DEPTH = 0.6
_NO_LABEL = "(none)"
_MOST_NUMBERED, _MOST_VALUES = 50, 10  # more whole or other numbers are measurements


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class Assignments:
    """Where cells belong, over posterior draws.

    Attributes
    ----------
    probabilities
        That each cell belongs to each component, averaged over draws.
    agreement
        Share of the draws whose likeliest component is that of the average: below 1 the posterior
        itself is unsure, not only the mixture.
    """

    probabilities: Float[np.ndarray, "cells components"]
    agreement: Float[np.ndarray, " cells"]


def assignments(model: CountModel, rows: CellRows, values: Values) -> Assignments:
    """Assign every cell, under each posterior draw.

    Parameters
    ----------
    model
        A mixture.
    rows
        The counts, from :meth:`CountModel.rows`.
    values
        Posterior draws by site, with a leading axis of draws.
    """
    arrays = {name: jnp.asarray(value) for name, value in values.items()}
    of_any_cells = replace(model, depth=None)  # depths are in the rows
    averages = _averages(of_any_cells, arrays, jax.tree.map(jnp.asarray, rows))
    probabilities, votes = (np.asarray(each).T for each in averages)
    likeliest = assigned(probabilities)
    return Assignments(probabilities, votes[np.arange(len(votes)), likeliest])


@partial(jax.jit, static_argnames="model")
def _averages(
    model: CountModel, values: Values, rows: CellRows
) -> tuple[Float[Array, "components cells"], Float[Array, "components cells"]]:
    """Probabilities, and shares of the draws in which a component is the likeliest."""
    k = model.spec.n_components

    def add(totals: tuple[Array, Array], draw: Values) -> tuple[tuple[Array, Array], None]:
        shares = model.counts_given(draw, rows.log_depth).responsibilities(rows)
        votes = jax.nn.one_hot(shares.argmax(axis=0), k, axis=0)
        return (totals[0] + shares, totals[1] + votes), None

    nothing = jnp.zeros((k, model.n_cells))
    totals, _ = jax.lax.scan(add, (nothing, nothing), values)
    n_draws = next(iter(values.values())).shape[0]
    return totals[0] / n_draws, totals[1] / n_draws


def assignment_probabilities(
    model: CountModel, rows: CellRows, values: Values
) -> Float[np.ndarray, "cells components"]:
    """Probability that each cell belongs to each component; see :func:`assignments`."""
    return assignments(model, rows, values).probabilities


def component_probabilities(
    log_likelihoods: Float[np.ndarray, "*any components"], temperature: float | None = None
) -> Float[np.ndarray, "*any components"]:
    """Probability of each component, from log-likelihoods that include the log weights.

    Parameters
    ----------
    log_likelihoods
        In nats, components last.
    temperature
        Divides them first; 1 when left out.  With hundreds of genes they differ so much that
        probabilities are 0 or 1; a temperature above 1 shows what else was considered.

    Returns
    -------
    numpy.ndarray
        Of the same shape, float64: probabilities down to 1e-308 stay above 0.

    Raises
    ------
    ValueError
        If ``temperature`` is not above 0.
    """
    divisor = 1.0 if temperature is None else temperature
    if not divisor > 0:
        raise ValueError(f"temperature={temperature} should be above 0.")
    return softmax(np.asarray(log_likelihoods, np.float64) / divisor, axis=-1)


def entropy(
    probabilities: Float[np.ndarray, "*any components"],
) -> Float[np.ndarray, "*any"]:
    """Shannon entropy of each assignment, in nats: 0 is certain, ln K is a coin toss."""
    return entr(probabilities).sum(axis=-1)


def assigned(probabilities: Float[np.ndarray, "cells components"]) -> Int[np.ndarray, " cells"]:
    """The likeliest component of each cell, counted from 0."""
    return probabilities.argmax(axis=1)


def cross_table(components: Int[np.ndarray, " cells"], labels: pd.Series, k: int) -> pd.DataFrame:
    """Cells per label (rows) and component (columns, counted from 1).

    Labels that are measurements are cut into four groups of equal size (more than 50 whole numbers,
    or more than 10 other values); cells without a label are counted as "(none)".
    """
    columns = pd.Categorical(components + 1, categories=range(1, k + 1))
    rows = _as_groups(labels)
    return pd.crosstab(rows, columns, dropna=False).rename_axis(index=None, columns="component")


def agreement(components: Int[np.ndarray, " cells"], labels: pd.Series) -> tuple[float, float]:
    """How well components and labels agree, whatever they are called, over the labelled cells.

    Returns
    -------
    tuple of float
        The adjusted Rand index (1 the same, 0 by chance; Hubert & Arabie 1985) and the normalised
        mutual information (1 the same, 0 independent).

    Raises
    ------
    ValueError
        If no cell has a label.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    groups = _as_groups(labels)
    labelled = (groups != _NO_LABEL).to_numpy()
    if not labelled.any():
        raise ValueError(f"{labels.name} labels no cell; choose another column.")
    theirs, ours = groups.astype(str).to_numpy()[labelled], components[labelled]
    return (
        float(adjusted_rand_score(theirs, ours)),
        float(normalized_mutual_info_score(theirs, ours)),
    )


def depth_share(
    components: Int[np.ndarray, " cells"], cell_totals: Float[np.ndarray, " cells"]
) -> float:
    """Share of the variance of log total counts that lies between the components.

    This is the correlation ratio eta squared: 0 when components are equally deep, 1 when total
    counts alone decide where a cell goes.
    """
    depth = np.log1p(cell_totals)
    total = ((depth - depth.mean()) ** 2).sum()
    if total == 0:
        return 0.0
    means = pd.Series(depth).groupby(components).transform("mean").to_numpy()
    return float(((means - depth.mean()) ** 2).sum() / total)


def depth_warning(
    components: Int[np.ndarray, " cells"], cell_totals: Float[np.ndarray, " cells"]
) -> str | None:
    """A sentence when the components sort cells by sequencing depth, else None."""
    share = depth_share(components, cell_totals)
    if share < _FOLLOWS_DEPTH:
        return None
    return (
        f"The components follow sequencing depth: they explain {share:.0%} of the differences in "
        "total counts between cells. This model has no capture probability per cell, so a deep "
        "and a shallow cell of the same type look different to it; do not read these components "
        "as cell types."
    )


def _as_groups(labels: pd.Series) -> pd.Series:
    numeric = pd.api.types.is_numeric_dtype(labels) and not pd.api.types.is_bool_dtype(labels)
    # Clusters are numbered too.
    whole = pd.api.types.is_integer_dtype(labels)
    if numeric and labels.nunique() > (_MOST_NUMBERED if whole else _MOST_VALUES):
        groups = pd.qcut(labels, 4, duplicates="drop", precision=3)
    else:
        groups = labels.astype("category").cat.remove_unused_categories()
    names = [str(name) for name in groups.cat.categories]
    order = dict.fromkeys([*names, _NO_LABEL] if groups.isna().any() else names)
    shown = [names[code] if code >= 0 else _NO_LABEL for code in groups.cat.codes]
    return pd.Series(pd.Categorical(shown, categories=list(order)), index=labels.index)
