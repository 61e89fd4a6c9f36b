import numpy as np
import pytest

from scribeviz.plots.matrix import log_histogram


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([1, 10, 100, 1000], 4),
        ([0, 0, 5], 1),
        ([7], 1),
        ([7, 7, 7], 3),
        ([0, 0], 0),
        ([], 0),
        ([1e-3, 1e9], 2),
    ],
)
def test_every_positive_value_is_drawn(draw, values, drawn):
    figure = draw(log_histogram(np.array(values, float), xlabel="counts per cell"))
    assert figure.renderers[0].data_source.data["top"].sum() == drawn
    assert figure.xaxis.axis_label == "counts per cell"
    assert figure.yaxis.axis_label == "cells"
    assert 0 < figure.x_range.start < figure.x_range.end
