"""Find the one data set in a folder around it, such as the ``outs`` of Cell Ranger."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from scribeviz.data.counts import CountsError

_DEEPEST = 7
_MOST_FOLDERS = 2_000
_MOST_NAMED = 8  # in a sentence

# All barcodes, and those of them that are cells.
_ALL_OR_CELLS = re.compile(r"(?<![^\W_])(?:raw|unfiltered|filtered)(?![^\W_])")
_CELLS = re.compile(r"(?<![^\W_])filtered(?![^\W_])")
# What is written beside the counts of genes, under names that look like them.
_BESIDE = re.compile(
    r"(?:.*/)?(?:\w*molecule_info|\w*(?:peak|tf)_bc_matrix|\w*_posterior|feature_slice)(?:[./].*)?"
    r"|(?:.*/)?(?:SJ|analysis)/.*"
)
_SPLIT = re.compile(r"(?<=/)Velocyto(?=/)|^Velocyto(?=/)")  # STARsolo: the same molecules, in parts
_WHOLE = ("Gene", "GeneFull")


def data_set_in(
    folder: Path, rank_of: Callable[[Path], int | None], advice: str = "choose one of them"
) -> tuple[Path, str] | None:
    """The one data set somewhere in ``folder``, and a sentence about it; None without any.

    Of several versions of the same counts those of cells go before those of all barcodes.

    Parameters
    ----------
    folder
        Is no data set itself.
    rank_of
        None for what is no data set, else a number; those with the lowest are looked at.
    advice
        What to do where there are several.

    Raises
    ------
    CountsError
        If there are several, or too many folders to look into.
    """
    ranks = dict(_ranked(folder, rank_of))
    if not ranks:
        return None
    lowest = min(ranks.values())
    names = {path.relative_to(folder).as_posix(): path for path in ranks if ranks[path] == lowest}
    chosen = _without_versions(names)
    if len(chosen) > 1:
        more = f" and {len(chosen) - _MOST_NAMED:,} more" if len(chosen) > _MOST_NAMED else ""
        raise CountsError(
            f"{folder.name} holds {len(chosen):,} data sets: "
            f"{', '.join(map(repr, chosen[:_MOST_NAMED]))}{more}; {advice}."
        )
    unused = [repr(name) for name in sorted(names) if name not in chosen][:_MOST_NAMED]
    note = f"The counts are those in {chosen[0]!r} of {folder.name}"
    return names[chosen[0]], f"{note}; not used: {', '.join(unused)}." if unused else f"{note}."


def _ranked(folder: Path, rank_of: Callable[[Path], int | None]) -> Iterator[tuple[Path, int]]:
    n_folders = 0
    for parent, folders, files in os.walk(folder):
        n_folders += 1
        if n_folders > _MOST_FOLDERS:
            raise CountsError(
                f"{folder.name} holds more than {_MOST_FOLDERS:,} folders; choose the one among "
                "them that holds the counts."
            )
        go_into = []
        for name in sorted([*folders, *files]):
            path = Path(parent, name)
            if name.startswith(".") or _BESIDE.fullmatch(path.relative_to(folder).as_posix()):
                continue
            rank = rank_of(path)
            if rank is not None:
                yield path, rank
            elif name in folders and len(path.relative_to(folder).parts) < _DEEPEST:
                go_into.append(name)
        folders[:] = go_into


def _without_versions(names: Mapping[str, Path]) -> list[str]:
    """Leave out what holds the same counts as another: all barcodes, copies, parts of them."""
    cells = {_of_any_barcodes(name) for name in names if _CELLS.search(name)}
    kept = [n for n in names if _CELLS.search(n) or _of_any_barcodes(n) not in cells]
    # Of all samples of `cellranger multi` together there are all barcodes only.
    if any("per_sample_outs/" in name for name in kept):
        kept = [name for name in kept if "multi/count/" not in f"/{name}"]
    kept = [
        n for n in kept if not any(_SPLIT.sub(w, n) in names for w in _WHOLE if _SPLIT.search(n))
    ]
    files = {name.removesuffix(".h5") for name in kept if name.endswith(".h5")}
    return sorted(name for name in kept if name not in files)


def _of_any_barcodes(name: str) -> str:
    return _ALL_OR_CELLS.sub("*", name).removesuffix(".h5")
