"""Read a text file of counts: a table of cells and genes, or a long one of gene, cell and count."""

from pathlib import Path
from typing import TYPE_CHECKING

from scribeviz.data.long_tables import read_long_table
from scribeviz.data.text_tables import read_table

if TYPE_CHECKING:
    from anndata import AnnData


def read_text(path: Path) -> "AnnData":
    """Read a text table of counts, wide or long."""
    long = read_long_table(path)
    return read_table(path) if long is None else long
