import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import check_grad
from scipy.stats import nbinom

from scribeviz.networks.batches import split_cells
from tests.benchmarks import networks


@pytest.fixture
def written(tmp_path):
    """Two kinds of cells, in a file as both sides read it."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=200)
    x = rng.negative_binomial(2, 2 / (2 + rng.gamma(1, 2, (2, 30))[labels]))
    matrix = sp.csr_array(x[:, x.sum(axis=0) > 0])
    data = networks.Problem(matrix, split_cells(200, validation=0.1, seed=3), labels, "all")
    path = tmp_path / "data.npz"
    data.write(path)
    return data, path


def test_independent_genes_are_of_largest_likelihood():
    rng = np.random.default_rng(0)
    totals = rng.integers(500, 1_500, (2_000, 1))
    shares = np.array([0.01, 0.29, 0.7])
    theta = np.array([0.5, 2.0, 50.0])
    mean = shares * totals
    x = rng.negative_binomial(theta, theta / (theta + mean))
    train, validation = np.split(np.arange(2_000), [1_000])
    nb, poisson = networks.independent(sp.csr_array(x), train, validation)
    exposure = x.sum(axis=1, keepdims=True)
    truth = -nbinom.logpmf(x, theta, theta / (theta + shares * exposure))[validation].sum(axis=1)
    # Totals are those that were drawn, so the truth of the simulation is no longer the best.
    assert nb < truth.mean()
    assert nb < poisson


def test_the_slopes_of_independent_genes():
    x, exposure = np.array([0.0, 1.0, 7.0, 0.0]), np.array([10.0, 20.0, 15.0, 12.0])
    wrong = check_grad(
        lambda at: networks._nb_loss(at, x, exposure)[0],
        lambda at: networks._nb_loss(at, x, exposure)[1],
        np.array([-2.0, 0.3]),
    )
    assert wrong < 1e-5


def test_our_side_trains_and_is_shown(written):
    data, path = written
    own = {**networks.our_training(str(path), "nb", 3, 3, n_samples=0), "marginal": -99.0}
    assert len(own["epochs"]) == 3
    assert np.shape(own["z"]) == (200, 10)
    rows = list(networks.training_rows("nb", own, None, 100.0, data.labels))
    assert rows[0].found == f"{own['loss']:.1f}"
    other = own | {"seconds": 4 * own["seconds"]}
    rows = list(networks.training_rows("nb", own, other, 100.0, data.labels))
    assert any(row.wanted == "yes: 0.25x <= 0.5x" for row in rows)


def test_another_split_is_refused(written):
    _, path = written
    with pytest.raises(ValueError, match="same cells"):
        networks.our_training(str(path), "nb", 1, 4)


def test_steps_are_those_between_batches_of_an_epoch(written):
    data, _ = written
    watched = networks.Watched(data.matrix, data.split, 60)
    for _ in range(2):
        list(watched.train_batches())
    assert len(watched.steps) == 2 * (180 // 60 - 1)


def test_seconds_until():
    epochs = [(1.0, 9.0), (2.0, 7.0), (3.0, 7.5)]
    assert networks.seconds_until(epochs, 7.5) == 2.0
    assert networks.seconds_until(epochs, 6.0) is None
