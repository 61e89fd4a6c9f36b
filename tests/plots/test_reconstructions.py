import holoviews as hv
import numpy as np
import pandas as pd
import pytest
from bokeh.models import HoverTool

from scribeviz.plots import cell_map, reconstructions
from scribeviz.plots.reconstructions import by_label, error_heatmaps, error_map

GENES = ["<b>CD3E", "NKG7", "LYZ"]


@pytest.fixture
def x(rng):
    return rng.random((40, 3))


@pytest.fixture
def labels():
    kinds = np.where(np.arange(40) % 4, "T", "B <i>")
    return pd.Series(pd.Categorical(kinds), [f"cell {i}" for i in range(40)])


def figures(draw, picture):
    return [figure for figure, *_ in draw(picture).children]


def image_of(figure):
    [found] = [r for r in figure.renderers if "image" in r.data_source.data]
    return found


def test_cells_stand_in_the_order_of_their_labels_from_the_top(draw, x, labels):
    order = by_label(labels)
    assert list(labels.iloc[order]) == sorted(labels)
    made = x * 0.5
    given, reconstruction, error = figures(
        draw, error_heatmaps(x, made, genes=GENES, labels=labels)
    )
    for figure, table in ((given, x), (reconstruction, made), (error, x - made)):
        [image] = image_of(figure).data_source.data["image"]
        np.testing.assert_allclose(image, table[order][::-1])
    ticks = given.yaxis[0].major_label_overrides
    assert ticks == {35: "B <i>", 15: "T"} or list(ticks.values()) == ["T", "B <i>"]


def test_the_three_are_linked_and_the_error_is_centred_on_zero(draw, x, labels):
    given, reconstruction, error = figures(
        draw, error_heatmaps(x, x - 0.2, genes=GENES, labels=labels)
    )
    assert given.x_range is reconstruction.x_range is error.x_range
    assert given.y_range is reconstruction.y_range is error.y_range
    mapper = image_of(error).glyph.color_mapper
    assert mapper.low == -mapper.high == pytest.approx(-0.2)
    limits = [image_of(figure).glyph.color_mapper for figure in (given, reconstruction)]
    assert limits[0].low == limits[1].low == 0
    assert limits[0].high == limits[1].high


def test_pointing_tells_gene_and_cell(draw, x, labels):
    figure, *_ = figures(draw, error_heatmaps(x, x, genes=GENES, labels=labels))
    [hover] = figure.select(HoverTool)
    assert hover.formatters["$x"].args["names"] == GENES
    names = hover.formatters["$y"].args["names"]
    assert names == list(labels.index[by_label(labels)])


def test_names_of_small_groups_do_not_overlap():
    groups = pd.Categorical(["a"] * 990 + ["b"] * 5 + ["c"] * 5)
    ticks = reconstructions._ticks(groups)
    assert [name for _, name in ticks] == ["a", "c"] or [name for _, name in ticks] == ["a", "b"]


def test_large_matrices_are_images_of_what_is_in_view(draw, x, labels, monkeypatch):
    monkeypatch.setattr(reconstructions, "MOST_ENTRIES", 10)
    picture = error_heatmaps(x, x, genes=GENES, labels=labels)
    assert picture.traverse(lambda part: part, [hv.DynamicMap])
    assert len(figures(draw, picture)) == 3


@pytest.mark.parametrize("many", [False, True])
def test_the_largest_errors_are_marked(draw, rng, monkeypatch, many):
    if many:
        for module in (cell_map, reconstructions):
            monkeypatch.setattr(module, "MOST_POINTS", 10)
    error = pd.Series(rng.random(40), [f"cell {i}" for i in range(40)])
    figure = draw(error_map(rng.normal(size=(40, 2)), error, ("UMAP 1", "UMAP 2"), n_marked=3))
    [marked] = [r for r in figure.renderers if "cell" in r.data_source.data]
    assert list(marked.data_source.data["cell"]) == list(error.nlargest(3).index)
