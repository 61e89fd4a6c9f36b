"""What axe-core finds on every page, in light and in dark: nothing critical, nothing serious."""

from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from scribeviz import ModelSpec
from scribeviz.views.data.data_state import EXAMPLE
from tests.browser.walking import PATIENT, open_tab

pytestmark = pytest.mark.slow

_SAYS = {
    "Data": "All values are whole numbers",
    "Model": "Before any data",
    "Fit": "Click a run to look at it.",
    "Explore": "genes, worst first",
    "Compare": "What differs",
}
_TABS = ("All counts", "Several genes", "Cells", "Unusual cells", "Parameters")
_CLOSED = "[aria-expanded=false][role=button]:visible"


@pytest.fixture(scope="module")
def two_runs(fitted):
    """Ids of two fits of the example."""
    other = ModelSpec(parameterization="linked")
    return fitted(EXAMPLE, ModelSpec()), fitted(EXAMPLE, other)


@pytest.fixture
def visit(page, app_url, two_runs):
    """Go to a place and wait until it is drawn."""

    def go(place):
        run, _ = two_runs
        asked = {"place": place, "data": EXAMPLE, "run": run, "compare": ",".join(two_runs)}
        page.goto(f"{app_url}?{urlencode(asked)}")
        expect(page.get_by_text(_SAYS[place]).first).to_be_visible(timeout=PATIENT)
        page.wait_for_timeout(1_500)  # pictures and tables, which come after the words

    return go


def violations(page):
    """What axe-core calls critical or serious, in whatever shadow root."""
    result = Axe().run(page, options={"resultTypes": ["violations"]})
    assert len(result.response["passes"]) > 10
    return [
        f"{one['id']}: {node['target'][-1][-1]}\n  {node['html'][:300]}\n  {node['failureSummary']}"
        for one in result.response["violations"]
        if one["impact"] in {"critical", "serious"}
        for node in one["nodes"]
    ]


def assert_accessible(page):
    """None is left as soon as the page has come to rest: colours fade, parts are drawn anew."""
    for _ in range(6):
        page.wait_for_timeout(500)
        left = violations(page)
        if not left:
            return
    raise AssertionError("\n".join(left))


def open_everything(page):
    """What is folded away is part of the page too."""
    for _ in range(page.locator(_CLOSED).count()):
        page.locator(_CLOSED).first.click()
        page.wait_for_timeout(500)  # it is drawn, and then told to be open
    expect(page.locator(_CLOSED)).to_have_count(0)


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("place", _SAYS)
def test_a_page_is_accessible(page, visit, place, is_dark, console_errors):
    visit(place)
    if is_dark:
        page.get_by_role("button", name="Toggle theme").click()
        page.mouse.move(0, 500)
    assert_accessible(page)
    open_everything(page)
    for name in _TABS if place == "Explore" else ():
        open_tab(page, name)
        expect(page.get_by_text("Drawing:")).to_have_count(0, timeout=PATIENT)
        page.wait_for_timeout(1_000)
    assert_accessible(page)
    assert not console_errors


def test_the_start_is_accessible_on_a_telephone(page, app_url):
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(app_url)
    expect(page.get_by_text("to begin")).to_be_visible()
    assert_accessible(page)
    page.get_by_role("button", name="Open drawer").click()
    expect(page.get_by_role("tab", name="Data")).to_be_visible()
    assert_accessible(page)


# Where the focus is, in whatever shadow root, and whether that can be seen.
_FOCUSED = """() => {
  let part = document.activeElement;
  while (part.shadowRoot?.activeElement) part = part.shadowRoot.activeElement;
  const shown = part.closest(".Mui-focusVisible") ?? part;
  const framed = part.matches(".MuiInputBase-input");  // fields have a frame of their own
  const ring = getComputedStyle(shown);
  const seen = framed || (ring.outlineStyle !== "none" && parseFloat(ring.outlineWidth) > 0);
  return [part === document.body ? "" : part.outerHTML.slice(0, 200), seen];
}"""


def test_the_focus_is_seen_wherever_it_goes(page, visit):
    visit("Explore")
    stops = []
    for _ in range(45):
        page.keyboard.press("Tab")
        page.wait_for_timeout(100)  # the browser adds what libraries leave out
        stops.append(page.evaluate(_FOCUSED))
    assert [part for part, seen in stops if not seen] == []
    assert sum("tabulator-row" in part for part, _ in stops) >= 10


def test_the_keyboard_does_what_the_mouse_does(page, visit, console_errors):
    visit("Explore")
    page.keyboard.press("Tab")
    skip = page.get_by_role("button", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    expect(skip).not_to_be_in_viewport()

    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_be_visible()
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    search = page.get_by_label("Search a gene")
    search.press("?")  # is written there
    expect(keys).to_be_hidden()
    search.press("Escape")

    row = page.locator(".tabulator-row:visible").nth(2)
    gene = row.locator("[tabulator-field=gene]").inner_text()
    expect(row.locator("[tabulator-field=fdr]")).to_have_text("< 0.001")
    row.press("Enter")
    expect(page.get_by_role("heading", name=gene, exact=True)).to_be_visible()

    page.locator(".tabulator-col[tabulator-field=fdr]:visible").focus()
    page.keyboard.press("Tab")
    meaning = page.locator("#meaning")
    expect(meaning).to_contain_text("false alarms")
    expect(meaning).to_be_visible()
    page.keyboard.press("Escape")
    expect(meaning).to_be_hidden()

    page.get_by_role("button", name="How to read it").press("Enter")
    expect(page.get_by_text("Bars are the data.")).to_be_visible()
    assert not console_errors


def test_names_of_cards_are_bold_to_their_end(page, visit):
    page.set_viewport_size({"width": 390, "height": 800})
    visit("Model")
    name = page.locator(".MuiFormControlLabel-label b", has_text="(recommended)")
    expect(name).to_have_text("Negative binomial, a dispersion per gene (recommended)")
    assert name.bounding_box()["height"] > 30, "it takes one line, and shows nothing"
    expect(name).to_have_css("font-weight", "600")


def test_a_table_shows_its_names_whole_where_there_is_room(page, visit):
    page.set_viewport_size({"width": 1440, "height": 1000})
    visit("Compare")
    table = page.locator(".tabulator", has=page.locator("[tabulator-field=elpd_loo]"))
    room = table.bounding_box()["width"]
    heads = table.locator(".tabulator-col:visible")
    assert sum(head.bounding_box()["width"] for head in heads.all()) >= room - 4
    cut = """(part) => part.scrollWidth > part.clientWidth"""
    parts = table.locator(
        ".tabulator-cell:visible > div, .tabulator-col:not(.empty) .tabulator-col-title:visible"
    )
    assert [part.inner_text() for part in parts.all() if part.evaluate(cut)] == []
