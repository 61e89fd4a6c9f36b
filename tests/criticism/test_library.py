"""Total counts of cells: replicates against sums of simulated genes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from scribeviz.criticism.critique import criticise_replicates
from scribeviz.criticism.draws import NaturalDraws, _grouped
from scribeviz.criticism.library import library_check, library_edges
from scribeviz.data.counts import plain_counts
from tests.criticism.natural import four_axes

CELLS, GENES = 3_000, 60


def draws_of(natural, weights, n_draws=40):
    """A posterior that is sure of its parameters, of cells that are all alike or in groups."""
    arrays = {name: np.tile(value, (n_draws, 1, 1)) for name, value in natural.items()}
    n_groups = arrays["log_odds"].shape[-1]
    group_of_cell = np.arange(CELLS) % n_groups
    shares = np.bincount(group_of_cell) / CELLS
    return NaturalDraws(
        "zinb", four_axes(arrays), np.tile(weights, (n_draws, 1)), shares, group_of_cell
    )


def simulated(rng, natural, weights):
    """Gene by gene and cell by cell, as the model says."""
    n_groups = natural["log_odds"].shape[-1]
    kind = rng.choice(len(weights), CELLS, p=weights)
    r, gate = natural["r"][kind], natural["gate"][kind]
    log_odds = natural["log_odds"][kind, np.arange(CELLS) % n_groups]
    counts = rng.negative_binomial(r, expit(-log_odds)[:, None])
    return plain_counts(counts * (rng.random(counts.shape) >= gate))


@pytest.fixture(params=["one component", "gates and groups"])
def truth(request, rng):
    k, most, n_groups = (1, 0.0, 1) if request.param == "one component" else (2, 0.6, 3)
    natural = {
        "r": rng.gamma(2.0, 1.0, (k, GENES)),
        "gate": rng.uniform(0, most, (k, GENES)),
        "log_odds": rng.normal(logit(0.6), 0.4, (k, n_groups)),
    }
    return natural, np.full(k, 1 / k)


def test_totals_from_the_model_lie_within_its_bands(rng, truth):
    natural, weights = truth
    inside = []
    for seed in range(12):
        check = library_check(simulated(rng, natural, weights), draws_of(natural, weights), seed)
        assert check.observed.sum() == CELLS
        used = check.bands[2] >= 5
        low90, *_, high90 = check.bands
        inside.append(((check.observed >= low90) & (check.observed <= high90))[used])
    assert 0.84 < np.concatenate(inside).mean() < 0.97


def test_cells_that_differ_in_depth_are_not_what_one_depth_predicts(rng, truth):
    natural, weights = truth
    counts = simulated(rng, natural, weights).matrix.toarray()
    deeper = plain_counts(counts * rng.choice([1, 4], (CELLS, 1)))
    check = library_check(deeper, draws_of(natural, weights))
    assert ((check.observed < check.bands[0]) | (check.observed > check.bands[4])).mean() > 0.4


def test_what_lies_beyond_the_bars_is_counted_in_the_last(truth):
    natural, weights = truth
    shallow = plain_counts(np.ones((50, GENES), int))
    check = library_check(shallow, draws_of(natural, weights))
    assert check.observed.sum() == 50
    assert check.bands[2, -1] > 10, "the model's cells are deeper than the bars reach"
    edges = library_edges(shallow)
    assert edges[0] < GENES < edges[-1]
    np.testing.assert_allclose(np.diff(np.log(edges)), np.log(edges[1] / edges[0]))


def test_a_model_that_is_only_simulated_has_totals_too(rng):
    matrix = rng.poisson(3.0, (200, 8))
    counts = plain_counts(matrix)
    alike = criticise_replicates(counts, (rng.poisson(3.0, (200, 8)) for _ in range(60)))
    check = alike.library(counts)
    inside = (check.observed >= check.bands[0]) & (check.observed <= check.bands[4])
    assert inside.mean() > 0.8
    np.testing.assert_allclose(check.bands[2].sum(), 200, rtol=0.1)


def test_cells_of_a_group_do_not_all_have_its_mean(rng):
    """Cells of very different capture, in groups of twenty."""
    log_odds = np.sort(rng.normal(0.0, 1.0, 640))[None, None].astype(np.float32)
    r = np.full((1, 1, 40), 2.0, np.float32)
    counts = plain_counts(rng.negative_binomial(2.0, expit(-log_odds[0, 0])[:, None], (640, 40)))
    grouped, group_of_cell, spread = _grouped(log_odds, 640)
    draws = NaturalDraws(
        likelihood_key="nbvcp",
        natural=four_axes(
            {"r": np.repeat(r, 64, axis=0), "log_odds": np.repeat(grouped, 64, axis=0)}
        ),
        weights=np.ones((64, 1)),
        groups=np.bincount(group_of_cell) / 640,
        group_of_cell=group_of_cell,
        spread=spread,
    )
    with_spread, without = (library_check(counts, d) for d in (draws, replace(draws, spread=None)))

    def inside(check):
        low, *_, high = check.bands
        return ((check.observed >= low) & (check.observed <= high)).mean()

    assert inside(with_spread) > 0.85
    assert inside(with_spread) > inside(without)
