import numpy as np
import pytest

from scribeviz.data.counts import CountsError, plain_counts
from scribeviz.networks.unusual import find_unusual


@pytest.fixture(scope="module")
def odd_ones():
    """Two hundred cells of two usual kinds, and five with the genes of both shuffled."""
    rng = np.random.default_rng(0)
    profiles = rng.gamma(0.5, 20.0, (2, 30))
    strange = rng.permuted(profiles[[0] * 5], axis=1)
    means = np.concatenate([profiles[rng.integers(2, size=200)], strange])
    return plain_counts(rng.poisson(means))


def test_odd_cells_have_the_largest_errors(odd_ones):
    found = find_unusual(odd_ones, n_genes=30)
    assert found.x.shape == found.reconstruction.shape == (205, 30)
    assert found.x.min() == 0
    assert found.x.max() == 1
    error = ((found.x - found.reconstruction) ** 2).mean(axis=1)
    assert np.median(error[200:]) > np.quantile(error[:200], 0.95)
    assert found.error < found.error_of_means
    assert found.n_test == 20  # a tenth, rounded


def test_too_few_cells_are_refused_in_a_sentence():
    with pytest.raises(CountsError, match="3 cells and 4 genes are too few"):
        find_unusual(plain_counts(np.ones((3, 4), int)))
