"""What the Model page asks about components."""

import pytest
from panel import ui

from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.spec import ModelSpec
from scribeviz.views.data.data_state import DataState
from scribeviz.views.model.model_page import ModelView
from scribeviz.views.model.model_state import ModelState

LABEL = "Each component has its own p"


@pytest.mark.parametrize("key", LIKELIHOODS)
def test_own_odds_are_offered_where_there_are_odds(key):
    state = ModelState()
    page = ModelView(state=state, data=DataState()).__panel__()
    (switch,) = page.select(lambda part: isinstance(part, ui.Switch) and part.label == LABEL)
    assert not switch.visible
    state.param.update(likelihood=key, n_components=2)
    assert switch.visible == (ModelSpec(likelihood=key).odds is not None)
    state.n_components = 1
    assert not switch.visible
