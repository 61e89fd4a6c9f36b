import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.preprocessing import MinMaxScaler

from scribeviz.networks import arrays
from scribeviz.networks.arrays import ArrayBatches, SetUpOnce, UnitScale, limits, survey
from scribeviz.networks.batches import Split, split_cells


@pytest.fixture
def split():
    return split_cells(50, validation=0.1, test=0.1, seed=3)


def labelled(split, **options):
    """Batches whose x says which cell it is."""
    return ArrayBatches(np.arange(50.0)[:, None], split=split, **options)


def cells_of(batches):
    return [x[:, 0].astype(int).tolist() for x, _ in batches]


def test_training_cells_are_shuffled_anew_in_each_epoch(split):
    batches = labelled(split, batch_size=8)
    epochs = [sum(cells_of(batches.train_batches()), []) for _ in range(2)]  # noqa: RUF017
    assert epochs[0] != sorted(epochs[0])
    assert epochs[0] != epochs[1]
    assert set(epochs[0]) <= set(split.train)
    again = labelled(split, batch_size=8)
    assert cells_of(again.train_batches()) == cells_of(
        labelled(split, batch_size=8).train_batches()
    )
    other = labelled(split, batch_size=8, seed=1)
    assert cells_of(other.train_batches()) != cells_of(again.train_batches())


def test_validation_and_test_cells_are_each_seen_once_and_never_trained_on(split):
    batches = labelled(split)
    trained = {
        cell for _ in range(20) for some in cells_of(batches.train_batches()) for cell in some
    }
    assert trained == set(split.train)
    assert cells_of(batches.val_batches()) == [split.validation.tolist()]
    assert cells_of(batches.test_batches()) == [split.test.tolist()]
    assert not trained & {*split.validation, *split.test}


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (([0, 1], [1], [2]), "1 cells are in more than one part"),
        (([0, 1], [2], [9]), "beyond the 4"),
        (([], [0], [1]), "no cells to train on"),
    ],
)
def test_splits_that_are_none_are_refused(parts, says):
    split = Split(*(np.array(part, int) for part in parts))
    with pytest.raises(ValueError, match=says):
        ArrayBatches(np.zeros((4, 2)), split=split)


def test_of_a_sparse_matrix_only_blocks_are_dense():
    # 160 GB if it were dense.
    cells, genes = 2_000_000, 20_000
    matrix = sp.csr_array(([1.0], ([7], [3])), shape=(cells, genes))
    part = Split(np.arange(50), np.arange(50, 60), np.arange(60, 1000))
    batches = ArrayBatches(matrix, split=part, batch_size=25)
    largest = max(x.size for x, _ in [*batches.train_batches(), *batches.test_batches()])
    assert largest <= arrays.AT_ONCE
    assert survey(batches.in_order(part.train)).mean[3] == pytest.approx(1 / 50)


def test_targets_go_with_their_cells(split):
    batches = ArrayBatches(np.arange(50.0)[:, None], np.arange(50) * 10, split=split)
    for x, y in batches.train_batches():
        np.testing.assert_array_equal(x[:, 0] * 10, y)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_array])
def test_scaling_is_scikit_learns_fitted_on_training_cells_only(rng, split, kind):
    values = rng.poisson(1.0, (50, 6)).astype(float)
    values[:, 2] = 3.0  # one value only
    values[split.test[0], 0] = 1_000.0  # must not be looked at
    scaled = UnitScale.fitted(kind(values), split.train)(kind(values))
    expected = MinMaxScaler(clip=True).fit(values[split.train]).transform(values)
    assert sp.issparse(scaled) == sp.issparse(kind(values))
    found = scaled.toarray() if sp.issparse(scaled) else scaled
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[split.train].max(axis=0)[0] == 1


def test_scaling_refuses_other_features_and_what_would_not_stay_sparse():
    scale = UnitScale.fitted(np.array([[-1.0, 0.0], [1.0, 2.0]]), np.array([0, 1]))
    with pytest.raises(ValueError, match="of 2 features, and the matrix has 3"):
        scale(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="not stay sparse"):
        scale(sp.csr_array(np.zeros((4, 2))))


def test_limits_count_the_zeros_of_a_sparse_matrix():
    values = np.array([[0.0, 2.0], [3.0, 0.0]])
    assert limits(sp.csr_array(values)) == limits(values) == (0.0, 3.0)
    assert limits(sp.csr_array(values + 1)) == (1.0, 4.0)


class Drifting:
    """Data that would be split anew whenever they are set up."""

    def __init__(self):
        self.times = 0

    def setup(self):
        self.times += 1

    def train_batches(self):
        yield np.full((2, 1), self.times), np.full((2, 1), self.times)

    val_batches = test_batches = train_batches


def test_own_data_are_split_once():
    own = Drifting()
    once = SetUpOnce(own)
    once.setup()
    once.setup()
    assert own.times == 1
    assert next(once.test_batches())[0][0, 0] == 1


def test_own_data_lacking_a_method_are_refused():
    with pytest.raises(TypeError, match="setup, train_batches, val_batches and test_batches; list"):
        SetUpOnce([])


@pytest.mark.parametrize(
    ("batches", "kind", "says"),
    [
        ([], ValueError, "no minibatch"),
        ([np.zeros((2, 2))], TypeError, "pair"),
        ([(np.zeros((2, 2)), np.zeros(3))], ValueError, r"shapes \(2, 2\) and \(3,\)"),
        ([(np.full((2, 2), np.nan), np.zeros(2))], ValueError, "not finite"),
    ],
)
def test_minibatches_that_are_none_are_refused(batches, kind, says):
    with pytest.raises(kind, match=says):
        survey(batches)
