"""Counts that somebody holds in memory need not be read from disk again."""

from dataclasses import replace
from weakref import WeakValueDictionary

from scribeviz.data.counts import Counts

_HELD: WeakValueDictionary[str, Counts] = WeakValueDictionary()


def hold(counts: Counts) -> Counts:
    """Have runs of these counts use them for as long as they live.

    Returns
    -------
    Counts
        The same; where others with the same counts are held, on the matrix of those.
    """
    before = _HELD.get(counts.fingerprint)
    held = counts if before in {None, counts} else replace(counts, matrix=before.matrix)
    _HELD[counts.fingerprint] = held
    return held


def held_counts(fingerprint: str) -> Counts | None:
    """The counts of that fingerprint, if somebody holds them."""
    return _HELD.get(fingerprint)
