"""The knee of simulated droplets, of which it is known which hold a cell."""

import numpy as np
import pytest

import scribeviz
from scribeviz.data.counts import plain_counts
from scribeviz.data.droplets import above_knee, empty_droplets, knee, knee_of, looks_unfiltered


def droplets(cells, depth, scatter, empty, ambient):
    """Totals of droplets, the cells first; as many again hold next to nothing."""
    rng = np.random.default_rng(0)
    totals = [depth * np.exp(scatter * rng.normal(size=cells))]
    totals += [ambient * np.exp(0.4 * rng.normal(size=empty)), np.ones(empty)]
    return rng.poisson(np.concatenate(totals)).astype(float)


@pytest.mark.parametrize(
    ("cells", "depth", "scatter", "empty", "ambient"),
    [
        (3_000, 5_000, 0.5, 300_000, 20),
        (300, 2_000, 0.6, 30_000, 30),
        (5_000, 800, 0.5, 100_000, 10),
        (10_000, 4_000, 0.4, 50_000, 300),
        (60, 3_000, 0.4, 3_000, 30),
    ],
)
def test_the_knee_divides_cells_from_empty_droplets(cells, depth, scatter, empty, ambient):
    totals = droplets(cells, depth, scatter, empty, ambient)
    above = totals >= knee(totals)
    assert above[:cells].mean() > 0.99
    assert above[cells:].sum() < 0.01 * cells
    shuffled = np.random.default_rng(1).permutation(totals)
    assert knee(shuffled) == knee(totals)


def test_cells_alone_are_all_above_it():
    totals = droplets(2_700, 2_400, 0.4, 0, 1)
    assert (totals >= knee(totals)).all()


@pytest.mark.parametrize("totals", [[5.0], [7.0] * 30, [1.0] * 200, [0.0, 0.0, 3.0]])
def test_there_is_a_knee_in_any_data(totals):
    assert 1 <= knee(np.array(totals)) <= max(totals)


@pytest.fixture(scope="module")
def raw():
    totals = droplets(200, 2_000, 0.5, 1_500, 20)
    return plain_counts(totals[:, None].astype(int), name="raw.h5")


def test_empty_droplets_are_told_in_a_sentence(raw):
    assert looks_unfiltered(raw)
    assert above_knee(raw) == 200
    sentence = empty_droplets(raw)
    assert sentence.startswith("3,000 of the 3,200 barcodes of raw.h5 look like empty droplets")
    assert f"{knee_of(raw):,} counts" in sentence


def test_cells_are_not_taken_for_empty_droplets(raw):
    cells = scribeviz.CellFilter(min_counts=knee_of(raw)).apply(raw)
    assert cells.n_cells == 200
    assert empty_droplets(cells) == ""
    assert empty_droplets(scribeviz.demo()) == ""
    shallow = plain_counts(np.random.default_rng(0).poisson(0.5, (500, 60)))  # a panel of genes
    assert empty_droplets(shallow) == ""


def test_a_fit_of_empty_droplets_is_warned_of(raw):
    with pytest.warns(UserWarning, match=r"empty droplets.*CellFilter\(min_counts="):
        scribeviz.fit(raw, "poisson", n_steps=2, progress=False)
