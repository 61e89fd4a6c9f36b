"""Find a gene by what people call it: its name, its id with or without a version, an alias."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from scribeviz.data.names import without_version

_MOST_NAMED = 5  # in a sentence


class GeneLookup:
    """Which genes a name may mean.

    Parameters
    ----------
    genes
        Their names.
    gene_ids
        A second name of each; left out where there is none.
    aliases
        Further names of each, parted by ``|``; left out where there are none.

    Examples
    --------
    >>> genes = GeneLookup(np.array(["CD3D", "CD8A"]), np.array(["ENSG00000167286.9", "E2"]))
    >>> genes.positions("ENSG00000167286"), genes.positions("cd8a"), genes.positions("CD4")
    ([0], [], [])
    >>> genes.positions("cd8a", any_case=True)
    [1]
    """

    def __init__(
        self,
        genes: np.ndarray,
        gene_ids: np.ndarray | None = None,
        aliases: np.ndarray | None = None,
    ) -> None:
        names = [genes] if gene_ids is None else [genes, gene_ids]
        others: Iterable[str] = () if aliases is None else aliases
        self._genes = genes
        # What is called so goes before what is nearly so.
        self._ways: tuple[tuple[Callable[[str], str], Callable[[], Iterable[Sequence[str]]]], ...]
        self._ways = (
            (str, lambda: zip(genes, strict=True)),
            (str, lambda: zip(*names, strict=True)),
            (without_version, lambda: zip(*names, strict=True)),
            (str, lambda: (each.split("|") for each in others)),
        )
        self._tables: dict[tuple[int, bool], dict[str, list[int]]] = {}

    def positions(self, name: str, *, any_case: bool = False) -> list[int]:
        """Positions of the genes that ``name`` may mean: none, one, or several."""
        for way, (plain, _) in enumerate(self._ways):
            wanted = plain(name.strip())
            if not wanted:
                return []
            places = self._table(way, any_case=any_case).get(
                wanted.casefold() if any_case else wanted
            )
            if places:
                return places
        return []

    def position(self, name: str, where: str) -> int:
        """Position of the one gene that ``name`` means.

        Parameters
        ----------
        name
            What it is called.
        where
            What the genes are those of, for errors.

        Raises
        ------
        KeyError
            If there is none, or if it may be several.
        """
        places = self.positions(name)
        if not places:
            raise KeyError(f"no gene is called {name!r} in {where}.")
        if len(places) > 1:
            raise KeyError(self.ambiguous(name, places))
        return places[0]

    def ambiguous(self, name: str, places: Sequence[int]) -> str:
        """Say that a name may mean several genes."""
        shown = ", ".join(str(self._genes[i]) for i in places[:_MOST_NAMED])
        more = f" and {len(places) - _MOST_NAMED:,} more" if len(places) > _MOST_NAMED else ""
        return f"{name!r} may be any of {len(places):,} genes: {shown}{more}; give one of these."

    def _table(self, way: int, *, any_case: bool) -> dict[str, list[int]]:
        key = (way, any_case)
        if key not in self._tables:
            plain, names_by_gene = self._ways[way]
            table: dict[str, list[int]] = {}
            for i, names in enumerate(names_by_gene()):
                plain_names = filter(None, map(plain, map(str, names)))
                for name in {name.casefold() if any_case else name for name in plain_names}:
                    table.setdefault(name, []).append(i)
            self._tables[key] = table
        return self._tables[key]
