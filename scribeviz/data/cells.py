"""What scanpy tells of the cells: where they lie, and which genes mark a group of them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from scribeviz.data.counts import Counts

if TYPE_CHECKING:
    from anndata import AnnData

PCA, UMAP = "PCA, computed here", "UMAP, computed here"
LATENT = "UMAP of the latent space"
_GENES, _DIMENSIONS = 2_000, 30
_FEWEST_FOR_UMAP = 20


def embed(counts: Counts, kind: str) -> Float[np.ndarray, "cells 2"]:
    """Place the cells by what they express: normalised, logarithms, most variable genes.

    Parameters
    ----------
    counts
        Raw counts.
    kind
        ``PCA`` (a second) or ``UMAP`` (half a minute, most of it compiling).
    """
    with _quiet():
        import scanpy as sc

        adata = _normalised(counts)
        adata = adata[:, _most_variable(adata, _GENES)].copy()
        n_comps = min(_DIMENSIONS, counts.n_cells - 1, adata.n_vars - 1)
        if n_comps < 2:
            return np.zeros((counts.n_cells, 2), np.float32)
        sc.pp.pca(adata, n_comps=n_comps)
        if kind == PCA or counts.n_cells < _FEWEST_FOR_UMAP:
            return np.asarray(adata.obsm["X_pca"][:, :2], np.float32)
        sc.pp.neighbors(adata)
        sc.tl.umap(adata)
        return np.asarray(adata.obsm["X_umap"], np.float32)


def embed_places(places: Float[np.ndarray, "cells latent"]) -> Float[np.ndarray, "cells 2"]:
    """UMAP of cells that lie in a space of a few dimensions already."""
    if places.shape[1] < 2 or places.shape[0] < _FEWEST_FOR_UMAP:
        return np.pad(places, ((0, 0), (0, 1)))[:, :2].astype(np.float32)
    with _quiet():
        import anndata
        import scanpy as sc

        adata = anndata.AnnData(np.asarray(places, np.float32))
        sc.pp.neighbors(adata, use_rep="X")
        sc.tl.umap(adata)
        return np.asarray(adata.obsm["X_umap"], np.float32)


def markers(counts: Counts, chosen: Int[np.ndarray, " chosen"], most: int = 10) -> pd.DataFrame:
    """Genes that some cells express more than all others do.

    Parameters
    ----------
    counts
        Raw counts.
    chosen
        Positions of at least two cells, and not of all.
    most
        How many genes.

    Returns
    -------
    pandas.DataFrame
        ``gene``, ``log2_fold``, ``within`` and ``elsewhere`` (shares of cells with the gene), by
        scanpy's t-test with overestimated variance on normalised logarithms, clearest first.
    """
    inside = np.zeros(counts.n_cells, bool)
    inside[chosen] = True
    if inside.sum() < 2 or inside.all():
        raise ValueError(
            f"{inside.sum():,} of {counts.n_cells:,} cells were chosen; markers compare two cells "
            "or more with the others."
        )
    with _quiet():
        import scanpy as sc

        adata = _normalised(counts)
        adata.obs["group"] = pd.Categorical(np.where(inside, "chosen", "other"))
        sc.tl.rank_genes_groups(
            adata, "group", groups=["chosen"], method="t-test_overestim_var", n_genes=most
        )
        ranked = sc.get.rank_genes_groups_df(adata, "chosen")
    columns = [counts.gene_index(gene) for gene in ranked["names"]]
    seen = (counts.columns[:, columns] > 0).tocsr()
    return pd.DataFrame(
        {
            "gene": ranked["names"].to_numpy(object),
            "log2_fold": ranked["logfoldchanges"].to_numpy(),
            "within": np.asarray(seen[inside].mean(axis=0)).ravel(),
            "elsewhere": np.asarray(seen[~inside].mean(axis=0)).ravel(),
        }
    )


def variable_expression(counts: Counts, most: int) -> "AnnData":
    """Logarithms of normalised counts of the most variable genes, with ``obs``."""
    with _quiet():
        adata = _normalised(counts)
        adata.obs = counts.obs.copy()
        # A few more share the rank of the last.
        return adata[:, _most_variable(adata, most)[:most]].copy()


def _normalised(counts: Counts) -> "AnnData":
    import anndata
    import scanpy as sc

    adata = anndata.AnnData(counts.matrix.astype(np.float32), var=pd.DataFrame(index=counts.genes))
    sc.pp.normalize_total(adata, target_sum=float(np.median(counts.cell_totals)))
    sc.pp.log1p(adata)
    return adata


def _most_variable(adata: "AnnData", most: int) -> np.ndarray:
    """Positions of the genes whose variance is largest for their mean (Seurat's dispersion)."""
    import scanpy as sc

    if adata.n_vars <= most:
        return np.arange(adata.n_vars)
    sc.pp.highly_variable_genes(adata, n_top_genes=most)
    return np.flatnonzero(adata.var["highly_variable"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep deprecations within these packages from the user, who can do nothing about them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
