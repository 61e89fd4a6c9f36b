import numpy as np
import pytest

from scribeviz.plots.ppc import LEGEND, ppc_histogram

EDGES = np.array([0, 2, 4, 6])
SEEN = np.array([30, 5, 0])
BANDS = np.array([[20.0, 1, 0], [25, 2, 0], [28, 3, 0.2], [32, 6, 1], [35, 9, 2]])


def layers(figure):
    """Per layer, the columns of its rectangles."""
    [renderer] = figure.renderers
    data = renderer.data_source.data
    n = len(data["left"]) // len(LEGEND)
    sides = ("left", "right", "bottom", "top")
    found = [
        {side: np.asarray(data[side][i * n : (i + 1) * n]) for side in sides}
        for i in range(len(LEGEND))
    ]
    for i, (_, color, opacity) in enumerate(LEGEND):
        assert set(data["fill_color"][i * n : (i + 1) * n]) == {color}
        assert set(data["fill_alpha"][i * n : (i + 1) * n]) == {opacity}
    return found


@pytest.mark.parametrize(("log", "floor"), [(False, 0.0), (True, 0.5)])
def test_bars_stand_on_the_axis_and_bands_where_they_are(draw, log, floor):
    figure = draw(ppc_histogram(EDGES, SEEN, BANDS, log=log))
    bars, outer, inner, middle = layers(figure)
    np.testing.assert_array_equal(bars["bottom"], [floor] * 3)
    np.testing.assert_array_equal(bars["top"], np.maximum(SEEN, floor))
    np.testing.assert_allclose(bars["left"], [-0.5, 1.5, 3.5], atol=0.1)
    np.testing.assert_allclose(bars["right"], [1.5, 3.5, 5.5], atol=0.1)
    low90, low50, median, high50, high90 = np.maximum(BANDS, floor)
    np.testing.assert_array_equal(outer["bottom"], low90)
    np.testing.assert_array_equal(outer["top"], high90)
    np.testing.assert_array_equal(inner["bottom"], low50)
    np.testing.assert_array_equal(inner["top"], high50)
    np.testing.assert_array_equal(middle["bottom"], median)
    np.testing.assert_array_equal(middle["top"], median)
    assert (outer["left"] > bars["left"]).all()
    assert (outer["right"] < bars["right"]).all()


@pytest.mark.parametrize(("log", "floor"), [(False, 0.0), (True, 0.5)])
def test_everything_is_in_sight(draw, log, floor):
    figure = draw(ppc_histogram(EDGES, SEEN, BANDS, log=log))
    assert figure.y_range.start == floor
    assert figure.y_range.end > 35
    assert (figure.x_range.start, figure.x_range.end) == (-0.5, 5.5)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    ("edges", "seen", "bands"),
    [
        ([0, 1], [1], np.ones((5, 1))),
        ([0, 1, 2, 3, 4], [700, 0, 0, 0], np.zeros((5, 4))),
        ([0, 1, 2, 3, 4], [0, 0, 0, 0], np.zeros((5, 4))),
        (range(0, 41_000, 1_000), [3] * 40, np.full((5, 40), 2.5)),
    ],
    ids=["one cell", "zeros only", "nothing", "forty wide bars"],
)
def test_edge_cases_are_drawn(draw, log, edges, seen, bands):
    figure = draw(ppc_histogram(np.array(edges), np.array(seen), bands, log=log))
    assert [len(layer["left"]) for layer in layers(figure)] == [len(seen)] * 4
    assert 0 <= figure.y_range.start < figure.y_range.end
