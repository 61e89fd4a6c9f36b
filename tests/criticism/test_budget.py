import numpy as np
import pytest

from scribeviz.criticism.budget import BUDGET_BYTES, MemoryBudgetError, check_budget


def test_the_message_says_what_how_large_and_what_instead():
    with pytest.raises(MemoryBudgetError) as error:
        check_budget("the draws", (2_000, 2_700, 10_000), np.float32, instead="results[genes]")
    assert str(error.value) == (
        "the draws (2,000 x 2,700 x 10,000) would take 216 GB, and 2 GB are allowed; "
        "take results[genes] instead."
    )
    assert isinstance(error.value, ValueError)


def test_exactly_the_budget_is_allowed():
    check_budget("x", (BUDGET_BYTES,), np.int8, instead="y")
    with pytest.raises(MemoryBudgetError):
        check_budget("x", (BUDGET_BYTES + 1,), np.int8, instead="y")


@pytest.mark.parametrize(("dtype", "fits"), [(np.float32, True), (np.float64, False)])
def test_the_type_counts(dtype, fits):
    if fits:
        check_budget("x", (10, 10), dtype, instead="y", budget_bytes=400)
        return
    with pytest.raises(MemoryBudgetError, match=r"8e-07 GB, and 4e-07 GB are allowed"):
        check_budget("x", (10, 10), dtype, instead="y", budget_bytes=400)


def test_sizes_that_overflow_64_bits():
    shape = tuple(np.array([2**31, 2**31, 2**31]))
    with pytest.raises(MemoryBudgetError):
        check_budget("x", shape, np.float32, instead="y")


def test_nothing_is_small():
    check_budget("x", (0, 10**12), np.float64, instead="y")
