import numpy as np
import pytest
import scipy.stats as st

from scribeviz.data.counts import plain_counts
from scribeviz.models.builder import build
from scribeviz.models.initial import cluster_cells, initial_params
from scribeviz.models.simulation import simulate
from scribeviz.models.spec import ModelSpec


def start_of(counts, spec, seed=0):
    model = build(spec, counts.n_cells, counts.n_genes)
    return {name: np.asarray(v, float) for name, v in initial_params(model, counts, seed).items()}


@pytest.fixture(scope="module")
def two_types():
    """210 + 90 cells; half of the genes are three times as loud in one type, half in the other."""
    base = np.random.default_rng(1).gamma(2.0, 1.0, 60)
    r = np.stack([base * np.repeat([3, 1], 30), base * np.repeat([1, 3], 30)])
    values = {"p": 0.4, "r": r, "mixing_weights": [0.7, 0.3]}
    return simulate("nbdm_mix", n_cells=300, n_genes=60, values=values, seed=5)


@pytest.mark.parametrize("p", [0.05, 0.5, 0.95])
def test_p_starts_near_the_truth(p):
    counts, _ = simulate("nbdm", n_cells=400, n_genes=100, values={"p": p}, seed=2)
    counts = counts.seen_genes()
    start = start_of(counts, ModelSpec())
    oracle = st.beta(start["p_alpha"], start["p_beta"])
    np.testing.assert_allclose(oracle.mean() / (1 - oracle.mean()), p / (1 - p), rtol=0.1)
    assert oracle.std() < 0.1 * oracle.mean()


def test_every_gene_starts_at_its_mean_count(small_counts):
    counts = small_counts.seen_genes()
    start = start_of(counts, ModelSpec())
    p = st.beta(start["p_alpha"], start["p_beta"]).mean()
    mean = np.exp(start["r_loc"]) * p / (1 - p)
    np.testing.assert_allclose(mean, counts.gene_totals / counts.n_cells, rtol=1e-4)


def test_rarer_genes_start_less_certain(small_counts):
    counts = small_counts.seen_genes()
    start = start_of(counts, ModelSpec())
    by_total = np.argsort(counts.gene_totals)
    assert (np.diff(start["r_scale"][by_total]) <= 0).all()
    assert (start["r_scale"] > 0).all()


def test_components_start_differently(two_types):
    counts, _ = two_types
    loc = start_of(counts, ModelSpec(n_components=2))["r_loc"]
    assert np.median(np.abs(loc[0] - loc[1])) > np.log(2)


def test_components_start_at_the_true_types(two_types):
    counts, truth = two_types
    start = start_of(counts, ModelSpec(n_components=2))
    order = np.argsort(-start["mixing_concentrations"])
    off = (start["r_loc"][order] - np.log(truth["r"])) / start["r_scale"][order]
    assert np.abs(off).max() < 5
    shares = st.dirichlet(start["mixing_concentrations"][order]).mean()
    seen = np.bincount(truth["component"]) / 300
    np.testing.assert_allclose(shares, seen, atol=0.01)
    p = st.beta(start["p_alpha"], start["p_beta"]).mean()
    assert abs(p - 0.4) < 0.05


def test_clusters_are_the_types(two_types):
    counts, truth = two_types
    groups = cluster_cells(counts, 2)
    agreement = (groups == truth["component"]).mean()
    assert max(agreement, 1 - agreement) > 0.99


def test_clusters_follow_types_and_not_depth():
    rng = np.random.default_rng(3)
    types, depth = rng.integers(0, 2, 200), rng.choice([0.5, 4.0], 200)
    mean = np.where(types[:, None] == (np.arange(50) % 2), 4.0, 1.0) * depth[:, None]
    groups = cluster_cells(plain_counts(rng.poisson(mean)), 2)
    agreement = (groups == types).mean()
    assert max(agreement, 1 - agreement) > 0.95


def test_the_same_seed_starts_the_same(two_types):
    counts, _ = two_types
    first, again = (start_of(counts, ModelSpec(n_components=3), seed=4) for _ in range(2))
    assert all((first[name] == again[name]).all() for name in first)


@pytest.mark.parametrize(
    ("matrix", "k"),
    [
        (np.eye(3, dtype=int), 3),
        (np.ones((10, 5), int), 2),
        (np.arange(1, 9)[:, None], 2),
        (np.eye(6, dtype=int)[:, :4] + 1, 5),
        (np.vstack([np.zeros((2, 6), int), np.eye(6, dtype=int)]), 2),
    ],
    ids=["as many components as cells", "all alike", "one gene", "few cells", "empty cells"],
)
def test_small_and_odd_data_have_a_start(matrix, k):
    counts = plain_counts(matrix)
    start = start_of(counts, ModelSpec(n_components=k))
    assert all(np.isfinite(value).all() for value in start.values())
    assert (start["r_scale"] > 0).all()
    assert (start["mixing_concentrations"] > 0).all()


def test_shapes_are_the_guides(two_types):
    counts, _ = two_types
    shapes = {name: v.shape for name, v in start_of(counts, ModelSpec(n_components=4)).items()}
    assert shapes == {
        "p_alpha": (),
        "p_beta": (),
        "r_loc": (4, 60),
        "r_scale": (4, 60),
        "mixing_concentrations": (4,),
    }
