import numpy as np
import pytest

from scribeviz.plots.ppc import (
    LEGEND,
    library_histogram,
    ppc_cumulative,
    ppc_histogram,
    residual_histogram,
    rootogram,
)

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


def boxes(figure, color, opacity):
    """Left, lower, right and upper ends of the boxes that look so."""
    [renderer] = figure.renderers
    data = renderer.data_source.data
    alike = (np.array(data["fill_color"]) == color) & (np.array(data["fill_alpha"]) == opacity)
    return [np.asarray(data[side])[alike] for side in ("left", "bottom", "right", "top")]


def test_cumulated_cells_end_at_one(draw):
    upto = BANDS.cumsum(axis=1) / BANDS.sum(axis=1, keepdims=True)
    figure = draw(ppc_cumulative(EDGES, SEEN, np.sort(upto, axis=0)))
    left, bottom, right, top = boxes(figure, "#d55e00", 1.0)
    np.testing.assert_allclose(top, [30 / 35, 1, 1])
    np.testing.assert_array_equal(bottom, top)
    assert (right - left == 2).all()
    _, low, _, high = boxes(figure, "#0072b2", 0.25)
    assert (low < upto.min(axis=0)).all()
    assert (high > upto.max(axis=0)).all()
    assert figure.y_range.start < top.min()
    assert figure.y_range.end > 1


def test_a_rootogram_hangs_from_the_prediction(draw):
    figure = draw(rootogram(EDGES, SEEN, BANDS))
    _, feet, _, heads = boxes(figure, "#6b7280", 0.55)
    np.testing.assert_allclose(heads, np.sqrt(BANDS[2]))
    np.testing.assert_allclose(heads - feet, np.sqrt(SEEN))
    _, low, _, high = boxes(figure, "#0072b2", 0.25)
    np.testing.assert_allclose(low, np.sqrt(BANDS[2]) - np.sqrt(BANDS[4]))
    np.testing.assert_allclose(high, np.sqrt(BANDS[2]) - np.sqrt(BANDS[0]))
    assert figure.y_range.start < min(feet.min(), low.min())


def test_residuals_lie_on_what_chance_does(draw):
    shares = np.array([0.05, 0.15] + [0.1] * 8)
    figure = draw(residual_histogram(shares, 1_000))
    _, _, _, tops = boxes(figure, "#6b7280", 0.55)
    np.testing.assert_allclose(tops, shares)
    [left], [low], [right], [high] = boxes(figure, "#0072b2", 0.25)
    assert (left, right) == (0, 1)
    # Binomial: 100 cells in each tenth, give or take 1.64 times 9.5.
    assert (low, high) == pytest.approx((0.085, 0.116), abs=0.002)
    [alone] = draw(residual_histogram(shares, 0)).renderers
    assert len(alone.data_source.data["left"]) == 10


def test_totals_are_on_a_logarithmic_axis(draw):
    edges = np.geomspace(100, 10_000, 4)
    figure = draw(library_histogram(edges, SEEN, BANDS))
    _, bottom, _, top = boxes(figure, "#6b7280", 0.55)
    np.testing.assert_array_equal(top, SEEN)
    assert set(bottom) == {0}
    assert type(figure.x_scale).__name__ == "LogScale"
    assert figure.y_range.end > BANDS.max()
