import numpy as np
import pandas as pd
import pytest

from scribeviz.plots import cell_map
from scribeviz.plots.cell_map import cells_map, group_colors, within
from scribeviz.plots.theme import COMPONENTS

NAMES = ("UMAP 1", "UMAP 2")


@pytest.fixture
def places(rng):
    return rng.normal(size=(200, 2))


def test_numbers_get_a_colour_bar(draw, places):
    values = pd.Series(np.arange(200.0), name="total counts")
    figure = draw(cells_map(places, values, NAMES))
    [renderer] = figure.renderers
    np.testing.assert_allclose(renderer.data_source.data["x"], places[:, 0])
    np.testing.assert_allclose(renderer.data_source.data["told"], values)
    assert [type(part).__name__ for part in figure.right] == ["ColorBar"]
    tools = {type(tool).__name__ for tool in figure.tools}
    assert {"LassoSelectTool", "BoxSelectTool", "HoverTool", "SaveTool"} <= tools


def test_groups_get_the_colours_of_their_legend(draw, places):
    groups = pd.Series(pd.Categorical(np.where(np.arange(200) < 50, "B", "T <b>")), name="type")
    figure = draw(cells_map(places, groups, NAMES))
    [renderer] = figure.renderers
    assert set(renderer.data_source.data["told"]) == {"B", "T <b>"}
    mapper = renderer.glyph.fill_color.transform
    assert dict(zip(mapper.factors, mapper.palette, strict=True)) == group_colors(["B", "T <b>"])


def test_eight_groups_have_colours_for_all_eyes_and_more_have_colours_too():
    few = group_colors([str(i) for i in range(8)])
    assert set(few.values()) == set(COMPONENTS)
    many = group_colors([str(i) for i in range(40)])
    assert len(set(many.values())) == 40


@pytest.mark.parametrize("grouped", [False, True])
def test_many_cells_are_one_image(draw, places, grouped, monkeypatch):
    monkeypatch.setattr(cell_map, "MOST_POINTS", 100)
    values = np.arange(200) % 3
    colors = pd.Series(pd.Categorical(values.astype(str)) if grouped else values, name="x")
    figure = draw(cells_map(places, colors, NAMES))
    glyphs = [type(renderer.glyph).__name__ for renderer in figure.renderers]
    assert {"Image", "ImageRGBA"} & set(glyphs)
    assert {"LassoSelectTool", "BoxSelectTool"} <= {type(tool).__name__ for tool in figure.tools}


def test_chosen_cells_stand_out(draw, places):
    figure = draw(cells_map(places, pd.Series(np.arange(200.0)), NAMES, np.array([3, 7])))
    [renderer] = figure.renderers
    assert list(renderer.data_source.selected.indices) == [3, 7]


def test_of_many_cells_the_chosen_alone_are_drawn_where_they_were(draw, places, monkeypatch):
    monkeypatch.setattr(cell_map, "MOST_POINTS", 100)
    figure = draw(cells_map(places, pd.Series(np.arange(200.0)), NAMES, np.arange(9)))
    assert figure.x_range.start == pytest.approx(places[:, 0].min())
    assert figure.x_range.end == pytest.approx(places[:, 0].max())


def test_a_lasso_holds_what_lies_within():
    places = np.array([[0.0, 0.0], [2.0, 0.0], [0.5, 0.4], [0.9, 0.9]])
    triangle = np.array([[-1.0, -1.0], [1.5, -1.0], [0.0, 2.0]])
    assert within(places, triangle).tolist() == [True, False, True, False]
