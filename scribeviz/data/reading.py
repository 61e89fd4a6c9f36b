"""What every reader owes its user: why a file cannot be read, and what was done in reading it."""

import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from scribeviz.data.checks import READING_NOTES

if TYPE_CHECKING:
    from anndata import AnnData

# What readers of other packages raise when a file is not as they expect.
READER_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    RuntimeError,
)


def first_line(error: BaseException, path: Path) -> str:
    """Give the start of what another package said, without the server's folders."""
    text = str(error).replace(f"{path.parent}{os.sep}", "").strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def with_note(adata: "AnnData", note: str) -> "AnnData":
    """Leave a sentence that the user should read beside the counts."""
    adata.uns[READING_NOTES] = [*adata.uns.get(READING_NOTES, []), note]
    return adata
