import numpy as np
import pandas as pd
import pytest

from scribeviz.data.counts import CountsError
from scribeviz.networks.covariate import Covariate

OBS = pd.DataFrame({"lane": ["b", "a", None, "b"], "day": [2, 10, 2, 1]})


def test_levels_and_codes():
    lane = Covariate.of("lane", OBS)
    assert lane.levels == ("(none)", "a", "b")
    assert lane.codes(OBS).tolist() == [2, 1, 0, 2]
    assert lane.codes(OBS).dtype == np.int32
    day = Covariate.of("day", OBS)
    assert [day.levels[code] for code in day.codes(OBS)] == ["2", "10", "2", "1"]


def test_the_codes_of_other_data_are_those_of_the_same_levels():
    lane = Covariate.of("lane", OBS)
    categories = pd.DataFrame({"lane": pd.Categorical(["b", "a"], categories=["b", "a", "x"])})
    assert lane.codes(categories).tolist() == [2, 1]


def test_unknown_levels_and_columns_are_refused():
    lane = Covariate.of("lane", OBS)
    with pytest.raises(CountsError, match="has 'c', which the model was not trained on; it knows"):
        lane.codes(pd.DataFrame({"lane": ["a", "c"]}))
    with pytest.raises(CountsError, match="obs column 'lane', which these data lack; they have 'x"):
        lane.codes(pd.DataFrame({"x": [1]}))
    with pytest.raises(CountsError, match="they have none"):
        lane.codes(pd.DataFrame(index=[0]))
