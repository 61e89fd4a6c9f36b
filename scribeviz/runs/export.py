"""A finished run as one AnnData file, to go on with in scanpy."""

import tempfile
from io import BytesIO
from pathlib import Path

import pandas as pd

from scribeviz.results.writing import write_gene_table
from scribeviz.runs.folder import RunFolder

KEY = "scribeviz"


def as_h5ad(run: RunFolder) -> BytesIO:
    """The counts with ``obs``, and what was found, under names that begin with ``scribeviz``.

    Of a custom model only the judgement of the genes: what its parameters mean is not known.
    """
    import anndata

    counts, results = run.counts, run.results
    adata = anndata.AnnData(
        counts.matrix, obs=counts.obs.copy(), var=pd.DataFrame(index=counts.genes)
    )
    adata.obsm.update(counts.embeddings)
    results.to_anndata(adata, KEY)
    write_gene_table(run.critique.genes, adata, KEY)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.h5ad"
        adata.write_h5ad(path)
        return BytesIO(path.read_bytes())
