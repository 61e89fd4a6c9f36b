"""What follows from counts is worked out once: it is asked for at every move of a slider."""

from collections.abc import Callable
from functools import wraps
from weakref import WeakKeyDictionary

from scribeviz.data.counts import Counts


def once_per_counts[T](work: Callable[[Counts], T]) -> Callable[[Counts], T]:
    """Remember what ``work`` gave for some counts for as long as these live."""
    known: WeakKeyDictionary[Counts, T] = WeakKeyDictionary()

    @wraps(work)
    def remembered(counts: Counts) -> T:
        if counts not in known:
            known[counts] = work(counts)
        return known[counts]

    return remembered
