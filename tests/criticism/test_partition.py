"""How much a gene tells about the component: against SciPy, and where the answer is known."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
from scipy.special import expit

from scribeviz.criticism.draws import NaturalDraws
from scribeviz.criticism.partition import component_profiles, gene_information, marking_genes
from scribeviz.data.counts import plain_counts
from tests.criticism.natural import four_axes, short

GENES = 6


@pytest.fixture
def draws(rng):
    """Three components, of which the first two express gene 0 alike, and all of them gene 1."""
    r = rng.gamma(2.0, 2.0, (4, 3, GENES)).astype(np.float32)
    r[:, :, 1] = 2.0
    r[:, :2, 0], r[:, 2, 0] = 1.0, 400.0
    natural = {"r": r, "log_odds": np.zeros((4, 3, 1), np.float32)}
    weights = np.tile([0.5, 0.3, 0.2], (4, 1))
    return NaturalDraws("nbdm", four_axes(natural), weights, np.ones(1), np.zeros(80, int))


@pytest.fixture
def counts(rng):
    matrix = rng.poisson(20.0, (80, GENES))
    matrix[:20, 0] = rng.poisson(400.0, 20)
    return plain_counts(matrix)


def test_information_is_scipys(draws, counts):
    x = np.arange(1_024)
    expected = np.zeros(GENES)
    for gene in range(GENES):
        for d in range(4):
            r = short(draws.natural, "r")[d, :, gene].astype(float)[:, None]
            within = st.nbinom(r, expit(0.0)).pmf(x)
            weights = draws.weights[d]
            mixed = weights @ within
            likely = mixed > 1e-300
            expected[gene] += weights @ st.entropy(within[:, likely].T, mixed[likely, None]) / 4
    found = gene_information(counts, draws)["information"].to_numpy()
    # Counts beyond twice the largest that was seen are not looked at.
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_gene_tells_nothing_everything_or_in_between(draws, counts):
    table = gene_information(counts, draws)
    certain = st.entropy([0.8, 0.2])  # the third component or not
    assert table["information"][1] == pytest.approx(0, abs=1e-5)
    assert table["component"][0] == 2
    assert table["log2_fold"][0] == pytest.approx(np.log2(400), abs=0.01)
    assert table["information"][0] == pytest.approx(certain, rel=0.02)
    assert (table["information"] >= 0).all()
    assert (table["information"] <= st.entropy([0.5, 0.3, 0.2])).all()


def test_each_component_names_its_own_genes():
    genes = pd.DataFrame(
        {
            "gene": list("abcdef"),
            "information": [0.1, 0.9, 0.5, 0.3, 0.2, 0.0],
            "component": [0, 0, 1, 0, 1, 1],
        }
    )
    assert marking_genes(genes, 2)["gene"].tolist() == ["b", "d", "c", "e"]


def test_profiles_are_relative_to_all_cells(draws):
    profiles = component_profiles(draws, np.array([0, 1]))
    overall = 0.8 * 1 + 0.2 * 400
    np.testing.assert_allclose(profiles[:, 0], np.log2([1, 1, 400]) - np.log2(overall), atol=1e-4)
    np.testing.assert_allclose(profiles[:, 1], 0, atol=1e-6)
