"""The guides: names, supports and start values of the whole grid of models."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from numpyro.distributions import constraints
from numpyro.handlers import seed, trace

from scribeviz.models.builder import build
from scribeviz.models.guides import GUIDE_FAMILIES
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.low_rank import LowRankNormal
from scribeviz.models.parameterizations import PARAMETERIZATIONS
from scribeviz.models.spec import ModelSpec, model_spec

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
        LIKELIHOODS, ((1, False), (3, False), (3, True)), PARAMETERIZATIONS, (False, True), (0, 2)
    )
]


def traces(spec: ModelSpec) -> tuple[dict, dict]:
    model = build(spec, 6, 4)
    own = jax.random.PRNGKey(0)
    return (
        trace(seed(model.sample_priors, own)).get_trace(),
        trace(seed(model.guide, own)).get_trace(),
    )


@pytest.mark.parametrize("free", [False, True])
def test_the_whole_grid_agrees_with_its_priors(free):
    """Faults 1 and 2 of the reference: no location is bounded, no guide leaves its prior."""
    for spec in GRID:
        if spec.unconstrained is not free:
            continue
        priors, guide = traces(spec)
        for site in spec.sites:
            prior, own = priors[site.key], guide[site.key]
            assert (
                np.shape(prior["value"]) == np.shape(own["value"]) == build(spec, 6, 4).shape(site)
            )
            for value, fn in ((own["value"], prior["fn"]), (prior["value"], own["fn"])):
                assert np.all(fn.support(value)), (spec, site.key)
        for name, entry in guide.items():
            if entry["type"] == "param" and name.endswith(("_loc", "_slope", "_factor")):
                assert entry["kwargs"].get("constraint", constraints.real) is constraints.real


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"likelihood": "nbdm"}, "p_alpha p_beta r_loc r_scale"),
        ({"likelihood": "zinb"}, "p_alpha p_beta r_loc r_scale gate_alpha gate_beta"),
        (
            {"likelihood": "nbvcp", "parameterization": "linked"},
            "p_alpha p_beta mu_loc mu_scale p_capture_alpha p_capture_beta",
        ),
        (
            {"likelihood": "nbvcp", "parameterization": "odds_ratio"},
            "phi_alpha phi_beta mu_loc mu_scale phi_capture_alpha phi_capture_beta",
        ),
        (
            {"likelihood": "nbdm", "n_components": 2},
            "p_alpha p_beta r_loc r_scale mixing_concentrations",
        ),
        ({"likelihood": "nbdm", "unconstrained": True}, "p_loc p_scale r_loc r_scale"),
        (
            {"likelihood": "nbdm", "guide_rank": 2},
            "p_alpha p_beta r_loc r_scale r_factor r_slope",
        ),
    ],
)
def test_parameters_have_the_references_names(settings, names):
    _, guide = traces(ModelSpec(**settings))
    found = [name for name, entry in guide.items() if entry["type"] == "param"]
    assert sorted(found) == sorted(names.split())


def test_unconstrained_sites_have_the_references_names():
    spec = ModelSpec(likelihood="zinbvcp", n_components=2, unconstrained=True)
    assert [site.key for site in spec.sites] == [
        "p_unconstrained",
        "r_unconstrained",
        "gate_unconstrained",
        "p_capture_unconstrained",
        "mixing_logits",
    ]


SCIPY = {
    "lognormal": (lambda a, b: st.lognorm(b, scale=np.exp(a)), (0.3, 0.5)),
    "beta": (st.beta, (3.0, 5.0)),
    "betaprime": (lambda a, b: st.betaprime(b, a), (4.0, 6.0)),
    "normal": (st.norm, (0.3, 0.5)),
}


@pytest.mark.parametrize("key", SCIPY)
def test_means_modes_and_moments_are_scipys(key):
    make, numbers = SCIPY[key]
    family, oracle = GUIDE_FAMILIES[key], make(*numbers)
    arrays = [jnp.asarray(number) for number in numbers]
    np.testing.assert_allclose(family.mean(*arrays), oracle.mean(), rtol=1e-4)
    grid = np.linspace(*oracle.ppf([1e-4, 0.9999]), 200_001)
    np.testing.assert_allclose(family.mode(*arrays), grid[oracle.pdf(grid).argmax()], rtol=1e-3)
    draws = oracle.rvs(400_000, random_state=0)
    free = {"lognormal": np.log, "betaprime": np.log, "normal": np.asarray}.get(
        key, lambda x: np.log(x / (1 - x))
    )(draws)
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


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_a_beta_without_an_inner_mode_has_none(alpha):
    assert np.isnan(GUIDE_FAMILIES["beta"].mode(jnp.float32(alpha), jnp.float32(3.0)))


def test_low_rank_is_the_dense_normal():
    rng = np.random.default_rng(0)
    loc, scale = rng.normal(size=5), rng.uniform(0.2, 1, 5)
    factor = rng.normal(size=(5, 2))
    covariance = factor @ factor.T + np.diag(scale**2)
    oracle = st.multivariate_normal(loc, covariance)
    arrays = (jnp.asarray(x, jnp.float32) for x in (loc, factor, scale))
    fn = LowRankNormal(*arrays, positive=False)
    x = rng.normal(size=5)
    np.testing.assert_allclose(fn.log_prob(jnp.asarray(x)), oracle.logpdf(x), rtol=1e-4)
    np.testing.assert_allclose(fn.marginal_spread, np.sqrt(np.diag(covariance)), rtol=1e-5)
    half = np.linalg.slogdet(covariance)[1] / 2
    np.testing.assert_allclose(fn.half_log_determinant, half, rtol=1e-4)
    draws = np.asarray(fn.sample(jax.random.PRNGKey(0), (200_000,)))
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.05)


def test_low_rank_divergence_is_that_of_the_draws():
    from numpyro.distributions.kl import kl_divergence

    from scribeviz.models.families import LogNormal

    rng = np.random.default_rng(1)
    loc, scale = jnp.asarray(rng.normal(size=4)), jnp.asarray(rng.uniform(0.2, 1, 4))
    fn = LowRankNormal(loc, jnp.asarray(rng.normal(size=(4, 2))), scale, positive=True)
    prior = LogNormal(0.5, 1.5).expand([4]).to_event(1)
    draws = fn.sample(jax.random.PRNGKey(0), (100_000,))
    estimate = np.mean(np.asarray(fn.log_prob(draws) - prior.log_prob(draws)))
    np.testing.assert_allclose(kl_divergence(fn, prior), estimate, rtol=0.01)


@pytest.mark.parametrize("key", PARAMETERIZATIONS)
@pytest.mark.parametrize("free", [False, True])
def test_natural_parameters_go_there_and_back(key, free):
    spec = model_spec(
        "zinbvcp", n_components=3, parameterization=key, unconstrained=free,
        component_specific_params=True,
    )  # fmt: skip
    model, rng = build(spec, 6, 4), np.random.default_rng(0)
    natural = {
        "log_odds": rng.normal(size=3),
        "log_r": rng.normal(size=(3, 4)),
        "gate_logit": rng.normal(size=(3, 4)),
        "log_capture": np.log(rng.uniform(0.1, 0.9, 6)),
        "log_weights": np.log(rng.dirichlet(np.ones(3))),
    }
    free_values = model.from_natural({name: jnp.asarray(v) for name, v in natural.items()})
    to_value = {"positive": jnp.exp, "unit interval": jax.nn.sigmoid, "simplex": jax.nn.softmax}
    values = {
        site.key: to_value.get(site.support, jnp.asarray)(free_values[site.key])
        for site in spec.sites
    }
    for name, value in model.natural(values).items():
        np.testing.assert_allclose(value, natural[name], atol=2e-5, err_msg=name)
    derived = model.derived(values) | values
    odds = np.exp(natural["log_odds"])[:, None]
    np.testing.assert_allclose(derived["mu"], np.exp(natural["log_r"]) * odds, rtol=1e-4)
    nu, p = np.exp(natural["log_capture"]), (odds / (1 + odds))
    np.testing.assert_allclose(derived["p_hat"], p * nu / (1 - p * (1 - nu)), rtol=1e-4)
