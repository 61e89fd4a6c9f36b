"""How large an array may be that somebody asks for; known before it is made."""

import math

import numpy as np
from numpy.typing import DTypeLike

BUDGET_BYTES = 2_000_000_000
_GB = 1e9


class MemoryBudgetError(ValueError):
    """An array would be larger than allowed; the message says what to ask for instead."""


def check_budget(
    what: str,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    *,
    instead: str,
    budget_bytes: int = BUDGET_BYTES,
) -> None:
    """Raise if an array would take more than ``budget_bytes``; nothing is allocated.

    Parameters
    ----------
    what
        What the array is, in words.
    shape, dtype
        Of the array.
    instead
        What to ask for instead, in words that follow "take".
    budget_bytes
        The most that it may take; 2 GB (2e9 bytes) when left out.

    Raises
    ------
    MemoryBudgetError
        If it would take more.

    Examples
    --------
    >>> check_budget("the draws", (100, 2_000), np.float32, instead="fewer draws")
    """
    # Python integers: NumPy's would wrap around.
    needed = math.prod(int(length) for length in shape) * np.dtype(dtype).itemsize
    if needed > budget_bytes:
        size = " x ".join(f"{length:,}" for length in shape)
        raise MemoryBudgetError(
            f"{what} ({size}) would take {needed / _GB:,.3g} GB, and {budget_bytes / _GB:.3g} GB "
            f"are allowed; take {instead} instead."
        )
