"""The area under a prior and a posterior, where it is known."""

import numpy as np
import pytest
import scipy.stats as st

from scribeviz.criticism.overlap import prior_posterior
from scribeviz.models.priors import POSITIVE, REAL, SIMPLEX, UNIT_INTERVAL, Prior

CASES = {
    "real": (Prior("normal", (0.0, 1.0)), REAL, st.norm(0, 1), st.norm(1, 0.5)),
    "positive": (
        Prior("lognormal", (0.0, 1.0)),
        POSITIVE,
        st.lognorm(1.0),
        st.lognorm(0.3, scale=np.exp(0.5)),
    ),
    "share": (Prior("beta", (2.0, 2.0)), UNIT_INTERVAL, st.beta(2, 2), st.beta(30, 20)),
    "weight": (Prior("dirichlet", (1.0,)), SIMPLEX, st.beta(1, 2), st.beta(40, 20)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_overlap_is_scipys(case):
    prior, support, before, after = CASES[case]
    draws = after.rvs(4_000, random_state=1)
    found = prior_posterior(prior, support, draws, n_components=3)
    grid = np.linspace(1e-4, 12, 200_001) if case != "real" else np.linspace(-8, 8, 200_001)
    if support in {UNIT_INTERVAL, SIMPLEX}:
        grid = np.linspace(1e-6, 1 - 1e-6, 200_001)
    expected = np.trapezoid(np.minimum(before.pdf(grid), after.pdf(grid)), grid)
    assert found.overlap == pytest.approx(expected, abs=0.03)
    axis = np.log(found.values) if support == POSITIVE else found.values
    assert np.trapezoid(found.posterior, axis) == pytest.approx(1, abs=0.02)


def test_data_that_say_nothing_leave_the_prior():
    draws = st.beta(1, 1).rvs(20_000, random_state=0)
    assert prior_posterior(Prior("beta", (1.0, 1.0)), UNIT_INTERVAL, draws).overlap > 0.93


def test_data_that_decide_leave_nothing_of_it():
    draws = st.norm(40, 0.01).rvs(200, random_state=0)
    found = prior_posterior(Prior("normal", (0.0, 1.0)), REAL, draws)
    assert found.overlap < 1e-6
    assert found.values.min() < 0
    assert found.values.max() > 40
