"""Tabs that look on, and tabs that nobody looks at."""

import re

import pytest
from playwright.sync_api import expect

from scribeviz.runs.folder import RunFolder, RunState
from tests.browser.walking import PATIENT
from tests.chaos.synthetic import make_runs

_HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def run(runs):
    """A run that is done, as far as its folder says."""
    make_runs(runs, 1)
    return RunFolder(runs / "00000-nbdm")


def test_what_happens_elsewhere_is_pushed_and_a_hidden_tab_catches_up(page, app_url, run):
    bell = run.path.parent / ".index" / "changed"
    page.goto(f"{app_url}?place=Fit&run={run.id}")
    chip = page.get_by_text(re.compile("^fit "))
    expect(chip).to_have_text("fit done", timeout=PATIENT)
    # By another program, as far as the server knows: nobody acts on this page.
    run.update_status(state=RunState.STOPPED, step=2_500)
    bell.touch()
    expect(chip).to_have_text("fit stopped", timeout=PATIENT)

    page.evaluate(_HIDE, True)
    page.wait_for_timeout(1_000)
    run.update_status(state=RunState.FAILED)
    bell.touch()
    page.wait_for_timeout(2_000)
    expect(chip).to_have_text("fit stopped")
    page.evaluate(_HIDE, False)
    expect(chip).to_have_text("fit failed", timeout=PATIENT)
