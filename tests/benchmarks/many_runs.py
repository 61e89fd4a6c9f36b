"""What very many runs cost: to start, to look at, to open a page.

    python -m tests.benchmarks.many_runs
    python -m tests.benchmarks.many_runs --runs 2000

The runs are folders that nobody fitted.  Seconds are of the clock and of the processor: where
others use the machine too, the first say little.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from scribeviz.runs.catalogue import Catalogue
from scribeviz.runs.folder import RunFolder
from tests.chaos.synthetic import make_runs
from tests.chaos.visitors import served, visit

SECONDS_OF_IDLING = 20
SECONDS_BETWEEN_LOOKS = 0.2  # of the server's thread


def timed(what: str, act: Callable[[], Any]) -> Any:
    """Print how long ``act`` takes."""
    begin, spent = time.perf_counter(), time.process_time()
    result = act()
    took, spent = time.perf_counter() - begin, time.process_time() - spent
    print(f"{what:<44} {took:10.4f} s {spent:10.4f} s", flush=True)
    return result


def idle(runs: Catalogue) -> None:
    """Glance for a while as the server does, while nothing changes."""
    for _ in range(int(SECONDS_OF_IDLING / SECONDS_BETWEEN_LOOKS)):
        runs.glance()
        time.sleep(SECONDS_BETWEEN_LOOKS)


def look(root: Path) -> None:
    """The rows of the catalogue."""
    timed("all folders are read, and the index written", Catalogue(root).look)
    runs = Catalogue(root)
    timed("the next start, with the index", runs.glance)
    time.sleep(0.2)
    runs.glance()
    timed("a glance while nothing changes", runs.glance)
    run = RunFolder(root / "00000-nbdm")
    timed("all are looked at (somebody rang)", runs.look)
    run.update_status(step=1)
    timed(f"{SECONDS_OF_IDLING} seconds of glances", lambda: idle(runs))


async def pages(server: psutil.Process, port: int) -> None:
    """The rows of the server: the first page and the next ones."""
    await asyncio.sleep(15)  # it warms up in the background
    for which in ("first", "second", "third"):
        begin = time.perf_counter()
        spent = sum(server.cpu_times()[:2])
        connection = await visit(f"http://127.0.0.1:{port}/app?place=Fit")
        await connection.read_message()
        took, spent = time.perf_counter() - begin, sum(server.cpu_times()[:2]) - spent
        print(f"the {which} page is there{'':<21} {took:10.4f} s {spent:10.4f} s", flush=True)
        connection.close()
        await asyncio.sleep(2)
    before = sum(server.cpu_times()[:2])
    await asyncio.sleep(SECONDS_OF_IDLING)
    share = (sum(server.cpu_times()[:2]) - before) / SECONDS_OF_IDLING
    print(f"the server, idle: {100 * share:.1f} % of a core", flush=True)


def main() -> None:
    """Make runs, look, serve."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--port", type=int, default=5022)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_runs(folder / "runs", chosen.runs)
        print(f"{chosen.runs:,} runs{'':<33} {'clock':>12} {'processor':>12}")
        look(folder / "runs")
        with served(folder, chosen.port) as server:
            asyncio.run(pages(server, chosen.port))


if __name__ == "__main__":
    main()
