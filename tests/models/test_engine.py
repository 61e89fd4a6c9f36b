"""The exact engine against NumPyro's dense distributions in float64."""

from functools import cache
from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import log_density

import scribeviz
from scribeviz.data.counts import Counts, plain_counts
from scribeviz.models.batches import cut_out
from scribeviz.models.builder import build
from scribeviz.models.distribution import CountDistribution
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.parameterizations import SHARED_ODDS
from scribeviz.models.spec import ModelSpec, model_spec
from tests.models import dense

SPECS = [
    ModelSpec(
        likelihood=likelihood,
        n_components=k,
        parameterization=parameterization,
        unconstrained=free,
        component_specific_params=own,
    )
    for likelihood, (k, own), parameterization, free in product(
        dense.NB_KEYS, ((1, False), (3, False), (3, True)), SHARED_ODDS, (False, True)
    )
]


def named(spec: ModelSpec) -> str:
    words = [spec.name, spec.parameterization]
    words += ["free"] * spec.unconstrained + ["own odds"] * spec.component_specific_params
    return "-".join(words)


each_spec = pytest.mark.parametrize("spec", SPECS, ids=named)
each_likelihood = pytest.mark.parametrize("key", dense.NB_KEYS)
each_size = pytest.mark.parametrize("k", [1, 3])


def point(spec: ModelSpec, n_cells: int, n_genes: int, **known) -> dict[str, np.ndarray]:
    """Values of the sites that stand for the same truth in every parameterization."""
    rng = np.random.default_rng(0)
    k = spec.n_components
    apart = np.array([1.0, 1.3, 0.8, 1.1])[:k, None]  # or components would have no slopes
    natural = {
        "log_odds": np.full(k, np.log(known.get("odds", 1.4))),
        "log_r": np.log(known.get("r", rng.lognormal(-0.5, 1.0, n_genes)) * apart),
        "log_weights": np.log(rng.dirichlet(np.full(k, 3.0))),
        "gate_logit": np.log(known.get("gate_odds", rng.gamma(1.0, 0.2, n_genes)) * apart),
        "log_depth": np.log(known.get("capture", rng.uniform(0.1, 0.8, n_cells))),
    }
    natural["log_r"] = np.broadcast_to(natural["log_r"], (k, n_genes))
    natural["gate_logit"] = np.broadcast_to(natural["gate_logit"], (k, n_genes))
    natural["log_depth"] = np.broadcast_to(natural["log_depth"], n_cells)
    if spec.component_specific_params:
        natural["log_odds"] = natural["log_odds"] + 0.2 * np.arange(k)
    model = build(spec, n_cells, n_genes)
    if not model.likelihood.has_capture:
        del natural["log_depth"]
    free = model.from_natural({name: jnp.asarray(value) for name, value in natural.items()})
    return {
        site.key: np.asarray(dense.FROM_REAL.get(site.support, jnp.asarray)(free[site.key]))
        for site in spec.sites
    }


@cache
def simulated() -> Counts:
    rng = np.random.default_rng(3)
    matrix = rng.negative_binomial(rng.lognormal(-0.5, 1.5, 12), 0.4, (30, 12))
    matrix[0, :2] = 300, 5_000  # a closed stretch of the survival table
    matrix[1] = 0  # a cell without counts
    matrix[2] += 1  # no gene without any
    return plain_counts(matrix)


def real_slice(path) -> Counts:
    """500 blood cells and 400 genes, from the loudest to some that are seen once."""
    if path.is_file():
        counts = scribeviz.read(path)
    else:
        print("pbmc3k is not beside the checkout; the built-in example stands in for it.")
        counts = scribeviz.demo()
    few = counts.select_cells(np.arange(min(500, counts.n_cells))).seen_genes()
    by_total = np.argsort(-few.gene_totals)
    some = by_total[np.linspace(0, few.n_genes - 1, min(400, few.n_genes)).astype(int)]
    return few.select_genes(np.sort(some)).seen_genes()


def arrays(tree):
    return jax.tree.map(jnp.asarray, tree)


@cache
def engine(key: str):
    """Value and slopes in the natural parameters: one program for every parameterization."""

    def log_prob(natural, tables):
        natural = dict(natural)
        log_weights = natural.pop("log_weights")
        return CountDistribution(LIKELIHOODS[key], natural, log_weights, (1, 1)).log_prob(tables)

    return jax.jit(jax.value_and_grad(log_prob))


oracle = jax.jit(jax.value_and_grad(dense.log_likelihood))


@cache
def tables_of(key: str, counts: Counts, *, mixture: bool):
    model = build(model_spec(key, n_components=1 + mixture), counts.n_cells, counts.n_genes)
    return model.tables(counts)


def exact(spec: ModelSpec, values: dict, counts: Counts) -> tuple:
    """Value and slopes in the sites' own values, through the tables."""
    model = build(spec, counts.n_cells, counts.n_genes)
    natural, pull = jax.vjp(model.natural, arrays(values))
    tables = tables_of(spec.likelihood, counts, mixture=spec.is_mixture)
    value, slopes = engine(spec.likelihood)(natural, tables)
    return value, pull(slopes)[0]


def expected(spec: ModelSpec, values: dict, counts: Counts) -> tuple:
    """The same through the whole matrix, in float64."""
    with jax.enable_x64(True):
        precise = {name: jnp.asarray(value, float) for name, value in values.items()}
        known, pull = jax.vjp(lambda v: dense.textbook(spec, v), precise)
        value, slopes = oracle(known, jnp.asarray(counts.matrix.toarray(), float))
        return value, pull(slopes)[0]


def check(
    found: tuple, wanted: tuple, *, rtol: float, slope_rtol: float, n_cells: int = 30
) -> None:
    """Compare values, and slopes by the largest entry of each site."""
    np.testing.assert_allclose(found[0], wanted[0], rtol=rtol)
    for name, slope in wanted[1].items():
        ours = np.asarray(found[1][name], float)
        # Every cell pulls at the weights by about 1, though what is left over may be little.
        scale = n_cells if name.startswith("mixing") else np.abs(slope).max()
        allowed = slope_rtol * scale + 1e-30
        np.testing.assert_allclose(ours, slope, atol=allowed, rtol=0, err_msg=name)


def in_float32(values: dict) -> dict:
    return {name: value.astype(np.float32) for name, value in values.items()}


@cache
def expected_of_simulated(spec: ModelSpec) -> tuple[dict, tuple]:
    """Values that float32 can hold, and what the oracle says of them."""
    counts = simulated()
    values = in_float32(point(spec, counts.n_cells, counts.n_genes))
    return values, expected(spec, values, counts)


@each_spec
def test_value_and_slopes_are_numpyros_in_float64(spec):
    counts, (values, wanted) = simulated(), expected_of_simulated(spec)
    with jax.enable_x64(True):
        precise = {name: value.astype(np.float64) for name, value in values.items()}
        found = exact(spec, precise, counts)
    assert found[0].dtype == jnp.float64
    # Seen: 2e-7 in values, which is NumPyro's own betaln and the tables' ln(x!), 2e-8 in slopes.
    check(found, wanted, rtol=1e-6, slope_rtol=1e-6)


@pytest.mark.slow
@each_spec
def test_float32_keeps_five_digits(spec):
    counts, (values, wanted) = simulated(), expected_of_simulated(spec)
    found = exact(spec, values, counts)
    assert found[0].dtype == jnp.float32
    # Seen: 2e-6 in values, 5e-7 in slopes; 5e-5 in those of mixtures, where a cell of 5,000 nats
    # lies between two components: it is shared out with an error of 5,000 roundings.
    slope_rtol = 1e-4 if spec.is_mixture else 2e-6
    check(found, wanted, rtol=1e-5, slope_rtol=slope_rtol)


@each_likelihood
def test_the_slope_through_a_model_is_the_one_above(key):
    counts, spec = simulated(), model_spec(key, n_components=3, parameterization="linked")
    model = build(spec, counts.n_cells, counts.n_genes)
    values = arrays(in_float32(point(spec, counts.n_cells, counts.n_genes)))
    tables = arrays(model.tables(counts))
    whole = jax.jit(jax.value_and_grad(lambda v: model.counts_given(v).log_prob(tables)))(values)
    check(exact(spec, values, counts), whole, rtol=1e-6, slope_rtol=1e-5)


# Most of the time goes into compiling for these tables.
@pytest.mark.parametrize(
    ("key", "k"),
    [
        ("nbdm", 1),
        ("nbvcp", 3),
        ("zinbvcp", 1),
        *(
            pytest.param(key, k, marks=pytest.mark.slow)
            for key, k in (("nbdm", 3), ("zinb", 1), ("zinb", 3), ("nbvcp", 1), ("zinbvcp", 3))
        ),
    ],
)
def test_real_counts(key, k, shared_data):
    counts = real_slice(shared_data / "pbmc3k_raw.h5ad")
    spec = model_spec(key, n_components=k, parameterization="odds_ratio")
    with jax.enable_x64(True):
        values = point(spec, counts.n_cells, counts.n_genes)
        found = exact(spec, values, counts)
    wanted = expected(spec, values, counts)
    size = counts.n_cells
    check(found, wanted, rtol=1e-6, slope_rtol=1e-6, n_cells=size)
    single = exact(spec, in_float32(values), counts)
    # Seen: 3e-7 and 2e-5; a slope in phi of a cell is a small rest of large numbers.
    check(single, wanted, rtol=3e-6, slope_rtol=1e-4, n_cells=size)


EXTREMES = {
    "tiny r": {"r": 1e-6},
    "huge r": {"r": 1e6},
    "r of all sizes": {"r": np.geomspace(1e-6, 1e6, 12)},
    "p near 0": {"odds": 1e-6},
    "p near 1": {"odds": 1e6},
    "nu near 0": {"capture": 1e-6},
    "nu near 1": {"capture": 1 - 1e-6},
    "nu of all sizes": {"capture": np.geomspace(1e-6, 1 - 1e-6, 30)},
    "gates near 0": {"gate_odds": 1e-8},
    "gates near 1": {"gate_odds": 1e6},
    "gates of all sizes": {"gate_odds": np.geomspace(1e-8, 1e6, 12)},
}


def concerns(case: str, key: str) -> bool:
    likelihood = LIKELIHOODS[key]
    return {"nu": likelihood.has_capture, "gates": likelihood.has_gate}.get(
        case.split(maxsplit=1)[0], True
    )


FORMS = [("standard", False), ("linked", True), ("odds_ratio", False)]


def extremes():
    """Every likelihood with every case and size, in one form each.

    A form is only the way to the natural parameters, in which one program scores them all: it
    meets every likelihood, every case and every size, but not every three of them.
    """
    for (i, key), (j, case), (n, k) in product(
        enumerate(dense.NB_KEYS), enumerate(EXTREMES), enumerate((1, 3))
    ):
        if concerns(case, key):
            yield pytest.param(key, case, k, *FORMS[(i + j + n) % 3], id=f"{key}-{k}-{case}")


@pytest.mark.parametrize(("key", "case", "k", "parameterization", "free"), list(extremes()))
def test_extremes_are_finite_and_right(key, case, k, parameterization, free):
    counts = simulated()
    spec = ModelSpec(
        likelihood=key, n_components=k, parameterization=parameterization, unconstrained=free
    )
    with jax.enable_x64(True):
        values = point(spec, counts.n_cells, counts.n_genes, **EXTREMES[case])
        found = exact(spec, values, counts)
    wanted = expected(spec, values, counts)
    assert np.isfinite(wanted[0])
    interpolated = key == "zinbvcp"
    check(found, wanted, rtol=1e-6, slope_rtol=1e-4 if interpolated else 1e-6)
    # The oracle is given the very numbers that float32 can hold.
    single = in_float32(values)
    check(exact(spec, single, counts), expected(spec, single, counts), rtol=1e-5, slope_rtol=2e-4)


@each_likelihood
def test_it_is_scipys_negative_binomial(key):
    counts, spec = simulated(), model_spec(key)
    with jax.enable_x64(True):
        values = point(spec, counts.n_cells, counts.n_genes)
        found, _ = exact(spec, values, counts)
    p, nu = values["p"], values.get("p_capture", np.ones(counts.n_cells))
    failure = (1 - p) / (1 - p * (1 - nu))
    matrix = counts.matrix.toarray()
    log_pmf = st.nbinom(values["r"], failure[:, None]).logpmf(matrix)
    if "gate" in values:
        gate = values["gate"]
        zero = np.log(gate + (1 - gate) * np.exp(log_pmf))
        log_pmf = np.where(matrix == 0, zero, np.log1p(-gate) + log_pmf)
    np.testing.assert_allclose(found, log_pmf.sum(), rtol=1e-6)


@each_likelihood
@each_size
def test_a_matrix_scores_as_its_tables_do(key, k):
    counts, spec = simulated(), model_spec(key, n_components=k)
    values = arrays(in_float32(point(spec, counts.n_cells, counts.n_genes)))
    model = build(spec, counts.n_cells, counts.n_genes)
    found = model.counts_given(values).log_prob(jnp.asarray(counts.matrix.toarray()))
    np.testing.assert_allclose(found, exact(spec, values, counts)[0], rtol=1e-5)


def every_batch(model, counts: Counts, values: dict, size: int) -> list[float]:
    """Log-density of the model for every batch of ``size`` cells, with the batch's own sites."""
    tables = arrays(model.tables(counts))
    of_cells = {site.key for site in model.spec.sites if "cells" in site.axes}

    @jax.jit
    def density(cells):
        own = {name: v[cells] if name in of_cells else v for name, v in values.items()}
        conditioned = substitute(model.model, data={"cells": cells})
        return log_density(seed(conditioned, 0), (tables,), {}, own)[0]

    return [
        float(density(jnp.asarray(cells))) for cells in combinations(range(counts.n_cells), size)
    ]


@pytest.mark.slow
@each_likelihood
@each_size
def test_batches_are_on_average_the_whole(key, k):
    """Likelihood and the sites of cells, both weighted up to all cells; shared sites once."""
    rng = np.random.default_rng(0)
    counts = plain_counts(rng.negative_binomial(1.0, 0.4, (5, 4)) + np.eye(5, 4, dtype=int))
    spec = model_spec(key, n_components=k)
    values = arrays(in_float32(point(spec, 5, 4)))
    whole = build(spec, 5, 4)
    wanted, _ = log_density(whole.model, (arrays(whole.tables(counts)),), {}, values)
    found = every_batch(build(spec, 5, 4, batch_size=2), counts, values, size=2)
    assert np.std(found) > 1
    np.testing.assert_allclose(np.mean(found), wanted, rtol=1e-5)


def test_the_guides_cells_are_weighted_up_as_well():
    spec = model_spec("nbvcp")
    values = arrays(in_float32(point(spec, 5, 4)))
    wanted, _ = log_density(seed(build(spec, 5, 4).guide, 0), (), {}, values)
    guide, found = build(spec, 5, 4, batch_size=2).guide, []
    for cells in combinations(range(5), 2):
        own = values | {"p_capture": values["p_capture"][jnp.asarray(cells)]}
        conditioned = substitute(guide, data={"cells": jnp.asarray(cells)})
        found.append(float(log_density(seed(conditioned, 0), (), {}, own)[0]))
    np.testing.assert_allclose(np.mean(found), wanted, rtol=1e-5)


def test_each_step_draws_other_cells_and_all_alike():
    spec = model_spec("nbdm")
    model = build(spec, 10, 4, batch_size=3)
    drawn = [
        np.asarray(trace(seed(model.guide, i)).get_trace().get("cells", {}).get("value", []))
        for i in range(2)
    ]
    assert all(d.size == 0 for d in drawn)  # without sites of cells the guide needs none
    counts = plain_counts(np.ones((10, 4), int))
    tables = arrays(model.tables(counts))

    @jax.jit
    def cells(key):
        return trace(seed(model.model, key)).get_trace(tables)["cells"]["value"]

    drawn = np.stack([cells(key) for key in jax.random.split(jax.random.PRNGKey(0), 500)])
    assert (np.diff(np.sort(drawn), axis=1) > 0).all()  # no cell twice
    seen = np.bincount(drawn.ravel(), minlength=10)
    assert st.chisquare(seen).pvalue > 1e-3


@pytest.mark.slow
@each_likelihood
@each_size
def test_cells_of_a_batch_score_as_in_the_whole(key, k):
    counts, spec = simulated(), model_spec(key, n_components=k)
    values = arrays(in_float32(point(spec, counts.n_cells, counts.n_genes)))
    model = build(spec, counts.n_cells, counts.n_genes)
    wanted = model.counts_given(values).log_prob_components(arrays(model.rows(counts)))
    some = np.array([3, 0, 1, 17])
    batched = build(spec, counts.n_cells, counts.n_genes, batch_size=4)
    own = {name: v[some] if name == "p_capture" else v for name, v in values.items()}
    batch = cut_out(arrays(batched.tables(counts)), jnp.asarray(some), counts.n_genes)
    found = batched.counts_given(own).log_prob_components(batch)
    np.testing.assert_allclose(found, wanted[:, some], rtol=2e-5)


@each_likelihood
@each_size
def test_draws_have_the_moments_and_zeros_of_theory(key, k):
    spec, n_cells, n_genes, n_draws = model_spec(key, n_components=k), 40, 5, 400
    values = in_float32(point(spec, n_cells, n_genes))
    model = build(spec, n_cells, n_genes)
    drawn = np.asarray(model.counts_given(values).sample(jax.random.PRNGKey(0), (n_draws,)))
    assert drawn.shape == (n_draws, n_cells, n_genes)
    rng = np.random.default_rng(0)
    copies = build(spec, 50 * n_cells, n_genes)  # of every cell, so that few calls draw much
    of_copies = {n: np.tile(v, 50) if n == "p_capture" else v for n, v in values.items()}
    fast = np.concatenate([copies.draw(rng, of_copies)[0] for _ in range(n_draws // 10)])
    fast = fast.reshape(-1, n_cells, n_genes)
    known = {name: np.asarray(v, float) for name, v in dense.textbook(spec, values).items()}
    odds = known["p"][:, :, None] / (1 - known["p"][:, :, None])
    odds = odds * known.get("capture", np.ones(n_cells))[None, :, None]
    r = known["r"][:, None, :]
    shown = 1 - known.get("gate", np.zeros((k, n_genes)))[:, None, :]
    weights = known["weights"][:, None, None]
    mean = (weights * shown * r * odds).sum(0)
    square = (weights * shown * r * odds * (1 + odds + r * odds)).sum(0)
    zero = (weights * (1 - shown + shown * (1 + odds) ** -r)).sum(0)
    for draws in (drawn, fast):
        off = (draws.mean(0) - mean) / np.sqrt((square - mean**2) / len(draws))
        assert np.abs(off).max() < 5  # of 200 z scores
        off = ((draws == 0).mean(0) - zero) / np.sqrt(zero * (1 - zero) / len(draws))
        assert np.abs(off).max() < 5
        squares = draws.reshape(-1, n_genes).astype(float) ** 2
        off = (squares.mean(0) - square.mean(0)) / (squares.std(0) / np.sqrt(len(squares)))
        assert np.abs(off).max() < 5


def test_responsibilities_are_bayes_rule():
    counts, spec = simulated(), model_spec("nbvcp", n_components=3)
    values = in_float32(point(spec, counts.n_cells, counts.n_genes))
    model = build(spec, counts.n_cells, counts.n_genes)
    found = model.counts_given(values).responsibilities(arrays(model.rows(counts)))
    with jax.enable_x64(True):
        known = dense.textbook(spec, {n: jnp.asarray(v, float) for n, v in values.items()})
        joint = dense.components(known, jnp.asarray(counts.matrix.toarray(), float)).sum(-1)
        wanted = jax.nn.softmax(joint + jnp.log(known["weights"])[:, None], axis=0)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert (np.asarray(wanted) > 0.05).sum() > 60  # not all of them are 0 or 1


def test_a_survival_table_cannot_score_a_mixture():
    counts = simulated()
    single = build(ModelSpec(), counts.n_cells, counts.n_genes).tables(counts)
    spec = ModelSpec(n_components=3)
    model = build(spec, counts.n_cells, counts.n_genes)
    given = model.counts_given(in_float32(point(spec, counts.n_cells, counts.n_genes)))
    with pytest.raises(ValueError, match="a survival table cannot score a mixture"):
        given.log_prob(single)
