"""Every page in a real browser, beside the one journey."""

import os
import re
import signal
from urllib.parse import quote_plus, urlencode

import psutil
import pytest
from playwright.sync_api import expect

from scribeviz import ModelSpec
from scribeviz.views.data.data_state import EXAMPLE
from tests.browser.walking import (
    ACTIVATE,
    PATIENT,
    SERIES,
    Y_ENDS,
    choose_components,
    choose_file,
    choose_model,
    choose_row,
    click,
    explore,
    go_to_the_fit,
    open_example,
    open_tab,
    set_tolerance,
    step,
)

pytestmark = pytest.mark.slow


def test_a_group_of_cells_is_looked_at(page, app_url, fitted, shoot, console_errors):
    explore(page, app_url, fitted(EXAMPLE, ModelSpec(n_components=2)))
    for kind in ("Cumulative", "Rootogram", "Residuals", "Counts"):
        page.get_by_role("button", name=kind, exact=True).click()
        page.wait_for_timeout(400)
        shoot(f"23-gene-{kind.lower()}")
    open_tab(page, "All counts")
    expect(page.get_by_role("heading", name="Total counts of cells")).to_be_visible()
    shoot("24-all-counts")
    open_tab(page, "Several genes")
    expect(page.get_by_role("heading", name="Several genes", exact=True)).to_be_visible()
    page.wait_for_timeout(1_500)
    shoot("25-several-genes")

    # A lasso around the upper half of the map.
    open_tab(page, "Cells")
    # To the top: the mouse must reach all of the picture beneath.
    heading = page.get_by_role("heading", name="Cells", exact=True)
    heading.evaluate("element => element.scrollIntoView({block: 'start'})")
    page.wait_for_timeout(1_000)
    x, y, width, height = page.evaluate(ACTIVATE, ["umap 1", "LassoSelectTool"])
    page.mouse.move(x + 0.02 * width, y + 0.02 * height)
    page.mouse.down()
    for across, down in ((0.98, 0.02), (0.98, 0.5), (0.02, 0.5), (0.02, 0.02)):
        page.mouse.move(x + across * width, y + down * height, steps=6)
    page.mouse.up()
    expect(page.get_by_text("of 700 cells, chosen by lasso")).to_be_visible()
    expect(page.get_by_text("chosen cells.").first).to_be_visible()
    expect(page.get_by_role("heading", name="Genes that mark them")).to_be_visible(timeout=PATIENT)
    shoot("26-lasso")
    click(page, "Rank all genes in these cells")
    expect(page.get_by_text("Judged by the")).to_be_visible(timeout=PATIENT)
    click(page, "All cells again")
    expect(page.get_by_text("All cells are looked at.")).to_be_visible()
    assert not console_errors


def test_figures_tables_and_code_can_be_kept(page, app_url, fitted, shoot, console_errors):
    explore(page, app_url, fitted(EXAMPLE, ModelSpec()), EXAMPLE)
    gene_axis = "counts (UMIs) of the gene in a cell"
    page.get_by_role("heading", name="Genes", exact=True).scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    x, y, width, height = page.evaluate(ACTIVATE, [gene_axis, "PanTool"])
    frame = (x + width / 2, y + height / 2)
    with page.expect_download() as figure:
        page.mouse.move(*frame)
        page.get_by_title("Save", exact=True).first.click()
    assert figure.value.path().read_bytes().startswith(b"\x89PNG")
    page.get_by_role("button", name="Figure …").first.click()
    with page.expect_download(timeout=PATIENT) as figure:
        page.get_by_text("Download", exact=True).first.click()
    assert figure.value.path().read_bytes().startswith(b"%PDF")
    with page.expect_download(timeout=PATIENT) as report:
        page.get_by_text("Report as HTML").click()
    assert "What the model gets wrong" in report.value.path().read_text()
    with page.expect_download() as table:
        page.get_by_text("Table as CSV").click()
    assert len(table.value.path().read_text().splitlines()) == 766
    with page.expect_download() as results:
        page.get_by_text("AnnData with the results").click()
    assert results.value.path().read_bytes().startswith(b"\x89HDF")
    page.get_by_text("Show the Python").click()
    expect(page.get_by_text("counts = scribeviz.demo()")).to_be_visible()
    page.get_by_text("counts = scribeviz.demo()").scroll_into_view_if_needed()
    shoot("27-python")
    assert not console_errors


def test_what_is_recommended_is_exact_and_a_reload_comes_back_to_it(page, app_url, shoot):
    open_example(page, app_url)
    click(page, "Choose a model")
    go_to_the_fit(page)
    expect(page.get_by_role("radio", name="Exact (quadrature)")).to_be_checked()
    click(page, "Start the fit")
    expect(page.get_by_text("the priors are learned, after")).to_be_visible(timeout=PATIENT)
    expect(page.get_by_text("quarter sweeps, of at most")).to_be_visible()
    shoot("31-exact")
    click(page, "Explore the result")
    expect(page.get_by_role("heading", name="Genes", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^as expected: "))).to_be_visible()
    shoot("32-exact-explore")
    row = page.locator(".tabulator-row:visible").nth(3)
    gene = row.locator("[tabulator-field=gene]").inner_text()
    choose_row(row, page.get_by_role("heading", name=gene, exact=True))
    expect(page).to_have_url(re.compile("place=Explore.*gene="))
    page.wait_for_timeout(800)
    address = page.url
    assert "run=" in address
    assert "place=Explore" in address
    shown = page.locator("h2").nth(1).inner_text()
    page.goto("about:blank")
    page.goto(address)
    expect(page.get_by_role("heading", name=shown, exact=True)).to_be_visible(timeout=PATIENT)


def test_capture_and_sampling_from_the_page(page, app_url, shoot, console_errors):
    page.goto(app_url)
    choose_file(page, "hostile <script>.h5ad")
    expect(page.get_by_text("All values are whole numbers")).to_be_visible(timeout=PATIENT)
    click(page, "Choose a model")
    capture = page.get_by_role("heading", name="Capture", exact=True)
    expect(capture).not_to_be_visible()
    choose_model(page, "nbvcp")
    expect(capture).to_be_visible()
    page.get_by_label("Parameterization").click()
    page.get_by_role("menuitem", name="Odds ratio").click()
    expect(page.get_by_text("Capture odds", exact=False).first).to_be_visible()
    page.get_by_text("The maths", exact=True).click()
    shoot("13-capture-model")
    go_to_the_fit(page)
    click(page, "Start the fit")
    expect(page.get_by_text("the loss has settled")).to_be_visible(timeout=PATIENT)

    # Sampling starts from that fit.
    page.get_by_label("Sampling (NUTS)").check()
    expect(page.get_by_text("It starts from the newest variational fit")).to_be_visible()
    for label, value in ((r"^Warm-up", "100"), (r"^Draws", "100")):
        field = page.get_by_role("textbox", name=re.compile(label))
        field.fill(value)
        field.press("Enter")
    shoot("14-sampling")
    click(page, "Start the fit")
    expect(page.get_by_text("all draws are done")).to_be_visible(timeout=PATIENT)
    shoot("15-sampled")
    click(page, "Explore the result")
    expect(page.get_by_role("heading", name="Genes", exact=True)).to_be_visible()
    expect(page.get_by_text("The level of capture is open")).to_be_visible()
    shoot("16-sampled-explore")
    assert not console_errors


def test_the_prior_predictive_moves_with_a_prior(page, app_url, shoot, console_errors):
    open_example(page, app_url)
    click(page, "Choose a model")
    choose_model(page, "nbdm")
    told = page.get_by_text("before any data the model expects")
    expect(told).to_be_visible(timeout=PATIENT)
    field = page.get_by_role("textbox", name="log median")
    field.click()
    seen = [told.inner_text()]
    for number in ("3", "-2"):  # one after the other, without leaving the field
        field.fill(number)
        field.press("Enter")
        expect(told).not_to_have_text(seen[-1])
        seen.append(told.inner_text())
        page.wait_for_timeout(300)
    means = [float(re.search("expected ([0-9.,]+) to", text)[1].replace(",", "")) for text in seen]
    assert means[2] < means[0] < means[1]
    # A slider moves the same number, and the picture with it.
    slider = page.get_by_role("slider", name="log median of Dispersion r")
    drawn = page.evaluate(SERIES, "top")
    slider.focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    expect(field).to_have_value(re.compile(r"^-1\.2"))
    expect(told).not_to_have_text(seen[-1])
    expect(page.get_by_text("Nine in ten genes lie between 0.05")).to_be_visible()
    page.wait_for_timeout(500)
    assert page.evaluate(SERIES, "top") != drawn
    told.scroll_into_view_if_needed()
    shoot("22-prior-predictive")
    assert not console_errors


def test_a_model_of_ones_own_from_the_page(page, app_url, shoot):
    open_example(page, app_url)
    click(page, "Choose a model")
    page.get_by_role("radio", name="NBDM, log-normal dispersions").check()
    expect(page.get_by_text("mu_r (gene-specific)")).to_be_visible()
    expect(page.get_by_role("heading", name="Priors", exact=True)).not_to_be_visible()
    shoot("17-own-model")
    go_to_the_fit(page)
    expect(page.get_by_label("Sampling (NUTS)")).not_to_be_visible()
    field = page.get_by_role("textbox", name="At most")
    field.click()  # focused, the number loses its comma, and with it what was selected
    field.fill("200")
    field.press("Enter")
    click(page, "Start the fit")
    expect(page.get_by_text("steps, of at most 200")).to_be_visible(timeout=PATIENT)
    expect(page.get_by_role("button", name="Explore the result")).to_be_visible(timeout=PATIENT)
    click(page, "Explore the result")
    expect(page.get_by_role("heading", name="Genes", exact=True)).to_be_visible()
    shoot("18-own-model-explore")


def test_three_runs_are_compared(page, app_url, fitted, shoot, console_errors):
    data = "hostile <script>.h5ad"
    names = ("zinb", "nbdm", "nbvcp")
    for name in names:
        fitted(data, ModelSpec(likelihood=name))
    page.goto(f"{app_url}?{urlencode({'place': 'Compare', 'data': data})}")
    expect(page.get_by_text("Tick two runs above")).to_be_visible(timeout=PATIENT)
    boxes = page.locator(".tabulator-row:visible input[type=checkbox]")
    for i in range(3):  # the newest
        boxes.nth(i).check()
    expect(page.get_by_role("heading", name="Gene by gene")).to_be_visible(timeout=PATIENT)
    expect(page.get_by_text(re.compile("^Comparing"))).to_have_count(0, timeout=PATIENT)
    models = page.locator(".tabulator-cell:visible[tabulator-field=model]")
    for name in names:
        expect(models.get_by_text(name, exact=True)).to_be_visible()
    shoot("19-compare")

    # A row shows its gene under both models, on the same axes.
    expect(page.get_by_role("heading", name=re.compile(": zinb$"))).to_have_count(1)
    row = page.locator(
        ".tabulator-row:visible", has=page.locator("[tabulator-field=difference]")
    ).nth(4)
    gene = row.locator("[tabulator-field=gene]").inner_text()
    shown = page.get_by_role("heading", name=f"{gene}: ")
    choose_row(row, shown.first)
    expect(shown).to_have_count(2)
    ends = page.evaluate(Y_ENDS, "counts (UMIs) of the gene in a cell")
    assert len(ends) >= 2
    assert len(set(ends[-2:])) == 1
    page.get_by_role("heading", name=f"{gene}: ").first.scroll_into_view_if_needed()
    shoot("20-compare-gene")
    page.get_by_role("heading", name="What differs").scroll_into_view_if_needed()
    shoot("21-compare-settings")

    # The address brings back the runs and the gene, and says what of it is gone.
    expect(page).to_have_url(re.compile(f"compare=.*gene={re.escape(quote_plus(gene))}$"))
    address = page.url.replace("compare=", "compare=another,")
    page.goto("about:blank")
    page.goto(address)
    expect(page.get_by_text("1 of the 4 runs of this link cannot be compared")).to_be_visible(
        timeout=PATIENT
    )
    expect(shown).to_have_count(2, timeout=PATIENT)
    expect(page.locator(".tabulator-row:visible input[type=checkbox]:checked")).to_have_count(3)

    # Runs of other data are refused in a sentence.
    explore(page, app_url, fitted(EXAMPLE, ModelSpec()))
    step(page, "Compare")
    for name in ("PBMC 68k", "hostile"):
        row = page.locator(".tabulator-row:visible", has_text=name).first
        row.locator("input[type=checkbox]").check()
    expect(page.get_by_text("they are fits of different data")).to_be_visible(timeout=PATIENT)
    assert not console_errors


def test_normalised_data_are_refused_with_a_cure(page, app_url, shoot):
    page.goto(app_url)
    choose_file(page, "normalised.h5ad")
    expect(page.get_by_text("normalised.h5ad: X holds")).to_be_visible(timeout=PATIENT)
    shoot("11-refused")
    click(page, "Use counts")
    expect(page.get_by_text("All values are whole numbers")).to_be_visible(timeout=PATIENT)


def test_cells_are_filtered_and_come_back(page, app_url, shoot, console_errors):
    open_example(page, app_url)
    page.get_by_text("Filter cells and genes").click()
    apply, undo = (page.get_by_role("button", name=name, exact=True) for name in ("Apply", "Undo"))
    expect(page.get_by_text("Keeps all 700 cells and all 765 genes.")).to_be_visible(
        timeout=PATIENT
    )
    expect(page.get_by_text("Nothing is set: move a slider.")).to_be_visible()
    expect(apply).to_be_disabled()
    expect(undo).to_be_disabled()
    fields = page.get_by_role("textbox", name=re.compile("^At least"))  # of counts, of genes
    expect(fields).to_have_count(2)
    field = fields.first
    field.fill("600")
    field.press("Enter")
    sentence = page.get_by_text(re.compile(r"Keeps \d+ of 700 cells and all 765 genes\."))
    expect(sentence).to_be_visible()
    seen = page.get_by_role("textbox", name="Genes seen in at least")
    seen.fill("100")
    seen.press("Enter")
    sentence = page.get_by_text(re.compile(r"Keeps (\d+) of 700 cells and (\d+) of 765 genes\."))
    expect(sentence).to_be_visible()
    cells, genes = re.findall(r"(\d+) of", sentence.inner_text())
    chip = page.get_by_text("PBMC 68k (example) ·")
    expect(chip).to_contain_text("700 cells x 765 genes")  # nothing applies before Apply
    shoot("28-filter")
    apply.click()
    expect(chip).to_contain_text(f"{cells} cells x {genes} genes")
    expect(page.get_by_text(f"Filtered: {cells} of 700 cells")).to_be_visible()
    expect(apply).to_be_disabled()
    expect(page).to_have_url(re.compile("filter=counts:600-,seen:100$"))

    # The address brings it back, and the code says it.
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(chip).to_contain_text(f"{cells} cells x {genes} genes", timeout=PATIENT)
    page.get_by_text("Show the Python").click()
    expect(page.get_by_text("scribeviz.CellFilter(min_counts=600, min_cells=100)")).to_be_visible()
    page.get_by_text("Filter cells and genes").click()
    expect(field).to_have_value("600", timeout=PATIENT)
    shoot("29-filtered")
    undo.click()
    expect(chip).to_contain_text("700 cells x 765 genes")
    expect(page.get_by_text("Filtered:")).to_have_count(0)
    expect(field).not_to_have_value("600")

    # An end of the slider by keyboard, on a telephone.
    page.set_viewport_size({"width": 390, "height": 800})
    page.get_by_role("slider", name="Range of counts per cell").first.focus()
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_text(re.compile(r"Keeps \d+ of 700 cells and all"))).to_be_visible()
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390, "the page scrolls sideways"
    shoot("30-filter-narrow")
    assert not console_errors


def test_back_and_forward_go_from_page_to_page(page, app_url, fitted, console_errors):
    run = fitted(EXAMPLE, ModelSpec())
    titles = page.get_by_role("heading", level=1)
    page.goto(f"{app_url}?place=Data&data={EXAMPLE}&run={run}")
    expect(titles).to_have_text("Data", timeout=PATIENT)
    for place in ("Model", "Fit", "Explore"):
        page.locator(".MuiStep-root", has_text=place).locator(".MuiStepLabel-root").click()
        expect(titles).to_have_text(place, timeout=PATIENT)
        expect(page).to_have_url(re.compile(f"place={place}"), timeout=PATIENT)
    expect(page).to_have_url(re.compile("gene="), timeout=PATIENT)  # which adds no step back
    for place in ("Fit", "Model", "Data"):
        page.go_back()
        expect(titles).to_have_text(place, timeout=PATIENT)
        expect(page).to_have_url(re.compile(f"place={place}"))
    page.go_forward()
    expect(titles).to_have_text("Model", timeout=PATIENT)
    page.wait_for_timeout(1_000)  # a few looks of the server at the address
    expect(page).to_have_url(re.compile("place=Model"))
    page.go_forward()
    expect(titles).to_have_text("Fit", timeout=PATIENT)
    page.go_forward()
    expect(page.get_by_text("genes, worst first")).to_be_visible(timeout=PATIENT)
    assert not console_errors


def test_pages_fit_narrow_windows(page, app_url, fitted, shoot, console_errors):
    run = fitted(EXAMPLE, ModelSpec())
    seen = {
        "Model": "Before any data",
        "Fit": "Click a run to look at it.",
        "Explore": "genes, worst first",
    }
    looks = [(390, "Model"), (390, "Fit"), (390, "Explore"), (768, "Fit"), (1024, "Explore")]
    for width, place in looks:
        page.set_viewport_size({"width": width, "height": 1000})
        page.goto(f"{app_url}?place={place}&data={EXAMPLE}&run={run}")
        expect(page.get_by_text(seen[place]).first).to_be_visible(timeout=PATIENT)
        steps = page.locator(".MuiStep-root", has_text="Compare")
        expect(steps).to_be_visible(visible=width >= 900)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cards = page.locator(".MuiPaper-outlined:visible")
        widths = [box["width"] for card in cards.all() if (box := card.bounding_box())]
        assert min(widths) > 200, f"{place} at {width}: a card of one word a line"
        assert max(widths) <= width
        shoot(f"narrow-{place}-{width}")
    assert not console_errors


def test_reading_can_be_cancelled(page, app_url, data_folder):
    endless = data_folder / "endless.csv"
    os.mkfifo(endless)  # nobody writes into it: reading it takes for ever
    try:
        page.goto(app_url)
        choose_file(page, "endless.csv")
        expect(page.get_by_text("Reading endless.csv …")).to_be_visible(timeout=PATIENT)
        click(page, "Cancel")
        expect(page.get_by_text("Reading endless.csv …")).to_be_hidden(timeout=PATIENT)
    finally:
        endless.unlink()
    choose_file(page, "normalised.h5ad")
    expect(page.get_by_text("normalised.h5ad: X holds")).to_be_visible(timeout=PATIENT)


def test_a_broken_file_is_a_sentence(page, app_url):
    page.goto(app_url)
    choose_file(page, "broken.h5ad")
    expect(page.get_by_text("broken.h5ad is not an HDF5 file")).to_be_visible(timeout=PATIENT)
    expect(page.get_by_text("Traceback")).to_have_count(0)


def test_text_from_a_file_stays_text(page, app_url, fitted):
    """Gene names, labels and file names that hold HTML are shown, never run."""
    alerts = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    page.goto(app_url)
    choose_file(page, "hostile <script>.h5ad")
    expect(page.get_by_text("All values are whole numbers")).to_be_visible(timeout=PATIENT)
    run = fitted("hostile <script>.h5ad", ModelSpec(n_components=2))
    explore(page, app_url, run, "hostile <script>.h5ad")
    cell = page.locator(".tabulator-cell:visible", has_text="<img src=x")
    expect(cell.first).to_be_visible(timeout=PATIENT)
    choose_row(cell.first, page.get_by_role("heading", name="<img src=x onerror=alert(1)>"))
    page.wait_for_timeout(800)
    assert not alerts
    assert page.locator("img[src=x]").count() == 0


def test_a_worker_that_dies_leaves_the_page_alive(page, app_url, shoot):

    open_example(page, app_url)
    choose_components(page, 2)
    set_tolerance(page, "0")
    click(page, "Start the fit")
    expect(page.get_by_text("steps, of at most 20,000")).to_be_visible()
    page.wait_for_function("(f) => eval(f)('step').some(s => s.length > 1)", arg=SERIES)
    busiest = max(
        (p for p in psutil.process_iter(["cmdline"]) if "scribeviz.runs.worker" in str(p.info)),
        key=lambda p: sum(p.cpu_times()[:2]),
    )
    os.kill(busiest.pid, signal.SIGKILL)
    expect(page.get_by_text("killed from outside")).to_be_visible(timeout=PATIENT)
    shoot("12-worker-died")
    step(page, "Data")
    expect(page.get_by_role("button", name="Open the example")).to_be_visible()


def test_nothing_is_asked_of_another_machine(page, app_url):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(app_url)
    expect(page.get_by_role("button", name="Open the example")).to_be_visible()
    ours = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
    assert [url for url in asked if not url.startswith(ours)] == []
