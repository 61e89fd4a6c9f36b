"""Which quantities carry the priors, and how everything else follows from them."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scribeviz.models.builder import build
from scribeviz.models.parameterizations import SHARED_ODDS, SUPPORTS
from scribeviz.models.priors import REAL, SIMPLEX, UNIT_INTERVAL, Prior
from scribeviz.models.spec import ModelSpec
from tests.models import dense

# Names and priors of the reference, site by site.
CONSTRAINED = {
    "p": ("beta", 1.0, 1.0),
    "phi": ("betaprime", 1.0, 1.0),
    "r": ("lognormal", 0.0, 1.0),
    "mu": ("lognormal", 0.0, 1.0),
    "gate": ("beta", 1.0, 1.0),
    "p_capture": ("beta", 1.0, 1.0),
    "phi_capture": ("betaprime", 1.0, 1.0),
    "mixing_weights": ("dirichlet", 1.0),
}
SITES = {
    "standard": ["p", "r", "gate", "p_capture", "mixing_weights"],
    "linked": ["p", "mu", "gate", "p_capture", "mixing_weights"],
    "odds_ratio": ["phi", "mu", "gate", "phi_capture", "mixing_weights"],
}
GRID = [
    ModelSpec(
        likelihood=likelihood,
        n_components=k,
        parameterization=parameterization,
        unconstrained=free,
        component_specific_params=own,
    )
    for likelihood, (k, own), parameterization, free in product(
        ("nbdm", "zinbvcp"), ((1, False), (3, False), (3, True)), SHARED_ODDS, (False, True)
    )
]
each_key = pytest.mark.parametrize("key", SHARED_ODDS)


def test_every_parameterization_is_known_to_the_reference():
    assert SITES.keys() == SHARED_ODDS.keys()


@each_key
def test_sites_and_priors_are_the_references(key):
    spec = ModelSpec(likelihood="zinbvcp", n_components=2, parameterization=key)
    assert [site.key for site in spec.sites] == SITES[key]
    for site in spec.sites:
        family, *numbers = CONSTRAINED[site.key]
        assert spec.prior(site) == Prior(family, tuple(numbers))


@each_key
def test_unconstrained_sites_have_the_references_names_and_priors(key):
    spec = ModelSpec(likelihood="zinbvcp", n_components=2, parameterization=key, unconstrained=True)
    names = [f"{name}_unconstrained" for name in SITES[key][:-1]]
    assert [site.key for site in spec.sites] == [*names, "mixing_logits"]
    assert {spec.prior(site) for site in spec.sites} == {Prior("normal", (0.0, 1.0))}
    assert [site.quantity for site in spec.sites] == SITES[key]


@each_key
def test_each_likelihood_has_only_its_own_sites(key):
    odds, expression, gate, capture, _ = SITES[key]
    found = {
        likelihood: [s.key for s in ModelSpec(likelihood=likelihood, parameterization=key).sites]
        for likelihood in ("nbdm", "zinb", "nbvcp", "zinbvcp")
    }
    assert found == {
        "nbdm": [odds, expression],
        "zinb": [odds, expression, gate],
        "nbvcp": [odds, expression, capture],
        "zinbvcp": [odds, expression, gate, capture],
    }


@pytest.mark.parametrize(
    ("k", "own", "shapes"),
    [
        (1, False, {"p": (), "r": (4,), "gate": (4,), "p_capture": (6,)}),
        (3, False, {"p": (), "r": (3, 4), "gate": (3, 4), "p_capture": (6,)}),
        (3, True, {"p": (3,), "r": (3, 4), "gate": (3, 4), "p_capture": (6,)}),
    ],
)
def test_shapes_are_the_references(k, own, shapes):
    spec = ModelSpec(likelihood="zinbvcp", n_components=k, component_specific_params=own)
    model = build(spec, 6, 4)
    found = {site.key: model.shape(site) for site in spec.sites}
    assert found == shapes | ({"mixing_weights": (3,)} if k > 1 else {})


@pytest.mark.parametrize("support", SUPPORTS)
def test_the_free_scale_goes_there_and_back(support, rng):
    free = jnp.asarray(rng.normal(size=5), jnp.float32)
    value = SUPPORTS[support].from_free(free)
    back = SUPPORTS[support].to_free(value)
    if support == SIMPLEX:
        back, free = back - back.mean(), free - free.mean()
    np.testing.assert_allclose(back, free, atol=1e-5)
    if support == REAL:
        assert value.tolist() == free.tolist()


def test_probabilities_that_round_to_0_or_1_have_log_odds():
    ends = SUPPORTS[UNIT_INTERVAL].to_free(jnp.array([0.0, 1e-38, 1 - 6e-8, 1.0]))
    assert np.isfinite(ends).all()
    assert (np.diff(np.asarray(ends)) >= 0).all()


def natural_of(spec, rng):
    k = spec.n_components
    odds = rng.normal(size=k) if spec.component_specific_params else np.full(k, 0.4)
    natural = {
        "log_odds": odds,
        "log_r": rng.normal(size=(k, 4)),
        "log_weights": np.log(rng.dirichlet(np.ones(k))),
    }
    if spec.likelihood == "zinbvcp":
        natural["gate_logit"] = rng.normal(size=(k, 4))
        natural["log_depth"] = np.log(rng.uniform(0.1, 0.9, 6))
    return natural


def values_of(spec, natural):
    free = build(spec, 6, 4).from_natural({n: jnp.asarray(v) for n, v in natural.items()})
    return {
        site.key: dense.FROM_REAL.get(site.support, jnp.asarray)(free[site.key])
        for site in spec.sites
    }


@pytest.mark.parametrize("spec", GRID, ids=str)
def test_natural_parameters_go_there_and_back_and_follow_the_textbook(spec, rng):
    natural, model = natural_of(spec, rng), build(spec, 6, 4)
    values = values_of(spec, natural)
    assert {key: v.shape for key, v in values.items()} == {
        site.key: model.shape(site) for site in spec.sites
    }
    found = model.natural(values)
    for name, value in natural.items():
        np.testing.assert_allclose(found[name], value, atol=3e-5, err_msg=name)
    known = dense.textbook(spec, values)
    np.testing.assert_allclose(jax.nn.sigmoid(found["log_odds"])[:, None], known["p"], rtol=1e-5)
    np.testing.assert_allclose(jnp.exp(found["log_r"]), known["r"], rtol=1e-4)
    np.testing.assert_allclose(jnp.exp(found["log_weights"]), known["weights"], rtol=1e-5)
    if "gate" in known:
        np.testing.assert_allclose(jax.nn.sigmoid(found["gate_logit"]), known["gate"], rtol=1e-4)
        np.testing.assert_allclose(jnp.exp(found["log_depth"]), known["capture"], rtol=1e-4)


@pytest.mark.parametrize("spec", GRID, ids=str)
def test_what_is_no_site_is_derived_in_the_shape_of_a_site(spec, rng):
    natural, model = natural_of(spec, rng), build(spec, 6, 4)
    values = values_of(spec, natural)
    derived = model.derived(values)
    assert not derived.keys() & values.keys()
    everything = derived | values
    own, mixture = spec.component_specific_params, spec.is_mixture
    p = 1 / (1 + np.exp(-natural["log_odds"]))
    r = np.exp(natural["log_r"])
    expected = {
        "p": p if own else p[0],
        "r": r if mixture else r[0],
        "mu": (r * (p / (1 - p))[:, None])[slice(None) if mixture else 0],
    }
    if "log_depth" in natural:
        nu = np.exp(natural["log_depth"])
        p_hat = p[:, None] * nu / (1 - p[:, None] * (1 - nu))
        expected |= {"p_capture": nu, "p_hat": p_hat if own else p_hat[0]}
    if spec.unconstrained:
        expected |= {"gate": everything["gate"]} if "gate" in everything else {}
        assert {site.quantity for site in spec.sites} <= derived.keys()
    for name, value in expected.items():
        assert everything[name].shape == value.shape
        np.testing.assert_allclose(everything[name], value, rtol=2e-4, err_msg=name)
    if "phi" in everything:
        np.testing.assert_allclose(
            everything["phi"], (1 - expected["p"]) / expected["p"], rtol=1e-4
        )
    if "phi_capture" in everything:
        np.testing.assert_allclose(everything["phi_capture"], (1 - nu) / nu, rtol=1e-4)
    if mixture and spec.unconstrained:
        np.testing.assert_allclose(everything["mixing_weights"].sum(), 1, rtol=1e-5)


@each_key
def test_the_slope_is_where_the_mean_stays(key):
    entry = SHARED_ODDS[key]

    def log_mean(odds):
        expression = entry.slope * odds
        free = {entry.odds.key: odds[None], entry.expression.key: expression[None, None]}
        natural = entry.natural(free)
        return (natural["log_r"] + natural["log_odds"][:, None])[0, 0]

    assert abs(jax.grad(log_mean)(0.3)) < 1e-6


@each_key
@pytest.mark.parametrize("log_depth", [-14.0, -1e-6])
def test_capture_near_0_and_1_survives(key, log_depth):
    natural = {
        "log_odds": jnp.zeros(1),
        "log_r": jnp.zeros((1, 2)),
        "log_depth": jnp.full(3, log_depth),
    }
    entry = SHARED_ODDS[key]
    back = entry.natural(entry.from_natural(natural))
    np.testing.assert_allclose(back["log_depth"], log_depth, rtol=0.06)
