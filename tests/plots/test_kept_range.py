import holoviews as hv
import numpy as np
import pytest
from bokeh.models import BoxAnnotation, LogAxis
from holoviews.streams import Pipe

from scribeviz.plots.kept_range import (
    barcodes_by_rank,
    cells_by,
    cells_by_share,
    kept_span,
    with_range,
)

VALUES = np.concatenate([np.full(30, 2.0), np.arange(100.0, 4_000.0, 39.0)])


@pytest.fixture(params=[False, True])
def log_y(request):
    return request.param


def test_all_cells_are_counted_and_the_range_moves_alone(log_y):
    picture = cells_by(VALUES, xlabel="counts", log_y=log_y)
    assert picture.dimension_values("cells").sum() == VALUES.size
    pipe = Pipe(data=(2, 50))
    span = hv.DynamicMap(lambda ends: kept_span(*ends), streams={"ends": pipe.param.data})
    figure = hv.render(with_range(picture, span))
    [box] = [box for box in figure.select(BoxAnnotation) if box.left == 2]
    assert box.right == 50
    ends = figure.x_range.start, figure.x_range.end
    assert ends == (picture.edges[0], picture.edges[-1])
    pipe.send((2, 1e9))
    assert (figure.x_range.start, figure.x_range.end) == ends
    assert isinstance(figure.yaxis[0], LogAxis) == log_y


@pytest.mark.parametrize("high", [3, 50, 5_000, 1e6])
def test_ticks_are_few_and_within(high):
    figure = hv.render(cells_by(np.geomspace(1, high, 20), xlabel="counts", log_y=False))
    ticks = figure.xaxis[0].ticker.ticks
    assert 1 <= len(ticks) <= 7
    assert figure.x_range.start <= min(ticks) <= max(ticks) <= figure.x_range.end


def test_shares_begin_at_none(log_y):
    percent = np.array([0.0, 0.0, 3.0, 12.5])
    picture = cells_by_share(percent, xlabel="percent", log_y=log_y)
    assert picture.edges[0] == 0
    assert picture.dimension_values("cells").sum() == 4
    assert picture.dimension_values("cells")[0] == 2
    hv.render(picture)
    hv.render(cells_by_share(np.zeros(4), xlabel="percent", log_y=log_y))


def test_barcodes_fall_from_the_first_to_the_last():
    totals = np.concatenate([np.zeros(5), np.arange(1.0, 5_001.0)])
    curve, _ = barcodes_by_rank(totals, 50)
    ranks, counts = curve.dimension_values("rank"), curve.dimension_values("counts")
    assert (ranks[0], ranks[-1]) == (1, 5_000)
    assert (counts[0], counts[-1]) == (5_000, 1)
    assert (np.diff(counts) < 0).all()
    assert len(curve) <= 1_000
    hv.render(barcodes_by_rank(totals, 50))
