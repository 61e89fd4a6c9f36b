"""What the values of a matrix are: counts, nearly counts, or what they may be instead."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scribeviz._cards import shown_by_fields
from scribeviz.data.counts import CountsError

Rounding = Literal["nearest", "stochastic"]
ROUNDINGS: tuple[Rounding, ...] = ("nearest", "stochastic")

_LARGEST = np.iinfo(np.int32).max
_TOO_LARGE = _LARGEST + 1  # float32 has this number, and not the one before
# ln(1 + 10^6) is 14: no logarithm of normalised counts is larger than this.
_LARGEST_LOGARITHM = 20
# Of float32, through log1p and expm1 and back: far more than its error, far less than a fraction.
_DUST = 1e-5
_MOST_DUST = 0.05
# What tells corrected counts from normalised ones needs some values, and not all of many.
_FEWEST_VALUES, _LOOKED_AT = 20, 200_000
_SHARE_OF_WHOLE = 0.05
_RAW = "Raw counts are needed: whole numbers of molecules (UMIs), 0 and up."
_ROUND = "Take the counts before the correction, or round them."
_ROUND_IN_PYTHON = (
    "To round them, give rounding='stochastic' or rounding='nearest' to scribeviz.as_counts or "
    "scribeviz.read."
)
_LOGARITHMS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "natural logarithms": np.expm1,
    "logarithms to base 2": lambda x: np.exp2(x) - 1,
    "logarithms to base 10": lambda x: 10**x - 1,
}


@shown_by_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way in which values are not counts.

    Attributes
    ----------
    phrase
        What they are.
    marks
        Which values are so.
    likely
        From the values: what they may be instead, as a verb and what follows.
    """

    phrase: str
    marks: Callable[[np.ndarray], np.ndarray]
    likely: Callable[[np.ndarray], str]


def fault_of(values: np.ndarray) -> Fault | None:
    """The most telling way in which values are not counts; None if they are."""
    if _all_counts(values):
        return None
    return next(fault for fault in _FAULTS if fault.marks(values).any())


def whole(
    counts: sp.csr_array,
    rounding: Rounding | None,
    *,
    var: pd.DataFrame,
    obs: pd.DataFrame,
    subject: str,
) -> tuple[sp.csr_array, list[str]]:
    """Counts as whole numbers, and what the user should know of how they became so.

    Parameters
    ----------
    counts
        As they came.
    rounding
        What to do with fractions: ``"nearest"``, ``"stochastic"`` (up with the probability of the
        fraction, so that expected counts stay; the same every time), or None: refuse them.
    var, obs, subject
        To name the first value that is no count.

    Raises
    ------
    CountsError
        If there are none, or some are negative, infinite, missing, or above ``2**31 - 1``, or
        fractions that are not to be rounded; ``can_round`` says whether rounding makes sense.
    """
    if rounding not in {None, *ROUNDINGS}:
        choices = " or ".join(map(repr, ROUNDINGS))
        raise ValueError(f"rounding={rounding!r} is not known; choose {choices}.")
    if not counts.nnz:
        raise CountsError(f"{subject} holds nothing but zeros; there is nothing to fit.")
    fault = fault_of(counts.data)
    if fault is None:
        return _of_integers(counts), []
    if fault is _FRACTIONS:
        if _is_dust(counts.data):
            note = (
                "Counts were whole but for errors of rounding (up to "
                f"{np.abs(counts.data - np.rint(counts.data)).max():.1g}); they were made whole."
            )
            return _of_integers(_rounded(counts, "nearest")), [note]
        if rounding is not None:
            n_fractions = int(fault.marks(counts.data).sum())
            way = "to the nearest whole number" if rounding == "nearest" else "at random"
            note = (
                f"{n_fractions:,} of {counts.nnz:,} values were fractions and were rounded {way} "
                f"(rounding={rounding!r}): scatter that was corrected away does not come back."
            )
            return _of_integers(_rounded(counts, rounding)), [note]
    first = int(np.argmax(fault.marks(counts.data)))
    cell = int(np.searchsorted(counts.indptr, first, side="right")) - 1
    place = at(cell, int(counts.indices[first]), var, obs)
    can_round = fault is _FRACTIONS and _is_corrected(counts.data)
    advice = _ROUND if can_round else _RAW
    refusal = CountsError(
        f"{subject} holds {fault.phrase} (first: {counts.data[first]:.6g} for {place}), "
        f"so it is not raw counts; it {fault.likely(counts.data)}. {advice}",
        can_round=can_round,
    )
    if can_round:  # under a traceback; a page has a button instead
        refusal.add_note(_ROUND_IN_PYTHON)
    raise refusal


def why_not_counts(values: np.ndarray) -> str:
    """What keeps values from being counts, in a phrase; empty if nothing does."""
    if not values.any():
        return "holds nothing but zeros"
    fault = fault_of(values)
    if fault is None or (fault is _FRACTIONS and _is_dust(values)):
        return ""
    return f"holds {fault.phrase} ({fault.likely(values)})"


def at(cell: int, gene: int, var: pd.DataFrame, obs: pd.DataFrame) -> str:
    """A place of the matrix in words."""
    return f"gene {str(var.index[gene])!r} in cell {str(obs.index[cell])!r}"


def _rounded(counts: sp.csr_array, rounding: Rounding) -> sp.csr_array:
    values = counts.data.astype(np.float64)
    if rounding == "stochastic":
        values = np.floor(values + np.random.default_rng(0).random(values.size))
    return sp.csr_array((np.rint(values), counts.indices, counts.indptr), shape=counts.shape)


def _of_integers(counts: sp.csr_array) -> sp.csr_array:
    made = sp.csr_array(
        (counts.data.astype(np.int32), counts.indices, counts.indptr), shape=counts.shape
    )
    made.eliminate_zeros()
    return made


def _all_counts(values: np.ndarray) -> bool:
    """One pass in small blocks that ends at the first value that is not a count."""
    step = 2**20
    for start in range(0, values.size, step):
        block = values[start : start + step]
        good = (block >= 0) & (block < _TOO_LARGE)
        if block.dtype.kind == "f":
            good &= block == np.rint(block)
        if not good.all():
            return False
    return True


def _is_dust(values: np.ndarray) -> bool:
    """Whether all fractions are errors of rounding."""
    off = np.abs(values - np.rint(values))
    return bool((off <= np.minimum(_DUST * (1 + values), _MOST_DUST)).all())


def _is_corrected(values: np.ndarray) -> bool:
    """Whether fractions come from a correction of counts rather than from normalising cells."""
    values = _some(values)
    if values.size < _FEWEST_VALUES or _logarithms(values):
        return False
    return bool((values == np.rint(values)).mean() >= _SHARE_OF_WHOLE)


def _logarithms(values: np.ndarray) -> str:
    """Of which kind of logarithm of 1 + count these are; empty if of none."""
    if values.max(initial=0) < _LARGEST_LOGARITHM and values.size >= _FEWEST_VALUES:
        for name, undo in _LOGARITHMS.items():
            counts = undo(values.astype(np.float64))
            if (np.abs(counts - np.rint(counts)) <= 1e-4 * (1 + counts)).all():
                return name
    return ""


def _some(values: np.ndarray) -> np.ndarray:
    """The first values that are not zero."""
    some = values[:_LOOKED_AT]
    return some[some != 0]


def _range(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return float(finite.min(initial=0)), float(finite.max(initial=0))


def _likely_fractions(values: np.ndarray) -> str:
    _, high = _range(values)
    if name := _logarithms(_some(values)):
        return f"holds {name} of 1 + count (largest value {high:.3g}): undo them to get the counts"
    if _is_corrected(values):
        return (
            "looks corrected (many values are whole): ambient RNA was taken away, or reads were "
            "shared out among genes"
        )
    if high <= 1:
        return f"looks like shares of a total, or scaled to at most 1 (largest value {high:.3g})"
    if high < _LARGEST_LOGARITHM:
        return f"looks log-normalised (largest value {high:.3g})"
    return f"looks normalised or corrected (largest value {high:.6g})"


def _likely_negative(values: np.ndarray) -> str:
    low, high = _range(values)
    if (values == np.rint(values)).all():
        return (
            f"looks as if a background had been taken away (whole numbers from {low:.6g}): take "
            "the counts before that"
        )
    return f"looks scaled or centred (values from {low:.3g} to {high:.3g})"


_FRACTIONS = Fault(
    phrase="fractions",
    marks=lambda values: values != np.rint(values),
    likely=_likely_fractions,
)
# In the order in which they are looked for: the more telling fault first.
_FAULTS = (
    Fault(
        phrase="values that are missing or infinite",
        marks=lambda values: ~np.isfinite(values),
        likely=lambda _: "has to be repaired first: put the count in, or 0 where nothing was seen",
    ),
    Fault(phrase="negative values", marks=lambda values: values < 0, likely=_likely_negative),
    # Before fractions, which may be rounded.
    Fault(
        phrase=f"values above {_LARGEST:,}",
        marks=lambda values: (values > _LARGEST) | (values >= _TOO_LARGE),
        likely=lambda _: "may hold ids or intensities, which no count of molecules reaches",
    ),
    _FRACTIONS,
)
