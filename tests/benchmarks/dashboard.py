"""How quick the dashboard is, measured in a real browser: first paint, first point, gene clicks.

Run as a part of ``python -m tests.benchmarks.first_light``.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

_READING_MS = 300  # between clicks: nobody reads a check faster

# Clicks the row, then waits for the frame in which the check's bars have been drawn anew.
CLICK_AND_WAIT = """row => new Promise((resolve, reject) => {
  const sources = [];
  for (const doc of Bokeh.documents)
    for (const model of doc._all_models.values())
      if (model.type === "ColumnDataSource" && model.data.fill_alpha) sources.push(model);
  const before = sources.map(source => source.data.top);
  const start = performance.now();
  row.click();
  const look = () => {
    if (sources.some((source, i) => source.data.top !== before[i]))
      requestAnimationFrame(() => resolve(performance.now() - start));
    else if (performance.now() - start > 10000) reject("nothing was drawn");
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""

FIRST_POINT = """() => {
  for (const doc of Bokeh.documents)
    for (const model of doc._all_models.values())
      if (model.type === "ColumnDataSource" && model.data.step !== undefined
          && model.data.step.length > 0) return true;
  return false;
}"""


@contextmanager
def served_app(data_folder):
    """Serve the app with an empty run folder; gives its address once it is up."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "-m", "panel", "serve", "app", "--address", "127.0.0.1"]
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {"SCRIBEVIZ_RUNS": runs, "SCRIBEVIZ_DATA": str(data_folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{port}/app"
            _wait_until_up(url)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def _wait_until_up(url):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=20):  # noqa: S310  our own server
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"{url} did not come up")


def measure(file, n_clicks=200):
    """Walk through the journey on ``file``, or on the built-in example if it is None.

    Returns
    -------
    list of (str, str, str)
        What was measured, the figure, and what is wanted.
    """
    folder = file.parent if file is not None else Path(tempfile.gettempdir()) / "nothing"
    executable = shutil.which("chromium")
    with served_app(folder) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=QUIET)
        paints = [_first_paint(browser, url) for _ in range(3)]
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(url)
        _open(page, file)
        page.get_by_role("button", name="Choose a model").click()
        page.get_by_role("button", name="Go to the fit").click()
        points = [_first_point(page) for _ in range(3)]
        page.get_by_role("button", name="Explore the result").click()
        page.locator(".tabulator-row").first.wait_for(timeout=60_000)
        page.wait_for_timeout(1_000)
        names = page.locator(".tabulator-row [tabulator-field=gene]")
        clicks, heap = [], []
        devtools = page.context.new_cdp_session(page)
        for i in range(n_clicks + 1):
            if i % 50 == 0:
                heap.append(_heap(devtools))
            page.wait_for_timeout(_READING_MS)
            clicks.append(names.nth((i + 1) % 12).evaluate(CLICK_AND_WAIT))
        browser.close()
    slowest = statistics.quantiles(clicks, n=20)[-1]
    return [
        ("first contentful paint (first visit, later visits)", _seconds(paints), "< 3 s"),
        (
            "click to the first point of the loss (first run, later runs)",
            _seconds(points),
            "<= 5 s, warm cache",
        ),
        (
            f"gene click to new check on screen, {n_clicks} clicks, {_READING_MS} ms apart",
            f"median {statistics.median(clicks):.0f} ms, p95 {slowest:.0f} ms",
            "p95 < 150 ms",
        ),
        (
            "browser heap, every 50 gene clicks",
            f"{', '.join(f'{size:.1f}' for size in heap)} MB",
            "steady",
        ),
    ]


def _heap(devtools):
    """Megabytes in use after a collection."""
    devtools.send("HeapProfiler.collectGarbage")
    return devtools.send("Runtime.getHeapUsage")["usedSize"] / 1e6


def _seconds(values):
    first, *later = values
    return f"{first:.2f} s, {', '.join(f'{value:.2f} s' for value in later)}"


def _first_paint(browser, url):
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.goto(url)
    page.get_by_role("button", name="Open the example").wait_for(timeout=60_000)
    entries = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    seconds = page.evaluate(entries) / 1000
    context.close()
    return seconds


def _open(page, file):
    if file is None:
        page.get_by_role("button", name="Open the example").click()
    else:
        page.get_by_role("combobox", name="File").click()
        page.get_by_role("menuitem", name=file.name).click()
        page.get_by_role("button", name="Open the file").click()
    page.get_by_role("button", name="Choose a model").wait_for(timeout=60_000)


def _first_point(page):
    """Seconds from the click on Start to the first point; then waits for the end of the fit."""
    page.wait_for_timeout(6_000)  # the next worker has done its imports by then, as for a user
    start = time.perf_counter()
    page.get_by_role("button", name="Start the fit").click()
    page.get_by_text("waiting for the run before it").or_(
        page.get_by_text("reading the counts")
    ).or_(page.get_by_text("starting")).first.wait_for(timeout=20_000)
    page.wait_for_function(FIRST_POINT, timeout=60_000, polling=20)
    seconds = time.perf_counter() - start
    page.get_by_text("the loss has settled").wait_for(timeout=120_000)
    return seconds


if __name__ == "__main__":
    found = ROOT.parent / "shared" / "data" / "pbmc3k_raw.h5ad"
    for name, figure, wanted in measure(found if found.exists() else None):
        print(f"{name}: {figure} ({wanted})")
