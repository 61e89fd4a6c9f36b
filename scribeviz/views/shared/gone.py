"""A run that a page wanted to read and that is gone, or cannot be read."""

import logging

from scribeviz.runs.damage import DamagedRunError

_LOG = logging.getLogger(__name__)

UNREADABLE = (OSError, KeyError, ValueError)
"""What reading a run raises: deleted meanwhile, half of it missing, or of another version."""


def why_unreadable(problem: Exception) -> str:
    """A sentence for the page; the trace goes to the log."""
    if isinstance(problem, DamagedRunError):
        _LOG.warning("a run could not be read", exc_info=problem)
        return f"This run cannot be read. {problem}"
    if isinstance(problem, ValueError):
        return str(problem)  # a sentence of ours: nothing is wrong with the server
    _LOG.error("a run could not be read", exc_info=problem)
    if isinstance(problem, FileNotFoundError):
        return "This run is not on this server any more."
    return "The files of this run are damaged: it cannot be read."
