"""Where a negative binomial fit starts: the moments of the data, group of cells by group."""

import numpy as np
from jaxtyping import Int
from scipy.optimize import minimize_scalar
from scipy.special import expit, gammaln, logit

from scribeviz.data.counts import Counts
from scribeviz.data.tables import distinct_pairs
from scribeviz.models.likelihood import Start, StartSettings
from scribeviz.models.moments import grouped

_FIRST_GATES = (0.02, 0.9)
_SPREAD_OF_GATES = 0.5  # log odds
_MOST_CAPTURE = 0.9
_BEND = 0.02  # step of the second difference, in log odds


def start(
    counts: Counts,
    group_of_cell: Int[np.ndarray, " cells"],
    settings: StartSettings,
    *,
    has_gate: bool,
    has_capture: bool,
) -> Start:
    """Natural parameters, and spreads on the free scale.

    Parameters
    ----------
    counts
        The data, every gene with at least one count.
    group_of_cell
        The component of each cell.
    settings
        What the posterior looks like.
    has_gate, has_capture
        Whether zeros are inflated, and whether cells differ in capture.
    """
    depth = np.ones(counts.n_cells)
    if has_capture:
        depth = np.maximum(counts.cell_totals, 1) / np.maximum(counts.cell_totals, 1).mean()
    k = settings.n_components
    groups, depths, totals, means = grouped(counts, group_of_cell, k, depth)
    log_odds, odds_spread = _likeliest_log_odds(groups, depths, means)
    log_r, p = np.log(means) - log_odds, expit(log_odds)
    spread = 1 / np.sqrt(1 + totals * (1 - p))
    if not settings.along_odds:
        # A mean-field guide must stay where r does: as far as one beta posterior would spread.
        odds_spread = 1 / np.sqrt((1 - p) * (1 + totals.sum()))
    odds_spreads = np.full(() if settings.shared_odds else k, odds_spread)
    natural = {"log_odds": np.full(k, log_odds), "log_r": log_r}
    spreads = {"p": odds_spreads, "phi": odds_spreads, "r": spread, "mu": spread}
    if has_gate:
        natural["gate_logit"] = _gate_logits(groups, log_r, log_odds)
        spreads["gate"] = np.full(log_r.shape, _SPREAD_OF_GATES)
    if has_capture:
        # No cell may start beyond what can be captured.
        level = min(settings.mean_capture, _MOST_CAPTURE / depth.max())
        capture = np.minimum(depth * level, _MOST_CAPTURE)
        natural["log_depth"] = np.log(capture)
        # Captured depth and odds together give the level that was found above.
        natural["log_odds"] = natural["log_odds"] - np.log(capture.mean())
        of_capture = 1 / ((1 - capture) * np.sqrt(1 + counts.cell_totals * (1 - p)))
        spreads |= {"p_capture": of_capture, "phi_capture": of_capture}
    return Start(natural, spreads)


def _gate_logits(groups: list[Counts], log_r: np.ndarray, log_odds: float) -> np.ndarray:
    """Dropouts that explain the zeros which a negative binomial of this mean does not."""
    log_zero = -np.exp(log_r) * np.logaddexp(0, log_odds)
    seen = np.stack([np.diff(group.columns.indptr) / max(group.n_cells, 1) for group in groups])
    excess = (1 - seen - np.exp(log_zero)) / -np.expm1(log_zero)
    return logit(np.clip(excess, *_FIRST_GATES))


def _likeliest_log_odds(
    groups: list[Counts], depths: list[np.ndarray], means: np.ndarray
) -> tuple[float, float]:
    """The log odds of success that fit best while each gene keeps its mean, and their spread.

    Pooled variance over mean would be simpler, but it listens to the few loudest genes only.
    ``depths`` are relative depths of the cells: their odds are those of an average cell times it.
    """
    pairs = [distinct_pairs(group) for group in groups]

    def misfit(log_odds: float) -> float:
        r = means * np.exp(-log_odds)
        log_likelihood = 0.0
        for i, (group, seen, depth) in enumerate(zip(groups, pairs, depths, strict=True)):
            of_pair = r[i, seen.gene]
            rising = seen.repeats * (gammaln(seen.value + of_pair) - gammaln(of_pair))
            eta = log_odds + np.log(depth)
            hits = -(group.cell_totals @ np.logaddexp(0, -eta))
            misses = -r[i].sum() * np.logaddexp(0, eta).sum()
            log_likelihood += rising.sum() + hits + misses
        return -log_likelihood

    best = minimize_scalar(misfit, bounds=(-6.0, 6.0), method="bounded", options={"xatol": 1e-3})
    bend = (misfit(best.x + _BEND) - 2 * misfit(best.x) + misfit(best.x - _BEND)) / _BEND**2
    return float(best.x), float(1 / np.sqrt(max(bend, 1.0)))
