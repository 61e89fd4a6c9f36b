"""A served app with a data folder of its own, and the browser to visit it with."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from functools import cache
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

from scribeviz import SVIConfig
from scribeviz.data.examples import demo
from scribeviz.runs.folder import RunState, create_run
from scribeviz.runs.worker import work
from scribeviz.views.data.data_state import EXAMPLE, open_data

ROOT = Path(__file__).parents[2]
SCREENSHOTS = Path(__file__).parent / "screenshots"


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    """Debian's Chromium when there is one; else the browser that Playwright downloaded."""
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    quiet += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    found = {"executable_path": chromium} if chromium else {}
    return browser_type_launch_args | found | {"args": quiet}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args):
    return browser_context_args | {"viewport": {"width": 1400, "height": 1000}}


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """Files as users bring them: one log-normalised with its counts in a layer, one hostile."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, size=(60, 12)).astype(np.float32)
    normalised = ad.AnnData(np.log1p(counts * 10 / (1 + counts.sum(axis=1, keepdims=True))))
    normalised.layers["counts"] = counts
    normalised.write_h5ad(folder / "normalised.h5ad")
    names = ["<img src=x onerror=alert(1)>", "A&B", *(f"G{i}" for i in range(10))]
    hostile = ad.AnnData(counts)
    hostile.var_names = names
    hostile.obs["<b>type"] = np.where(np.arange(60) % 2, "<i>x</i>", "y")
    hostile.obs["<b>type"] = hostile.obs["<b>type"].astype("category")
    hostile.write_h5ad(folder / "hostile <script>.h5ad")
    (folder / "broken.h5ad").write_bytes(b"not an HDF5 file")
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Where the served app keeps its runs."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def fitted(runs, data_folder):
    """Make a finished run of the app's without its pages, once; gives its id."""

    @cache
    def run(data, spec):
        counts = demo() if data == EXAMPLE else open_data(data_folder, data).found.counts
        folder = create_run(runs / f"{len(list(runs.iterdir()))}-made", counts, spec, SVIConfig())
        work(folder)
        assert folder.status.state is RunState.DONE, folder.status.error
        return folder.id

    return run


@pytest.fixture(scope="session")
def free_port():
    """Give a port that nobody listens on."""

    def find():
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return free.getsockname()[1]

    return find


@pytest.fixture(scope="session")
def app_url(runs, data_folder, free_port, wait_until_up):
    """The address of a served app; the server is ended by its own process id."""
    port = free_port()
    log = runs / "server.log"
    environment = os.environ | {
        "SCRIBEVIZ_DATA": str(data_folder),
        "SCRIBEVIZ_RUNS": str(runs),
        "SCRIBEVIZ_MODELS": str(ROOT / "tests" / "models" / "custom" / "tutorial_model.py"),
    }
    environment.pop("XLA_FLAGS", None)  # as users have it: what is drawn there takes long enough
    command = ["serve", "app", "--address", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "panel", *command],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}/app"
    try:
        wait_until_up(url, server, log)
        yield url
        assert server.poll() is None, log.read_text()
        # Bokeh logs tracebacks of its own when a page is closed while a message is on its way.
        ours = re.findall(r'File "[^"]*/scribeviz/(?:\w+/)*\w+\.py".*', log.read_text())
        assert not ours, log.read_text()
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="session")
def wait_until_up():
    """Wait until a server answers; its log is what to say if it does not."""

    def wait(url, server, log):
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            assert server.poll() is None, log.read_text()
            try:
                with urllib.request.urlopen(url, timeout=20):  # noqa: S310  our own server
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"the server did not come up:\n{log.read_text()}")

    return wait


@pytest.fixture
def shoot(page):
    """Take a screenshot for people to look at."""
    SCREENSHOTS.mkdir(exist_ok=True)

    def take(name):
        page.wait_for_timeout(400)
        page.screenshot(path=SCREENSHOTS / f"{name}.png")

    return take


@pytest.fixture
def console_errors(page):
    """What the browser complained about while the test ran."""
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    return errors
