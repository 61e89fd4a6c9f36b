import re

import numpy as np

from scribeviz.plots.strips import residual_strips


def heights(strip):
    """Of the ten bars, in pixels."""
    outline = re.search('d="M0 18(.*)V18z"', strip)[1]
    return [18 - int(top) for top in re.findall("V([0-9]+)h6", outline)]


def test_level_residuals_are_a_level_strip():
    [strip] = residual_strips(np.linspace(0.1, 0.9, 9)[None], 100)
    assert heights(strip) == [6] * 10
    assert "10 expected: 10 10 10 10 10 10 10 10 10 10<" in strip


def test_bars_are_as_high_as_their_share_up_to_the_edge():
    reached = np.array([0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.25])
    [strip] = residual_strips(reached[None], 100)
    assert heights(strip) == [12, 0, 0, 0, 0, 0, 0, 0, 3, 18]
    assert "20 0 0 0 0 0 0 0 5 75<" in strip


def test_the_band_of_chance_narrows_with_the_cells():
    def thick(n_cells):
        [strip] = residual_strips(np.linspace(0.1, 0.9, 9)[None], n_cells)
        return float(re.search('<rect .* height="([0-9.]+)"', strip)[1])

    assert thick(50) > thick(500) > thick(1_000_000) >= 1


def test_strips_of_ten_thousand_genes_stay_small():
    reached = np.sort(np.random.default_rng(0).random((16_634, 9)), axis=1)
    strips = residual_strips(reached, 2_700)
    assert len(strips) == 16_634
    assert max(map(len, strips)) < 600


def test_unknown_residuals_are_drawn_all_the_same():
    [strip] = residual_strips(np.full((1, 9), np.nan), 10)
    assert len(heights(strip)) == 10
