"""What was read of the runs that are over, kept in one file, so that a start reads no thousand.

Derived data: the folders say what is so, and an index that is damaged, of another version or cannot
be written is made anew or done without.
"""

import logging
import socket
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

_LOG = logging.getLogger(__name__)
_FORMAT = 1  # to be raised when what the columns mean changes
_COLUMNS = "name, of_status, status_file, of_spec, spec_file, spec, status"
_TABLE = (
    "CREATE TABLE runs (name TEXT PRIMARY KEY, of_status INT, status_file INT, "
    "of_spec INT, spec_file INT, spec TEXT, status TEXT) WITHOUT ROWID"
)
_NO_FAULT_OF_THE_FILE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
}
_SECONDS_TO_WAIT = 2.0  # for another server of this machine that writes


class Row(NamedTuple):
    """A run that is over: its name, the versions of its two files, and what they held as JSON."""

    name: str
    of_status: tuple[int, int]
    of_spec: tuple[int, int]
    spec: str
    status: str


class RunIndex:
    """The rows of the runs under ``root``, in a file for each machine that looks at them."""

    def __init__(self, root: Path) -> None:
        # SQLite's locks are not to be relied on between machines, so each has a file of its own;
        # in a folder, because files that come and go would pass for runs that do.
        self.path = root / ".index" / f"{socket.gethostname()}.sqlite3"

    def rows(self) -> dict[str, Row]:
        """All rows by name; none where there is no index that can be read."""

        def select(db: sqlite3.Connection) -> dict[str, Row]:
            rows = db.execute(f"SELECT {_COLUMNS} FROM runs")  # noqa: S608  a constant
            return {
                name: Row(name, (status, status_file), (of_spec, spec_file), spec, text)
                for name, status, status_file, of_spec, spec_file, spec, text in rows
            }

        return self._with_database(select) or {}

    def put(self, rows: Iterable[Row]) -> None:
        """Keep these rows in place of earlier ones of their names."""
        flat = [(row.name, *row.of_status, *row.of_spec, row.spec, row.status) for row in rows]

        def insert(db: sqlite3.Connection) -> None:
            db.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", flat)

        if flat:
            self._with_database(insert)

    def forget(self, names: Iterable[str]) -> None:
        """Remove the rows of these names."""
        gone = [(name,) for name in names]

        def delete(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM runs WHERE name = ?", gone)

        if gone:
            self._with_database(delete)

    def _with_database[T](self, use: Callable[[sqlite3.Connection], T]) -> T | None:
        """Use the database, or a new one if it is damaged; None if there can be none."""
        try:
            try:
                return self._once(use)
            except sqlite3.DatabaseError as problem:
                if problem.sqlite_errorcode in _NO_FAULT_OF_THE_FILE:
                    raise
                _LOG.warning("the index of runs is made anew (%s)", problem)
                self.path.unlink(missing_ok=True)
                return self._once(use)
        except (sqlite3.Error, OSError) as problem:
            _LOG.warning("going on without the index of runs (%s)", problem)
            return None

    def _once[T](self, use: Callable[[sqlite3.Connection], T]) -> T:
        self.path.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=_SECONDS_TO_WAIT)) as db, db:
            db.execute("PRAGMA synchronous = OFF")  # after a power cut it is made anew
            if db.execute("PRAGMA user_version").fetchone()[0] != _FORMAT:
                db.execute("DROP TABLE IF EXISTS runs")
                db.execute(_TABLE)
                db.execute(f"PRAGMA user_version = {_FORMAT}")
            return use(db)
