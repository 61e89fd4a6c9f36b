import numpy as np
import pytest

from scribeviz.models.priors import POSITIVE, PRIOR_FAMILIES, Prior
from scribeviz.plots.densities import prior_density


@pytest.mark.parametrize("family", PRIOR_FAMILIES.values(), ids=PRIOR_FAMILIES)
def test_the_density_of_every_family_is_drawn(draw, family):
    prior = Prior(family.key, tuple(p.default for p in family.parameters))
    values, density = prior.density()
    figure = draw(prior_density(values, density, label="r", log_axis=family.support == POSITIVE))
    assert figure.xaxis.axis_label == "r"
    assert figure.y_range.start == 0
    assert figure.y_range.end >= density.max()
    drawn = (figure.x_range.start, figure.x_range.end)
    np.testing.assert_allclose(drawn, (values.min(), values.max()))


def test_a_density_of_one_point_is_drawn(draw):
    figure = draw(prior_density(np.ones(1), np.ones(1), label="p", log_axis=False))
    assert figure.renderers
