"""Make README's pictures and its film from the real dashboard: ``python docs/pictures.py``.

It serves the built-in example in an empty folder, walks from the data to a comparison in a browser,
and writes into ``docs/pictures``.  It takes two or three minutes.
"""

import io
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

PLACE = Path(__file__).parent / "pictures"
WINDOW = {"width": 1440, "height": 900}
FILM_WIDTH = 960  # pixels
FRAME_SECONDS = 0.4
COLOURS = 128
WAIT = 180_000  # milliseconds


class Film:
    """Frames of a page, each shown for as long as nothing changed."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._frames: list[Image.Image] = []
        self._seconds: list[float] = []
        self._latest = b""

    def watch(self, seconds: float) -> None:
        """Take frames for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            self._add(self._page.screenshot())
            self._page.wait_for_timeout(
                max(0.0, FRAME_SECONDS - (time.monotonic() - began)) * 1_000
            )

    def save(self, path: Path) -> None:
        """Write them as an animated GIF."""
        first, *others = self._frames
        first.save(
            path,
            save_all=True,
            append_images=others,
            duration=[int(1_000 * seconds) for seconds in self._seconds],
            loop=0,
            optimize=True,
        )

    def _add(self, png: bytes) -> None:
        if png == self._latest:
            self._seconds[-1] += FRAME_SECONDS
            return
        self._latest = png
        whole = Image.open(io.BytesIO(png)).convert("RGB")
        height = round(whole.height * FILM_WIDTH / whole.width)
        small = whole.resize((FILM_WIDTH, height), Image.Resampling.LANCZOS)
        self._frames.append(small.quantize(COLOURS, dither=Image.Dither.NONE))
        self._seconds.append(FRAME_SECONDS)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a dashboard with the example and no runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "serve",
        "--example",
        "--no-browser",
        "--data",
        str(folder),
        "--runs",
        f"{folder}/runs",
    ]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "scribeviz.cli", *command, "--port", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}/app?data=example"
    try:
        for _ in range(300):
            try:
                with urllib.request.urlopen(url, timeout=20):
                    break
            except OSError:
                time.sleep(0.3)
        yield url
    finally:
        server.terminate()
        server.wait(20)


def keep(page: Page, name: str) -> None:
    """Write what the page shows, with few colours."""
    whole = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    whole.quantize(256, dither=Image.Dither.NONE).save(PLACE / f"{name}.png", optimize=True)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click(timeout=WAIT)


def go_to(page: Page, place: str) -> None:
    page.locator(".MuiStep-root", has_text=place).locator(".MuiStepLabel-root").click()


def walk(page: Page, url: str) -> None:
    """From the data to a comparison."""
    film = Film(page)
    page.goto(url, timeout=WAIT)
    page.get_by_role("button", name="Choose a model", exact=True).wait_for(timeout=WAIT)
    film.watch(3)
    keep(page, "data")
    press(page, "Choose a model")
    page.get_by_text("Means and dispersions of all genes").wait_for(timeout=WAIT)
    page.wait_for_timeout(2_000)
    film.watch(2)
    keep(page, "model")
    press(page, "Go to the fit")
    press(page, "Start the fit")
    film.watch(4)
    page.get_by_text("the priors are learned, after").wait_for(timeout=WAIT)
    film.watch(2)
    keep(page, "fit")
    press(page, "Explore the result")
    page.get_by_role("button", name="as expected").wait_for(timeout=WAIT)
    page.wait_for_timeout(2_000)
    film.watch(2)
    keep(page, "explore")
    for row in (2, 5):
        page.locator(".tabulator-row:visible").nth(row).click()
        film.watch(2)
    go_to(page, "Model")
    page.get_by_role("radio", name="Negative binomial A first look").check(timeout=WAIT)
    film.watch(2)
    press(page, "Go to the fit")
    press(page, "Start the fit")
    film.watch(4)
    page.get_by_text("the loss has settled, after").wait_for(timeout=WAIT)
    go_to(page, "Compare")
    for row in (0, 1):
        page.locator(".tabulator-row:visible input[type=checkbox]").nth(row).check(timeout=WAIT)
    page.get_by_role("heading", name="Gene by gene").wait_for(timeout=WAIT)
    page.wait_for_timeout(3_000)
    film.watch(3)
    keep(page, "compare")
    film.save(PLACE / "journey.gif")


def main() -> None:
    PLACE.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder)) as url,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"))
        walk(browser.new_page(viewport=WINDOW), url)
        browser.close()
    for path in sorted(PLACE.iterdir()):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
