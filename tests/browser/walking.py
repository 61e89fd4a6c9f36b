"""What people do on the pages, for tests in a real browser."""

import contextlib
from urllib.parse import urlencode

from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from playwright.sync_api import expect

from scribeviz.fitting.kinds import offers

PATIENT = 180_000  # milliseconds: the first fit compiles
expect.set_options(timeout=60_000)

# Every Bokeh figure of the page, inside whatever shadow roots; gives what its renderers show.
SERIES = """(name) => {
  const found = [];
  for (const doc of Bokeh.documents)
    for (const model of doc._all_models.values())
      if (model.type === "ColumnDataSource" && model.data[name] !== undefined)
        found.push(Array.from(model.data[name]));
  return found;
}"""

# Where on the page a gene is drawn, in the picture with that vertical axis.
PLACE_OF_GENE = """([axis, i]) => {
  for (const doc of Bokeh.documents)
    for (const model of doc._all_models.values())
      if (model.type === "Figure" && model.left.some(a => a.axis_label === axis)) {
        const view = Bokeh.index.find_one_by_id(model.id);
        const data = model.renderers[0].data_source.data;
        const box = view.canvas_view.el.getBoundingClientRect();
        const x = view.frame.x_scale.compute(data.mean[i]);
        const y = view.frame.y_scale.compute(data.height[i]);
        return [box.left + x, box.top + y, data.gene[i]];
      }
}"""

# Where the vertical axes of the pictures with that horizontal axis end.
Y_ENDS = """(label) => {
  const found = [];
  for (const doc of Bokeh.documents)
    for (const model of doc._all_models.values())
      if (model.type === "Figure" && model.below.some(a => a.axis_label === label))
        found.push(model.y_range.end);
  return found;
}"""


def click(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def go_to_the_fit(page):
    """Until the page of the fit is there: a page that is being drawn loses a click."""
    go_on = page.get_by_role("button", name="Go to the fit", exact=True)
    start = page.get_by_role("button", name="Start the fit", exact=True)
    go_on.click()
    for _ in range(4):
        try:
            expect(start).to_be_visible()
        except AssertionError:
            if go_on.is_visible():
                go_on.click()
            continue
        return
    expect(start).to_be_visible()


def step(page, name):
    page.locator(".MuiStep-root", has_text=name).locator(".MuiStepLabel-root").click()


def open_example(page, url):
    page.goto(url)
    click(page, "Open the example")
    expect(page.get_by_role("heading", name="PBMC 68k (example)")).to_be_visible(timeout=PATIENT)


def choose_model(page, key):
    offer = offers()[key]
    radio = page.get_by_role("radio", name=f"{offer.label} {offer.use_when}", exact=True)
    radio.check()
    expect(radio).to_be_checked()


def choose_components(page, number):
    click(page, "Choose a model")
    choose_model(page, "nbdm")
    field = page.get_by_label("Number of components")
    many = f"every cell belongs to one of {number} groups"
    taken = page.get_by_text(many if number > 1 else "One group: all cells")
    for _ in range(3):  # a page that is still being drawn may put its own number back
        field.click()
        field.fill(str(number))
        field.press("Enter")
        with contextlib.suppress(PlaywrightTimeoutError):
            taken.wait_for(timeout=60_000)
            break
    expect(taken).to_be_visible()
    go_to_the_fit(page)


def set_tolerance(page, value):
    """0 makes a fit go on until it is stopped."""
    field = page.get_by_label("Tolerance")
    if not field.is_visible():
        page.get_by_text("More", exact=True).click()
    field.fill(value)
    field.press("Enter")


FIND_FIGURE = """
  const all = (view) => [view, ...[...(view.children?.() ?? [])].flatMap(all)];
  const figure = Bokeh.index.roots.flatMap(all).find((view) =>
    view.model.type.endsWith("Figure") && view.model.below[0].axis_label === axis);
"""
# Choose a tool of the figure with that horizontal axis; gives where the frame is.
ACTIVATE = f"""([axis, kind]) => {{
  {FIND_FIGURE}
  const tool = figure.model.toolbar.tools.find((tool) => tool.type === kind);
  tool.active = true;
  const box = figure.el.getBoundingClientRect(), frame = figure.frame.bbox;
  return [box.x + frame.x0, box.y + frame.y0, frame.width, frame.height];
}}"""


def explore(page, url, run, data=None):
    """Open a finished run by its link."""
    given = {"place": "Explore", "run": run} | ({"data": data} if data else {})
    page.goto(f"{url}?{urlencode(given)}")
    genes = page.get_by_role("heading", name="Genes", exact=True)
    expect(genes).to_be_visible(timeout=PATIENT)


def choose_row(row, shown):
    """Click a row of a table until ``shown`` is there: one that is being drawn loses a click."""
    for _ in range(4):
        row.click()
        try:
            expect(shown).to_be_visible(timeout=5_000)
        except AssertionError:
            continue
        return
    expect(shown).to_be_visible()


def open_tab(page, name):
    """One of the tabs beneath the gene."""
    page.get_by_role("tab", name=name, exact=True).click()
    page.wait_for_timeout(500)


def tap_gene(page, axis, position):
    """Tap the gene at ``position`` in the picture with that vertical axis; gives its name."""
    heading = page.get_by_role("heading", name="All genes")
    expect(heading).to_be_visible(timeout=PATIENT)
    heading.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    x, y, name = page.evaluate(PLACE_OF_GENE, [axis, position])
    page.mouse.click(x, y)
    return name


def loss_lengths(page):
    return [int(series[-1]) for series in page.evaluate(SERIES, "step") if series]


def choose_file(page, name):
    page.get_by_role("combobox", name="File").click()
    page.get_by_role("menuitem", name=name).click()
    click(page, "Open the file")
