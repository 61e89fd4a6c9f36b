"""What the Model page asks about components."""

import pytest
from panel import ui

from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.views.data.data_state import DataState
from scribeviz.views.model.model_page import ModelView
from scribeviz.views.model.model_state import ModelState

LABEL = "Each component has its own p or dispersions"


@pytest.mark.parametrize("key", LIKELIHOODS)
def test_what_components_may_have_of_their_own_is_offered(key):
    state = ModelState()
    page = ModelView(state=state, data=DataState()).__panel__()
    (switch,) = page.select(lambda part: isinstance(part, ui.Switch) and part.label == LABEL)
    assert not switch.visible
    state.param.update(likelihood=key, n_components=2)
    assert switch.visible == (key != "poisson"), "odds, or the dispersions of nb"
    state.n_components = 1
    assert not switch.visible
