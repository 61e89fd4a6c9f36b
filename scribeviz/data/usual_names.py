"""What genes are usually called, such as CD20 for MS4A1: symbols of man and mouse by these names.

To add one: a line of ``usual_names.tsv``.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon"}


def symbols_of(name: str) -> tuple[str, ...]:
    """Symbols of the genes that are usually called so; none where no such name is known.

    Case, blanks and hyphens do not count.

    Examples
    --------
    >>> symbols_of("cd20"), symbols_of("PD1"), symbols_of("p 53"), symbols_of("MS4A1")
    (('MS4A1', 'Ms4a1'), ('PDCD1', 'Pdcd1'), ('TP53', 'Trp53'), ())
    """
    return _by_name().get(_plain(name), ())


@cache
def _by_name() -> Mapping[str, tuple[str, ...]]:
    text = files(__package__).joinpath("usual_names.tsv").read_text(encoding="utf-8")
    table: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines()[1:]:
        names, of_man, of_mouse = line.split("\t")
        human = of_man.split()
        mouse = of_mouse.split() or [symbol.capitalize() for symbol in human]
        for name in names.split(", "):
            table[_plain(name)] = (*human, *mouse)
    return table


def _plain(name: str) -> str:
    for letter, spelled in _GREEK.items():
        name = name.replace(letter, spelled)
    return "".join(name.casefold().replace("-", " ").replace("_", " ").split())
