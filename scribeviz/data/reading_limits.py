"""How much reading one file may take of the machine."""

import os
from dataclasses import dataclass

import psutil

from scribeviz.data.counts import CountsError

MEMORY_SETTING = "SCRIBEVIZ_READ_MEMORY_GB"
SECONDS_SETTING = "SCRIBEVIZ_READ_SECONDS"

_LEAST_MEMORY = 2**30
_MEMORY_PER_BYTE = 60  # compressed counts, the same as float64 and int64, and a copy of each
_LEAST_SECONDS = 2.0
_SECONDS_PER_BYTE = 4e-6
# Other programs may have the processors, or a disk be slow.
_WAITING_PER_WORKING_SECOND = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingLimits:
    """What reading one file may take.

    Attributes
    ----------
    memory
        In bytes.
    seconds
        Of processor time.
    """

    memory: int
    seconds: int

    @property
    def patience(self) -> float:
        """Seconds on the clock after which it is given up, at work or not."""
        return float(self.seconds * _WAITING_PER_WORKING_SECOND)

    @classmethod
    def of(cls, size: int) -> "ReadingLimits":
        """Limits for so many bytes on disk, unless the environment says others.

        Raises
        ------
        CountsError
            If the environment says something else than a number.
        """
        enough = min(_LEAST_MEMORY + _MEMORY_PER_BYTE * size, psutil.virtual_memory().total)
        memory = _setting(MEMORY_SETTING, enough / 2**30)
        seconds = _setting(SECONDS_SETTING, _LEAST_SECONDS + _SECONDS_PER_BYTE * size)
        return cls(memory=int(memory * 2**30), seconds=max(1, round(seconds)))


def _setting(name: str, default: float) -> float:
    given = os.environ.get(name)
    try:
        value = default if given is None else float(given)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise CountsError(f"{name}={given!r} is no number above 0; start the server with another.")
    return value
