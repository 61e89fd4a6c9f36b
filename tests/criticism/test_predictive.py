from dataclasses import replace

import numpy as np
import pytest
import scipy.stats as st
from scipy.special import expit, logit

from scribeviz.criticism.draws import NaturalDraws
from scribeviz.criticism.misfit import gene_table
from scribeviz.criticism.predictive import check_gene, predictive_pmf
from scribeviz.data.counts import plain_counts
from tests.criticism.natural import four_axes, short

N_DRAWS, N_GENES = 30, 7


@pytest.fixture
def mixture(rng):
    """Draws of two components: (draws, components, genes), p and weights differ between draws."""
    r = rng.gamma(2.0, 1.5, (N_DRAWS, 2, N_GENES)).astype(np.float32)
    p = rng.uniform(0.2, 0.7, (N_DRAWS, 2)).astype(np.float32)
    weights = rng.dirichlet([3, 2], N_DRAWS).astype(np.float32)
    natural = {"r": r, "log_odds": logit(p)[..., None]}
    return NaturalDraws("nbdm", four_axes(natural), weights, np.ones(1), np.zeros(9, int))


@pytest.fixture
def captured(rng):
    """The same with zeros inflated and four groups of cells that were captured differently."""
    natural = {
        "r": rng.gamma(2.0, 1.5, (N_DRAWS, 2, N_GENES)).astype(np.float32),
        "gate": rng.uniform(0.05, 0.4, (N_DRAWS, 2, N_GENES)).astype(np.float32),
        "log_odds": rng.normal(-0.5, 1.0, (N_DRAWS, 2, 4)).astype(np.float32),
    }
    weights = rng.dirichlet([3, 2], N_DRAWS).astype(np.float32)
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    group_of_cell = np.repeat(np.arange(4), [1, 2, 3, 4])
    return NaturalDraws("zinbvcp", four_axes(natural), weights, shares, group_of_cell)


def single(r, p, n_draws=50):
    natural = {
        "r": np.tile(np.float64(r), (n_draws, 1, 1)),
        "log_odds": np.full((n_draws, 1, 1), logit(p)),
    }
    return NaturalDraws(
        "nbdm", four_axes(natural), np.ones((n_draws, 1)), np.ones(1), np.zeros(9, int)
    )


def oracle_of(draws):
    """SciPy's distribution of every draw, component and gene (one group of cells)."""
    log_odds = short(draws.natural, "log_odds").astype(float)
    return st.nbinom(short(draws.natural, "r").astype(float), expit(-log_odds))


def pmf_by_hand(draws, gene, counts):
    """Group by group and component by component."""
    found = np.zeros((draws.n_draws, counts.size))
    for d in range(draws.n_draws):
        for k in range(draws.weights.shape[1]):
            for g, share in enumerate(draws.groups):
                failure = expit(-float(short(draws.natural, "log_odds")[d, k, g]))
                plain = st.nbinom(float(short(draws.natural, "r")[d, k, gene]), failure).pmf(counts)
                gate = float(short(draws.natural, "gate")[d, k, gene])
                inflated = gate * (counts == 0) + (1 - gate) * plain
                found[d] += share * draws.weights[d, k] * inflated
    return found


def test_predictive_probabilities_are_scipys_mixture(mixture):
    ours = predictive_pmf(mixture, 3, 25)
    parts = np.stack([oracle_of(mixture).pmf(x)[..., 3] for x in range(26)], axis=-1)
    expected = (mixture.weights[..., None] * parts).sum(axis=1)
    assert ours.shape == (N_DRAWS, 26)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_predictive_probabilities_average_over_gates_and_captures(captured):
    ours = predictive_pmf(captured, 3, 25)
    np.testing.assert_allclose(ours, pmf_by_hand(captured, 3, np.arange(26)), rtol=1e-5)


def test_the_table_of_genes_averages_over_gates_and_captures(captured, rng):
    counts = plain_counts(rng.poisson(1.0, (50, N_GENES)))
    table = gene_table(counts, captured)
    many = np.arange(4_000)
    for gene in (0, 5):
        pmf = pmf_by_hand(captured, gene, many).mean(axis=0)
        assert pmf.sum() > 0.9999
        np.testing.assert_allclose(table["predicted_zeros"][gene], pmf[0], rtol=1e-5)
        np.testing.assert_allclose(table["predicted_mean"][gene], pmf @ many, rtol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_bars_hold_every_cell(mixture, rng, seed):
    counts = np.concatenate([rng.poisson(3.0, 200), [137]])
    check = check_gene(counts, mixture, 2, seed)
    width = np.diff(check.edges)
    assert check.observed.sum() == 201
    assert width[0] == 1  # zeros have a bar of their own
    assert (width[1:] == width[1]).all()
    assert check.edges[0] == 0
    assert check.edges[-1] > 137
    assert check.edges.dtype.kind == "i"
    assert len(check.observed) <= 40
    for bands in (check.bands, check.cumulative):
        assert bands.shape == (5, check.observed.size)
        assert (np.diff(bands, axis=0) >= 0).all()
    assert (np.diff(check.cumulative, axis=1) >= 0).all()
    assert check.residuals.sum() == pytest.approx(1)


def test_bars_count_what_lies_in_them():
    counts = np.array([0, 0, 1, 5, 99, 100])
    check = check_gene(counts, single([1.0], 0.9), 0)
    for low, high, seen in zip(check.edges[:-1], check.edges[1:], check.observed, strict=True):
        assert seen == ((counts >= low) & (counts < high)).sum()


def test_a_gene_without_counts_can_be_checked():
    check = check_gene(np.zeros(30, int), single([0.01], 0.3), 0)
    assert check.observed[0] == 30
    assert check.observed_zeros == 1
    assert check.observed_mean == 0


def test_the_middle_band_is_the_expected_count():
    n_cells = 100_000
    check = check_gene(np.zeros(n_cells, int), single([2.0], 0.5, 400), 0)
    lows, highs = check.edges[:-1], check.edges[1:]
    oracle = st.nbinom(2.0, 0.5)
    expected = n_cells * (oracle.cdf(highs - 1) - oracle.cdf(lows - 1))
    np.testing.assert_allclose(check.bands[2], expected, rtol=0.02, atol=10)


def test_bands_cover_simulated_counts_at_about_their_rate(rng):
    r = rng.gamma(2.0, 1.0, 150)
    matrix = rng.negative_binomial(r, 0.5, (800, 150))
    draws = single(r, 0.5, 200)
    inside = {50: [], 90: []}
    for gene in range(150):
        check = check_gene(matrix[:, gene], draws, gene, seed=gene)
        expected = check.bands[2] >= 5  # where few cells are expected, whole numbers over-cover
        low90, low50, _, high50, high90 = check.bands
        for rate, low, high in ((50, low50, high50), (90, low90, high90)):
            inside[rate] += ((check.observed >= low) & (check.observed <= high))[expected].tolist()
    assert len(inside[90]) > 800
    assert 0.46 < np.mean(inside[50]) < 0.62
    assert 0.87 < np.mean(inside[90]) < 0.95


def test_predicted_zeros_and_mean_are_scipys(mixture):
    check = check_gene(np.arange(5_000) % 4, mixture, 1)
    oracle = oracle_of(mixture)
    zeros = (mixture.weights * oracle.pmf(0)[..., 1]).sum(axis=1)
    mean = (mixture.weights * oracle.mean()[..., 1]).sum(axis=1)
    np.testing.assert_allclose(check.mean, np.percentile(mean, (5, 50, 95)), rtol=0.05)
    np.testing.assert_allclose(check.zeros, np.percentile(zeros, (5, 50, 95)), atol=0.03)
    assert check.observed_zeros == pytest.approx(0.25)
    assert check.observed_mean == pytest.approx(1.5)


def test_checks_follow_their_seed(mixture):
    counts = np.arange(100) % 6
    first, again, other = (check_gene(counts, mixture, 0, seed) for seed in (1, 1, 2))
    assert first.bands.tolist() == again.bands.tolist()
    assert first.bands.tolist() != other.bands.tolist()


def test_cumulated_bands_hold_scipys_distribution_function():
    n_cells = 50_000
    check = check_gene(np.zeros(n_cells, int), single([2.0], 0.5, 400), 0)
    expected = st.nbinom(2.0, 0.5).cdf(check.edges[1:] - 1)
    np.testing.assert_allclose(check.cumulative[2], expected, atol=1e-3)
    assert ((check.cumulative[0] < expected) & (expected < check.cumulative[4]))[:8].all()


@pytest.mark.parametrize(
    ("r", "ends", "middle"), [(2.0, "flat", "flat"), (20.0, "high", "low"), (0.3, "low", "high")]
)
def test_residuals_are_flat_only_if_counts_vary_as_predicted(rng, r, ends, middle):
    mean = 8.0
    counts = rng.negative_binomial(2.0, 2 / (2 + mean), 20_000)
    shares = check_gene(counts, single([r], mean / (r + mean)), 0).residuals
    told = {"flat": abs(shares - 0.1) < 0.01, "high": shares > 0.12, "low": shares < 0.08}
    assert told[ends][[0, 9]].all()
    assert told[middle][[5, 6] if r > 1 else [6, 7]].all()  # below lie the zeros


def test_counts_from_the_model_get_a_clean_verdict(rng):
    counts = rng.negative_binomial(2.0, 0.5, 2_000)
    verdict = check_gene(counts, single([2.0], 0.5), 0).verdict
    assert verdict.startswith("No misfit that these checks can see: ")


def test_too_many_zeros_are_said(rng):
    counts = rng.negative_binomial(2.0, 0.5, 2_000) * (rng.random(2_000) > 0.5)
    verdict = check_gene(counts, single([2.0], 0.5), 0).verdict
    assert verdict.startswith(f"Too many zeros: {(counts == 0).mean():.1%} of the cells lack")
    assert ", the model expects 2" in verdict
    _, mean, high = verdict.removesuffix(".").split("; ")  # the largest first
    assert "the mean is" in mean
    assert "of the cells have" in high


def test_too_few_zeros_are_said(rng):
    verdict = check_gene(rng.poisson(2.0, 2_000) + 1, single([2.0], 0.5), 0).verdict
    assert verdict.startswith("Too few zeros: 0.0% of the cells lack the gene, the model expects")
    assert "; the mean is 2.9" in verdict


def test_a_wrong_mean_is_said_beside_the_tail(rng):
    counts = rng.negative_binomial(2.0, 2 / (2 + 27.0), 2_000)
    verdict = check_gene(counts, single([2.0], 17 / 19), 0).verdict  # a mean of 17
    assert "the mean is 2" in verdict
    assert "the model expects 16." in verdict
    assert "of the cells have" in verdict


def test_a_wrong_shape_with_right_zeros_is_said():
    # A quarter of zeros as predicted, but all other cells show exactly 2.
    counts = np.repeat([0, 2], [500, 1_500])
    check = check_gene(counts, single([2.0], 0.5), 0)
    assert check.problem in {"shape differs", "tail too light"}
    assert check.verdict.startswith(check.problem.capitalize())


def test_the_sentence_and_the_table_agree(rng):
    matrix = rng.poisson(1.0, (2_000, N_GENES))
    matrix[:700, 0] = 0
    matrix[:60, 1] *= 12
    counts = plain_counts(matrix)
    draws = single([0.7], 0.6)
    draws = replace(draws, natural=draws.natural | {"r": np.full((50, 1, 1, N_GENES), 0.7)})
    problems = gene_table(counts, draws)["problem"].tolist()
    assert len(set(problems)) > 1
    told = [check_gene(counts.gene_at(g), draws, g).problem for g in range(N_GENES)]
    assert told == problems


def test_the_means_of_replicated_data_vary_as_means_of_cells_do():
    check = check_gene(np.ones(400, int), single([2.0], 0.5, n_draws=2_000), 0)
    spread = np.sqrt(st.nbinom(2, 0.5).var() / 400)
    np.testing.assert_allclose(check.mean, 2 + spread * st.norm.ppf([0.05, 0.5, 0.95]), atol=0.02)


def test_moments_of_a_gene_are_those_of_its_probabilities(captured):
    many = np.arange(6_000)
    pmf = pmf_by_hand(captured, 2, many)
    mean, variance = captured.moments_of(2)
    np.testing.assert_allclose(mean, pmf @ many, rtol=1e-3)
    np.testing.assert_allclose(variance, pmf @ many**2 - (pmf @ many) ** 2, rtol=2e-2)


def test_very_loud_genes_take_no_more_memory(captured, monkeypatch):
    expected = predictive_pmf(captured, 3, 25)
    monkeypatch.setattr("scribeviz.criticism.predictive._AT_ONCE", 10)
    np.testing.assert_allclose(predictive_pmf(captured, 3, 25), expected, rtol=1e-4)


@pytest.mark.parametrize("at_once", [131_072, 48], ids=["all at once", "in blocks"])
def test_the_table_of_genes_is_scipys(mixture, rng, at_once, monkeypatch):
    monkeypatch.setattr("scribeviz.criticism.misfit._AT_ONCE", at_once)
    matrix = rng.poisson(1.0, (50, N_GENES))
    matrix[0] = [9, 8, 7, 6, 5, 11, 4]
    counts = plain_counts(matrix)
    table = gene_table(counts, mixture)
    oracle, weights = oracle_of(mixture), mixture.weights[..., None].astype(float)
    expected_zeros = (weights * oracle.pmf(0)).sum(axis=1).mean(axis=0)
    assert table["gene"].tolist() == counts.genes.tolist()
    np.testing.assert_allclose(table["mean"], matrix.mean(axis=0))
    np.testing.assert_allclose(
        table["predicted_mean"], (weights * oracle.mean()).sum(axis=1).mean(axis=0), rtol=1e-6
    )
    np.testing.assert_allclose(table["zeros"], (matrix == 0).mean(axis=0))
    np.testing.assert_allclose(table["predicted_zeros"], expected_zeros, rtol=1e-5)
    np.testing.assert_allclose(
        table["excess_zeros"], (matrix == 0).mean(axis=0) - expected_zeros, atol=1e-5
    )
    assert table["largest"].tolist() == matrix.max(axis=0).tolist()


def test_a_gene_with_doubled_zeros_has_the_largest_excess(rng):
    r = np.linspace(1.0, 4.0, 20)
    matrix = rng.negative_binomial(r, 0.5, (2_000, 20))
    shown = np.flatnonzero(matrix[:, 13])
    matrix[rng.choice(shown, (matrix[:, 13] == 0).sum(), replace=False), 13] = 0
    table = gene_table(plain_counts(matrix), single(r, 0.5))
    assert table["excess_zeros"].argmax() == 13
    assert table["excess_zeros"].drop(13).abs().max() < 0.05
