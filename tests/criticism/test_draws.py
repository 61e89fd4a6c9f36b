import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import nbinom

from scribeviz.criticism.draws import NaturalDraws, affordable_draws, natural_draws
from scribeviz.criticism.pmf import predictive_pmfs
from scribeviz.models.builder import build
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.parameterizations import SHARED_ODDS
from scribeviz.models.spec import ModelSpec
from tests.criticism.natural import four_axes, short
from tests.models import dense


def odds_of(draws):
    """Log odds of every draw, component and group."""
    return (draws.natural["log_odds"] + draws.natural["log_depth"])[..., 0]


def test_draws_of_one_component_get_an_axis_for_it(rng):
    values = {"p": rng.random(6, np.float32), "r": rng.random((6, 4), np.float32)}
    draws = natural_draws(build(ModelSpec(), 9, 4), values)
    assert draws.n_draws == 6
    assert draws.likelihood is LIKELIHOODS["nbdm"]
    assert draws.natural.keys() == {"r", "log_odds"}
    np.testing.assert_allclose(
        short(draws.natural, "log_odds"), logit(values["p"])[:, None, None], rtol=1e-4
    )
    np.testing.assert_allclose(short(draws.natural, "r"), values["r"][:, None], rtol=1e-5)
    np.testing.assert_allclose(draws.weights, np.ones((6, 1)))
    assert draws.groups.tolist() == [1.0]


def test_draws_of_a_mixture_share_p_and_keep_their_weights(rng):
    values = {
        "p": rng.random(6, np.float32),
        "r": rng.random((6, 3, 4), np.float32),
        "mixing_weights": rng.dirichlet(np.ones(3), 6).astype(np.float32),
    }
    draws = natural_draws(build(ModelSpec(n_components=3), 9, 4), values)
    expected = np.repeat(logit(values["p"])[:, None, None], 3, axis=1)
    np.testing.assert_allclose(short(draws.natural, "log_odds"), expected, rtol=1e-4)
    np.testing.assert_allclose(short(draws.natural, "r"), values["r"], rtol=1e-5)
    np.testing.assert_allclose(draws.weights, values["mixing_weights"], rtol=1e-4)


@pytest.mark.parametrize("parameterization", SHARED_ODDS)
def test_draws_are_natural_whatever_the_sites(rng, parameterization):
    spec = ModelSpec(
        likelihood="zinb", n_components=2, parameterization=parameterization, unconstrained=True
    )
    model = build(spec, 9, 4)
    values = {site.key: rng.normal(size=(6, *model.shape(site))) for site in spec.sites}
    draws = natural_draws(model, values)
    for i in range(6):
        known = dense.textbook(spec, {name: v[i] for name, v in values.items()})
        np.testing.assert_allclose(
            expit(short(draws.natural, "log_odds")[i]), known["p"], rtol=1e-4
        )
        np.testing.assert_allclose(short(draws.natural, "r")[i], known["r"], rtol=1e-4)
        np.testing.assert_allclose(short(draws.natural, "gate")[i], known["gate"], rtol=1e-4)


def test_few_cells_each_keep_their_own_capture(rng):
    values = {
        "p": rng.random(6, np.float32),
        "r": rng.random((6, 4), np.float32),
        "p_capture": rng.uniform(0.1, 0.9, (6, 9)).astype(np.float32),
    }
    draws = natural_draws(build(ModelSpec(likelihood="nbvcp"), 9, 4), values)
    np.testing.assert_allclose(draws.groups, np.full(9, 1 / 9))
    expected = logit(values["p"])[:, None] + np.log(values["p_capture"])
    np.testing.assert_allclose(
        np.sort(odds_of(draws)[:, 0]), np.sort(expected), rtol=1e-4, atol=1e-5
    )
    assert (np.argsort(draws.group_of_cell) == np.argsort(expected.mean(axis=0))).all()


def test_many_cells_are_grouped_by_capture_and_keep_the_mean(rng):
    capture = rng.beta(2, 8, 1_003)
    values = {
        "p": np.full(3, 0.6, np.float32),
        "r": np.ones((3, 4), np.float32),
        "p_capture": np.tile(capture, (3, 1)).astype(np.float32),
    }
    draws = natural_draws(build(ModelSpec(likelihood="nbvcp"), 1_003, 4), values)
    assert draws.groups.size == 32
    np.testing.assert_allclose(np.bincount(draws.group_of_cell) / 1_003, draws.groups)
    assert (np.diff(draws.group_of_cell[np.argsort(capture)]) >= 0).all()
    np.testing.assert_allclose(draws.groups.sum(), 1)
    odds = np.exp(odds_of(draws)[0, 0])
    np.testing.assert_allclose(odds @ draws.groups, 1.5 * capture.mean(), rtol=1e-4)
    # What is averaged, the probability of a zero, hardly notices.
    zero = (1 + odds) ** -2.0 @ draws.groups
    np.testing.assert_allclose(zero, ((1 + 1.5 * capture) ** -2.0).mean(), rtol=1e-3)


@pytest.mark.parametrize(("index", "columns"), [(2, [2]), (slice(1, 3), [1, 2])])
def test_some_genes_all_have_a_gene_axis_in_float64(rng, index, columns):
    natural = {
        "log_odds": rng.random((5, 2, 3), np.float32),
        "r": rng.random((5, 2, 4), np.float32),
    }
    shares, group_of_cell = np.array([0.2, 0.3, 0.5]), np.repeat([0, 1, 2], [2, 3, 5])
    draws = NaturalDraws("nbvcp", four_axes(natural), np.full((5, 2), 0.5), shares, group_of_cell)
    some = draws.genes(index)
    assert some["log_odds"].tolist() == natural["log_odds"][..., None].astype(float).tolist()
    assert some["r"].tolist() == natural["r"][:, :, None, columns].astype(float).tolist()
    assert {value.dtype for value in some.values()} == {np.dtype(float)}
    one = draws.kinds(2)
    assert one["r"].tolist() == np.repeat(natural["r"][..., [2]], 3, axis=1).tolist()
    assert one["log_odds"].tolist() == natural["log_odds"].reshape(5, 6, 1).tolist()
    weights = draws.mixed_weights
    assert weights.shape == (5, 6)
    np.testing.assert_allclose(weights[0], [0.1, 0.15, 0.25] * 2)


@pytest.mark.parametrize(
    ("n_genes", "k", "expected"),
    [(100, 1, 200), (32_000, 1, 200), (30_000, 5, 106), (60_000, 20, 50)],
)
def test_draws_fit_the_memory(n_genes, k, expected):
    model = build(ModelSpec(n_components=k), 10, n_genes)
    assert affordable_draws(model) == expected


@pytest.fixture
def two_kinds(rng):
    """Two components that differ in every gene; the first four cells are deep, the rest shallow."""
    natural = {
        "r": np.tile([[1.0, 8.0], [8.0, 1.0]], (5, 1, 1)),
        "log_odds": np.tile([2.0, -2.0], (5, 2, 1)),
    }
    group_of_cell = np.repeat([0, 1], [4, 6])
    weights = rng.dirichlet([5, 5], 5)
    return NaturalDraws("nbvcp", four_axes(natural), weights, np.array([0.4, 0.6]), group_of_cell)


def test_some_cells_are_predicted_by_what_is_known_of_them(two_kinds):
    probabilities = np.zeros((10, 2))
    probabilities[[0, 1, 2, 8, 9], 0] = 1
    probabilities[[3, 4, 5, 6, 7], 1] = 1
    some = two_kinds.of_cells(np.array([0, 1, 2, 3]), probabilities)
    np.testing.assert_allclose(some.weights, [[0.75, 0.25]] * 5)
    assert some.groups.tolist() == [1.0, 0.0]
    mean = 0.75 * np.array([1, 8]) + 0.25 * np.array([8, 1])
    np.testing.assert_allclose(some.moments().mean, mean * np.exp(2.0), rtol=1e-6)
    one = two_kinds.of_cells(np.array([9]), probabilities)
    np.testing.assert_allclose(one.moments().mean, np.array([1, 8]) * np.exp(-2.0), rtol=1e-6)


def test_all_cells_chosen_change_nothing_but_the_weights(two_kinds):
    probabilities = np.repeat(two_kinds.weights.mean(axis=0)[None], 10, axis=0)
    again = two_kinds.of_cells(np.arange(10), probabilities)
    np.testing.assert_allclose(again.groups, two_kinds.groups)
    np.testing.assert_allclose(again.weights[0], two_kinds.weights.mean(axis=0))


@pytest.fixture(params=["nbdm", "zinb"])
def by_gene(request, rng):
    """Each gene with groups of its own: four dimensions."""
    natural = {
        "r": rng.gamma(2.0, size=(3, 1, 1, 5)).astype(np.float32),
        "log_odds": rng.normal(size=(3, 1, 4, 5)).astype(np.float32),
    }
    if request.param == "zinb":
        natural["gate"] = rng.uniform(0.05, 0.6, (3, 1, 4, 5)).astype(np.float32)
    groups = np.array([0.1, 0.2, 0.3, 0.4])
    return NaturalDraws(request.param, natural, np.ones((3, 1)), groups, np.zeros(0, np.int32))


def brute_force(draws, n_counts):
    """Probabilities by SciPy, shape (draws, genes, counts)."""
    found = np.zeros((3, 5, n_counts))
    x = np.arange(n_counts)
    for draw, gene, group in np.ndindex(3, 5, 4):
        r = float(draws.natural["r"][draw, 0, 0, gene])
        p = expit(-float(draws.natural["log_odds"][draw, 0, group, gene]))
        pmf = nbinom(r, p).pmf(x)
        if "gate" in draws.natural:
            gate = float(draws.natural["gate"][draw, 0, group, gene])
            pmf = (1 - gate) * pmf + gate * (x == 0)
        found[draw, gene] += draws.groups[group] * pmf
    return found


def test_probabilities_of_genes_with_groups_of_their_own_are_scipys(by_gene):
    some = np.array([3, 0])
    np.testing.assert_allclose(
        predictive_pmfs(by_gene, some, n_counts=30), brute_force(by_gene, 30)[:, some], rtol=1e-4
    )


def test_moments_of_genes_with_groups_of_their_own_are_scipys(by_gene):
    pmf, x = brute_force(by_gene, 3_000), np.arange(3_000)
    mean = pmf @ x
    variance = pmf @ x**2.0 - mean**2
    moments = by_gene.moments()
    np.testing.assert_allclose(moments.mean, mean.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, variance.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(by_gene.component_means()[0], mean.mean(axis=0), rtol=1e-5)
    for gene in range(5):
        of_gene = by_gene.moments_of(gene)
        np.testing.assert_allclose(of_gene[0], mean[:, gene], rtol=1e-5)
        np.testing.assert_allclose(of_gene[1], variance[:, gene], rtol=1e-4)
    assert not by_gene.can_choose_cells


def test_one_gene_with_groups_of_its_own_is_that_gene(by_gene):
    for index, columns in ((2, [2]), (slice(1, 3), [1, 2])):
        for name, value in by_gene.genes(index).items():
            np.testing.assert_array_equal(value, by_gene.natural[name][..., columns])
