"""Visitors who come, look at nothing and leave: what they cost the server, and what stays.

    python -m tests.chaos.visitors
    python -m tests.chaos.visitors --browser --tabs 30 --waves 5 --idle 600 --runs 1000

Prints a row per moment: processor and memory of the server, and how long a plain GET takes.  By
default a visitor is a websocket that does what a browser does, which is light enough for a small
machine; with ``--browser`` it is a tab of Chromium.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

from tests.chaos.synthetic import make_runs

ROOT = Path(__file__).parents[2]
SECONDS_TO_FORGET = 45  # Bokeh looks every 17 seconds for sessions that were left 15 seconds ago
N_GETS = 15
_FRAMES = 3  # of a message: header, metadata, content


@contextmanager
def served(folder: Path, port: int) -> Iterator[psutil.Process]:
    """The dashboard as users start it; ended by its own process id."""
    environment = os.environ | {
        "SCRIBEVIZ_DATA": str(folder),
        "SCRIBEVIZ_RUNS": str(folder / "runs"),
    }
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "panel", "serve", "app", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert server.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.2)
        yield psutil.Process(server.pid)
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


async def visit(url: str) -> WebSocketClientConnection:
    """Open a page as a browser does: fetch it, connect, pull the document, say that it is there."""
    page = await AsyncHTTPClient().fetch(url, request_timeout=120)
    token = re.search(r'"token":"([^"]+)"', page.body.decode())
    assert token is not None
    path, _, query = url.replace("http", "ws", 1).partition("?")
    to = HTTPRequest(f"{path}/ws?{query}", request_timeout=120)
    connection = await websocket_connect(to, subprotocols=["bokeh", token[1]])
    for _ in range(_FRAMES):  # the server's greeting
        await connection.read_message()
    await _say(connection, "PULL-DOC-REQ", {})
    ready = {"type": "event", "name": "document_ready", "values": {"type": "map"}}
    event = {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": ready}
    await _say(connection, "PATCH-DOC", {"events": [event]})
    return connection


async def _say(connection: WebSocketClientConnection, kind: str, content: dict) -> None:
    for part in ({"msgid": kind, "msgtype": kind}, {}, content):
        await connection.write_message(json.dumps(part))


async def _listen(connection: WebSocketClientConnection) -> None:
    with contextlib.suppress(WebSocketClosedError):
        while await connection.read_message() is not None:
            pass


@asynccontextmanager
async def sockets(url: str, n_visitors: int) -> AsyncIterator[None]:
    """That many visitors, each a websocket."""
    connections = [await visit(url) for _ in range(n_visitors)]
    listening = [asyncio.create_task(_listen(connection)) for connection in connections]
    yield
    for connection in connections:
        connection.close()
    await asyncio.gather(*listening)


@asynccontextmanager
async def tabs(url: str, n_visitors: int) -> AsyncIterator[None]:
    """That many tabs of one Chromium."""
    from playwright.async_api import async_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=quiet
        )
        context = await browser.new_context()
        for _ in range(n_visitors):
            page = await context.new_page()
            await page.goto(url, timeout=120_000)
            await page.get_by_text("Open data").first.wait_for(timeout=120_000)
        yield
        await browser.close()


async def _gets(url: str) -> list[float]:
    """Milliseconds of plain GETs of a static file: what everybody waits for."""
    taken = []
    for _ in range(N_GETS):
        begin = time.perf_counter()
        await AsyncHTTPClient().fetch(url, request_timeout=60)
        taken.append(1_000 * (time.perf_counter() - begin))
        await asyncio.sleep(0.1)
    return taken


async def measure(server: psutil.Process, what: str, address: str, seconds: float) -> None:
    """Print a row after so many seconds of nothing."""
    before = server.cpu_times()
    await asyncio.sleep(seconds)
    after = server.cpu_times()
    spent = after.user + after.system - before.user - before.system
    gets = await _gets(f"{address}/static/js/bokeh.min.js")
    memory = server.memory_info().rss / 1e6
    print(
        f"{what:<24} {100 * spent / seconds:6.1f} % {memory:8.0f} MB "
        f"{statistics.median(gets):7.1f} ms {max(gets):7.1f} ms",
        flush=True,
    )


async def waves(server: psutil.Process, chosen: argparse.Namespace) -> None:
    """Visitors come, stay and go, several times."""
    address = f"http://127.0.0.1:{chosen.port}"
    url = f"{address}/app"
    come: Callable = tabs if chosen.browser else sockets
    heads = ("core", "memory", "GET", "slowest")
    print(f"{'':<24} {heads[0]:>8} {heads[1]:>11} {heads[2]:>10} {heads[3]:>10}")
    await asyncio.sleep(10)  # the example is opened in the background
    async with come(url, 2):  # what the first page imports is not counted as its visitors'
        pass
    await asyncio.sleep(SECONDS_TO_FORGET)
    await measure(server, "before", address, chosen.idle)
    for wave in range(1, chosen.waves + 1):
        begin = time.perf_counter()
        async with come(url, chosen.tabs):
            took = time.perf_counter() - begin
            print(f"wave {wave}: {chosen.tabs} came in {took:.0f} s", flush=True)
            await asyncio.sleep(5)
            await measure(server, f"wave {wave}: {chosen.tabs} idle", address, chosen.idle)
        await asyncio.sleep(SECONDS_TO_FORGET)
        await measure(server, f"wave {wave}: all gone", address, min(chosen.idle, 20))


def main() -> None:
    """Serve, visit, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tabs", type=int, default=10)
    parser.add_argument("--waves", type=int, default=2)
    parser.add_argument("--idle", type=float, default=20, help="seconds that they stay")
    parser.add_argument("--runs", type=int, default=20, help="runs that are there")
    parser.add_argument("--browser", action="store_true", help="real tabs")
    parser.add_argument("--port", type=int, default=5021)
    parser.add_argument("--log", type=Path, help="where to keep the server's log")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_runs(folder / "runs", chosen.runs)
        try:
            with served(folder, chosen.port) as server:
                asyncio.run(waves(server, chosen))
        finally:
            log = (folder / "server.log").read_text()
            if chosen.log:
                chosen.log.write_text(log)
        odd = re.findall(r"Traceback|came back to life", log)
        print(f"The server's log holds {len(odd)} tracebacks or sessions that came back to life.")


if __name__ == "__main__":
    main()
