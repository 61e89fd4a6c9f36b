"""Count distributions of a decoder against SciPy, NumPyro and their own draws."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats as st
from scipy.special import expit

from scribeviz.networks.cellvae import COUNT_DISTRIBUTIONS
from scribeviz.networks.decoded import DECODED

N_CELLS, N_GENES = 6, 4


@pytest.fixture
def numbers(rng):
    return {
        "log_mean": rng.normal(0.5, 1.0, (N_CELLS, N_GENES)).astype(np.float32),
        "log_dispersion": rng.normal(0.5, 0.5, N_GENES).astype(np.float32),
        "gate_logit": rng.normal(-1.0, 1.0, (N_CELLS, N_GENES)).astype(np.float32),
    }


def made(key, numbers, turned=jnp.asarray):
    kind = DECODED[key]
    given = {name: turned(value) for name, value in numbers.items()}
    if not kind.has_dispersion:
        given["log_dispersion"] = None
    if not kind.has_gate:
        given["gate_logit"] = None
    return kind(**given)


def probabilities(key, numbers, x):
    """Of counts ``x`` by SciPy, shape of ``x``."""
    mean, theta, gate = (
        np.exp(numbers["log_mean"], dtype=float),
        np.exp(numbers["log_dispersion"], dtype=float),
        expit(numbers["gate_logit"].astype(float)),
    )
    if key == "poisson":
        return st.poisson(mean).pmf(x)
    found = st.nbinom(theta, theta / (theta + mean)).pmf(x)
    return found if key == "nb" else (1 - gate) * found + gate * (x == 0)


def numpyros(key, log_mean, log_dispersion, gate_logit):
    if key == "poisson":
        return dist.Poisson(jnp.exp(log_mean))
    found = dist.NegativeBinomial2(jnp.exp(log_mean), jnp.exp(log_dispersion))
    if key == "nb":
        return found
    return dist.ZeroInflatedDistribution(found, gate_logits=gate_logit)


def test_every_likelihood_that_can_be_picked_is_there():
    assert DECODED.keys() == COUNT_DISTRIBUTIONS.keys()


@pytest.mark.parametrize("key", DECODED)
@pytest.mark.parametrize("count", [0, 1, 5, None])
def test_log_probabilities_of_cells_are_scipys(key, count, numbers, rng):
    x = rng.poisson(3.0, (N_CELLS, N_GENES)) if count is None else np.full((6, 4), count)
    found = made(key, numbers).log_prob(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, np.log(probabilities(key, numbers, x)).sum(axis=1), rtol=2e-5)


@pytest.mark.parametrize("key", DECODED)
def test_gradients_are_numpyros(key, numbers, rng):
    x = jnp.asarray(rng.poisson(2.0, (N_CELLS, N_GENES)) * rng.integers(0, 2, (6, 4)), jnp.float32)
    arrays = tuple(jnp.asarray(value) for value in numbers.values())

    def ours(*arrays):
        return made(key, dict(zip(numbers, arrays, strict=True))).log_prob(x).sum()

    def theirs(*arrays):
        return numpyros(key, *arrays).log_prob(x).sum()

    found = jax.grad(ours, argnums=(0, 1, 2))(*arrays)
    with jax.enable_x64(True):  # NumPyro's own float32 is off by more
        wide = tuple(jnp.asarray(np.asarray(a), jnp.float64) for a in arrays)
        expected = jax.grad(theirs, argnums=(0, 1, 2))(*wide)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, np.asarray(other), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("level", [-14.0, 0.0, 14.0])
@pytest.mark.parametrize("gate", [-40.0, 40.0])
def test_extremes_stay_finite(level, gate):
    shape = (3, 2)
    for key in DECODED:
        for x in (0.0, 3.0, 4_000.0):

            def score(log_mean, log_dispersion, gate_logit, key=key, x=x):
                numbers = {
                    "log_mean": log_mean,
                    "log_dispersion": log_dispersion,
                    "gate_logit": gate_logit,
                }
                return made(key, numbers).log_prob(jnp.full(shape, x)).sum()

            arrays = jnp.full(shape, level), jnp.full(2, level), jnp.full(shape, gate)
            value, slopes = jax.value_and_grad(score, argnums=(0, 1, 2))(*arrays)
            assert np.isfinite(value)
            assert all(np.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize("key", DECODED)
@pytest.mark.parametrize("by", ["numpy", "jax"])
def test_draws_follow_the_probabilities(key, by, numbers, rng):
    n = 20_000 if by == "numpy" else 2_000
    if by == "jax":
        drawn = np.asarray(made(key, numbers).sample(jax.random.key(1), (n,)))
    else:
        many = {k: np.tile(v, (n, 1)) if v.ndim == 2 else v for k, v in numbers.items()}
        drawn = made(key, many, np.asarray).draw(rng).reshape(n, N_CELLS, N_GENES)
    assert drawn.shape == (n, N_CELLS, N_GENES)
    for x in (0, 1, 4):
        p = probabilities(key, numbers, np.full((N_CELLS, N_GENES), x))
        error = ((drawn == x).mean(axis=0) - p) / np.sqrt(p * (1 - p) / n)
        assert np.abs(error).max() < 4.5
    mean = made(key, numbers).mean
    spread = drawn.std(axis=0) / np.sqrt(n)
    assert (np.abs(drawn.mean(axis=0) - mean) / spread).max() < 4.5


@pytest.mark.parametrize("key", DECODED)
def test_they_go_in_and_out_of_compiled_functions(key, numbers):
    x = jnp.ones((N_CELLS, N_GENES))
    made_inside = jax.jit(lambda n: made(key, n))({k: jnp.asarray(v) for k, v in numbers.items()})
    assert isinstance(made_inside, DECODED[key])
    assert made_inside.batch_shape == (N_CELLS,)
    assert made_inside.event_shape == (N_GENES,)
    np.testing.assert_allclose(
        jax.jit(lambda d: d.log_prob(x))(made_inside), made(key, numbers).log_prob(x), rtol=1e-5
    )
