"""Files are read beside the server, which outlives whatever they do."""

import gzip
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from scribeviz.data import reading_process, waiting_readers
from scribeviz.data.counts import CountsError
from scribeviz.data.opening import open_counts
from scribeviz.data.reading_process import (
    Reading,
    ReadingCancelledError,
    ReadingFailedError,
    keep_reader_waiting,
)
from scribeviz.data.waiting_readers import Reader, WaitingReaders

PATIENT = 30


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("cell,A,B\nc1,1,2\nc2,0,3\n")
    return path


@pytest.fixture
def endless(tmp_path):
    """A pipe into which nobody writes: reading it takes for ever, and no processor time."""
    path = tmp_path / "endless.csv"
    os.mkfifo(path)
    return path


def children():
    """The processes that are reading now."""
    waiting = [p for p in psutil.Process().children() if "reading_child" in " ".join(p.cmdline())]
    return [child for process in waiting for child in process.children()]


def wait_until(holds):
    deadline = time.monotonic() + PATIENT
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came so far")


def the_one_that_reads():
    wait_until(children)
    return children()[0]


def in_background(call, *arguments):
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call, *arguments)
    pool.shutdown(wait=False)
    return future


def test_a_file_is_read_as_in_this_process(table):
    there, here = Reading().open(table), open_counts(table)
    assert there.counts.fingerprint == here.counts.fingerprint
    assert there.counts.notes == here.counts.notes
    assert (there.sources, there.layer) == (here.sources, here.layer)


def test_a_refusal_is_the_same_sentence(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("cell,A\nc1,high\n")
    with pytest.raises(CountsError) as there:
        Reading().open(path)
    with pytest.raises(CountsError) as here:
        open_counts(path)
    assert str(there.value) == str(here.value)
    with pytest.raises(CountsError, match="does not exist"):
        Reading().open(tmp_path / "none.csv")


def test_one_process_reads_file_after_file(table):
    keep_reader_waiting()
    before = reading_process._READERS._waiting.pid
    Reading().open(table)
    Reading().open(table)
    assert reading_process._READERS._waiting.pid == before


@pytest.mark.parametrize(
    ("sent", "says", "kind"),
    [
        (signal.SIGKILL, "reading it was ended from outside, most often because", CountsError),
        (signal.SIGSEGV, r"made the program fail that read it \(SIGSEGV\)", ReadingFailedError),
    ],
)
def test_a_reader_that_dies_is_a_sentence(endless, table, sent, says, kind):
    reading = in_background(Reading().open, endless)
    the_one_that_reads().send_signal(sent)
    with pytest.raises(kind, match=f"^endless.csv.*{says}"):
        reading.result(PATIENT)
    assert Reading().open(table).counts.n_cells == 2


def test_a_waiting_process_that_died_is_replaced(table):
    keep_reader_waiting()
    reader = reading_process._READERS._waiting
    reader.kill()
    reader.end()
    assert Reading().open(table).counts.n_cells == 2


def test_reading_that_waits_for_ever_is_stopped(endless, table, monkeypatch):
    monkeypatch.setenv("SCRIBEVIZ_READ_SECONDS", "0.5")
    with pytest.raises(CountsError, match=r"^endless.csv: reading it took more than 4 s and"):
        Reading().open(endless)
    assert not children()
    assert Reading().open(table).counts.n_cells == 2


def test_reading_that_works_for_ever_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIBEVIZ_READ_SECONDS", "1")
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"cell,A,B\n" + b"c,1,2\n" * 20_000_000, compresslevel=1))
    with pytest.raises(CountsError, match=r"took more than 1 s of processor time and was stopped"):
        Reading().open(path)


def test_reading_that_needs_too_much_memory_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIBEVIZ_READ_MEMORY_GB", "0.1")
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"0" * 200_000_000, compresslevel=1))
    with pytest.raises(CountsError, match=r"needs more memory than 107 MB; .*READ_MEMORY_GB"):
        Reading().open(path)


def test_reading_can_be_cancelled(endless, table):
    reading = Reading()
    waits = in_background(reading.open, endless)
    the_one_that_reads()
    reading.cancel()
    with pytest.raises(ReadingCancelledError):
        waits.result(PATIENT)
    assert not children()
    reading.cancel()  # too late, and of nobody else's
    assert Reading().open(table).counts.n_cells == 2


def test_reading_can_be_cancelled_before_it_begins(table):
    reading = Reading()
    reading.cancel()
    with pytest.raises(ReadingCancelledError):
        reading.open(table)


def test_two_files_can_be_read_at_once(endless, table):
    reading = Reading()
    waits = in_background(reading.open, endless)
    the_one_that_reads()
    assert Reading().open(table).counts.n_cells == 2
    reading.cancel()
    with pytest.raises(ReadingCancelledError):
        waits.result(PATIENT)


def test_a_third_file_waits_until_another_is_read(endless, table):
    first, second, third, given_up = (Reading() for _ in range(4))
    two = [in_background(reading.open, endless) for reading in (first, second)]
    wait_until(lambda: len(children()) == 2)
    waits = in_background(third.open, table)
    wait_until(lambda: third.waits)
    also_waits = in_background(given_up.open, table)
    wait_until(lambda: given_up.waits)
    given_up.cancel()
    with pytest.raises(ReadingCancelledError):
        also_waits.result(PATIENT)
    assert (len(children()), third.waits, waits.done()) == (2, True, False)
    first.cancel()
    assert waits.result(PATIENT).counts.n_cells == 2
    second.cancel()
    for reading in two:
        with pytest.raises(ReadingCancelledError):
            reading.result(PATIENT)
    assert not children()


def test_imports_of_a_reader_are_not_the_fault_of_the_file(table, monkeypatch):
    class Slow(Reader):
        def get_ready(self):
            if not self._is_ready:
                time.sleep(5)
            super().get_ready()

    monkeypatch.setattr(waiting_readers, "Reader", Slow)
    monkeypatch.setattr(reading_process, "_READERS", WaitingReaders(1))
    monkeypatch.setenv("SCRIBEVIZ_READ_SECONDS", "1")  # four on the clock
    assert Reading().open(table).counts.n_cells == 2
    reading_process._READERS._waiting.end()


def test_it_ends_with_the_server(endless, tmp_path):
    script = (
        "import os, sys, threading\n"
        "from pathlib import Path\n"
        "from scribeviz.data.reading_process import Reading\n"
        f"threading.Thread(target=Reading().open, args=[Path({str(endless)!r})]).start()\n"
        "sys.stdin.readline()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    # It is killed, and leaves its temporary folder.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    server = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, env=environment
    )
    try:
        deadline = time.monotonic() + PATIENT
        started = []
        while len(started) < 2 and time.monotonic() < deadline:
            started = psutil.Process(server.pid).children(recursive=True)
            time.sleep(0.05)
        assert len(started) == 2
    finally:
        server.communicate(b"\n", timeout=PATIENT)
    _, alive = psutil.wait_procs(started, timeout=PATIENT)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_neither_jax_nor_panel_is_imported_to_read():
    script = (
        "import sys, scribeviz.data.reading_child, anndata\n"
        "sys.exit(bool({'jax', 'panel', 'holoviews', 'scanpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_files_beside_the_server_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "anndata.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    reader = Reader()
    assert reader.ask({}) == 1  # a request without a path fails in its fork, and only there
    assert reader.is_alive
    assert reader.end() == 0
