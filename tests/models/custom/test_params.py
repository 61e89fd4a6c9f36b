import numpy as np
import pytest

from scribeviz.models.custom.params import (
    select_cells,
    select_component,
    select_genes,
    without_components,
)

SPEC = {
    "a": {"type": "global"},
    "w": {"type": "global", "component_specific": True},
    "mu": {"type": "gene-specific", "component_specific": True},
    "r": {"type": "gene-specific"},
    "v": {"type": "cell-specific"},
}
PARAMS = {
    "a": np.array(1.0),
    "w": np.arange(2.0),
    "mu": np.arange(8.0).reshape(2, 4),
    "r": np.arange(4.0),
    "v": np.arange(5.0),
}


@pytest.mark.parametrize(
    "columns", [np.array([2, 0]), np.array([True, False, True, False]), slice(1, 3)]
)
def test_genes_are_chosen_on_the_last_axis(columns):
    chosen = select_genes(PARAMS, SPEC, columns)
    expected = PARAMS | {"mu": PARAMS["mu"][:, columns], "r": PARAMS["r"][columns]}
    np.testing.assert_equal(chosen, expected)


def test_cells_are_chosen():
    chosen = select_cells(PARAMS, SPEC, np.array([4, 1]))
    np.testing.assert_equal(chosen, PARAMS | {"v": np.array([4.0, 1.0])})


def test_a_component_is_chosen_and_its_axis_goes():
    chosen = select_component(PARAMS, SPEC, 1)
    expected = PARAMS | {"w": np.array(1.0), "mu": np.arange(4.0, 8.0)}
    np.testing.assert_equal(chosen, expected)
    assert without_components(SPEC)["mu"] == {"type": "gene-specific"}


def test_a_component_that_is_not_there():
    with pytest.raises(IndexError, match="no component 2; the 2 components are 0 … 1"):
        select_component(PARAMS, SPEC, 2)
    with pytest.raises(ValueError, match="this model has no components to choose from"):
        select_component({"r": PARAMS["r"]}, SPEC, 0)
