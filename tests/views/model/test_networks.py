"""Networks on the pages: their settings, their losses, and where their cells lie."""

import re

import numpy as np
import panel as pn
import pytest
from panel import ui

from scribeviz import CellVAE, NetworkModel
from scribeviz.data.cells import embed_places
from scribeviz.fitting.methods import METHODS
from scribeviz.models.custom.registry import register_model
from scribeviz.networks.cellvae import CELLVAE
from scribeviz.views.data.data_state import DataState
from scribeviz.views.fit.fit_page import FitView, ProgressView
from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.model.model_page import ModelView
from scribeviz.views.model.model_state import ModelState
from scribeviz.views.model.network_form import NetworkView


def test_the_network_is_one_of_the_models():
    state = ModelState()
    state.likelihood = CELLVAE
    state.network.param.update(n_latent=4, likelihood="zinb", linear_decoder=True)
    assert state.spec() == CellVAE(n_latent=4, likelihood="zinb", linear_decoder=True)
    assert state.methods == ("training",)
    assert state.priors == {}
    assert not state.is_mixture
    assert not state.has_capture


def test_a_network_that_was_fitted_is_shown_again():
    state = ModelState()
    spec = CellVAE(n_hidden=17, library="learned")
    state.show(spec)
    assert state.spec() == spec


def test_every_setting_of_the_network_has_a_field(labels_of):
    view = NetworkView(state=ModelState(), data=DataState())
    fields = CellVAE.__dataclass_fields__.values()
    assert {f.metadata["label"] for f in fields} <= labels_of(view)


def test_only_columns_that_divide_the_cells_are_offered(counts):
    data, state = DataState(), ModelState()
    state.likelihood = CELLVAE
    view = NetworkView(state=state, data=data)
    data.counts = counts
    (picker,) = [
        w for w in view.__panel__().select() if getattr(w, "label", "") == "Batch covariate"
    ]
    several = [str(c) for c in counts.obs if 2 <= counts.obs[c].nunique() <= 50]
    assert list(picker.options.values()) == ["", *several]
    picker.value = several[0]
    assert state.spec().covariate == several[0]


def test_cards_of_models_of_counts_make_way_for_the_network(html_of):
    state = ModelState()
    page = ModelView(state=state, data=DataState(), go_on=lambda: None)
    shown = page.__panel__()
    cards = dict(_cards(shown))
    assert cards["Priors"].visible
    assert not cards["Network"].visible
    state.likelihood = CELLVAE
    assert not cards["Priors"].visible
    assert cards["Network"].visible
    assert "NetworkModel" not in html_of(shown)


def _cards(shown):
    for part in shown.select(ui.Paper):
        yield re.sub("<.*?>", "", part[0].object).strip(), part


def test_the_way_to_fit_follows_the_model(store):
    fit, model = FitState(store=store), ModelState()
    FitView(state=fit, data=DataState(), model=model, go_on=lambda: None).__panel__()
    assert fit.method == "exact"
    fit.method = "mcmc"
    model.likelihood = CELLVAE
    assert fit.method == "training"
    assert fit.config.value() == METHODS["training"].config()
    model.likelihood = "nbvcp"
    assert fit.method == "svi"


def test_validation_losses_are_drawn_when_there_are_some(store):
    fit = FitState(store=store)
    view = ProgressView(state=fit, go_on=lambda: None)
    fit.param.update(losses=np.linspace(9, 5, 40), validation=(np.zeros(0, int), np.zeros(0)))
    assert not view.validates
    fit.param.update(
        losses=np.linspace(9, 4, 60), validation=(np.array([20, 40, 60]), np.array([8, 7, 6.0]))
    )
    assert view.validates
    assert "validation" in view._pipe.data


@pytest.mark.usefixtures("registry")
def test_a_registered_network_is_offered_and_described(html_of):
    register_model(
        NetworkModel(key="mine", make=lambda n, rngs: None, label="My <net>", use_when="Always.")
    )
    state = ModelState()
    state.likelihood = "mine"
    assert state.methods == ("training",)
    view = ModelView(state=state, data=DataState(), go_on=lambda: None)
    assert "A network, trained on minibatches" in html_of(view)
    radios = [part.options for part in pn.panel(view).select(ui.RadioBoxGroup)]
    assert {"My <net>\nAlways.": "mine", "another model": None} in radios


def test_a_latent_space_of_one_dimension_is_a_line(rng):
    places = rng.normal(size=(30, 1))
    drawn = embed_places(places)
    np.testing.assert_allclose(drawn, np.pad(places, ((0, 0), (0, 1))), rtol=1e-6)
