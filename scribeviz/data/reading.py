"""What every reader owes its user: why a file cannot be read, and what was done in reading it."""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scribeviz.data.checks import READING_NOTES
from scribeviz.data.counts import CountsError

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


class NoMemoryError(CountsError, MemoryError):
    """A file needs more memory than there is."""


@contextmanager
def damage_in_words(path: Path) -> Iterator[None]:
    """Make a sentence of whatever the packages that read ``path`` raise."""
    try:
        yield
    except CountsError:
        raise
    except PermissionError as error:
        raise CountsError(f"{path.name} may not be read: permission was denied.") from error
    except MemoryError as error:
        raise NoMemoryError(f"{path.name} does not fit into the memory of this machine.") from error
    except Exception as error:  # at what they do not expect, they raise anything
        raise CountsError(
            f"{path.name} cannot be read: it is damaged, or of another kind than its name says "
            f"({first_line(error, path)})."
        ) from error


@contextmanager
def told_if_newer(path: Path) -> Iterator[None]:
    """Make a sentence of what anndata raises at a file of a newer one."""
    try:
        yield
    except Exception as error:
        if "No read method registered" in str(error):  # the class of it is private
            raise CountsError(
                f"{path.name} was written in a way that the installed anndata does not know; "
                "update anndata, or write it with an older one."
            ) from error
        raise


def first_line(error: BaseException, path: Path) -> str:
    """Give the start of what another package said, without the server's folders."""
    text = str(error).replace(f"{path.parent}{os.sep}", "").strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def with_note(adata: "AnnData", note: str) -> "AnnData":
    """Leave a sentence that the user should read beside the counts."""
    adata.uns[READING_NOTES] = [*adata.uns.get(READING_NOTES, []), note]
    return adata
