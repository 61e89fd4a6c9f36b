"""The process that reads for the server: ``python -m scribeviz.data.reading_child``.

A line on standard output says that it is ready.  Then a line of JSON on standard input says what to
read, and a line on standard output how that ended, by an exit code.  Each file is read in a fork,
which a limit or a damaged file may end: this process has done its imports once, touches no file,
and waits for the next line until the server ends.
"""

import contextlib
import gc
import json
import os
import resource
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import psutil

from scribeviz._storage import write_json
from scribeviz.data.counts import CountsError
from scribeviz.data.opening import open_counts

READ, DIED, NO_MEMORY = 0, 1, 3
READY = b"ready\n"
REFUSAL = "refusal.json"


def main() -> None:
    """Read file after file, for as long as there is a server."""
    import anndata  # noqa: F401  takes seconds: before anybody asks

    gc.collect()
    gc.freeze()  # what is imported is shared with every fork
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), READY)
        while line := sys.stdin.readline():
            os.write(sys.stdout.fileno(), b"%d\n" % _in_a_fork(json.loads(line)))


def _in_a_fork(request: Mapping[str, Any]) -> int:
    child = os.fork()
    if not child:
        _read_and_end(request)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _read_and_end(request: Mapping[str, Any]) -> NoReturn:
    code = DIED
    try:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what packages print is no answer
        threading.Thread(target=_end_with_the_server, daemon=True).start()
        _limit(request["memory"], request["seconds"])
        code = _read(request)
    except BaseException:  # noqa: BLE001  nothing of this fork may go on in the process it is of
        traceback.print_exc()
    finally:
        os._exit(code)


def _read(request: Mapping[str, Any]) -> int:
    """Write what was found, or why nothing was, into the folder that was asked for."""
    folder = Path(request["folder"])
    tempfile.tempdir = str(folder)  # what is unpacked goes with it, however this ends
    try:
        open_counts(Path(request["path"]), request["layer"], request["rounding"]).save(folder)
    except MemoryError:
        return NO_MEMORY
    except CountsError as error:
        write_json(folder / REFUSAL, {"message": str(error), "use_layer": error.use_layer})
    return READ


def _limit(memory: int, seconds: int) -> None:
    me = psutil.Process()
    taken = getattr(me.memory_info(), "data", 0)  # by what is imported
    for kind, limit in (
        (resource.RLIMIT_DATA, taken + memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))
    # If the machine runs out of memory all the same, Linux is to end this process, not the server.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _end_with_the_server() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(DIED)


if __name__ == "__main__":
    main()
