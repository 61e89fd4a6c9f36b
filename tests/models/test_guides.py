"""The guides: names, supports, shapes and start values of the whole grid of models."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from numpyro.distributions import constraints
from numpyro.handlers import seed, trace
from scipy.special import softmax

from scribeviz.models.builder import build
from scribeviz.models.guides import GUIDE_FAMILIES, LOW_RANK
from scribeviz.models.parameterizations import SHARED_ODDS
from scribeviz.models.priors import PRIOR_FAMILIES
from scribeviz.models.spec import ModelSpec
from tests.models.dense import NB_KEYS

GRID = [
    ModelSpec(
        likelihood=likelihood,
        n_components=k,
        parameterization=parameterization,
        unconstrained=free,
        component_specific_params=own,
        guide_rank=rank,
    )
    for likelihood, (k, own), parameterization, free, rank in product(
        NB_KEYS, ((1, False), (3, False), (3, True)), SHARED_ODDS, (False, True), (0, 2)
    )
]
MEAN_FIELD = {key: family for key, family in GUIDE_FAMILIES.items() if key != LOW_RANK}
REAL_PARAMETERS = ("_loc", "_slope", "_factor")


def traces(spec: ModelSpec) -> tuple[dict, dict]:
    model = build(spec, 6, 4)
    own = jax.random.PRNGKey(0)
    return (
        trace(seed(model.sample_priors, own)).get_trace(),
        trace(seed(model.guide, own)).get_trace(),
    )


@pytest.mark.slow
@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("key", NB_KEYS)
def test_priors_and_guides_agree_over_the_whole_grid(key, free):
    """Shapes and supports of every site, and no location that is bounded."""
    seen = 0
    for spec in GRID:
        if spec.unconstrained is not free or spec.likelihood != key:
            continue
        priors, guide = traces(spec)
        drawn = {name for name, entry in guide.items() if entry["type"] == "sample"}
        assert drawn == {site.key for site in spec.sites}
        for site in spec.sites:
            prior, own = priors[site.key], guide[site.key]
            shape = build(spec, 6, 4).shape(site)
            assert np.shape(prior["value"]) == np.shape(own["value"]) == shape
            assert bounds_of(prior["fn"]) == bounds_of(own["fn"]), (spec, site.key)
            for value, fn in ((own["value"], prior["fn"]), (prior["value"], own["fn"])):
                assert np.all(fn.support(value)), (spec, site.key)
            # Axes that are no plate are one event, or their divergence would be counted anew.
            in_plate = ("cells",) if "cells" in site.axes else ()
            assert len(prior["fn"].batch_shape) == len(own["fn"].batch_shape) == len(in_plate)
        for name, entry in guide.items():
            if entry["type"] == "param":
                real = name.endswith(REAL_PARAMETERS)
                expected = constraints.real if real else constraints.positive
                assert entry["kwargs"].get("constraint", constraints.real) is expected, name
                seen += real
    assert seen > 20


def bounds_of(fn) -> str:
    """The kind of values a distribution gives, whatever the number of axes of its events."""
    support = fn.support
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return type(support).__name__


def test_a_family_takes_sites_of_priors_with_its_support():
    for family in MEAN_FIELD.values():
        assert any(prior.support in family.supports for prior in PRIOR_FAMILIES.values())
        made = family.make(*(jnp.ones(3) for _ in family.parameters))
        draws = np.asarray(made.sample(jax.random.PRNGKey(0), (100,)))
        assert np.all(made.support(draws))


# The reference's names, for all four likelihoods together.
NAMES = {
    ("standard", False): (
        "p_alpha p_beta r_loc r_scale gate_alpha gate_beta p_capture_alpha p_capture_beta "
        "mixing_concentrations"
    ),
    ("linked", False): (
        "p_alpha p_beta mu_loc mu_scale gate_alpha gate_beta p_capture_alpha p_capture_beta "
        "mixing_concentrations"
    ),
    ("odds_ratio", False): (
        "phi_alpha phi_beta mu_loc mu_scale gate_alpha gate_beta phi_capture_alpha "
        "phi_capture_beta mixing_concentrations"
    ),
    ("standard", True): (
        "p_loc p_scale r_loc r_scale gate_loc gate_scale p_capture_loc p_capture_scale "
        "mixing_loc mixing_scale"
    ),
    ("linked", True): (
        "p_loc p_scale mu_loc mu_scale gate_loc gate_scale p_capture_loc p_capture_scale "
        "mixing_loc mixing_scale"
    ),
    ("odds_ratio", True): (
        "phi_loc phi_scale mu_loc mu_scale gate_loc gate_scale phi_capture_loc phi_capture_scale "
        "mixing_loc mixing_scale"
    ),
}


@pytest.mark.parametrize(("parameterization", "free"), NAMES)
def test_parameters_have_the_references_names_and_first_values(parameterization, free):
    spec = ModelSpec(
        likelihood="zinbvcp", n_components=2, parameterization=parameterization, unconstrained=free
    )
    _, guide = traces(spec)
    declared = {name: s["value"] for name, s in guide.items() if s["type"] == "param"}
    assert sorted(declared) == sorted(NAMES[parameterization, free].split())
    for name, value in declared.items():
        assert np.all(value == (0 if name.endswith("_loc") else 1)), name
    model = build(spec, 6, 4)
    assert {name for site in spec.sites for name in model.param_names(site)} == set(declared)


def test_a_simple_model_has_few_parameters():
    _, guide = traces(ModelSpec())
    declared = [name for name, s in guide.items() if s["type"] == "param"]
    assert sorted(declared) == ["p_alpha", "p_beta", "r_loc", "r_scale"]


SCIPY = {
    "lognormal": (lambda a, b: st.lognorm(b, scale=np.exp(a)), (0.3, 0.5)),
    "gamma": (lambda a, b: st.gamma(a, scale=1 / b), (3.0, 5.0)),
    "beta": (st.beta, (3.0, 5.0)),
    "betaprime": (lambda a, b: st.betaprime(b, a), (4.0, 6.0)),
    "normal": (st.norm, (0.3, 0.5)),
}


def test_every_family_of_single_values_has_an_oracle():
    assert SCIPY.keys() | {"dirichlet"} == MEAN_FIELD.keys()


@pytest.mark.parametrize("key", SCIPY)
def test_means_modes_and_moments_are_scipys(key):
    make, numbers = SCIPY[key]
    family, oracle = GUIDE_FAMILIES[key], make(*numbers)
    arrays = [jnp.asarray(number) for number in numbers]
    np.testing.assert_allclose(family.mean(*arrays), oracle.mean(), rtol=1e-4)
    grid = np.linspace(*oracle.ppf([1e-4, 0.9999]), 200_001)
    np.testing.assert_allclose(family.mode(*arrays), grid[oracle.pdf(grid).argmax()], rtol=1e-3)
    draws = oracle.rvs(400_000, random_state=0)
    to_free = {"lognormal": np.log, "gamma": np.log, "betaprime": np.log, "normal": np.asarray}
    free = to_free.get(key, lambda x: np.log(x / (1 - x)))(draws)
    mean, spread = family.free_moments(*arrays)
    np.testing.assert_allclose(mean, free.mean(), atol=0.005)
    np.testing.assert_allclose(spread, free.std(), rtol=0.01)


@pytest.mark.parametrize("key", SCIPY)
@pytest.mark.parametrize(("center", "spread"), [(-1.0, 0.02), (0.7, 0.1)])
def test_families_start_where_they_are_told(key, center, spread):
    family = GUIDE_FAMILIES[key]
    parameters = family.from_free(jnp.float32(center), jnp.float32(spread))
    found = family.free_moments(*parameters)
    np.testing.assert_allclose(found[0], center, atol=0.02)
    np.testing.assert_allclose(found[1], spread, rtol=0.05)


def test_weights_have_the_dirichlets_mean_mode_and_moments():
    family, numbers = GUIDE_FAMILIES["dirichlet"], np.array([3.0, 1.5, 6.0])
    oracle = st.dirichlet(numbers)
    np.testing.assert_allclose(family.mean(jnp.asarray(numbers)), oracle.mean(), rtol=1e-5)
    np.testing.assert_allclose(
        family.mode(jnp.asarray(numbers)), (numbers - 1) / (numbers.sum() - 3), rtol=1e-5
    )
    logs = np.log(oracle.rvs(400_000, random_state=0))
    mean, spread = family.free_moments(jnp.asarray(numbers))
    np.testing.assert_allclose(mean, logs.mean(axis=0), atol=0.005)
    np.testing.assert_allclose(spread, logs.std(axis=0), rtol=0.01)


def test_weights_start_at_their_shares():
    logits, spread = jnp.array([1.0, 0.0, -1.0]), jnp.full(3, 0.1)
    shares = softmax(np.asarray(logits))
    (concentrations,) = GUIDE_FAMILIES["dirichlet"].from_free(jnp.log(jnp.asarray(shares)), spread)
    oracle = st.dirichlet(np.asarray(concentrations, float))
    np.testing.assert_allclose(oracle.mean(), shares, rtol=1e-4)
    assert 0.02 < oracle.var().max() ** 0.5 < 0.2


@pytest.mark.parametrize(
    ("key", "numbers"),
    [("beta", (0.5, 3.0)), ("beta", (1.0, 3.0)), ("beta", (3.0, 0.9)), ("betaprime", (3.0, 0.9))],
)
def test_where_there_is_no_inner_mode_there_is_none(key, numbers):
    assert np.isnan(GUIDE_FAMILIES[key].mode(*(jnp.float32(number) for number in numbers)))


def test_weights_without_an_inner_mode_have_none():
    mode = GUIDE_FAMILIES["dirichlet"].mode(jnp.array([0.9, 4.0, 2.0]))
    assert np.isnan(mode).all()
