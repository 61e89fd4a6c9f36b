import numpy as np
import pytest
import scipy.sparse as sp

from scribeviz.networks.batches import (
    Batches,
    CountBatches,
    Split,
    in_order,
    shuffled,
    split_cells,
)

MATRIX = sp.csr_array(np.random.default_rng(0).poisson(1.0, (50, 4)).astype(np.int32))


@pytest.mark.parametrize("labels", [None, np.arange(100) % 7])
@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.0), (0.3, 0.2), (0.0, 0.0)])
def test_parts_never_overlap_and_leave_none_out(validation, test, labels):
    split = split_cells(100, validation=validation, test=test, labels=labels)
    parts = [split.train, split.validation, split.test]
    assert sorted(np.concatenate(parts)) == list(range(100))
    assert split.test.size == pytest.approx(100 * test, abs=4)
    assert split.validation.size == pytest.approx((100 - split.test.size) * validation, abs=4)


def test_the_seed_decides_zero_as_well():
    def train(seed):
        return split_cells(100, validation=0.2, seed=seed).train.tolist()

    assert train(0) == train(0)
    assert train(0) != train(1)


def test_nothing_to_train_on_is_refused():
    with pytest.raises(ValueError, match="leave none to train on"):
        split_cells(1, validation=0.9)


def test_batches_are_of_one_size_and_drawn_without_repeats(rng):
    batches = list(shuffled(np.arange(10, 60), 16, rng))
    assert [b.size for b in batches] == [16, 16, 16]
    seen = np.concatenate(batches)
    assert np.unique(seen).size == 48
    assert seen.tolist() != sorted(seen)
    assert [b.size for b in shuffled(np.arange(5), 16, rng)] == [5]


def test_blocks_in_order_hold_every_cell_once():
    blocks = list(in_order(np.arange(25), 10))
    assert [b.size for b in blocks] == [9, 8, 8]
    assert np.concatenate(blocks).tolist() == list(range(25))
    assert list(in_order(np.zeros(0, int))) == []


@pytest.fixture
def split():
    return split_cells(50, validation=0.2, test=0.1)


def test_a_batch_is_the_rows_of_the_matrix(split):
    batch = CountBatches(MATRIX, split, 8, covariate=np.arange(50)).at(np.array([7, 3]))
    dense = MATRIX.toarray()[[7, 3]]
    np.testing.assert_array_equal(batch.x, dense)
    np.testing.assert_array_equal(batch.library[:, 0], np.maximum(dense.sum(axis=1), 1))
    assert batch.covariate.tolist() == [7, 3]
    assert batch.x.dtype == batch.library.dtype == np.float32
    other = batch.with_library(batch.library * 2)
    np.testing.assert_array_equal(other.library, batch.library * 2)
    assert other.x is batch.x


def test_a_cell_without_counts_has_a_total_of_one(split):
    empty = CountBatches(sp.csr_array((50, 4), dtype=np.int32), split, 8)
    assert empty.at(np.array([0])).library.tolist() == [[1.0]]


def test_training_and_validation_cells_are_those_of_the_split(split):
    data = CountBatches(MATRIX, split, 8, covariate=np.arange(50))  # tells which cell it is
    assert isinstance(data, Batches)
    trained = {int(c) for _ in range(15) for b in data.train_batches() for c in b.covariate}
    assert trained == set(split.train)
    assert [c for b in data.val_batches() for c in b.covariate] == split.validation.tolist()
    assert [c for b in data.test_batches() for c in b.covariate] == split.test.tolist()
    assert not trained & {*split.validation, *split.test}


def test_the_order_of_an_epoch_follows_from_its_number(split):
    def epochs(n, **options):
        data = CountBatches(MATRIX, split, 8, covariate=np.arange(50), **options)
        return [[b.covariate.tolist() for b in data.train_batches()] for _ in range(n)]

    first = epochs(3)
    assert first[0] != first[1]
    assert epochs(2, first_epoch=1) == first[1:]
    assert epochs(1, seed=1) != first[:1]


def test_all_cells_can_be_gone_through_again():
    nobody = Split(*(np.zeros(0, int) for _ in range(3)))
    cells = CountBatches(MATRIX, nobody, 1).all_cells()
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([b.x for b in cells]), MATRIX.toarray())


def test_of_a_huge_matrix_only_a_block_is_dense():
    # 160 GB if it were dense.
    matrix = sp.csr_array(([1], ([7], [3])), shape=(2_000_000, 20_000), dtype=np.int32)
    split = Split(np.arange(100), np.arange(100, 200), np.zeros(0, int))
    data = CountBatches(matrix, split, 10)
    assert next(data.train_batches()).x.shape == (10, 20_000)
    assert next(iter(data.all_cells())).x.shape[0] <= 512
