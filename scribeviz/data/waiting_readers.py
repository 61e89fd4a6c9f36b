"""Processes that have done their imports and wait for a file to read."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Reader:
    """One such process: see :mod:`scribeviz.data.reading_child`."""

    def __init__(self) -> None:
        # The packages of this process, and none that lie where the server was started (-P).
        packages = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "scribeviz.data.reading_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **_ONE_THREAD, **packages},
            start_new_session=True,  # for kill(), and so that Ctrl-C is the server's alone
        )
        self._is_ready = False

    @property
    def pid(self) -> int:
        """Its id; the process that reads is a child of it."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def get_ready(self) -> None:
        """Wait until its imports are done, or it died of them."""
        assert self._process.stdout is not None  # noqa: S101  a pipe
        if not self._is_ready:
            self._is_ready = bool(self._process.stdout.readline())

    def ask(self, request: Mapping[str, Any]) -> int:
        """Have a file read, and give the exit code of the process that read it."""
        assert self._process.stdin is not None  # noqa: S101  both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self.get_ready()
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{json.dumps(request)}\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        return int(answer) if answer else self.end()

    def kill(self) -> None:
        """Stop it, and what it is reading with it; whoever asked it is told."""
        if self.is_alive:
            os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """Let it end, which it does once nobody can ask it any more; gives its exit code."""
        for pipe in filter(None, (self._process.stdin, self._process.stdout)):
            with suppress(BrokenPipeError):
                pipe.close()
        return self._process.wait()


class WaitingReaders:
    """One reader that waits; more are started while several visitors read at once.

    Parameters
    ----------
    most
        How many may read at once; who comes later waits, first come, first served.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._waiting: Reader | None = None
        self._queue: deque[object] = deque()
        self._n_taken = 0

    def keep_one(self) -> None:
        """Have one wait from now on."""
        with self._changed:
            self._waiting = Reader() if self._waiting is None else _living(self._waiting)

    def take(self, given_up: Callable[[], bool]) -> Reader | None:
        """A reader, for its taker alone until it is given back; None once ``given_up``."""
        mine = object()
        with self._changed:
            self._queue.append(mine)
            self._changed.wait_for(
                lambda: given_up() or (self._queue[0] is mine and self._n_taken < self._most)
            )
            self._queue.remove(mine)
            self._changed.notify_all()
            if given_up():
                return None
            self._n_taken += 1
            reader, self._waiting = self._waiting, None
        return Reader() if reader is None else _living(reader)

    def look_again(self) -> None:
        """Let those who wait see whether they are given up."""
        with self._changed:
            self._changed.notify_all()

    def give_back(self, reader: Reader) -> None:
        """Have it wait for another, or a new one in its place if it died."""
        with self._changed:
            self._n_taken -= 1
            self._changed.notify_all()
            if self._waiting is None:
                self._waiting = _living(reader)
                return
        reader.end()


def _living(reader: Reader) -> Reader:
    """The same, or another in its place if it died."""
    if reader.is_alive:
        return reader
    reader.end()
    return Reader()
