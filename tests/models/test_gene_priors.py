"""The range of dispersions that genes share, against SciPy."""

import numpy as np
from scipy.stats import lognorm

from scribeviz.models.gene_priors import TYPICAL


def test_the_range_of_dispersions_is_that_of_their_prior():
    means = np.geomspace(1e-4, 1e3, 7)
    prior = lognorm(TYPICAL.scatter, scale=np.exp(TYPICAL.trend(np.log(means))))
    np.testing.assert_allclose(TYPICAL.dispersions(means), prior.ppf([[0.05], [0.5], [0.95]]))
