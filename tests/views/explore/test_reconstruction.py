import numpy as np
import pandas as pd
import panel as pn
import pytest

from scribeviz.views.explore.reconstruction import AbnormalityView


@pytest.fixture
def view(rng):
    x = rng.random((30, 3))
    made = x.copy()
    made[7, 1] = x[7, 1] - 5  # the cell that stands out, and the gene that it does so by
    obs = pd.DataFrame(
        {
            "depth": rng.random(30),
            "kind": pd.Categorical(np.where(np.arange(30) < 9, "B", "T")),
            "barcode": [f"x{i}" for i in range(30)],
            "phase": ["G1", "S", "G2M"] * 10,
        },
        index=[f"cell {i}" for i in range(30)],
    )
    return AbnormalityView(
        x=x, reconstruction=made, genes=["A", "B", "C"], obs=obs, places=rng.normal(size=(30, 2))
    )


def tables(view):
    return [p.value for p in pn.panel(view).select(pn.widgets.Tabulator)]


def test_labels_are_the_columns_that_group(view, labels_of):
    assert view.param.label.objects == ["kind", "barcode", "phase"]
    assert view.label == "kind"
    assert {"Order cells by", "Cells to mark"} <= labels_of(view)


def test_the_cell_that_stands_out_comes_first(view):
    [table] = tables(view)
    assert list(table.iloc[0][["cell", "kind", "gene"]]) == ["cell 7", "B", "B"]
    assert table.iloc[0]["by"] == pytest.approx(5)
    assert len(table) == 10
    view.n_marked = 4
    view.label = "phase"
    [table] = tables(view)
    assert len(table) == 4
    assert table.iloc[0]["kind"] == "S"


def test_without_labels_or_places_there_are_heat_maps_and_a_table(view):
    plain = AbnormalityView(
        x=view.x,
        reconstruction=view.reconstruction,
        genes=view.genes,
        obs=view.obs[["depth"]],
        places=None,
    )
    assert plain.label is None
    pictures = [type(p).__name__ for p in pn.panel(plain).select()]
    assert len(tables(plain)) == 1
    assert pictures.count("HoloViews") == 1
