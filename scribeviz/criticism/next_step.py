"""What to fit next, from what a fit gets wrong."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from scribeviz.criticism.misfit import AS_EXPECTED
from scribeviz.data.counts import Counts
from scribeviz.models.likelihood import NO_DEPTH
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.spec import ModelSpec, applicable_spec

_OFF, _SURE = 0.1, 3  # of the predicted mean, and standard errors
_WIDE = 1.5  # times the predicted variance of the cells' totals
_FEW = 0.01  # of the genes: so many may be off by chance
_FEWEST = 3  # genes
_NAMED = 3
_STRONG = 3.0  # nats of evidence: odds of 20 to 1
_FIRST_COMPONENTS = 5


class Digest(NamedTuple):
    """How many genes are off in one way, and which."""

    problem: str
    genes: list[str]


@dataclass(frozen=True, slots=True)
class NextStep:
    """A model to try, and why."""

    why: str
    model: ModelSpec


def digest(genes: pd.DataFrame, n_cells: int) -> list[Digest]:
    """Sort the genes of a :func:`~scribeviz.criticism.misfit.gene_table` by what is off.

    As expected first, then by number; a gene whose mean is off by a tenth or more, and surely so,
    is listed a second time for that.  Of an exact fit also the genes whose counts call for a
    dispersion of their own: strong evidence, of 3 nats or more, against a Poisson.
    """
    by_problem = {
        str(problem): Digest(str(problem), [str(gene) for gene in rows["gene"]])
        for problem, rows in genes.groupby("problem", sort=False)
    }
    good = by_problem.pop(AS_EXPECTED, Digest(AS_EXPECTED, []))
    faults = sorted(by_problem.values(), key=lambda entry: len(entry.genes), reverse=True)
    error = np.sqrt(np.maximum(genes["predicted_variance"], 1e-12) / n_cells)
    difference = (genes["mean"] - genes["predicted_mean"]).abs()
    off = (difference > _OFF * genes["predicted_mean"]) & (difference > _SURE * error)
    if off.any():
        faults.append(Digest("mean off", [str(gene) for gene in genes["gene"][off]]))
    if "over_poisson" in genes:
        strong = genes["over_poisson"] >= _STRONG
        faults.append(Digest("more than Poisson", [str(g) for g in genes["gene"][strong]]))
    return [good, *faults]


def next_step(model: ModelSpec, genes: pd.DataFrame, counts: Counts) -> NextStep | None:
    """Propose a model that repairs most of what is wrong; None where little is.

    Parameters
    ----------
    model
        What was fitted.
    genes
        From :func:`~scribeviz.criticism.misfit.gene_table`.
    counts
        The data, with the fitted genes.
    """
    likelihood = LIKELIHOODS[model.likelihood]
    recommended = next(iter(LIKELIHOODS.values()))
    wrong = genes[genes["problem"] != AS_EXPECTED]
    is_much = len(wrong) >= max(_FEWEST, _FEW * len(genes))
    better = applicable_spec(recommended.key, n_components=model.n_components)
    if likelihood.depth == NO_DEPTH and not model.is_mixture:
        ratio = counts.cell_totals.var() / genes["predicted_variance"].sum()
        if ratio > _WIDE:
            return NextStep(
                f"The totals of the cells vary {ratio:,.3g} times as much as this model expects, "
                f"which takes all cells to be equally deep. {recommended.label} takes the depth of "
                "each from its total.",
                better,
            )
    if not is_much:
        return None
    if not likelihood.own_odds:
        return NextStep(
            f"{_many(wrong, genes)} scatter otherwise than this model allows: it gives all genes "
            f"one variance-to-mean ratio. {recommended.label} gives each its own.",
            better,
        )
    if not model.is_mixture:
        worst = wrong.sort_values("misfit", ascending=False)["gene"].astype(str)
        return NextStep(
            f"{_many(wrong, genes)} are still off, most of all {_listed(worst[:_NAMED])}: perhaps "
            "because they differ between groups of cells. Components tell whether they do.",
            replace(model, n_components=_FIRST_COMPONENTS),
        )
    return None


def _many(wrong: pd.DataFrame, genes: pd.DataFrame) -> str:
    return f"{len(wrong):,} of {len(genes):,} genes ({len(wrong) / len(genes):.0%})"


def _listed(names: pd.Series) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
