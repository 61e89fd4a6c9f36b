import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
import scipy.stats as st
from numpyro.distributions import constraints
from scipy.optimize import minimize, minimize_scalar

from scribeviz.models.guides import GUIDE_FAMILIES
from scribeviz.models.parameterizations import MIXING, PARAMETERIZATIONS
from scribeviz.models.priors import POSITIVE, PRIOR_FAMILIES, SIMPLEX, UNIT_INTERVAL

# Per support: parameters, and the same distribution of one value by SciPy.
ONE = {
    POSITIVE: ((0.7, 0.4), st.lognorm(0.4, scale=np.exp(0.7))),
    UNIT_INTERVAL: ((3.0, 5.0), st.beta(3.0, 5.0)),
}
SHARES = np.array([2.0, 3.0, 4.5])


def made(family, *parameters):
    return family.make(*(jnp.asarray(p, jnp.float32) for p in parameters))


def test_there_is_a_family_for_every_support():
    supports = {family.support for family in PRIOR_FAMILIES.values()}
    assert supports == GUIDE_FAMILIES.keys()


@pytest.mark.parametrize("prior", PRIOR_FAMILIES.values(), ids=PRIOR_FAMILIES)
def test_a_guide_has_the_support_of_every_prior_it_meets(prior):
    numbers = [p.default for p in prior.parameters]
    shape = (3,)
    ours = prior.make(shape, *numbers).support
    guide = GUIDE_FAMILIES[prior.support]
    theirs = made(guide, *(np.full(shape, 2.0) for _ in guide.parameters)).support
    # Values on, inside and outside of every boundary: both must judge them alike.
    for value in ([0.2, 0.3, 0.5], [-1, 1, 1], [0.5, 0.5, 1.5], [2, 3, 4], [-1, -2, -3], [0, 0, 1]):
        array = jnp.asarray(value, jnp.float32)
        assert bool(ours(array)) == bool(theirs(array))


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS.values(), ids=PARAMETERIZATIONS)
def test_every_sites_own_prior_lies_in_its_support(parameterization):
    for site in (*parameterization.sites, MIXING):
        assert PRIOR_FAMILIES[site.prior.family].support == site.support


@pytest.mark.parametrize("support", ONE)
def test_mean_and_mode_are_scipys(support):
    parameters, oracle = ONE[support]
    family = GUIDE_FAMILIES[support]
    bounds = oracle.ppf([1e-4, 1 - 1e-4])
    mode = minimize_scalar(lambda x: -oracle.logpdf(x), bounds=bounds, method="bounded").x
    arrays = [jnp.float32(p) for p in parameters]
    np.testing.assert_allclose(family.mean(*arrays), oracle.mean(), rtol=1e-5)
    np.testing.assert_allclose(family.mode(*arrays), mode, rtol=1e-4)
    np.testing.assert_allclose(made(family, *parameters).mean, oracle.mean(), rtol=1e-5)


def test_mean_and_mode_of_shares_are_scipys():
    family, oracle = GUIDE_FAMILIES[SIMPLEX], st.dirichlet(SHARES)

    def misfit(logits):
        shares = np.exp(logits - np.logaddexp.reduce(logits))
        return -oracle.logpdf(shares / shares.sum())

    best = minimize(misfit, np.zeros(3)).x
    np.testing.assert_allclose(family.mean(jnp.asarray(SHARES)), oracle.mean(), rtol=1e-5)
    mode = np.exp(best - np.logaddexp.reduce(best))
    np.testing.assert_allclose(family.mode(jnp.asarray(SHARES)), mode, rtol=1e-4)


@pytest.mark.parametrize("parameters", [(0.5, 0.5), (1.0, 3.0), (3.0, 1.0), (1.0, 1.0)])
def test_a_beta_without_an_inner_mode_has_none(parameters):
    mode = GUIDE_FAMILIES[UNIT_INTERVAL].mode(*(jnp.float32(p) for p in parameters))
    assert np.isnan(mode)


def test_shares_without_an_inner_mode_have_none():
    assert np.isnan(GUIDE_FAMILIES[SIMPLEX].mode(jnp.array([0.5, 2.0, 3.0]))).all()


@pytest.mark.parametrize(("center", "spread"), [(0.02, 0.1), (0.5, 0.01), (0.97, 0.05), (0.3, 0.5)])
def test_a_beta_starts_with_the_mean_and_spread_asked_for(center, spread):
    alpha, beta = GUIDE_FAMILIES[UNIT_INTERVAL].from_moments(np.float64(center), np.float64(spread))
    oracle = st.beta(alpha, beta)
    np.testing.assert_allclose(oracle.mean(), center, rtol=1e-10)
    # Exact up to the "+ 1" of the beta's size, which only very wide ones feel.
    np.testing.assert_allclose(oracle.std() / oracle.mean(), spread, rtol=0.2)


@pytest.mark.parametrize("spread", [0.02, 0.2])
def test_a_positive_site_starts_with_the_center_and_spread_asked_for(spread):
    center = np.array([1e-3, 1.0, 4e3])
    loc, scale = GUIDE_FAMILIES[POSITIVE].from_moments(center, np.full(3, spread))
    oracle = st.lognorm(scale, scale=np.exp(loc))
    np.testing.assert_allclose(oracle.median(), center, rtol=1e-5)
    np.testing.assert_allclose(oracle.std() / oracle.mean(), spread, rtol=0.03)


def test_shares_start_with_the_mean_and_spread_asked_for():
    center, cells = np.array([0.6, 0.3, 0.1]), 500
    spread = 1 / np.sqrt(cells * center)
    (concentrations,) = GUIDE_FAMILIES[SIMPLEX].from_moments(center, spread)
    oracle = st.dirichlet(np.asarray(concentrations, float))
    np.testing.assert_allclose(oracle.mean(), center, rtol=1e-5)
    relative = np.sqrt(oracle.var()) / oracle.mean()
    np.testing.assert_allclose(relative, spread * np.sqrt(1 - center), rtol=0.01)


@pytest.mark.parametrize("support", GUIDE_FAMILIES)
def test_names_are_the_references(support):
    expected = {
        POSITIVE: ["r_loc", "r_scale"],
        UNIT_INTERVAL: ["r_alpha", "r_beta"],
        SIMPLEX: ["r_concentrations"],
    }
    assert GUIDE_FAMILIES[support].names("r") == expected[support]


def test_weights_have_the_references_name():
    assert GUIDE_FAMILIES[SIMPLEX].names("mixing_weights") == ["mixing_concentrations"]


@pytest.mark.parametrize("support", GUIDE_FAMILIES)
def test_parameters_are_declared_inside_their_constraint(support):
    family = GUIDE_FAMILIES[support]
    traced = numpyro.handlers.trace(lambda: family.declare("site", (3,))).get_trace()
    assert list(traced) == family.names("site")
    for site, (constraint, first) in zip(traced.values(), family.parameters.values(), strict=True):
        assert site["kwargs"]["constraint"] is constraint
        assert site["value"].tolist() == [first] * 3
        assert bool(constraint(site["value"]).all())


def test_locations_are_free_to_move_both_ways():
    # A location held positive and started at 0 has no slope and never moves.
    constraint, first = GUIDE_FAMILIES[POSITIVE].parameters["loc"]
    assert constraint is constraints.real
    assert first == 0
