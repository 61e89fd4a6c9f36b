"""A network and a mixture of the same data in a real browser: watched, explored, compared."""

import re

import pytest
from playwright.sync_api import expect

from scribeviz import ModelSpec
from scribeviz.networks.cellvae import CELLVAE
from scribeviz.views.data.data_state import EXAMPLE
from tests.browser.walking import (
    PATIENT,
    SERIES,
    choose_model,
    click,
    go_to_the_fit,
    open_example,
    open_tab,
    step,
)


def choose(page, label, option):
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("menuitem", name=option).click()


@pytest.mark.slow
def test_a_network_and_a_mixture_side_by_side(page, app_url, fitted, shoot, console_errors):
    open_example(page, app_url)
    fitted(EXAMPLE, ModelSpec(likelihood="nbvcp", n_components=2))
    click(page, "Choose a model")
    choose_model(page, CELLVAE)
    expect(page.get_by_role("heading", name="Network", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="Priors", exact=True)).to_be_hidden()
    shoot("network-model")
    go_to_the_fit(page)
    expect(page.get_by_label("At most (epochs)")).to_be_visible()
    click(page, "Start the fit")
    # Both losses: of the minibatches, and of the cells that are not trained on.
    watched = f"() => ({SERIES})('validation').some(s => s.length > 3)"
    page.wait_for_function(watched, timeout=3 * PATIENT)
    assert any(len(series) > 3 for series in page.evaluate(SERIES, "loss"))
    expect(page.get_by_text("the validation loss no longer falls, after")).to_be_visible(
        timeout=3 * PATIENT
    )
    validated = max(page.evaluate(SERIES, "validation"), key=len)
    assert validated[0] > validated[-1] > 0
    shoot("network-fit")

    click(page, "Explore the result")
    expect(page.locator(".tabulator-row:visible").first).to_be_visible(timeout=PATIENT)
    expect(page.get_by_text("cells that the network was not trained on")).to_be_visible()
    open_tab(page, "Cells")
    expect(page.get_by_role("combobox", name="Where cells lie")).to_contain_text("latent space")
    expect(page.get_by_text("Placing the cells")).to_be_hidden(timeout=2 * PATIENT)
    choose(page, "Coloured by", re.compile("entropy under nbvcp_mix"))
    page.wait_for_timeout(2_000)
    shoot("network-cells")

    open_tab(page, "Unusual cells")
    click(page, "Find unusual cells")
    expect(page.get_by_role("heading", name="Cells with the largest error")).to_be_visible(
        timeout=2 * PATIENT
    )
    page.get_by_role("heading", name="Abnormality").scroll_into_view_if_needed()
    shoot("network-unusual")

    step(page, "Compare")
    boxes = page.locator(".tabulator-row:visible input[type=checkbox]")
    for i in range(2):  # the newest two
        boxes.nth(i).check()
    scored = page.get_by_text(re.compile("On the 70 cells that no network was trained on"))
    expect(scored).to_be_visible(timeout=PATIENT)
    expect(page.get_by_role("heading", name="Gene by gene")).to_be_visible()
    models = page.locator(".tabulator-cell:visible[tabulator-field=model]")
    for name in ("cellvae", "nbvcp_mix, K = 2"):
        expect(models.get_by_text(name, exact=True)).to_be_visible()
    shoot("network-compare")
    assert not console_errors
