"""Where the depths of cells come from, on the Model page."""

from dataclasses import replace

import numpy as np
import panel as pn
import pytest
from panel import ui

from scribeviz.data.counts import plain_counts
from scribeviz.views.data.data_state import DataState
from scribeviz.views.model.model_page import ModelView
from scribeviz.views.model.model_state import ModelState


@pytest.fixture
def with_factors(counts):
    return replace(counts, obs=counts.obs.assign(size_factor=np.linspace(0.5, 2, counts.n_cells)))


def picker_of(view):
    [picker] = [part for part in pn.panel(view).select(ui.Select) if part.label == "Depth from"]
    return picker


def test_depths_are_taken_from_a_column_that_has_them(with_factors, tmp_path):
    view = ModelView(state=ModelState(), data=DataState(folder=tmp_path))
    picker = picker_of(view)
    assert picker.options == {"total counts": ""}
    view.data.counts = with_factors
    assert picker.options["obs: size_factor"] == "size_factor"
    picker.value = "size_factor"
    assert view.state.spec().depth_column == "size_factor"
    view.state.likelihood = "nbdm"
    assert view.state.spec().depth_column == "", "it takes none"
    view.state.likelihood = "poisson"
    assert view.state.spec().depth_column == "size_factor"
    view.data.counts = plain_counts(np.eye(4, dtype=int))
    assert view.state.spec().depth_column == "", "these data have none"
    assert picker.value == ""
