"""Sliders of priors, what priors mean in words, and pictures that keep up."""

import asyncio
from types import SimpleNamespace

import numpy as np
import panel as pn
import pytest
from panel import ui

from scribeviz.models.parameterizations import MIXING, P_CAPTURE, P, R, unconstrained
from scribeviz.models.priors import PRIOR_FAMILIES, Prior
from scribeviz.views.data.data_state import DataState
from scribeviz.views.model.model_page import ModelView
from scribeviz.views.model.model_state import ModelState
from scribeviz.views.model.prior_form import PriorView
from scribeviz.views.model.prior_words import prior_in_words
from scribeviz.views.shared import newest
from scribeviz.views.shared.newest import Newest
from scribeviz.views.shared.number_slider import Scale

PARAMETERS = [
    pytest.param(parameter, id=f"{family.key}-{parameter.name}")
    for family in PRIOR_FAMILIES.values()
    for parameter in family.parameters
]


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_slider_goes_through_sensible_numbers(parameter):
    scale = Scale.around(parameter, parameter.default)
    low, high = parameter.bounds
    numbers = [scale.number(position) for position in range(201)]
    assert low <= numbers[0] < numbers[-1] <= high
    assert (np.diff(numbers) >= 0).all()
    assert numbers[0] < parameter.default < numbers[-1]
    assert [scale.position(number) for number in numbers] == pytest.approx(range(201), abs=1)
    assert scale.log == (low > 0)
    assert (scale.position(low), scale.position(high)) == (0, 200)


def widgets(view, kind):
    return {part.label: part for part in pn.panel(view).select(kind)}


def test_sliders_and_fields_are_in_step():
    model = ModelState(likelihood="nbdm")
    prior = model.priors["r"]
    view = pn.panel(PriorView(state=prior, model=model))
    slider = widgets(view, ui.IntSlider)["log median of Dispersion r"]
    field = widgets(view, ui.FloatInput)["log median"]
    slider.value = 150
    assert field.value == prior.prior.numbers[0] == 3.0
    assert slider.value_label == "3"
    field.value = -1.47  # between two positions: left as it is
    assert prior.prior.numbers[0] == -1.47
    assert slider.value == 76
    field.value = 15.0  # beyond the end
    assert prior.prior.numbers[0] == 15.0
    assert slider.value == 200
    widgets(view, ui.Select)["Family"].value = "gamma"
    assert {"shape of Dispersion r", "rate of Dispersion r"} <= widgets(view, ui.IntSlider).keys()


def test_a_prior_is_told_in_words_as_it_moves(html_of):
    model = ModelState(likelihood="nbdm")
    view = pn.panel(PriorView(state=model.priors["r"], model=model))
    assert "Nine in ten genes lie between 0.193 and 5.18" in html_of(view)
    model.priors["r"].prior = Prior("lognormal", (1.0, 0.1))
    assert "Nine in ten genes lie between 2.31 and 3.2" in html_of(view)


@pytest.mark.parametrize(
    ("site", "says"),
    [
        (P, "With a probability of 90 % it lies between 0.05 and 0.95; its median is 0.5."),
        (P_CAPTURE, "Nine in ten cells lie between 0.05 and 0.95, half of them below 0.5."),
        (MIXING, "Nine in ten shares of a component lie between 0.0253 and 0.776, half"),
        (unconstrained(R), "between -1.64 and 1.64 (by itself: 0.193 and 5.18)"),
        (unconstrained(P), "between -1.64 and 1.64 (as a probability: 0.162 and 0.838)"),
        (unconstrained(MIXING), "With a probability of 90 % it lies between -1.64 and 1.64; its"),
    ],
)
def test_priors_in_words(site, says):
    assert says in prior_in_words(site, site.prior, n_components=3)


def test_every_prior_has_one_view_however_often_models_change(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(PriorView, "_show", lambda _: made.append(1))
    model = ModelState()
    pn.panel(ModelView(state=model, data=DataState(folder=tmp_path)))
    for likelihood in ("nbvcp", "zinb", "nbdm", "nbvcp", "nbdm"):
        model.likelihood = likelihood
    made.clear()
    model.priors["r"].prior = Prior("lognormal", (1.0, 0.1))
    assert len(made) == 1


def test_only_what_was_chosen_last_is_worked_on(monkeypatch, finish):
    chosen = SimpleNamespace(number=0)
    done = []

    async def work():
        number = chosen.number
        await asyncio.sleep(0.02)
        done.append(number)

    async def drag():
        tasks = []
        monkeypatch.setattr(
            newest.pn.state, "execute", lambda go: tasks.append(asyncio.ensure_future(go()))
        )
        follower = Newest(work)
        for number in range(1, 40):
            chosen.number = number
            follower.ask()
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)

    finish(drag())
    assert done[-1] == 39
    assert done == sorted(done)
    assert len(done) < 20
