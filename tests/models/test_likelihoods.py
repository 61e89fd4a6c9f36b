"""Every registered count distribution against SciPy and NumPyro.  A new entry needs one oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats as st

from scribeviz.data.counts import plain_counts
from scribeviz.data.tables import cell_rows, survival_table
from scribeviz.models.likelihoods import LIKELIHOODS

N_GENES = 12
NATURAL = {  # one value per gene, or one for all
    "p": np.float64(0.37),
    "r": np.geomspace(0.05, 30, N_GENES),
}
ORACLES = {"nbdm": lambda natural: st.nbinom(natural["r"], 1 - natural["p"])}
DENSE = {"nbdm": lambda natural: dist.NegativeBinomialProbs(natural["r"], natural["p"])}

every_likelihood = pytest.mark.parametrize(
    "likelihood", LIKELIHOODS.values(), ids=list(LIKELIHOODS)
)


def natural_of(likelihood):
    return {name: NATURAL[name] for name in likelihood.needs}


def components_of(likelihood, k):
    """The same parameters once per component, a little different each time."""
    return {
        name: np.stack([value ** (1 + i / 4) for i in range(k)])
        for name, value in natural_of(likelihood).items()
    }


def with_gene_axis(natural):
    """Shared parameters get a gene axis, so that SciPy broadcasts them."""
    r = np.ndim(natural["r"])
    return {name: value if value.ndim == r else value[..., None] for name, value in natural.items()}


def as_float32(natural):
    return {name: jnp.asarray(value, jnp.float32) for name, value in natural.items()}


@pytest.fixture
def matrix(small_counts):
    return small_counts.matrix.toarray()


def test_every_likelihood_has_its_oracles():
    assert ORACLES.keys() == DENSE.keys() == LIKELIHOODS.keys()


@every_likelihood
def test_keys_and_words(likelihood):
    assert LIKELIHOODS[likelihood.key] is likelihood
    assert set(likelihood.needs) <= set(NATURAL)
    assert all((likelihood.label, likelihood.use_when, likelihood.formula, likelihood.source))


@every_likelihood
def test_table_has_scipys_probability(likelihood, small_counts, matrix):
    natural = natural_of(likelihood)
    ours = likelihood.log_prob_table(survival_table(small_counts), as_float32(natural))
    np.testing.assert_allclose(
        ours, ORACLES[likelihood.key](natural).logpmf(matrix).sum(), rtol=2e-6
    )


@every_likelihood
@pytest.mark.parametrize("k", [1, 3])
def test_cells_have_scipys_probability(likelihood, k, small_counts, matrix):
    natural = components_of(likelihood, k)
    ours = likelihood.log_prob_cells(cell_rows(small_counts), as_float32(natural))
    by_cell = {name: value[:, None] for name, value in with_gene_axis(natural).items()}
    expected = ORACLES[likelihood.key](by_cell).logpmf(matrix).sum(axis=-1)
    assert ours.shape == (k, len(matrix))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@every_likelihood
def test_the_dense_form_is_scipys(likelihood, matrix):
    natural = natural_of(likelihood)
    with jax.enable_x64(True):
        ours = likelihood.dense(natural).log_prob(matrix)
    # 1e-5, not 1e-12: JAX's betaln in float64 is good to about 1e-6 only.
    np.testing.assert_allclose(ours, ORACLES[likelihood.key](natural).logpmf(matrix), rtol=1e-5)


@every_likelihood
def test_log_pmf_is_scipys(likelihood, matrix):
    natural = natural_of(likelihood)
    ours = likelihood.log_pmf(matrix, natural)
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, ORACLES[likelihood.key](natural).logpmf(matrix), rtol=1e-10)


@every_likelihood
def test_log_pmf_adds_up_to_one(likelihood):
    counts = np.arange(4_000)[:, None]
    probabilities = np.exp(likelihood.log_pmf(counts, natural_of(likelihood))).sum(axis=0)
    np.testing.assert_allclose(probabilities, 1, rtol=1e-10)


@every_likelihood
def test_mean_is_scipys(likelihood):
    natural = natural_of(likelihood)
    np.testing.assert_allclose(likelihood.mean(natural), ORACLES[likelihood.key](natural).mean())


@every_likelihood
def test_draws_have_scipys_mean_and_variance(likelihood, rng):
    natural, n = natural_of(likelihood), 20_000
    oracle = ORACLES[likelihood.key](natural)
    rows = {name: np.broadcast_to(value, (n, N_GENES)) for name, value in natural.items()}
    drawn = likelihood.draw(rng, rows)
    assert drawn.dtype.kind in "iu"
    variance, kurtosis = oracle.var(), oracle.stats("k")
    off = (drawn.mean(axis=0) - oracle.mean()) / np.sqrt(variance / n)
    assert np.abs(off).max() < 4
    off = (drawn.var(axis=0) / variance - 1) / np.sqrt((kurtosis + 2) / n)
    assert np.abs(off).max() < 4


# Far beyond what a fit meets: the values, and what the optimizer follows, stay right.
EXTREMES = [(r, p) for r in (1e-6, 1e-3, 1.0, 1e3, 1e6) for p in (1e-6, 0.5, 1 - 1e-6)]


def dense_reference(likelihood, matrix, natural):
    """Log-probability per component and cell, and the slope of its sum: NumPyro, float64."""

    def by_cell(natural):
        wide = {
            name: value[:, None, :] if value.ndim > 1 else value[:, None, None]
            for name, value in natural.items()
        }
        return DENSE[likelihood.key](wide).log_prob(matrix).sum(axis=-1)

    with jax.enable_x64(True):
        exact = {name: jnp.asarray(value, jnp.float64) for name, value in natural.items()}
        slope = jax.grad(lambda natural: by_cell(natural).sum())(exact)
        return jax.tree.map(np.asarray, (by_cell(exact), slope))


def extreme(likelihood, r, p, k):
    """Parameters all alike, rounded to float32 first: the reference must see the same numbers."""
    values = {"r": np.full((k, N_GENES), r), "p": np.full(k, p)}
    spread = 1 + 0.1 * np.arange(k)
    values["r"] = values["r"] * spread[:, None]
    return {name: np.float32(values[name]) for name in likelihood.needs}


@every_likelihood
@pytest.mark.parametrize(("r", "p"), EXTREMES)
def test_table_at_extreme_parameters(likelihood, r, p, small_counts, matrix):
    natural = extreme(likelihood, r, p, 1)
    value, slope = dense_reference(likelihood, matrix, natural)
    table = survival_table(small_counts)
    ours, our_slope = jax.value_and_grad(likelihood.log_prob_table, argnums=1)(
        table, {name: jnp.asarray(array[0]) for name, array in natural.items()}
    )
    np.testing.assert_allclose(ours, value.sum(), rtol=1e-5)
    for name in likelihood.needs:
        # 1e-8: what the reference itself loses, whose digammas of 1e-6 are a million.
        np.testing.assert_allclose(our_slope[name], slope[name][0], rtol=1e-4, atol=1e-8)


@every_likelihood
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(("r", "p"), EXTREMES)
def test_cells_at_extreme_parameters(likelihood, r, p, k, small_counts, matrix):
    natural = extreme(likelihood, r, p, k)
    value, slope = dense_reference(likelihood, matrix, natural)
    rows = cell_rows(small_counts)
    arrays = {name: jnp.asarray(array) for name, array in natural.items()}
    ours = likelihood.log_prob_cells(rows, arrays)
    our_slope = jax.grad(lambda natural: likelihood.log_prob_cells(rows, natural).sum())(arrays)
    # ln(900!), which a cell holds, cancels: a float32 rounding of it remains.
    rounding = np.finfo(np.float32).eps * rows.log_factorials
    assert (np.abs(ours - value) <= 1e-5 * (1 + np.abs(value)) + 2 * rounding).all()
    for name in likelihood.needs:
        np.testing.assert_allclose(our_slope[name], slope[name], rtol=1e-4, atol=1e-8)


@every_likelihood
def test_counts_in_the_millions(likelihood):
    matrix = np.array([[3_000_000, 0], [1, 20_000_000], [2_999_999, 7]])
    counts = plain_counts(matrix)
    natural = {"r": np.array([0.7, 2.0]), "p": np.float64(1 - 2**-20)}
    expected = ORACLES[likelihood.key](natural).logpmf(matrix)
    table = likelihood.log_prob_table(survival_table(counts), as_float32(natural))
    np.testing.assert_allclose(table, expected.sum(), rtol=1e-5, atol=10)
    cells = likelihood.log_prob_cells(
        cell_rows(counts), as_float32({"r": natural["r"][None], "p": natural["p"][None]})
    )
    np.testing.assert_allclose(cells[0], expected.sum(axis=1), rtol=1e-5, atol=10)
