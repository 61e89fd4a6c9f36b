"""What every result keeps, whatever was fitted and however."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from scribeviz.criticism.critique import Critique
from scribeviz.criticism.loo import CellScores

if TYPE_CHECKING:
    import xarray as xr
    from anndata import AnnData


@runtime_checkable
class Results(Protocol):
    """A fitted model.

    What a kind of model cannot do raises :class:`scribeviz._offered.NotOfferedError` with a
    sentence.

    Examples
    --------
    >>> import scribeviz
    >>> counts = scribeviz.demo()
    >>> results = scribeviz.fit(counts, "nb", progress=False)
    >>> isinstance(results, scribeviz.Results)
    True
    >>> results.model_type, results.n_cells, results.settled
    ('nb', 700, True)
    """

    def __hash__(self) -> int:
        """Of the object itself."""

    @property
    def model_type(self) -> str:
        """Name of the model."""

    @property
    def n_cells(self) -> int:
        """Number of cells."""

    @property
    def n_genes(self) -> int:
        """Number of genes that were fitted."""

    @property
    def genes(self) -> np.ndarray:
        """Their names."""

    @property
    def left_out_genes(self) -> np.ndarray:
        """Genes that were not fitted: those without counts."""

    @property
    def loss_history(self) -> np.ndarray:
        """Loss of every step, in nats."""

    @property
    def settled(self) -> bool:
        """Whether the fit ended by itself."""

    @property
    def notes(self) -> list[str]:
        """What can and what cannot be read from it, in sentences."""

    @property
    def can_start_others(self) -> bool:
        """Whether a sampler of the same model can start from it."""

    def __getitem__(self, index: Any) -> "Results":
        """Keep some genes."""

    def judged(self, counts: Any, seed: int = 0) -> Iterator[Critique]:
        """Judge every gene, then score cells: first without scores, then complete."""

    def critique(self, counts: Any, seed: int = 0) -> Critique:
        """The last of :meth:`judged`."""

    def gene_table(self, counts: Any) -> pd.DataFrame:
        """All genes, observed beside predicted."""

    def loo(self, counts: Any) -> CellScores:
        """How well unseen cells are predicted."""

    def score_unseen(self, counts: Any) -> CellScores:
        """How well cells are predicted that were not fitted."""

    def start_for(self, cells: np.ndarray, genes: np.ndarray) -> "Results | None":
        """What a fit of some of the cells and genes can start from; None where it starts anew."""

    def to_anndata(
        self,
        adata: "AnnData",
        key_added: str = "scribeviz",
        *,
        misfit: bool = False,
        layer: str | None = None,
    ) -> None:
        """Write into ``adata``, under names that begin with ``key_added``."""

    def to_datatree(self, n_samples: int = 500) -> "xr.DataTree":
        """The posterior for ArviZ."""

    def save(self, path: str | Path) -> None:
        """Write to one HDF5 file."""
