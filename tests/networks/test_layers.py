from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from flax import nnx

from scribeviz.networks.cellvae import NORMALIZATIONS
from scribeviz.networks.decoded import DECODED
from scribeviz.networks.layers import (
    Dense,
    Encoder,
    Moments,
    NetworkShapeError,
    check_shapes,
    make_decoder,
    make_encoder,
    moments_of,
    start_from_moments,
)
from tests.networks.cells import SMALL, some_cells, untrained

CELLS = some_cells(9)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_hidden_layers(normalization):
    spec = replace(SMALL, n_layers=3, normalization=normalization)
    body = Dense(6, spec, dropout=0.0, rngs=nnx.Rngs(0))
    assert [layer.kernel.shape for layer in body.linear] == [(6, 8), (8, 8), (8, 8)]
    hidden = body(CELLS.x)
    assert hidden.shape == (9, 8)
    assert hidden.min() == 0  # after ReLU


def test_batch_and_layer_normalization():
    x = jnp.asarray(np.random.default_rng(0).normal(3.0, 2.0, (40, 8)), jnp.float32)
    by_batch, by_layer = (
        Dense(8, replace(SMALL, normalization=n), dropout=0.0, rngs=nnx.Rngs(0)).norm[0](x)
        for n in ("batch", "layer")
    )
    np.testing.assert_allclose(by_batch.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(by_batch.std(axis=0), 1, atol=1e-2)
    np.testing.assert_allclose(by_layer.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(by_layer.std(axis=1), 1, atol=1e-2)


@pytest.mark.parametrize("level", [-1e6, -3.0, 0.0, 1e6])
def test_variances_are_positive_and_have_a_floor(level):
    """Without a link most were negative, and their square roots no numbers."""

    def constant(value):
        zeros, bias = nnx.initializers.zeros, nnx.initializers.constant(value)
        return nnx.Linear(6, 2, kernel_init=zeros, bias_init=bias, rngs=nnx.Rngs(0))

    mean, variance = Encoder(constant(0.5), constant(level))(CELLS.x)
    np.testing.assert_allclose(mean, 0.5)
    expected = np.exp(np.clip(level, -15, 15)) + 1e-4
    np.testing.assert_allclose(variance, expected, rtol=1e-5)
    assert variance.min() >= 1e-4


def test_the_encoder_sees_the_logarithms_of_counts():
    mean, variance = (nnx.Linear(6, 2, rngs=nnx.Rngs(seed)) for seed in (0, 1))
    found = Encoder(mean, variance)(CELLS.x)
    np.testing.assert_allclose(found[0], mean(np.log1p(CELLS.x)), rtol=1e-5)
    np.testing.assert_allclose(found[1], np.exp(variance(np.log1p(CELLS.x))) + 1e-4, rtol=1e-4)


@pytest.mark.parametrize("likelihood", DECODED)
@pytest.mark.parametrize("linear", [False, True])
def test_means_are_shares_of_the_total(likelihood, linear):
    spec = replace(SMALL, likelihood=likelihood, linear_decoder=linear)
    decoder = make_decoder(spec, 6, 3, rngs=nnx.Rngs(0))
    z, level = jnp.ones((9, 2)), jnp.arange(9) % 3
    counts = decoder(z, level, CELLS.library)
    np.testing.assert_allclose(
        np.exp(counts.log_mean).sum(axis=1, keepdims=True), CELLS.library, rtol=1e-5
    )
    shares = np.exp(counts.log_mean) / CELLS.library
    np.testing.assert_allclose(shares[0], shares[3], rtol=1e-5)  # of the same level
    assert np.abs(shares[0] - shares[1]).max() > 1e-3
    assert (counts.gate_logit is not None) == (likelihood == "zinb")
    assert (counts.log_dispersion is not None) == (likelihood != "poisson")


def test_the_dispersion_is_the_exponential_of_what_is_trained():
    """A document computes it, and returns its logarithm."""
    module = untrained()
    trained = np.asarray(module.decoder.log_dispersion[...])
    counts = module.decode(CELLS, jnp.zeros((9, 2)))
    drawn = np.asarray(jax.vmap(counts.sample)(jax.random.split(jax.random.key(0), 4_000)))
    mean = np.asarray(counts.mean)
    expected = mean + mean**2 / np.exp(trained)
    np.testing.assert_allclose(drawn.var(axis=0), expected, rtol=0.35)
    ratio = (drawn.var(axis=0) / expected).mean()
    assert ratio == pytest.approx(1, abs=0.05)


def test_a_linear_decoder_is_linear():
    decoder = make_decoder(replace(SMALL, linear_decoder=True), 6, rngs=nnx.Rngs(0))
    assert decoder.body is None
    assert decoder.logits.kernel.shape == (2, 6)


def test_moments_are_the_shares_and_the_dispersions_of_simulated_counts(rng):
    share, theta = np.array([0.1, 0.2, 0.7]), np.array([0.5, 4.0, 20.0])
    total = rng.gamma(5.0, 40.0, (5_000, 1))
    x = rng.poisson(rng.gamma(theta, total * share / theta))
    found = moments_of(sp.csr_array(x))
    np.testing.assert_allclose(found.share, share, rtol=0.1)
    mean = x.sum(axis=1, keepdims=True) * found.share
    excess = ((x - mean) ** 2 - mean).sum(axis=0)
    expected = np.minimum((mean**2).sum(axis=0) / excess, 30)
    np.testing.assert_allclose(found.dispersion, expected, rtol=0.05)
    assert found.dispersion[0] == pytest.approx(0.5, rel=0.4)


def test_it_begins_at_the_moments_of_the_genes():
    module = untrained(stirred=0.0)
    moments = Moments(np.array([0.01, 0.09, 0.1, 0.2, 0.2, 0.4]), np.full(6, 3.0))
    start_from_moments(module.decoder, moments)
    module.decoder.logits.kernel[...] = jnp.zeros((8, 6))
    found = module.decode(CELLS, jnp.zeros((9, 2)))
    np.testing.assert_allclose(np.exp(found.log_mean[0]) / CELLS.library[0], moments.share, 1e-4)
    np.testing.assert_allclose(np.exp(found.log_dispersion), 3.0, rtol=1e-5)


def test_own_encoders_take_part():
    own = nnx.Linear(6, 2, rngs=nnx.Rngs(5))
    encoder = make_encoder(SMALL, 6, mean=own, rngs=nnx.Rngs(0))
    mean, variance = encoder(CELLS.x)
    np.testing.assert_allclose(mean, own(np.log1p(CELLS.x)), rtol=1e-5)
    assert variance.shape == (9, 2)


class Silent(nnx.Module):
    """As in a document: without a last step it gives nothing."""

    def __call__(self, x):
        pass


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (nnx.Linear(6, 3, rngs=nnx.Rngs(0)), r"to \(4, 2\); it gives \(4, 3\)"),
        (nnx.Linear(2, 6, rngs=nnx.Rngs(0)), r"map \(4, 6\) to \(4, 2\), and failed"),
        (Silent(), r"to \(4, 2\); it gives NoneType"),
    ],
)
def test_wrong_shapes_are_said_with_both(network, says):
    with pytest.raises(NetworkShapeError, match=says):
        check_shapes("encoder", network, 6, 2)


def test_trying_a_network_leaves_it_alone():
    network = nnx.BatchNorm(6, rngs=nnx.Rngs(0))
    check_shapes("encoder", network, 6, 6)
    np.testing.assert_array_equal(network.mean[...], np.zeros(6))
