import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

from scribeviz.models.priors import (
    POSITIVE,
    PRIOR_FAMILIES,
    REAL,
    SIMPLEX,
    UNIT_INTERVAL,
    Prior,
    as_prior,
    families_on,
)

POINTS = {
    POSITIVE: np.geomspace(1e-3, 50, 9),
    UNIT_INTERVAL: np.linspace(0.01, 0.99, 9),
    REAL: np.linspace(-4, 3, 9),
    SIMPLEX: np.array([[0.2, 0.3, 0.5], [0.98, 0.01, 0.01]]),
}
ORACLES = {
    "lognormal": lambda loc, scale: st.lognorm(scale, scale=np.exp(loc)).logpdf,
    "gamma": lambda concentration, rate: st.gamma(concentration, scale=1 / rate).logpdf,
    "exponential": lambda rate: st.expon(scale=1 / rate).logpdf,
    "beta": lambda alpha, beta: st.beta(alpha, beta).logpdf,
    "beta_mean": lambda mean, size: st.beta(mean * size, (1 - mean) * size).logpdf,
    "betaprime": lambda alpha, beta: st.betaprime(beta, alpha).logpdf,
    "betaprime_mean": lambda mean, size: st.betaprime((1 - mean) * size, mean * size).logpdf,
    "normal": lambda loc, scale: st.norm(loc, scale).logpdf,
    "dirichlet": lambda concentration: (
        lambda x: [st.dirichlet(np.full(3, concentration)).logpdf(row) for row in x]
    ),
}
NUMBERS = {
    "lognormal": [(0, 1), (-3, 0.2)],
    "gamma": [(2, 0.1), (0.5, 3)],
    "exponential": [(1,), (0.2,)],
    "beta": [(1, 1), (2, 5)],
    "beta_mean": [(0.1, 10), (0.5, 2)],
    "betaprime": [(2, 3), (5, 1)],
    "betaprime_mean": [(0.1, 10), (0.5, 8)],
    "normal": [(0, 1), (-3, 0.2)],
    "dirichlet": [(1,), (3,)],
}
CASES = [(family, numbers) for family, many in NUMBERS.items() for numbers in many]


def test_every_family_has_an_oracle():
    assert ORACLES.keys() == NUMBERS.keys() == PRIOR_FAMILIES.keys()


@pytest.mark.parametrize(("family", "numbers"), CASES)
def test_density_is_scipys(family, numbers):
    points = POINTS[PRIOR_FAMILIES[family].support]
    shape = points.shape[1:]
    ours = Prior(family, numbers).distribution(shape).log_prob(jnp.asarray(points, jnp.float32))
    np.testing.assert_allclose(ours, ORACLES[family](*numbers)(points), rtol=1e-4, atol=1e-5)


DISTRIBUTIONS = {
    "lognormal": lambda loc, scale: st.lognorm(scale, scale=np.exp(loc)),
    "gamma": lambda concentration, rate: st.gamma(concentration, scale=1 / rate),
    "exponential": lambda rate: st.expon(scale=1 / rate),
    "beta": st.beta,
    "beta_mean": lambda mean, size: st.beta(mean * size, (1 - mean) * size),
    "betaprime": lambda alpha, beta: st.betaprime(beta, alpha),
    "betaprime_mean": lambda mean, size: st.betaprime((1 - mean) * size, mean * size),
    "normal": st.norm,
    "dirichlet": lambda concentration: st.beta(concentration, 3 * concentration),
}


@pytest.mark.parametrize(("family", "numbers"), CASES)
def test_quantiles_are_scipys(family, numbers):
    shares = (0.001, 0.05, 0.5, 0.95, 0.999)
    ours = Prior(family, numbers).quantiles(shares, n_components=4)
    np.testing.assert_allclose(ours, DISTRIBUTIONS[family](*numbers).ppf(shares), rtol=1e-9)


@pytest.mark.parametrize("family", PRIOR_FAMILIES.values(), ids=PRIOR_FAMILIES)
def test_densities_of_extreme_priors_can_be_drawn(family):
    for ends in (0, 1):
        prior = Prior(family.key, tuple(p.bounds[ends] for p in family.parameters))
        values, density = prior.density()
        assert np.isfinite(values).all()
        assert (np.diff(values) >= 0).all()
        assert not np.isnan(density).any()


@pytest.mark.parametrize("family", PRIOR_FAMILIES.values(), ids=PRIOR_FAMILIES)
def test_all_axes_of_a_value_are_one_event(family, key):
    prior = Prior(family.key, tuple(p.default for p in family.parameters))
    made = prior.distribution((4, 3))
    if family.support != SIMPLEX:
        assert (made.batch_shape, made.event_shape) == ((), (4, 3))
    assert made.sample(key).shape == (4, 3)


@pytest.mark.parametrize("family", PRIOR_FAMILIES.values(), ids=PRIOR_FAMILIES)
def test_draws_lie_in_the_support(family, key):
    prior = Prior(family.key, tuple(p.default for p in family.parameters))
    draws = np.asarray(prior.distribution((5,)).sample(key, (300,)))
    inside = {
        REAL: (draws < 0).any() and np.isfinite(draws).all(),
        POSITIVE: (draws > 0).all(),
        UNIT_INTERVAL: ((draws >= 0) & (draws <= 1)).all(),
        SIMPLEX: (draws >= 0).all() and np.allclose(draws.sum(axis=-1), 1, atol=1e-5),
    }
    assert inside[family.support]


@pytest.mark.parametrize("support", [REAL, POSITIVE, UNIT_INTERVAL, SIMPLEX])
def test_families_are_found_by_support(support):
    found = families_on(support)
    assert found
    assert {family.support for family in found} == {support}


def test_every_family_lies_in_one_support():
    per_support = [len(families_on(s)) for s in (REAL, POSITIVE, UNIT_INTERVAL, SIMPLEX)]
    assert sum(per_support) == len(PRIOR_FAMILIES)
    assert families_on("the moon") == []


@pytest.mark.parametrize("family", PRIOR_FAMILIES.values(), ids=PRIOR_FAMILIES)
def test_defaults_are_allowed(family):
    numbers = tuple(p.default for p in family.parameters)
    assert Prior(family.key, numbers).numbers == numbers


@pytest.mark.parametrize(("family", "numbers"), CASES)
def test_the_drawn_curve_holds_most_of_the_probability(family, numbers):
    values, density = Prior(family, numbers).density(n_components=3)
    axis = np.log(values) if PRIOR_FAMILIES[family].support == POSITIVE else values
    assert (np.diff(values) > 0).all()
    assert 0.97 < np.trapezoid(density, axis) < 1.01


@pytest.mark.parametrize(("family", "numbers"), CASES)
def test_the_drawn_curve_is_scipys_density(family, numbers):
    values, density = Prior(family, numbers).density(n_components=3)
    if family == "dirichlet":  # of one share of three
        expected = st.beta(numbers[0], 2 * numbers[0]).pdf(values)
    else:
        expected = np.exp(ORACLES[family](*numbers)(values))
    if PRIOR_FAMILIES[family].support == POSITIVE:
        expected = expected * values
    np.testing.assert_allclose(density, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "numbers", "says"),
    [
        (
            "cauchy",
            (0.0,),
            "prior family 'cauchy' is not known; choose one of 'lognormal', 'gamma',",
        ),
        (
            "gamma",
            (1.0,),
            r"a gamma prior takes 2 numbers \(concentration, rate\); got 1: \(1.0,\)",
        ),
        ("exponential", (1.0, 2.0), r"takes 1 numbers \(rate\); got 2"),
        ("gamma", (-1.0, 1.0), r"concentration=-1 of a gamma prior is outside \[0.001, 10000\]"),
        ("lognormal", (0.0, 0.0), r"scale=0 of a lognormal prior is outside \[0.001, 20\]"),
        ("lognormal", (float("nan"), 1.0), r"loc=nan of a lognormal prior is outside"),
        ("beta", (1.0, float("inf")), r"beta=inf of a beta prior is outside"),
    ],
)
def test_what_is_no_prior_is_refused(family, numbers, says):
    with pytest.raises(ValueError, match=says):
        Prior(family, numbers)


@pytest.mark.parametrize(
    "value",
    [
        Prior("gamma", (2.0, 0.1)),
        ("gamma", 2, 0.1),
        ["gamma", np.int64(2), np.float64(0.1)],
        {"family": "gamma", "numbers": [2, 0.1]},
        {"family": "gamma", "numbers": (2, 0.1)},
    ],
)
def test_a_prior_can_be_written_in_several_ways(value):
    assert as_prior(value) == Prior("gamma", (2.0, 0.1))


@pytest.mark.parametrize(
    "value",
    [None, 3, "gamma", (2, 0.1), {"family": "gamma"}, ("gamma", "2", 0.1), ("gamma", None), {}],
)
def test_what_is_not_written_as_a_prior_is_refused(value):
    with pytest.raises(ValueError, match=r"a prior is a family with its numbers, such as .* got "):
        as_prior(value)


def test_numpyro_gets_a_gradient_from_every_family():
    for family in PRIOR_FAMILIES.values():
        prior = Prior(family.key, tuple(p.default for p in family.parameters))
        made = prior.distribution((2,))
        assert jnp.isfinite(jax.jacobian(made.log_prob)(jnp.full(2, 0.5))).all()
