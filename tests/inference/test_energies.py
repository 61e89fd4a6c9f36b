"""What the sampler steers by: differences of a few nats between energies of millions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from scribeviz.data.counts import plain_counts
from scribeviz.inference.nuts import in_double
from scribeviz.models.likelihoods import LIKELIHOODS
from tests.models.test_likelihoods import expected, setting


@pytest.fixture(scope="module")
def loud():
    """Counts of which float32 does not know the energy to a nat."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.3, 3.0, (1_000, 1))
    matrix = rng.poisson(rng.gamma(1.0, 80.0, 25) * depth * rng.gamma(2.0, 0.5, (1_000, 25)))
    return plain_counts(matrix)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("key", LIKELIHOODS)
def test_a_difference_of_energies_is_scipys(key, k, loud):
    model, start, _, _ = setting(key, k, loud)
    tables = in_double(model.tables(loud))
    rng = np.random.default_rng(1)
    ours, scipys = [], []
    for distance in (0.0, 1e-5):
        values = {
            name: value.astype(float) * (1 - distance * rng.uniform(size=value.shape))
            for name, value in start.items()
        }
        if k > 1:
            values["mixing_weights"] /= values["mixing_weights"].sum()
        with jax.enable_x64(True):
            values = {name: jnp.asarray(value) for name, value in values.items()}
            energy = model.counts_given(values, tables.log_depth).log_prob(tables)
            natural = model.natural(values)
            log_weights = np.asarray(natural.pop("log_weights"))
            single = model.likelihood.single_counts(natural)
        assert energy.dtype == np.float64
        ours.append(float(energy))
        parameters = {name: np.asarray(value) for name, value in single.items()}
        by_cell = expected(model, parameters, loud).sum(axis=-1)
        scipys.append(logsumexp(by_cell + log_weights[:, None], axis=0).sum())
    assert abs(scipys[0]) > 1e6
    assert np.spacing(np.float32(-scipys[0])) > 0.05  # all that float32 could say
    assert 0.01 < abs(np.diff(scipys)[0]) < 1_000
    np.testing.assert_allclose(np.diff(ours), np.diff(scipys), rtol=1e-7, atol=1e-6)
