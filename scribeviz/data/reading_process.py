"""Read files beside the server: whatever a file does to its reader, the server goes on."""

import signal
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from scribeviz._storage import read_json
from scribeviz.data.counts import CountsError
from scribeviz.data.opening import Opened
from scribeviz.data.promises import size_on_disk
from scribeviz.data.reading_child import NO_MEMORY, READ, REFUSAL
from scribeviz.data.reading_limits import MEMORY_SETTING, SECONDS_SETTING, ReadingLimits
from scribeviz.data.uploads import size_in_words
from scribeviz.data.values import Rounding
from scribeviz.data.waiting_readers import Reader, WaitingReaders

# Each may take a processor and a good part of the memory.
_MOST_AT_ONCE = 2
_READERS = WaitingReaders(_MOST_AT_ONCE)


class ReadingFailedError(CountsError):
    """The process that read a file did not live to say what is wrong with it."""


class ReadingCancelledError(Exception):
    """Nobody waits for this reading any more."""


class Reading:
    """One reading of one file, in a process of its own; other threads may cancel it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reader: Reader | None = None
        self._cancelled = self._too_late = self._waits = False

    @property
    def waits(self) -> bool:
        """Whether it waits for other files to be read."""
        return self._waits

    def open(self, path: Path, layer: str = "X", rounding: Rounding | None = None) -> Opened:
        """Do as :func:`~scribeviz.data.opening.open_counts`, and wait for it.

        Raises
        ------
        CountsError
            Also if reading took more memory or time than it may, or if it crashed.
        ReadingCancelledError
            If it was cancelled.
        """
        limits = ReadingLimits.of(size_on_disk(path))
        with TemporaryDirectory(prefix="scribeviz-reading-") as folder:
            request = {"path": str(path), "layer": layer, "rounding": rounding, "folder": folder}
            code = self._ask({**request, **asdict(limits)}, limits.patience)
            if code != READ:
                raise self._failure(code, path.name, limits)
            return _answer(Path(folder))

    def cancel(self) -> None:
        """End it, now or as soon as it begins."""
        self._cancelled = True
        self._stop()
        _READERS.look_again()

    def _ask(self, request: dict[str, object], patience: float) -> int:
        self._waits = True
        reader = _READERS.take(lambda: self._cancelled)
        self._waits = False
        if reader is None:
            raise ReadingCancelledError
        with self._lock:
            self._reader = reader
        try:
            code = self._ask_in_time(reader, request, patience)
        finally:
            with self._lock:
                self._reader = None
            _READERS.give_back(reader)
        if self._cancelled:
            raise ReadingCancelledError
        return code

    def _ask_in_time(self, reader: Reader, request: dict[str, object], patience: float) -> int:
        if self._cancelled:  # too early to be stopped
            reader.kill()
        reader.get_ready()  # its imports are not the file's fault
        clock = threading.Timer(patience, self._give_up)
        clock.start()
        try:
            return reader.ask(request)
        finally:
            clock.cancel()

    def _give_up(self) -> None:
        self._too_late = True
        self._stop()

    def _stop(self) -> None:
        with self._lock:  # so that a reader that has another file by now is left alone
            if self._reader is not None:
                self._reader.kill()

    def _failure(self, code: int, name: str, limits: ReadingLimits) -> CountsError:
        if self._too_late:
            return CountsError(_too_slow(name, f"{limits.patience:,.0f} s"))
        if code in _REASONS:
            return CountsError(_REASONS[code](name, limits))
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return ReadingFailedError(
            f"{name} made the program fail that read it ({cause}): it is damaged; "
            "copy or download it again."
        )


def keep_reader_waiting() -> None:
    """Have a process ready for the first file: its imports take seconds."""
    _READERS.keep_one()


def _answer(folder: Path) -> Opened:
    refusal = folder / REFUSAL
    if refusal.exists():
        said = read_json(refusal)
        raise CountsError(said["message"], use_layer=said["use_layer"])
    return Opened.load(folder)


def _too_slow(name: str, limit: str) -> str:
    return (
        f"{name}: reading it took more than {limit} and was stopped; "
        f"it may be damaged, or the server must be started with a higher {SECONDS_SETTING}."
    )


def _too_much_work(name: str, limits: ReadingLimits) -> str:
    return _too_slow(name, f"{limits.seconds:,} s of processor time")


def _too_large(name: str, limits: ReadingLimits) -> str:
    return (
        f"{name}: reading it needs more memory than {size_in_words(limits.memory)}; "
        f"it may be damaged, or the server must be started with a higher {MEMORY_SETTING}."
    )


def _killed(name: str, _: ReadingLimits) -> str:
    return (
        f"{name}: reading it was ended from outside, most often because the machine ran out of "
        "memory; open it again when less else is running."
    )


_REASONS: dict[int, Callable[[str, ReadingLimits], str]] = {
    NO_MEMORY: _too_large,
    -signal.SIGXCPU: lambda name, limits: _too_slow(
        name, f"{limits.seconds:,} s of processor time"
    ),
    -signal.SIGKILL: _killed,
}
