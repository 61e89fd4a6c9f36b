"""What is said where the files of a run cannot be written."""

import errno
import os

CANNOT_WRITE = os.EX_IOERR
"""Exit code of a worker that could not even write how it ended."""

_WHY = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "your quota on this disk is used up; free some space",
    errno.EROFS: "the disk may only be read; have it mounted for writing",
    errno.EACCES: "this server may not write there; have its permissions changed",
}


def why_unwritten(problem: OSError) -> str:
    """A sentence with what can be done; empty where something else is wrong."""
    for number, words in _WHY.items():
        # HDF5 hands on the text alone.
        if problem.errno == number or os.strerror(number) in str(problem):
            return f"The files of this run cannot be written: {words}, then go on."
    return ""
