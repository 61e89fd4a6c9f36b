"""Who works on a run: a file in its folder, on which servers of several machines agree.

The worker of a run holds its lease from before the first to after the last thing that it writes,
and touches it every few seconds.  On the same machine the process itself says whether it lives.  Of
another machine neither processes nor clocks are known: there a worker lives while its lease goes on
being touched, as seen from here.
"""

import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from scribeviz._storage import read_json
from scribeviz.runs.damage import checked
from scribeviz.runs.folder import version_of

_NAME = "lease.json"
_SECONDS_BETWEEN_BEATS = 5.0
# Network file systems show the times of files up to a minute late.
SECONDS_OF_SILENCE = 90.0


class LeaseHeldError(RuntimeError):
    """Another process works on the run."""


class LeaseLostError(RuntimeError):
    """The run was given to another worker, or was deleted: this one must write no more."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who works on a run.

    Attributes
    ----------
    host
        The machine; see :func:`this_host`.
    pid, process_started
        The process, and when it started in seconds since 1970; together they identify it there.
    """

    host: str
    pid: int
    process_started: float

    @classmethod
    def of(cls, pid: int) -> "Lease":
        """Of a process of this machine."""
        return cls(host=this_host(), pid=pid, process_started=psutil.Process(pid).create_time())

    @property
    def is_here(self) -> bool:
        """Whether its process can be looked up."""
        return self.host == this_host()

    @property
    def is_running(self) -> bool:
        """Whether its process lives; of this machine only."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.process_started) < 1.0
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@cache
def this_host() -> str:
    """A name of this machine, or of this container, as far as process ids are the same.

    Its host name alone would do if no two machines were called localhost and no container had the
    name of another.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
    with suppress(OSError):
        parts.append(Path("/proc/self/ns/pid").readlink().name.strip("pid:[]"))
    return "/".join(parts)


def holder_of(folder: Path) -> Lease | None:
    """Who works on the run in ``folder``, or None.

    One that cannot be read, as when it is only being written, is nobody's that is known here.
    """
    path = folder / _NAME
    try:
        return checked(Lease, read_json(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        return Lease(host="unknown", pid=0, process_started=0.0)


def take_lease(folder: Path, lease: Lease) -> None:
    """Give the run in ``folder`` to ``lease``; once it is taken, nobody else can.

    Raises
    ------
    LeaseHeldError
        If it is another's.  One of a process of this machine that is gone is nobody's.
    """
    before = holder_of(folder)
    if before == lease:
        return
    if before is not None and before.is_here and not before.is_running:
        drop_lease(folder, before)
    try:
        handle = os.open(folder / _NAME, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        raise LeaseHeldError(f"another process works on {folder.name}: {before}") from None
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(asdict(lease), file)
    except OSError:  # a full disk: half a lease would keep everybody away
        (folder / _NAME).unlink(missing_ok=True)
        raise


def drop_lease(folder: Path, lease: Lease) -> None:
    """Give the run in ``folder`` back, unless it is another's by now."""
    if holder_of(folder) == lease:
        (folder / _NAME).unlink(missing_ok=True)


class Held:
    """A lease as its holder has it: touched while the block lasts, given back at its end."""

    def __init__(self, folder: Path, lease: Lease) -> None:
        self._folder, self._lease = folder, lease
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def check(self) -> None:
        """Raise unless the lease is held still.

        Raises
        ------
        LeaseLostError
            If it is not: a machine that slept for long finds its work in other hands.
        """
        if holder_of(self._folder) != self._lease:
            raise LeaseLostError(f"{self._folder.name} is in other hands now")

    def _beat(self) -> None:
        while not self._ended.wait(_SECONDS_BETWEEN_BEATS):
            # Of a lease that is lost, or a folder that is out of reach, the next check() tells.
            with suppress(OSError, LeaseLostError):
                self.check()
                os.utime(self._folder / _NAME)

    def __enter__(self) -> Self:
        take_lease(self._folder, self._lease)
        self._beating.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        drop_lease(self._folder, self._lease)


class Pulses:
    """Whose lease was touched lately, as seen from here: no clock of another machine is asked."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[tuple[int, int], float]] = {}

    def silence(self, folder: Path) -> float:
        """Seconds for which the lease in ``folder`` was seen untouched; 0 at first sight."""
        version, now = version_of(folder / _NAME), time.monotonic()
        before, since = self._seen.get(folder, (None, now))
        if version != before:
            since = now
        self._seen[folder] = version, since
        return now - since
