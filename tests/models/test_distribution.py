import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from scipy.special import logsumexp, softmax

from scribeviz.data.tables import cell_rows, survival_table
from scribeviz.models.distribution import CountDistribution
from scribeviz.models.likelihoods import LIKELIHOODS

N_CELLS, N_GENES = 40, 12
R = np.geomspace(0.1, 8, N_GENES) * np.array([[1.0], [2.0], [0.3]])
P = np.array([0.4, 0.3, 0.6])
WEIGHTS = np.array([0.5, 0.2, 0.3])


def distribution(k):
    weights = WEIGHTS[:k] / WEIGHTS[:k].sum()
    natural = {"p": jnp.asarray(P[:k], jnp.float32), "r": jnp.asarray(R[:k], jnp.float32)}
    return CountDistribution(
        LIKELIHOODS["nbdm"], natural, jnp.asarray(weights, jnp.float32), N_CELLS
    )


def joint(matrix, k):
    """ln(weight) + ln p(cell | component), shape (components, cells), by SciPy."""
    weights = WEIGHTS[:k] / WEIGHTS[:k].sum()
    by_cell = st.nbinom(R[:k, None], 1 - P[:k, None, None]).logpmf(matrix).sum(axis=-1)
    return by_cell + np.log(weights)[:, None]


@pytest.mark.parametrize("k", [1, 3])
def test_cell_rows_and_dense_counts_score_the_same_as_scipy(k, small_counts):
    matrix = small_counts.matrix.toarray()
    expected = logsumexp(joint(matrix, k), axis=0).sum()
    made = distribution(k)
    np.testing.assert_allclose(made.log_prob(cell_rows(small_counts)), expected, rtol=1e-6)
    np.testing.assert_allclose(made.log_prob(jnp.asarray(matrix)), expected, rtol=1e-5)


def test_a_survival_table_scores_one_component(small_counts):
    expected = joint(small_counts.matrix.toarray(), 1).sum()
    ours = distribution(1).log_prob(survival_table(small_counts))
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_a_survival_table_cannot_score_a_mixture(small_counts):
    with pytest.raises(ValueError, match=r"cannot score a mixture; use cell_rows\(counts\)"):
        distribution(2).log_prob(survival_table(small_counts))


def test_components_are_scored_without_their_weights(small_counts):
    expected = joint(small_counts.matrix.toarray(), 3) - np.log(WEIGHTS)[:, None]
    ours = distribution(3).log_prob_components(cell_rows(small_counts))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_responsibilities_are_bayes_rule(small_counts):
    expected = softmax(joint(small_counts.matrix.toarray(), 3), axis=0)
    ours = distribution(3).responsibilities(cell_rows(small_counts))
    np.testing.assert_allclose(ours.sum(axis=0), 1, rtol=1e-6)
    # Between the components lie up to 900 nats, of which float32 keeps four decimals.
    np.testing.assert_allclose(ours, expected, atol=1e-3)


@pytest.mark.parametrize("k", [1, 3])
def test_samples_have_the_mixtures_moments(k, key):
    weights = WEIGHTS[:k] / WEIGHTS[:k].sum()
    drawn = np.asarray(distribution(k).sample(key, (200,)), float)
    assert drawn.shape == (200, N_CELLS, N_GENES)
    cells = drawn.reshape(-1, N_GENES)
    oracle = st.nbinom(R[:k], 1 - P[:k, None])
    mean = weights @ oracle.mean()
    variance = weights @ (oracle.var() + oracle.mean() ** 2) - mean**2
    off = (cells.mean(axis=0) - mean) / np.sqrt(variance / len(cells))
    assert np.abs(off).max() < 4.5
    np.testing.assert_allclose(cells.var(axis=0), variance, rtol=0.15)


def test_a_sampled_cell_comes_from_one_component(key):
    # Component 0 shows gene 0 only, component 1 gene 1 only: no cell may show both.
    natural = {"p": jnp.full(2, 0.5), "r": jnp.array([[50.0, 1e-6], [1e-6, 50.0]])}
    made = CountDistribution(LIKELIHOODS["nbdm"], natural, jnp.array([0.3, 0.7]), 500)
    shown = np.asarray(made.sample(key)) > 0
    assert (shown.sum(axis=1) == 1).all()
    assert 0.2 < shown[:, 0].mean() < 0.4


def test_shapes_and_support():
    made = distribution(3)
    assert (made.batch_shape, made.event_shape) == ((), (N_CELLS, N_GENES))
    assert bool(made.support(jnp.zeros((N_CELLS, N_GENES), int)))
    assert not bool(made.support(jnp.full((N_CELLS, N_GENES), -1)))


def test_it_passes_through_jit_with_its_tables_as_arguments(small_counts):
    rows = cell_rows(small_counts)
    compiled = jax.jit(lambda rows: distribution(3).log_prob(jax.tree.map(jnp.asarray, rows)))
    expected = logsumexp(joint(small_counts.matrix.toarray(), 3), axis=0).sum()
    np.testing.assert_allclose(compiled(rows), expected, rtol=1e-6)
