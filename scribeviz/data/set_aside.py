"""Rows and columns of a matrix that are no cells and no genes: indices, positions, totals, labels.

Tables carry them among the counts.  What they are called decides, and what they hold: a running
number, the sum of all others, one value per block, a number of its own for every cell.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scribeviz._cards import shown_by_fields
from scribeviz.data.names import is_gene, stripped_names


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What tables say of a cell: whole names without separators, in lower case.
_OF_CELLS = _words("""
    cell cellid cellindex cellname cellnumber cellno cellbarcode barcode barcodes cb index
    cluster clusters clusterid clustering seuratclusters louvain leiden kmeans
    celltype celltypes cellline annotation annotations label labels group groups
    phase sscore g2mscore batch batches sample samples sampleid samplename sampletag
    donor donorid patient patientid
    individual subject condition treatment replicate timepoint stage sex gender age tissue organ
    plate plateid well wellid lane library libraryid origident
    doublet doublets doubletscore predicteddoublet sizefactor sizefactors libsize librarysize
    mitoratio total totals umi umis umicount umicounts ncounts ngenes numis depth readcount
    fov slide intissue arrayrow arraycol arrayx arrayy row col rowindex colindex imagerow imagecol
    x y z xcoord ycoord zcoord xpos ypos area cellarea nucleusarea volume cellvolume
""")
# As all that follows of names in lower case: several times quicker than to ignore the case.
_OF_CELLS_LIKE = re.compile(
    r"(?:log1?p?_?)?(?:n|num|number_?of|total|sum)[_. ]?"
    r"(?:counts?|umis?|features?|genes?|molecules?|reads?|transcripts?)(?:[_. ].*|rna|by_counts)?"
    r"|(?:pct|percent|percentage|frac|fraction)[_. ].+|percent(?:mito?|ribo|mt)\w*"
    r"|(?:\w+_)?snn_res\.?[\d.]*|res\.[\d.]+"
    r"|[xyz][_. ]?(?:centroid|location|coord\w*|global\w*|local\w*|slide\w*|position)[\w. ]*"
    r"|(?:center|centroid|coord|coordinate|pos|position|location|spatial)[_. ]?[xyz](?:[_. ]\w+)*"
    r"|pxl_(?:row|col)_in_fullres|(?:min|max)_[xy]|(?:umap|tsne|pc|pca)[_. ]\d+"
    r"|unnamed: \d+"
    # What counting tools sum up at the end of their tables.
    r"|__\w+|n_(?:unmapped|multimapping|nofeature|ambiguous)|unassigned_\w+|assigned|no_feature|\*"
    r"|(?:un)?mapped[_ ]?(?:reads)?|total[_ ](?:reads|counts)"
)
# What tables say of a gene, in the same way.
_OF_GENES = _words("""
    entrezgeneid entrezid entrez entrezgene ncbigeneid geneid genename genesymbol symbol hugosymbol
    hgncid hgncsymbol ensemblid ensemblgeneid ensembl ensg transcriptid feature features featuretype
    description genedescription biotype genebiotype genetype
    length genelength effectivelength efflength transcriptlength width gc gccontent
    percentagegccontent chr chrom chromosome chromosomename start end startposition endposition
    strand
""")
_SEPARATORS = str.maketrans("", "", " _.-\t")
_FEWEST_RUNNING, _FEWEST_DETECTED, _FEWEST_IN_BLOCKS, _FEWEST_OWN = 5, 8, 8, 20
_EDGE = 5  # labels stand at the edges of a table


@shown_by_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Numbers with what is known about their rows (cells) and columns (genes)."""

    matrix: sp.csr_array
    obs: pd.DataFrame
    var: pd.DataFrame


def set_aside(table: Table) -> tuple[Table, list[str]]:
    """Take columns that are no genes into ``obs``, and rows that are no cells into ``var``.

    Returns
    -------
    tuple
        The table without them; sentences that say which they were, and why.
    """
    table, notes = _columns_to_obs(table)
    table, more = _rows_to_var(table)
    return table, notes + more


def _columns_to_obs(table: Table) -> tuple[Table, list[str]]:
    names = stripped_names(table.var.index)
    why = dict.fromkeys(_places_of_cells(names), "by its name")
    rest = [i for i in range(len(names)) if i not in why]
    if rest:
        found = _by_values(table.matrix[:, rest] if why else table.matrix, _taken(names, rest))
        why |= {rest[i]: reason for i, reason in found.items()}
    if not why or len(why) == len(names):
        return table, []
    columns = sorted(why)
    values = table.matrix[:, columns].tocsc()
    about = {_free(names[i], table.obs): _dense(values, j) for j, i in enumerate(columns)}
    kept = np.setdiff1d(np.arange(len(names)), columns)
    obs = pd.concat([table.obs, pd.DataFrame(about, index=table.obs.index)], axis=1)
    left = replace(table, matrix=table.matrix[:, kept], var=table.var.iloc[kept], obs=obs)
    return left, [_sentence("gene", "obs", names, why)]


def _rows_to_var(table: Table) -> tuple[Table, list[str]]:
    names = stripped_names(table.obs.index)
    why = {i: "by its name" for i, name in enumerate(names) if _plain(name) in _OF_GENES}
    if not why or len(why) == len(names):
        return table, []
    rows = sorted(why)
    values = table.matrix[rows].tocsr().T.tocsc()
    about = {_free(names[i], table.var): _dense(values, j) for j, i in enumerate(rows)}
    kept = np.setdiff1d(np.arange(len(names)), rows)
    var = pd.concat([table.var, pd.DataFrame(about, index=table.var.index)], axis=1)
    left = replace(table, matrix=table.matrix[kept], obs=table.obs.iloc[kept], var=var)
    return left, [_sentence("cell", "var", names, why)]


def says_it_is_no_count(name: str) -> bool:
    """Whether the name of a column says that it is about cells or genes and no count."""
    return bool(_places_of_cells([name])) or _plain(name) in _OF_GENES


def _places_of_cells(names: Sequence[str]) -> list[int]:
    """Which names say that they are of cells and no genes."""
    lower = list(map(str.lower, names))
    plain = _plain("\n".join(lower)).split("\n")  # at once: a call per name takes longer
    if len(plain) != len(lower):
        plain = list(map(_plain, lower))
    like = map(_OF_CELLS_LIKE.fullmatch, lower)
    return [i for i, (p, m) in enumerate(zip(plain, like, strict=True)) if m or p in _OF_CELLS]


def _plain(name: str) -> str:
    return name.translate(_SEPARATORS).lower()


def _taken(names: Sequence[str], places: Sequence[int]) -> list[str]:
    return [names[i] for i in places]


def _by_values(matrix: sp.csr_array, names: Sequence[str]) -> dict[int, str]:
    """Columns whose numbers are no counts, and what they are.

    Sums of columns tell which are worth a look, so that this costs one pass over the matrix.
    """
    n_rows, n_columns = matrix.shape
    if n_columns < 4 or n_rows < _FEWEST_RUNNING or not np.isfinite(matrix.data).all():
        return {}
    sums = np.asarray(matrix.sum(axis=0, dtype=np.float64)).ravel()
    filled = np.bincount(matrix.indices, minlength=n_columns)
    edge = np.zeros(n_columns, bool)
    edge[:_EDGE] = edge[-_EDGE:] = True
    detected = np.diff(matrix.indptr)
    rules: tuple[tuple[str, np.ndarray, Callable[[np.ndarray], bool]], ...] = (
        (
            "a running number",
            np.isin(sums, [n_rows * (n_rows - 1) / 2, n_rows * (n_rows + 1) / 2]),
            lambda x: (np.diff(x) == 1).all() and x[0] in {0, 1},
        ),
        (
            "the sum of all others",
            sums == sums.sum() / 2,
            lambda x: (2 * x == _row_sums(matrix)).all(),
        ),
        (
            "the number of genes seen",
            (sums == matrix.nnz - filled) & (n_rows >= _FEWEST_DETECTED),
            lambda x: (x == detected - (x != 0)).all(),
        ),
        ("one value per block of rows", edge & (n_rows >= _FEWEST_IN_BLOCKS), _in_blocks),
        (
            "another large number in every row",
            edge & (filled == n_rows) & (n_rows >= _FEWEST_OWN),
            lambda x: np.unique(x).size == n_rows and x.min() > 10 * _second_largest(matrix),
        ),
    )
    worth = np.flatnonzero(np.any([candidates for _, candidates, _ in rules], axis=0))
    columns = matrix[:, worth].tocsc()
    found: dict[int, str] = {}
    for reason, candidates, holds in rules:
        for j, i in enumerate(worth.tolist()):
            may_be = candidates[i] and i not in found and not is_gene(names[i])
            if may_be and holds(_dense(columns, j)):
                found[i] = reason
    return found


def _row_sums(matrix: sp.csr_array) -> np.ndarray:
    return np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()


def _second_largest(matrix: sp.csr_array) -> float:
    """Of the largest numbers of all columns."""
    return float(np.sort(matrix.max(axis=0).toarray().ravel())[-2])


def _in_blocks(values: np.ndarray) -> bool:
    """1, 1, 1, 2, 2, 3, 3 …: three blocks or more of at least two rows, numbered in order."""
    steps = np.diff(values)
    starts = np.flatnonzero(steps)
    if starts.size < 2 or not (steps[starts] == 1).all() or values[0] not in {0, 1}:
        return False
    lengths = np.diff(np.concatenate([[-1], starts, [values.size - 1]]))
    return bool(lengths.min() >= 2)


def _dense(columns: sp.csc_array, i: int) -> np.ndarray:
    return columns[:, [i]].toarray().ravel()


def _free(name: str, frame: pd.DataFrame) -> str:
    """A name that no column of ``frame`` has."""
    while name in frame.columns:
        name = f"{name}_from_table"
    return name


def _sentence(kind: str, place: str, names: Sequence[str], why: dict[int, str]) -> str:
    # The user's table may lie either way: neither rows nor columns are spoken of.
    by_name = [names[i] for i in sorted(why) if why[i] == "by its name"]
    reasons = [repr(name) for name in by_name[:8]]
    reasons += [f"and {len(by_name) - 8:,} more"] if len(by_name) > 8 else []
    reasons += [f"{names[i]!r} ({why[i]})" for i in sorted(why) if why[i] != "by its name"]
    names_are = f"name among the {kind}s is no {kind}"
    if len(why) > 1:
        names_are = f"names among the {kind}s are no {kind}s"
    was = "was" if len(why) == 1 else "were"
    return f"{len(why):,} {names_are} and {was} set aside into {place}: {', '.join(reasons)}."
