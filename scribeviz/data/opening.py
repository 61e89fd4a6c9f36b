"""Open one place of a file, and see what else in it may hold counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scribeviz._storage import read_json, write_json
from scribeviz.data.checks import check_counts
from scribeviz.data.counts import Counts, CountsError
from scribeviz.data.readers import open_file
from scribeviz.data.reading import damage_in_words
from scribeviz.data.sources import count_sources
from scribeviz.data.values import Rounding

if TYPE_CHECKING:
    from anndata import AnnData

_FOUND, _COUNTS = "found.json", "counts.h5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What was found in a file.

    Attributes
    ----------
    sources
        Per place that may hold counts ("X", "raw", layers), why it does not; empty if it does.
    layer
        The place that was looked at.
    counts
        The counts; None if that place does not hold any.
    problem, use_layer, can_round
        Why not, which other place does, and whether rounding makes counts of it.
    """

    sources: Mapping[str, str]
    layer: str
    counts: Counts | None
    problem: str = ""
    use_layer: str | None = None
    can_round: bool = False

    def save(self, folder: Path) -> None:
        """Write into an empty folder."""
        if self.counts is not None:
            self.counts.save(folder / _COUNTS)
        rest = ("layer", "problem", "use_layer", "can_round")
        found = {"sources": dict(self.sources)} | {name: getattr(self, name) for name in rest}
        write_json(folder / _FOUND, found)

    @classmethod
    def load(cls, folder: Path) -> "Opened":
        """Read what :meth:`save` wrote."""
        counts = folder / _COUNTS
        found = read_json(folder / _FOUND)
        return cls(counts=Counts.load(counts) if counts.exists() else None, **found)


def open_counts(path: Path, layer: str = "X", rounding: Rounding | None = None) -> Opened:
    """Take the counts from one place of a file, or say why there are none.

    Parameters
    ----------
    path
        As for :func:`~scribeviz.data.readers.open_file`.
    layer
        ``"X"``, ``"raw"`` or a layer.
    rounding
        What to do with fractions, as for :func:`~scribeviz.data.readers.as_counts`.

    Raises
    ------
    CountsError
        If it cannot be read at all.
    """
    with damage_in_words(path):
        return _place(open_file(path), layer, path.name, rounding)


def _place(adata: "AnnData", layer: str, name: str, rounding: Rounding | None) -> Opened:
    sources = count_sources(adata)
    try:
        counts = check_counts(adata, layer, name=name, rounding=rounding)
    except CountsError as error:
        return Opened(
            sources=sources,
            layer=layer,
            counts=None,
            problem=str(error),
            use_layer=error.use_layer,
            can_round=error.can_round,
        )
    return Opened(sources=sources, layer=layer, counts=counts)
