r"""Assignments that claim no more than they can hold.

With thousands of genes the log-likelihoods of components differ by hundreds of nats, and nearly
every probability is 0 or 1: the model takes genes for independent and itself for right.  Two random
halves of the genes are two witnesses of the same cells.  If the probabilities that one of them
gives were honest, the other would agree as often as they claim.  Dividing log-likelihoods by a
temperature T makes them so:

.. math:: T = \arg\min_T -\sum_c \ln p_T(\text{what the other half says of } c),
          \quad p_T \propto \exp(\ell_{ck} / T)

for both halves in turn (temperature scaling: Guo et al. 2017, ICML 70, 1321).  T is 1 at least:
where halves always agree, the model's own probabilities stay.  Both halves saw how the fit sorted
the cells, so that they agree a little too often; T is the least that the data ask for.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from scribeviz._cards import shown_by_fields

_WARMEST = 1e4
_N_PARTS = 10


class Reliability(NamedTuple):
    """How often halves of the genes agree, against how often they claim to.

    Attributes
    ----------
    claimed, observed
        Over tenths of the cells, from the least sure to the surest.
    """

    claimed: Float[np.ndarray, " parts"]
    observed: Float[np.ndarray, " parts"]


@shown_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Calibrated assignments.

    Attributes
    ----------
    temperature
        What log-likelihoods are divided by, 1 or more.
    probabilities
        That each cell belongs to each component, by all genes.
    margin
        Log-likelihood of each cell's likeliest component over the second, in nats per gene.
    halves_agree
        Share of the cells of which both halves say the same.
    reliability
        Of the halves, at this temperature.
    """

    temperature: float
    probabilities: Float[np.ndarray, "cells components"]
    margin: Float[np.ndarray, " cells"]
    halves_agree: float
    reliability: Reliability

    def of_cells(self, chosen: Int[np.ndarray, " chosen"]) -> "Calibration":
        """The same, for some cells."""
        return replace(self, probabilities=self.probabilities[chosen], margin=self.margin[chosen])


def halves(n_genes: int) -> Bool[np.ndarray, " genes"]:
    """One of two random halves of the genes, the same every time."""
    chosen = np.zeros(n_genes, bool)
    chosen[np.random.default_rng(0).permutation(n_genes)[: n_genes // 2]] = True
    return chosen


def calibrate(
    first: Float[np.ndarray, "cells components"],
    second: Float[np.ndarray, "cells components"],
    log_weights: Float[np.ndarray, "*cells components"],
    n_genes: int,
) -> Calibration:
    """Find the temperature at which halves of the genes agree as often as they claim.

    Parameters
    ----------
    first, second
        Log-likelihoods of each half under every component, in nats.
    log_weights
        Log weights of the components, or of those of each cell where something is known of it.
    n_genes
        Number of genes.
    """
    pair = [np.asarray(each, np.float64) for each in (first, second)]
    said = [(each + log_weights).argmax(axis=1) for each in pair]
    rows = np.arange(len(said[0]))

    def surprise(log_temperature: float) -> float:
        tempered = (_tempered(each, log_weights, np.exp(log_temperature)) for each in pair)
        of_other = zip(tempered, said[::-1], strict=True)
        return -sum(float(log_softmax(each, axis=1)[rows, other].sum()) for each, other in of_other)

    best = minimize_scalar(surprise, bounds=(0.0, np.log(_WARMEST)), method="bounded")
    temperature = float(np.exp(best.x)) if best.fun < surprise(0.0) else 1.0
    both = pair[0] + pair[1]
    best_two = np.sort(both + log_weights, axis=1)[:, -2:]
    return Calibration(
        temperature=temperature,
        probabilities=softmax(_tempered(both, log_weights, temperature), axis=1).astype(np.float32),
        margin=(best_two[:, 1] - best_two[:, 0]) / n_genes,
        halves_agree=float((said[0] == said[1]).mean()),
        reliability=_reliability(pair, said, log_weights, temperature),
    )


def _tempered(log_likelihoods: np.ndarray, log_weights: np.ndarray, by: float) -> np.ndarray:
    """Only what genes say is overstated, not the weights."""
    return log_likelihoods / by + log_weights


def _reliability(
    pair: list[np.ndarray], said: list[np.ndarray], log_weights: np.ndarray, temperature: float
) -> Reliability:
    tempered = [softmax(_tempered(each, log_weights, temperature), axis=1) for each in pair]
    claimed = np.concatenate([each.max(axis=1) for each in tempered])
    agree = np.concatenate(
        [each.argmax(axis=1) == other for each, other in zip(tempered, said[::-1], strict=True)]
    )
    parts = [
        part for part in np.array_split(np.argsort(claimed, kind="stable"), _N_PARTS) if part.size
    ]
    means = ([values[part].mean() for part in parts] for values in (claimed, agree))
    return Reliability(*map(np.asarray, means))
