"""What a network was trained on, and how it is found again in an AnnData."""

from dataclasses import dataclass
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from scribeviz._cards import shown_by_fields
from scribeviz.networks.arrays import Matrix, Survey, limits

_TOLERANCE = 1e-5  # beyond 0 and 1: rounding


@shown_by_fields
@dataclass(frozen=True, slots=True)
class Features:
    """What a network was trained on.

    Attributes
    ----------
    n
        How many features.
    low, high
        Smallest and largest of their values.
    layer
        Where they were, None for X.
    names
        Of the genes, in the order of the network; None when they are not known.
    """

    n: int
    low: float
    high: float
    layer: str | None
    names: np.ndarray | None = None

    @classmethod
    def of(cls, adata: ad.AnnData, matrix: Matrix, layer: str | None) -> "Features":
        """Those of cells that are about to be trained on."""
        if not adata.var_names.is_unique:
            raise ValueError(
                "some genes have the same name; adata.var_names_make_unique() tells them apart."
            )
        names = adata.var_names.to_numpy(dtype=object)
        return cls(matrix.shape[1], *limits(matrix), layer, names)

    @classmethod
    def seen(cls, names: Survey, layer: str | None) -> "Features":
        """Those of minibatches, without names."""
        return cls(names.n_features, names.low, names.high, layer)

    @property
    def unit(self) -> bool:
        """Whether their values lie between 0 and 1."""
        return _is_unit(self.low, self.high)

    def found_in(self, adata: ad.AnnData, layer: str | None) -> tuple[Matrix, np.ndarray]:
        """The matrix of these features in other cells, and its columns in the network's order.

        Raises
        ------
        ValueError
            If genes are missing or new, or if values leave the range that was trained on.
        """
        matrix = matrix_of(adata, layer)
        columns = self._columns(adata)
        low, high = limits(matrix)
        if self.unit and not _is_unit(low, high):
            raise ValueError(
                f"{_place(layer)} holds values from {low:.3g} to {high:.3g}, and the network was "
                "trained on values between 0 and 1; scale these cells with the scale of the "
                "training cells (scribeviz.networks.arrays.UnitScale)."
            )
        return matrix, columns

    def _columns(self, adata: ad.AnnData) -> np.ndarray:
        if self.names is None:
            if adata.n_vars != self.n:
                raise ValueError(
                    f"the network was trained on {self.n:,} features, and adata has "
                    f"{adata.n_vars:,}."
                )
            return np.arange(self.n)
        columns = adata.var_names.get_indexer_for(pd.Index(self.names))
        missing, new = self.names[columns < 0], adata.var_names.difference(pd.Index(self.names))
        if missing.size or new.size or adata.n_vars != self.n:
            raise ValueError(
                f"the network was trained on {self.n:,} genes; of them adata lacks "
                f"{_listed(missing)}, and it has {_listed(new)} besides. Pick the same genes."
            )
        return columns


def matrix_of(adata: Any, layer: str | None) -> Matrix:
    """The values of a layer (None: X), rows by cell.

    Raises
    ------
    TypeError, ValueError
        If there is no such layer, or if it holds what is not a finite number.
    """
    if not isinstance(adata, ad.AnnData):
        raise TypeError(f"adata is an AnnData; got {type(adata).__name__}.")
    if adata.isbacked:
        raise ValueError("adata is still on disk; pass adata.to_memory().")
    layers: Any = adata.layers
    if layer is not None and layer not in layers:
        allowed = ", ".join(repr(name) for name in layers if name is not None) or "none"
        raise ValueError(
            f"adata has no layer {layer!r} (it has: {allowed}); name one, or layer=None for X."
        )
    values: Any = adata.X if layer is None else layers[layer]
    if values is None or 0 in values.shape:
        raise ValueError(f"{_place(layer)} is empty.")
    matrix: Any = sp.csr_array(values) if sp.issparse(values) else np.asarray(values)
    numbers = matrix.data if sp.issparse(matrix) else matrix
    if numbers.dtype.kind not in "fiub" or not np.isfinite(numbers).all():
        raise ValueError(f"{_place(layer)} holds values that are not finite numbers.")
    return matrix


def _is_unit(low: float, high: float) -> bool:
    return low >= -_TOLERANCE and high <= 1 + _TOLERANCE


def _place(layer: str | None) -> str:
    return "adata.X" if layer is None else f"adata.layers[{layer!r}]"


def _listed(names: Any) -> str:
    if len(names) == 0:
        return "none"
    shown = ", ".join(map(str, names[:3])) + (", …" if len(names) > 3 else "")
    return f"{len(names):,} ({shown})"
