"""Pictures so small that each row of a table has one, as SVG text made of numbers alone."""

import numpy as np
from jaxtyping import Float
from scipy.stats import binom

from scribeviz.plots.theme import OBSERVED, PREDICTED

_WIDE, _HIGH = 60, 18  # pixels
_BAR = _WIDE // 10
_TOP = 0.3  # share of cells at the upper edge: three times what is expected


def residual_strips(reached: Float[np.ndarray, "genes 9"], n_cells: int) -> list[str]:
    """Draw how each gene's residuals are distributed over the tenths between 0 and 1.

    Parameters
    ----------
    reached
        Share of the cells whose residual is below 0.1 … 0.9.
    n_cells
        How many cells, for the band of what chance does.
    """
    shares = np.diff(np.nan_to_num(reached), axis=1, prepend=0.0, append=1.0)
    # Pieces of text by height, summed over the bars: quicker than to write ten thousand by hand.
    tops = np.array([f"V{_HIGH - high}h{_BAR}" for high in range(_HIGH + 1)], dtype=object)
    percents = np.array([f" {percent}" for percent in range(101)], dtype=object)
    highs = np.clip(np.rint(shares / _TOP * _HIGH), 0, _HIGH).astype(int)
    outlines = tops[highs].sum(axis=1)
    told = percents[np.clip(np.rint(100 * shares), 0, 100).astype(int)].sum(axis=1)
    chance = _chance(n_cells)
    return [
        f'<svg role="img" width="{_WIDE}" height="{_HIGH}" style="display:block">'
        f"<title>Percent of the cells in each tenth, 10 expected:{text}</title>"
        f'<path d="M0 {_HIGH}{outline}V{_HIGH}z" fill="{OBSERVED}" fill-opacity=".55"/>{chance}'
        "</svg>"
        for outline, text in zip(outlines, told, strict=True)
    ]


def _chance(n_cells: int) -> str:
    """What nine in ten bars do by chance, at least as thick as a line."""
    low, high = binom.ppf((0.05, 0.95), n_cells, 0.1) / n_cells
    middle, thick = _HIGH * (1 - 0.1 / _TOP), max(_HIGH * (high - low) / _TOP, 1.2)
    return (
        f'<rect y="{middle - thick / 2:.1f}" width="{_WIDE}" height="{thick:.1f}" '
        f'fill="{PREDICTED}" fill-opacity=".6"/>'
    )
