"""The ranking of all genes: probabilities against SciPy, p-values that mean what they say."""

import numpy as np
import pytest
import scipy.stats as st
from scipy.special import expit, logit

from scribeviz import ModelSpec, fit, simulate
from scribeviz.criticism.draws import NaturalDraws
from scribeviz.criticism.misfit import AS_EXPECTED, EDGES, gene_table, in_bins, misfit, pit
from scribeviz.criticism.pmf import predictive_pmfs
from scribeviz.data.counts import plain_counts
from tests.criticism.natural import four_axes, short

D, K, G = 12, 2, 5


@pytest.fixture
def inflated(rng):
    """Two components, zeros inflated, four groups of cells captured differently."""
    natural = {
        "r": rng.gamma(2.0, 1.5, (D, K, G)).astype(np.float32),
        "gate": rng.uniform(0.05, 0.4, (D, K, G)).astype(np.float32),
        "log_odds": rng.normal(-0.5, 1.0, (D, K, 4)).astype(np.float32),
    }
    weights = rng.dirichlet([3, 2], D).astype(np.float32)
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    group_of_cell = np.repeat(np.arange(4), [1, 2, 3, 4])
    return NaturalDraws("zinbvcp", four_axes(natural), weights, shares, group_of_cell)


def known(r, p, n_draws=40):
    """A posterior that is sure of the truth."""
    natural = {
        "r": np.tile(np.float32(r), (n_draws, 1, 1)),
        "log_odds": np.full((n_draws, 1, 1), logit(p), np.float32),
    }
    return NaturalDraws(
        "nbdm", four_axes(natural), np.ones((n_draws, 1)), np.ones(1), np.zeros(9, int)
    )


@pytest.fixture
def right(rng):
    """Counts of 400 cells and 300 genes, and the model that they came from."""
    r = rng.lognormal(0.5, 1.0, 300)
    matrix = rng.negative_binomial(r, 1 - 0.6, (400, 300))
    return matrix, known(r, 0.6)


def test_probabilities_are_scipys(inflated):
    n = 40
    ours = predictive_pmfs(inflated, np.arange(G), n)
    assert ours.shape == (D, G, n)
    gate = short(inflated.natural, "gate").astype(float)[..., None, None]
    failure = expit(-short(inflated.natural, "log_odds").astype(float))[:, :, None, :, None]
    r = short(inflated.natural, "r").astype(float)[..., None, None]
    plain = st.nbinom(r, failure).pmf(np.arange(n))  # draws, components, genes, groups, counts
    each = gate * (np.arange(n) == 0) + (1 - gate) * plain
    expected = np.einsum("dk,q,dkgqx->dgx", inflated.weights, inflated.groups, each)
    np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("r", [1e-6, 1e-2, 1.0, 1e3, 1e6])
def test_probabilities_hold_at_extremes(r):
    odds = 3.0 / r
    draws = known([r], odds / (1 + odds), n_draws=1)
    ours = predictive_pmfs(draws, np.array([0]), 64)[0, 0]
    log_odds = float(short(draws.natural, "log_odds")[0, 0, 0])
    expected = st.nbinom(float(np.float32(r)), expit(-log_odds)).pmf(np.arange(64))
    np.testing.assert_allclose(ours, expected, rtol=2e-3, atol=1e-9)


def test_moments_are_those_of_the_probabilities(inflated):
    x = np.arange(3_000)
    pmf = predictive_pmfs(inflated, np.arange(G), x.size).astype(float)
    mean = (pmf * x).sum(axis=-1)
    variance = (pmf * x**2).sum(axis=-1) - mean**2
    moments = inflated.moments()
    np.testing.assert_allclose(moments.mean, mean.mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(moments.variance, variance.mean(axis=0), rtol=1e-2)


def test_bins_are_single_counts_then_four_to_an_octave():
    assert EDGES[:17].tolist() == [*range(8), 8, 10, 12, 14, 16, 20, 24, 28, 32]
    assert in_bins(np.ones(16)).tolist() == [*[1] * 8, 2, 2, 2, 2]


def test_right_models_are_left_in_peace(right):
    matrix, draws = right
    table = gene_table(plain_counts(matrix), draws)
    p = table["p_value"].dropna()
    assert len(p) > 250
    assert st.kstest(p, "uniform").statistic < 0.1
    assert table["fdr"].min() > 0.05
    assert table["misfit"].max() < 0.06
    assert (table["problem"] == AS_EXPECTED).mean() > 0.9
    for name, nominal in (("cover50", 0.5), ("cover90", 0.9)):
        np.testing.assert_allclose(table[name].mean(), nominal, atol=0.01)
    np.testing.assert_allclose(table["predicted_zeros"].mean(), table["zeros"].mean(), rtol=0.02)
    spread = table["predicted_variance"].sum() / table["variance"].sum()
    np.testing.assert_allclose(spread, 1, atol=0.1)
    within = table["largest"] <= 2 * table["predicted_largest"] + 1
    assert within.mean() > 0.95


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda x, rng: np.where(rng.random(x.size) < 0.3, 0, x), "too many zeros"),
        (lambda x, rng: np.where(x == 0, rng.integers(1, 3, x.size), x), "too few zeros"),
        (lambda x, rng: np.where(x > 4, 3 * x, x), "tail too heavy"),
        (lambda x, rng: np.minimum(x, 4), "tail too light"),
    ],
)
def test_a_gene_that_is_spoiled_comes_first_and_is_named(right, spoil, says, rng):
    matrix, draws = right
    gene = int(np.abs(matrix.mean(axis=0) - 2.5).argmin())
    spoiled = matrix.copy()
    spoiled[:, gene] = spoil(matrix[:, gene], rng)
    table = gene_table(plain_counts(spoiled), draws)
    worst = table.sort_values("misfit", ascending=False).iloc[0]
    assert worst["gene"] == table["gene"][gene]
    assert worst["problem"] == says
    assert worst["p_value"] < 1e-6
    untouched = table.drop(index=gene)
    assert worst["misfit"] > 1.5 * untouched["misfit"].max()


def test_distance_is_the_share_of_cells_that_would_have_to_move():
    predicted = np.tile([0.5, 0.3, 0.2], (4, 1, 1))
    observed = np.array([[70, 20, 10]])
    replicates = np.tile([50, 30, 20], (2, 4, 1, 1))
    found = misfit(observed, predicted, replicates)
    np.testing.assert_allclose(found.distance, 0.2)
    np.testing.assert_allclose(found.excess, 0.2)
    assert found.p_value == pytest.approx(1 / 9)  # none of eight, and the data themselves


def test_residuals_are_uniform_where_the_prediction_is_right(rng):
    pmf = st.nbinom(2.0, 0.4).pmf(np.arange(60))[None]
    seen = np.round(pmf * 1e6).astype(int)
    levels = np.array([0.05, 0.3, 0.5, 0.95])
    np.testing.assert_allclose(pit(seen, pmf, levels)[0], levels, atol=1e-4)
    # By simulation, on other counts.
    x = rng.poisson(4.0, 20_000)
    cdf = st.nbinom(2.0, 0.4).cdf
    u = cdf(x - 1) + rng.random(x.size) * (cdf(x) - cdf(x - 1))
    expected = (u[:, None] <= levels).mean(axis=0)
    ours = pit(np.bincount(x, minlength=60)[None, :60], pmf, levels)[0]
    np.testing.assert_allclose(ours, expected, atol=0.01)


def test_the_order_is_that_of_the_data(right):
    matrix, draws = right
    loud = matrix.copy()
    loud[:3, 7] = 900  # other classes of counts
    table = gene_table(plain_counts(loud), draws)
    assert table["gene"].tolist() == list(plain_counts(loud).genes)
    np.testing.assert_allclose(table["largest"], loud.max(axis=0))
    np.testing.assert_allclose(table["mean"], loud.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(table["variance"], loud.var(axis=0), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["nbdm", "nbvcp"])
def test_a_gene_with_twice_the_zeros_is_the_worst(likelihood):
    """One gene of a simulation is spoiled by hand; the fit has to find it among 150."""
    rng = np.random.default_rng(4)
    values = {"p": 0.6, "r": rng.lognormal(1.0, 0.8, 150)}
    if likelihood == "nbvcp":
        values["p_capture"] = rng.uniform(0.1, 0.4, 400)
        values["r"] = values["r"] * 4
    spec = ModelSpec(likelihood=likelihood)
    counts, _ = simulate(spec, n_cells=400, n_genes=150, values=values, seed=1)
    matrix = counts.matrix.toarray()
    zeros = (matrix == 0).mean(axis=0)
    spoiled = int(np.abs(zeros - 0.3).argmin())
    seen = np.flatnonzero(matrix[:, spoiled])
    dropped = rng.choice(seen, int((matrix[:, spoiled] == 0).sum()), replace=False)
    matrix[dropped, spoiled] = 0
    assert (matrix[:, spoiled] == 0).mean() == pytest.approx(2 * zeros[spoiled])
    wrong = plain_counts(matrix, genes=list(counts.genes))
    results = fit(
        wrong, ModelSpec(likelihood=likelihood, parameterization="linked"), progress=False
    )
    table = results.gene_table(wrong).sort_values("misfit", ascending=False)
    assert table["gene"].iloc[0] == counts.genes[spoiled]
    assert table["problem"].iloc[0] == "too many zeros"
