"""Every run of a folder, read once and anew only where something changed."""

import json
import math
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from scribeviz.runs.damage import DamagedRun, DamagedRunError, reading
from scribeviz.runs.folder import RunFolder, RunSpec, RunStatus, version_of
from scribeviz.runs.index import Row, RunIndex

_SECONDS_OF_A_ROUND = 300.0  # in which each run that is over is looked at, in case it was edited
_MOST_AT_A_GLANCE = 200  # of these
_SECONDS_TO_SETTLE = 0.1  # the clocks of file systems are coarse
_SECONDS_TO_CREATE = 600  # a run whose folder is older than that is not being written any more


@dataclass(frozen=True, eq=False)
class Look:
    """All runs of a folder at one moment.

    Attributes
    ----------
    runs
        Those that can be read and how far they are, newest first.
    active
        Of these the ones that wait or that somebody works on, oldest first.
    damaged
        Those that cannot be read, newest first by their names.
    of_states
        Another number when runs have come, gone or changed their state; progress does not count.
    """

    runs: list[tuple[RunFolder, RunStatus]]
    active: list[tuple[RunFolder, RunStatus]]
    damaged: list[DamagedRun]
    of_states: int


class _Read(NamedTuple):
    """What was read of a folder whose files were of these versions; no status where no run is."""

    of_status: tuple[int, int]
    of_spec: tuple[int, int]
    run: RunFolder
    status: RunStatus | DamagedRun | None
    is_indexed: bool = False

    @property
    def kind(self) -> object:
        """What :attr:`Look.of_states` counts changes of."""
        if isinstance(self.status, RunStatus):
            return self.status.state, self.status.is_settled, self.status.note
        return self.status

    @property
    def is_settled(self) -> bool:
        """Whether it stays as it is unless somebody acts on it."""
        if isinstance(self.status, RunStatus):
            return self.status.is_settled
        return self.status is not None


class Catalogue:
    """The runs under ``root``; threads may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.RLock()
        self._index = RunIndex(root)
        self._bell = root / ".index" / "changed"
        self._root_stamp, self._bell_stamp = _Stamp(root), _Stamp(self._bell)
        self._reads: dict[str, _Read] = {}
        self._unsettled: set[str] = set()
        self._order: list[str] = []  # names of those that can be read, newest first
        self._unwritten: dict[str, RunStatus] = {}
        self._round: list[str] = []  # names that are still to be looked at in this round
        self._round_went_on = time.monotonic()
        self._last = Look([], [], [], 0)
        self._of_states = 0
        self._has_news = True

    def look(self) -> Look:
        """All runs, with a look at the files of each."""
        with self._lock:
            self._list()
            self._read_again(list(self._reads))
            return self._result()

    def glance(self) -> Look:
        """The same with a look at what changes by itself; the same object while nothing does.

        Runs that are over are looked at in turn, each within minutes, and all at once after
        :meth:`ring`.  While another thread looks, it gives what was seen last.
        """
        if not self._lock.acquire(blocking=False):
            return self._last
        try:
            if self._bell_stamp.has_changed():
                return self.look()
            if self._root_stamp.has_changed():
                self._list()
            self._read_again([*self._unsettled, *self._next_of_the_round()])
            return self._result()
        finally:
            self._lock.release()

    def run(self, name: str) -> RunFolder | None:
        """The run of that name, if there is one that can be read."""
        with self._lock:
            self.glance()
            read = self._reads.get(name)
            return read.run if read is not None and isinstance(read.status, RunStatus) else None

    def ring(self) -> None:
        """Have every server look at all runs: one that was over is so no more."""
        try:
            self._bell.parent.mkdir(exist_ok=True)
            self._bell.touch()
        except OSError:  # on a full disk the others see it in their next round
            return

    def say_unwritten(self, name: str, status: RunStatus | None) -> None:
        """Show ``status`` of a run, which could not be written, until it is taken back."""
        with self._lock:
            if status is not None:
                self._unwritten[name] = status
            elif self._unwritten.pop(name, None) is None:
                return
            self._of_states += 1
            self._has_news = True

    def unwritten(self, name: str) -> RunStatus | None:
        """The status of a run that could not be written, if there is one."""
        return self._unwritten.get(name)

    @property
    def all_unwritten(self) -> dict[str, RunStatus]:
        """Every status that could not be written, by the name of its run."""
        with self._lock:
            return dict(self._unwritten)

    def _list(self) -> None:
        """Take in the runs that are new, and leave out those that are gone."""
        with os.scandir(self._root) as entries:
            names = {e.name for e in entries if not e.name.startswith(".") and e.is_dir()}
        for name in self._reads.keys() - names:
            self._leave_out(name)
        is_first = not self._reads
        rows = self._index.rows() if is_first else {}
        self._read_again(names - self._reads.keys(), rows)
        if is_first:
            self._index.forget(rows.keys() - names)

    def _leave_out(self, name: str) -> None:
        del self._reads[name]
        self._unsettled.discard(name)
        self._unwritten.pop(name, None)
        self._of_states += 1
        self._has_news = True

    def _next_of_the_round(self) -> list[str]:
        now = time.monotonic()
        share = (now - self._round_went_on) / _SECONDS_OF_A_ROUND
        n_names = min(math.floor(share * len(self._reads)), _MOST_AT_A_GLANCE)
        if n_names:
            self._round_went_on = now
        names, self._round = self._round[:n_names], self._round[n_names:]
        if not self._round:
            self._round = list(self._reads)
        return [name for name in names if name in self._reads]

    def _read_again(self, names: Iterable[str], rows: Mapping[str, Row] | None = None) -> None:
        over = []
        for name in names:
            before = self._reads.get(name)
            now = _read(f"{self._root}/{name}", before, rows.get(name) if rows else None)
            if now is before:
                continue
            self._reads[name] = now
            self._has_news = True
            if before is not None and self._unwritten.pop(name, None) is not None:
                self._of_states += 1  # somebody could write, and knows better
            if before is None or before.kind != now.kind:
                self._of_states += 1
            if now.is_settled:
                self._unsettled.discard(name)
            else:
                self._unsettled.add(name)
            if isinstance(now.status, RunStatus) and now.is_settled and not now.is_indexed:
                over.append(_row(now, now.status))
        self._index.put(over)

    def _result(self) -> Look:
        if not self._has_news:
            return self._last
        self._has_news = False
        if self._of_states != self._last.of_states:
            readable = [read for read in self._reads.values() if isinstance(read.status, RunStatus)]
            readable.sort(key=lambda read: read.run.spec.created, reverse=True)
            self._order = [read.run.id for read in readable]
            damaged = [r.status for r in self._reads.values() if isinstance(r.status, DamagedRun)]
            damaged.sort(key=lambda run: run.id, reverse=True)
        else:
            damaged = self._last.damaged
        ordered = map(self._reads.__getitem__, self._order)
        runs = [
            (read.run, self._unwritten.get(read.run.id, read.status))
            for read in ordered
            if isinstance(read.status, RunStatus)
        ]
        active = [pair for pair in reversed(runs) if not pair[1].is_settled]
        self._last = Look(runs, active, damaged, self._of_states)
        return self._last


class _Stamp:
    """Notices that a file or a folder was written, also where clocks are coarse."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, int] | None = None
        self._settles = math.inf

    def has_changed(self) -> bool:
        """Whether it was written since the last call; said once more a moment later."""
        version, now = version_of(self._path), time.monotonic()
        if version != self._version:
            self._version, self._settles = version, now + _SECONDS_TO_SETTLE
            return True
        if now < self._settles:
            return False
        is_due, self._settles = self._settles < math.inf, math.inf
        return is_due


def _read(folder: str, before: _Read | None, row: Row | None) -> _Read:
    """Read what has changed of a folder."""
    # Not by Path, which takes longer to be made than a file to be looked at.
    of_status, of_spec = version_of(f"{folder}/status.json"), version_of(f"{folder}/spec.json")
    versions = of_status, of_spec
    if before is not None and before.status is not None and before[:2] == versions:
        return before
    if row is not None and (row.of_status, row.of_spec) == versions:
        try:
            return _from_row(Path(folder), row)
        except DamagedRunError:  # of an index that somebody wrote into: the files are there
            pass
    run = RunFolder(Path(folder))
    if before is not None and before.of_spec == of_spec:
        run = before.run  # whose spec is read
    now = _Read(of_status, of_spec, run, _status(run, any(of_status + of_spec)))
    return before if before == now else now


def _status(run: RunFolder, has_files: bool) -> RunStatus | DamagedRun | None:  # noqa: FBT001
    """How far a run is, what is wrong with it, or nothing where there is none yet."""
    if not has_files and not run.counts_path.exists():
        return None
    try:
        _ = run.spec
        status = run.status
    except DamagedRunError as problem:
        if not run.path.exists():  # deleted meanwhile
            return None
        is_new = time.time() - run.path.stat().st_mtime < _SECONDS_TO_CREATE
        if is_new and not (run.path / "status.json").exists():  # which is written last
            return None
        return DamagedRun(run.path, str(problem))
    return status


def _from_row(path: Path, row: Row) -> _Read:
    run = RunFolder(path)
    with reading(path):
        # Where a cached property keeps its value: what the index knows is not read again.
        run.__dict__["spec"] = RunSpec.from_dict(json.loads(row.spec))
        status = RunStatus.from_dict(json.loads(row.status))
    return _Read(row.of_status, row.of_spec, run, status, is_indexed=True)


def _row(read: _Read, status: RunStatus) -> Row:
    spec, said = json.dumps(read.run.spec.as_dict()), json.dumps(asdict(status))
    return Row(read.run.id, read.of_status, read.of_spec, spec, said)
