"""Columns of alevin-fry that count each gene three times: spliced, unspliced and ambiguous."""

from collections.abc import Sequence

_ENDINGS = {"spliced": "", "unspliced": "-U", "ambiguous": "-A"}


def thirds_of(names: Sequence[str]) -> dict[str, slice]:
    """Which columns are of which kind of molecule; empty unless each gene comes three times.

    Examples
    --------
    >>> thirds_of(["A", "B", "A-U", "B-U", "A-A", "B-A"])["unspliced"]
    slice(2, 4, None)
    >>> thirds_of(["A", "B", "C"])
    {}
    """
    n_genes, rest = divmod(len(names), len(_ENDINGS))
    genes = names[:n_genes]
    repeated = [f"{gene}{ending}" for ending in _ENDINGS.values() for gene in genes]
    if rest or not n_genes or list(names) != repeated:
        return {}
    return {part: slice(i * n_genes, (i + 1) * n_genes) for i, part in enumerate(_ENDINGS)}
