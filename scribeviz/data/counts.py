"""A checked count matrix: sparse counts with their names, and nothing that is not needed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scribeviz._cards import Card, shown_as
from scribeviz._storage import read_arrays, write_arrays
from scribeviz.data.gene_lookup import GeneLookup


class CountsError(ValueError):
    """What came cannot be read as raw counts; the message says why and what to do.

    Attributes
    ----------
    use_layer
        The layer of the same file that does hold counts, when there is one.
    can_round
        Whether these are counts with fractions, which ``rounding`` makes whole.

    Examples
    --------
    >>> import numpy as np
    >>> import scribeviz
    >>> scribeviz.as_counts(np.array([[-1.0, 2.0]]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    scribeviz.data.counts.CountsError: counts holds negative values ...
    """

    def __init__(
        self, message: str, *, use_layer: str | None = None, can_round: bool = False
    ) -> None:
        super().__init__(_plain(message))
        self.use_layer = use_layer
        self.can_round = can_round


class CountsWarning(UserWarning):
    """What was accepted as counts has something that its user should know.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import scribeviz
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", scribeviz.CountsWarning)
    ...     counts = scribeviz.as_counts(np.array([[0.0, 2.0], [1.0, 0.0]]))
    """


def _plain(message: str) -> str:
    """Without what moves the cursor or turns text around, and of a length that is read.

    Names in a file may be anything.
    """
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in message)
    return plain if len(plain) <= 800 else f"{plain[:300]} … {plain[-450:]}"


def _card(counts: "Counts") -> Card:
    """Size and names; nothing is summed over the counts for it."""
    facts = {
        "entries that are zero": f"{counts.sparsity:.1%}",
        "of cells": ", ".join(map(str, counts.obs.columns)) or "nothing is known",
    }
    if counts.embeddings:
        facts["embeddings"] = ", ".join(counts.embeddings)
    if counts.filters:
        facts["filters"] = f"{len(counts.filters)}, one after the other"
    if counts.notes:
        facts["notes"] = f"{len(counts.notes)}"
    return Card(
        title="Counts",
        summary=f"{counts.name}, {counts.n_cells:,} cells x {counts.n_genes:,} genes",
        facts=facts,
        notes=counts.notes,
        next_step="scribeviz.fit(counts)  # or scribeviz.Dashboard(counts)",
    )


@shown_as(_card)
@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """Raw counts (UMIs) of cells and genes, checked where they entered.

    Attributes
    ----------
    matrix
        Shape ``(n_cells, n_genes)``, CSR, ``int32``, sorted, without stored zeros.
    genes, cells
        Unique names, text.
    gene_ids
        A second name per gene (Ensembl), or the same as ``genes``.
    obs
        What is known about the cells, one row per cell.
    name
        What to call the data on screen.
    notes
        What was accepted, but the user should know; one sentence each.
    embeddings
        Where the cells lie in pictures that came with the data, by name (``X_umap``), shape
        ``(n_cells, 2)`` each.
    read_by
        The Python that reads these counts again; empty where nobody knows.
    filters
        What was left out since they were read: settings of
        :class:`~scribeviz.data.cell_filter.CellFilter`, one after the other.
    aliases
        Further names of every gene, parted by ``|``; None where the data tell none.
    mitochondrial
        Which genes the data mark as mitochondrial; None where they mark none.

    Examples
    --------
    >>> import numpy as np
    >>> import scribeviz
    >>> counts = scribeviz.as_counts(np.array([[0, 2, 1], [7, 1, 0]]))
    >>> counts.n_cells, counts.n_genes
    (2, 3)
    >>> counts.cell_totals.tolist()
    [3.0, 8.0]
    >>> counts.gene("gene 2").tolist()
    [2, 1]
    """

    matrix: sp.csr_array
    genes: np.ndarray
    gene_ids: np.ndarray
    cells: np.ndarray
    obs: pd.DataFrame
    name: str
    notes: tuple[str, ...] = field(default=())
    embeddings: Mapping[str, np.ndarray] = field(default_factory=dict)
    read_by: str = ""
    filters: tuple[Mapping[str, Any], ...] = ()
    aliases: np.ndarray | None = field(default=None, repr=False)
    mitochondrial: np.ndarray | None = field(default=None, repr=False)

    @property
    def n_cells(self) -> int:
        """Number of cells (rows)."""
        return self.matrix.shape[0]

    @property
    def n_genes(self) -> int:
        """Number of genes (columns), those without counts included."""
        return self.matrix.shape[1]

    @cached_property
    def cell_totals(self) -> np.ndarray:
        """Counts per cell, float64, shape ``(n_cells,)``."""
        return np.asarray(self.matrix.sum(axis=1, dtype=np.float64)).ravel()

    @cached_property
    def gene_totals(self) -> np.ndarray:
        """Counts per gene, float64, shape ``(n_genes,)``."""
        return np.asarray(self.matrix.sum(axis=0, dtype=np.float64)).ravel()

    @cached_property
    def columns(self) -> sp.csc_array:
        """The same counts by gene (CSC), for everything that looks at one gene."""
        return self.matrix.tocsc()

    @property
    def sparsity(self) -> float:
        """Share of entries that are zero."""
        return 1.0 - self.matrix.nnz / (self.n_cells * self.n_genes)

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change when a count or a name does."""
        digest = hashlib.sha256()
        for part in (self.matrix.indptr, self.matrix.indices, self.matrix.data):
            digest.update(np.ascontiguousarray(part, dtype=np.int64).tobytes())
        for names in (self.genes, self.cells):
            digest.update("\0".join(names).encode())
        return digest.hexdigest()[:12]

    @cached_property
    def depths_fingerprint(self) -> str:
        """Twelve hexadecimal digits that change when the total of a cell does, not with names."""
        return hashlib.sha256(self.cell_totals.tobytes()).hexdigest()[:12]

    def seen_genes(self) -> "Counts":
        """Leave out the genes without any count: no likelihood can learn from them."""
        return self.select_genes(np.flatnonzero(self.gene_totals > 0))

    def select_genes(self, index: np.ndarray) -> "Counts":
        """Keep the genes at ``index`` (integers), in that order.

        Parameters
        ----------
        index
            Positions of the genes, from 0.
        """
        return replace(
            self,
            matrix=_canonical(self.matrix[:, index]),
            genes=self.genes[index],
            gene_ids=self.gene_ids[index],
            aliases=None if self.aliases is None else self.aliases[index],
            mitochondrial=None if self.mitochondrial is None else self.mitochondrial[index],
        )

    def select_cells(self, index: np.ndarray) -> "Counts":
        """Keep the cells at ``index`` (integers), in that order.

        Parameters
        ----------
        index
            Positions of the cells, from 0.
        """
        return replace(
            self,
            matrix=_canonical(self.matrix[index]),
            cells=self.cells[index],
            obs=self.obs.iloc[index],
            embeddings={name: places[index] for name, places in self.embeddings.items()},
            read_by="",
            filters=(),
        )

    def gene(self, name: str) -> np.ndarray:
        """Counts of one gene in all cells, shape ``(n_cells,)``.

        Parameters
        ----------
        name
            As for :meth:`gene_index`.

        Raises
        ------
        KeyError
            If no gene has that name, or if it may be several.
        """
        return self.gene_at(self.gene_index(name))

    def gene_at(self, index: int) -> np.ndarray:
        """Counts of the gene at ``index`` in all cells, shape ``(n_cells,)``."""
        return self.columns[:, [index]].toarray().ravel()

    def gene_index(self, name: str) -> int:
        """Column of the gene ``name``: also its id, with or without a version, or an alias.

        Raises
        ------
        KeyError
            If no gene has that name, or if it may be several.
        """
        return self.lookup.position(name, self.name)

    @cached_property
    def lookup(self) -> GeneLookup:
        """What finds a gene by a name."""
        return GeneLookup(self.genes, self.gene_ids, self.aliases)

    def save(self, path: Path) -> None:
        """Write to one HDF5 file.

        Parameters
        ----------
        path
            A file; one that exists is replaced.
        """
        arrays = {
            "data": self.matrix.data,
            "indices": self.matrix.indices,
            "indptr": self.matrix.indptr,
            "genes": self.genes,
            "gene_ids": self.gene_ids,
            "cells": self.cells,
        }
        of_genes = {"aliases": self.aliases, "mitochondrial": self.mitochondrial}
        arrays |= {name: values for name, values in of_genes.items() if values is not None}
        for i, values in enumerate(self._columns_of_obs()):
            arrays |= {f"obs/{i}/{part}": array for part, array in _column_arrays(values).items()}
        arrays |= {f"obsm/{i}": places for i, places in enumerate(self.embeddings.values())}
        columns = [str(column) for column in self.obs.columns]
        meta: dict[str, Any] = {"name": self.name, "notes": self.notes, "obs": columns}
        meta |= {"shape": list(self.matrix.shape), "obsm": list(self.embeddings)}
        meta |= {"read_by": self.read_by, "filters": list(self.filters)}
        write_arrays(path, arrays, meta)

    def _columns_of_obs(self) -> list[pd.Series]:
        # By position: AnnData lets two columns of obs share a name.
        return [self.obs.iloc[:, i] for i in range(self.obs.shape[1])]

    @classmethod
    def load(cls, path: Path) -> "Counts":
        """Read what :meth:`save` wrote."""
        arrays, meta = read_arrays(path)
        columns = [
            _column_values({part: arrays.get(f"obs/{i}/{part}") for part in _COLUMN_PARTS})
            for i in range(len(meta["obs"]))
        ]
        obs = pd.DataFrame(dict(enumerate(columns)), index=pd.Index(arrays["cells"], dtype=object))
        obs.columns = pd.Index(meta["obs"], dtype=object)
        matrix = sp.csr_array(
            (arrays["data"], arrays["indices"], arrays["indptr"]), shape=meta["shape"]
        )
        return cls(
            matrix=matrix,
            genes=arrays["genes"],
            gene_ids=arrays["gene_ids"],
            cells=arrays["cells"],
            obs=obs,
            name=meta["name"],
            notes=tuple(meta["notes"]),
            embeddings={name: arrays[f"obsm/{i}"] for i, name in enumerate(meta.get("obsm", []))},
            read_by=meta.get("read_by", ""),
            filters=tuple(meta.get("filters", ())),
            aliases=arrays.get("aliases"),
            mitochondrial=arrays.get("mitochondrial"),
        )


def plain_counts(
    matrix: sp.sparray | np.ndarray,
    *,
    genes: Sequence[str] | None = None,
    name: str = "counts",
    obs: pd.DataFrame | None = None,
) -> Counts:
    """Wrap a matrix that is known to hold counts (simulated, say), without checking it.

    Parameters
    ----------
    matrix
        Shape ``(n_cells, n_genes)``.
    genes
        Names; ``gene 1``, ``gene 2`` … when left out.
    name
        What to call the data.
    obs
        What is known about the cells; nothing when left out.
    """
    counts = _canonical(sp.csr_array(matrix, dtype=np.int32))
    n_cells, n_genes = counts.shape
    given = [_made_up(i) for i in range(n_genes)] if genes is None else genes
    names = np.asarray(given, dtype=object)
    cells = np.asarray([f"cell {i + 1}" for i in range(n_cells)], dtype=object)
    metadata = pd.DataFrame(index=cells) if obs is None else obs.set_axis(cells)
    return Counts(matrix=counts, genes=names, gene_ids=names, cells=cells, obs=metadata, name=name)


def are_made_up(genes: np.ndarray) -> bool:
    """Whether these are the names that the genes of a bare matrix get."""
    return len(genes) > 0 and genes[-1] == _made_up(len(genes) - 1)


def _made_up(position: int) -> str:
    return f"gene {position + 1}"


def _canonical(matrix: sp.csr_array) -> sp.csr_array:
    # A copy: SciPy tidies in place, and the arrays may still be the caller's.
    matrix = sp.csr_array(matrix, dtype=np.int32, copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


_COLUMN_PARTS = ("values", "codes", "categories", "text")


def _column_arrays(values: pd.Series) -> dict[str, np.ndarray]:
    """One column of ``obs`` as arrays that HDF5 can hold; :func:`_column_values` undoes it."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        # Categories of any type become text, and may then be the same.
        merged, categories = pd.factorize(values.cat.categories.astype(str).to_numpy(object))
        codes = values.cat.codes.to_numpy()
        joined = np.append(merged, -1)[codes]  # code -1, missing, picks the appended -1
        return {"codes": joined, "categories": categories}
    if pd.api.types.is_bool_dtype(values.dtype) and not values.isna().any():
        return {"values": values.to_numpy(dtype=bool)}
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf":
        return {"values": values.to_numpy()}
    if pd.api.types.is_numeric_dtype(values.dtype) and values.dtype.kind in "iuf":
        return {"values": values.to_numpy(dtype=np.float64, na_value=np.nan)}
    # Text, dates and all else: the distinct texts once, and which row shows which (-1: missing).
    objects = values.to_numpy(dtype=object)  # raw bytes cannot be asked otherwise
    texts = [
        None if missing else str(value)
        for value, missing in zip(objects, pd.isna(objects), strict=True)
    ]
    codes, distinct = pd.factorize(np.array(texts, dtype=object))
    return {"codes": codes, "categories": distinct, "text": np.array([1])}


def _column_values(parts: Mapping[str, np.ndarray | None]) -> np.ndarray | pd.Categorical:
    codes, categories = parts["codes"], parts["categories"]
    if codes is None or categories is None:
        return np.asarray(parts["values"])
    if parts["text"] is None:
        return pd.Categorical.from_codes(codes, pd.Index(categories))
    return np.array([*categories, None], dtype=object)[codes]  # code -1 picks the appended None
