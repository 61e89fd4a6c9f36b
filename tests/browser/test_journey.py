"""The whole journey in a real browser: data, model, fit, explore."""

import re

from playwright.sync_api import expect

from tests.browser.walking import (
    PATIENT,
    SERIES,
    choose_model,
    choose_row,
    click,
    go_to_the_fit,
    loss_lengths,
    open_tab,
    set_tolerance,
    tap_gene,
)


def test_the_journey(page, app_url, shoot, console_errors):  # noqa: PLR0915  one journey
    page.goto(app_url)
    expect(page.get_by_text("to begin")).to_be_visible()
    shoot("1-start")
    click(page, "Open the example")
    expect(page.get_by_text("All values are whole numbers")).to_be_visible(timeout=PATIENT)
    expect(page.get_by_text("700", exact=True)).to_be_visible()
    shoot("2-data")

    click(page, "Choose a model")
    expect(page.get_by_role("radio", name=re.compile("recommended"))).to_be_checked()
    expect(page.get_by_text("of the 753 genes with 10 counts or more scatter")).to_be_visible()
    choose_model(page, "nbdm")
    field = page.get_by_label("Number of components")
    field.fill("2")
    field.press("Enter")
    expect(page.get_by_text("A mixture: every cell belongs to one of 2 groups")).to_be_visible()
    expect(page.get_by_text("Mixing weights. The share of cells")).to_be_visible()
    shoot("3-model")

    # A fit that takes its time: the curve must grow while it runs, and stop when told to.
    go_to_the_fit(page)
    set_tolerance(page, "0")
    click(page, "Start the fit")
    expect(page.get_by_text("steps, of at most 20,000")).to_be_visible()
    seen = set()
    for _ in range(PATIENT // 100):  # compiling comes first
        page.wait_for_timeout(100)
        seen.update(loss_lengths(page))
        if len(seen) >= 4 and max(seen) > 300:
            break
    assert len(seen) >= 3, f"the loss curve did not grow: {sorted(seen)}"
    expect(page.get_by_text("fitting", exact=False).first).to_be_visible()
    shoot("4-fit-running")
    click(page, "Stop and keep")
    expect(page.get_by_text("stopped; what was fitted until then is kept")).to_be_visible(
        timeout=PATIENT
    )
    stopped_at = max(loss_lengths(page))
    assert stopped_at < 20_000
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    shoot("5-fit-stopped")

    # The second fit settles by itself.
    set_tolerance(page, "0.000001")
    click(page, "Start the fit")
    expect(page.get_by_text("the loss has settled")).to_be_visible(timeout=PATIENT)
    expect(page.get_by_role("gridcell", name="stopped", exact=True)).to_be_visible()
    expect(page.get_by_role("gridcell", name="NaN")).to_have_count(0)
    shoot("6-fit-done")

    click(page, "Explore the result")
    expect(page.get_by_role("heading", name="Genes", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="How sure")).to_be_visible()
    shoot("7-explore")
    before = page.evaluate(SERIES, "top")
    search = page.get_by_label("Search a gene")
    search.fill("cd3d")
    page.get_by_role("option", name="CD3D").click()
    expect(page.get_by_role("heading", name="CD3D")).to_be_visible()
    page.wait_for_timeout(500)
    assert page.evaluate(SERIES, "top") != before, "the check did not change with the gene"
    shoot("8-gene")
    page.get_by_role("switch", name="Logarithmic").click()
    page.wait_for_timeout(600)
    shoot("9-gene-log")

    # A row of the table is a gene.
    row = page.locator(".tabulator-row:visible").nth(2)
    name = row.locator("[tabulator-field=gene]").inner_text()
    choose_row(row, page.get_by_role("heading", name=name, exact=True))

    # The arrow keys go on from there, over the end of a page, and leave text fields alone.
    genes = page.locator(".tabulator-row:visible [tabulator-field=gene]")
    chosen = page.locator(".tabulator-row:visible.tabulator-selected [tabulator-field=gene]")
    number = page.locator(".tabulator-page.active:visible")
    before, below = int(number.inner_text()), genes.nth(3).inner_text()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("heading", name=below, exact=True)).to_be_visible()
    expect(chosen).to_have_text(below)
    for _ in range(10):
        page.keyboard.press("ArrowDown")
    expect(number).to_have_text(str(before + 1))
    expect(genes.first).not_to_have_text(below)
    expect(genes.nth(1)).to_have_text(chosen.inner_text())
    last = chosen.inner_text()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("heading", name=genes.first.inner_text(), exact=True)).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("heading", name=last, exact=True)).to_be_visible()
    expect(page.locator(".tabulator-row:visible svg title").first).to_contain_text("10 expected")
    shoot("9-gene-keys")
    search.click()
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(500)
    expect(chosen).to_have_text(last)
    page.keyboard.press("Escape")

    # All genes at once, and a tap on one.
    open_tab(page, "All genes")
    tapped = tap_gene(page, "share of cells without it", 5)
    expect(page.get_by_role("heading", name=tapped, exact=True)).to_be_visible()
    shoot("10-all-genes")

    open_tab(page, "Assignments")
    page.get_by_role("heading", name="Against labels").scroll_into_view_if_needed()
    heights = [sum(series) for series in page.evaluate(SERIES, "top") if len(series) == 30]
    assert 700 in heights, "the entropies of all 700 cells are drawn"
    shoot("10-assignments")
    assert not console_errors
