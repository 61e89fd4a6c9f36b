"""The guide in which genes move together, against the dense normal distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from numpyro import distributions as dist
from numpyro.distributions.kl import kl_divergence
from numpyro.handlers import seed, trace

from scribeviz.models.builder import build
from scribeviz.models.families import LogNormal
from scribeviz.models.low_rank import LowRankNormal
from scribeviz.models.parameterizations import SHARED_ODDS
from scribeviz.models.spec import ModelSpec

N_GENES, RANK = 5, 2


def normal(k=(), *, positive=False, seed=0):
    rng = np.random.default_rng(seed)
    loc, scale = rng.normal(size=(*k, N_GENES)), rng.uniform(0.2, 1, (*k, N_GENES))
    factor = 0.7 * rng.normal(size=(*k, N_GENES, RANK))
    ours = LowRankNormal(*(jnp.asarray(x) for x in (loc, factor, scale)), positive=positive)
    covariance = factor @ np.swapaxes(factor, -1, -2) + scale[..., None] ** 2 * np.eye(N_GENES)
    return ours, loc, covariance


@pytest.mark.parametrize("positive", [False, True])
def test_density_is_the_dense_normals(positive):
    ours, loc, covariance = normal(positive=positive)
    x = np.random.default_rng(5).normal(size=N_GENES)
    expected = st.multivariate_normal(loc, covariance).logpdf(x) - positive * x.sum()
    value = jnp.asarray(np.exp(x) if positive else x)
    np.testing.assert_allclose(ours.log_prob(value), expected, rtol=1e-4)


def test_draws_have_the_dense_normals_moments():
    ours, loc, covariance = normal()
    draws = np.asarray(ours.sample(jax.random.PRNGKey(0), (200_000,)))
    np.testing.assert_allclose(draws.mean(axis=0), loc, atol=0.02)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.04)
    same, *_ = normal(positive=True)
    exponentials = same.sample(jax.random.PRNGKey(0), (200_000,))
    np.testing.assert_allclose(np.log(exponentials), draws, atol=1e-4)


def test_components_are_drawn_and_scored_each_by_itself():
    ours, loc, covariance = normal((3,))
    draws = np.asarray(ours.sample(jax.random.PRNGKey(0), (100_000,)))
    scores = ours.log_prob(jnp.asarray(draws[:4]))
    assert scores.shape == (4, 3)
    for k in range(3):
        np.testing.assert_allclose(np.cov(draws[:, k].T), covariance[k], atol=0.08)
        oracle = st.multivariate_normal(loc[k], covariance[k])
        np.testing.assert_allclose(scores[:, k], oracle.logpdf(draws[:4, k]), rtol=1e-3)
    across = np.corrcoef(draws[:, 0, 0], draws[:, 1, 0])[0, 1]
    assert abs(across) < 0.02


def test_spread_and_determinant_are_the_dense_ones():
    ours, _, covariance = normal()
    np.testing.assert_allclose(ours.marginal_spread, np.sqrt(np.diag(covariance)), rtol=1e-5)
    half = np.linalg.slogdet(covariance)[1] / 2
    np.testing.assert_allclose(ours.half_log_determinant, half, rtol=1e-4)


@pytest.mark.parametrize("positive", [False, True])
def test_divergence_is_that_of_two_normals(positive):
    ours, loc, covariance = normal(positive=positive)
    one = LogNormal(0.5, 1.5) if positive else dist.Normal(0.5, 1.5)
    prior = one.expand([N_GENES]).to_event(1)
    # Of two normals, in closed form; a one-to-one map changes no divergence.
    trace_term = np.trace(covariance) / 1.5**2 + ((loc - 0.5) ** 2).sum() / 1.5**2
    logs = N_GENES * np.log(1.5**2) - np.linalg.slogdet(covariance)[1]
    expected = (trace_term - N_GENES + logs) / 2
    np.testing.assert_allclose(kl_divergence(ours, prior), expected, rtol=1e-4)
    draws = ours.sample(jax.random.PRNGKey(0), (100_000,))
    estimate = np.mean(np.asarray(ours.log_prob(draws) - prior.log_prob(draws)))
    np.testing.assert_allclose(kl_divergence(ours, prior), estimate, rtol=0.02)


def test_the_divergence_of_a_mixture_adds_up_its_components():
    ours, *_ = normal((3,), positive=True)
    prior = LogNormal(0.0, 1.0).expand([3, N_GENES]).to_event(2)
    draws = ours.sample(jax.random.PRNGKey(0), (100_000,))
    estimate = np.mean(np.asarray(ours.log_prob(draws).sum(axis=1) - prior.log_prob(draws)))
    found = kl_divergence(ours.to_event(1), prior)
    assert np.shape(found) == ()
    np.testing.assert_allclose(found, estimate, rtol=0.02)


def test_a_prior_of_another_family_has_no_closed_form():
    ours, *_ = normal(positive=True)
    with pytest.raises(NotImplementedError):
        kl_divergence(ours, dist.Gamma(2.0, 1.0).expand([N_GENES]).to_event(1))


SPECS = [
    ModelSpec(parameterization=p, n_components=k, unconstrained=free, guide_rank=RANK,
              component_specific_params=own)
    for p in SHARED_ODDS
    for free in (False, True)
    for k, own in ((1, False), (3, False), (3, True))
]  # fmt: skip


each_spec = pytest.mark.parametrize(
    "spec", SPECS, ids=lambda s: f"{s.parameterization}-{s.n_components}"
)


@each_spec
def test_only_the_genes_move_together(spec):
    model = build(spec, 6, N_GENES)
    guide = trace(seed(model.guide, 0)).get_trace()
    declared = {name: np.shape(s["value"]) for name, s in guide.items() if s["type"] == "param"}
    shape = (3, N_GENES) if spec.is_mixture else (N_GENES,)
    name = "r" if spec.parameterization == "standard" else "mu"
    low_rank = {f"{name}_{suffix}": shape for suffix in ("loc", "scale", "slope")}
    low_rank[f"{name}_factor"] = (*shape, RANK)
    for parameter, expected in low_rank.items():
        assert declared.pop(parameter) == expected
    assert not any(parameter.endswith(("factor", "slope")) for parameter in declared)
    starts = np.asarray(guide[f"{name}_factor"]["value"])
    assert np.linalg.matrix_rank(starts.reshape(-1, RANK)) == RANK  # directions that differ


def params_of(spec, rng):
    """Parameters with a strong slope and strong factors."""
    model = build(spec, 6, N_GENES)
    guide = trace(seed(model.guide, 0)).get_trace()
    values = {}
    for name, site in guide.items():
        if site["type"] != "param":
            continue
        shape = np.shape(site["value"])
        values[name] = {
            "alpha": np.full(shape, 6.0),
            "beta": np.full(shape, 9.0),
            "concentrations": np.full(shape, 5.0),
            "scale": rng.uniform(0.05, 0.2, shape),
            "factor": 0.3 * rng.normal(size=shape),
            "slope": rng.normal(size=shape),
            "loc": rng.normal(size=shape),
        }[name.rsplit("_", 1)[1]]
    if spec.unconstrained:
        values[f"{spec.sites[0].quantity}_scale"] = 0.5
    return model, {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec(guide_rank=RANK),
        ModelSpec(guide_rank=RANK, parameterization="linked", n_components=2, unconstrained=True),
        ModelSpec(
            guide_rank=RANK,
            parameterization="odds_ratio",
            n_components=2,
            component_specific_params=True,
        ),
    ],
    ids=["one", "shared odds", "own odds"],
)
def test_genes_follow_the_odds_and_the_marginals_know_it(spec, rng):
    """Their covariance is slope, factors and own spread; ``posterior`` says the same."""
    model, params = params_of(spec, rng)
    n_draws = 20_000
    drawn = model.sample_posterior(jax.random.PRNGKey(1), n_draws, params)
    odds_site, gene_site = spec.sites[0], spec.sites[1]
    odds = np.asarray(odds_site.free(drawn[odds_site.key]), float).reshape(n_draws, -1)
    genes = np.asarray(gene_site.free(drawn[gene_site.key]), float)
    genes = genes.reshape(n_draws, -1, N_GENES)
    name = gene_site.quantity
    loc, scale, slope, factor = (
        np.asarray(params[f"{name}_{suffix}"], float).reshape(genes.shape[1], N_GENES, *more)
        for suffix, more in (("loc", ()), ("scale", ()), ("slope", ()), ("factor", (RANK,)))
    )
    centers, spreads = model.free_moments(gene_site, params)
    np.testing.assert_allclose(np.ravel(centers), loc.ravel(), rtol=1e-5)
    np.testing.assert_allclose(genes.mean(axis=0), loc, atol=0.05)
    for k in range(genes.shape[1]):
        own = odds[:, k if odds.shape[1] > 1 else 0]
        found = [np.polyfit(own, gene, 1)[0] for gene in genes[:, k].T]
        np.testing.assert_allclose(found, slope[k], atol=0.05)
        covariance = (
            factor[k] @ factor[k].T
            + np.diag(scale[k] ** 2)
            + own.var() * np.outer(slope[k], slope[k])
        )
        np.testing.assert_allclose(np.cov(genes[:, k].T), covariance, atol=0.05)
    np.testing.assert_allclose(np.ravel(spreads), genes.std(axis=0).ravel(), rtol=0.05)
    marginal = model.posterior(params)[gene_site.key]
    assert marginal.event_shape == np.shape(drawn[gene_site.key])[1:]
    again = np.asarray(gene_site.free(marginal.sample(jax.random.PRNGKey(2), (n_draws,))), float)
    np.testing.assert_allclose(
        again.reshape(n_draws, -1).std(axis=0), genes.std(axis=0).ravel(), rtol=0.05
    )


@pytest.mark.parametrize("key", SHARED_ODDS)
def test_a_fit_starts_along_the_ridge(key):
    """At its start the mean count of a gene stays where it is when the odds move."""
    spec = ModelSpec(parameterization=key, guide_rank=RANK)
    model = build(spec, 6, N_GENES)
    site = spec.sites[1]
    start = model.start(site, jnp.zeros(N_GENES), jnp.full(N_GENES, 0.1))
    slope = start[f"{site.quantity}_slope"]
    odds = spec.sites[0].quantity

    def log_mean(d):
        free = {odds: jnp.atleast_1d(d), site.quantity: (slope * d)[None]}
        natural = SHARED_ODDS[key].natural(free)
        return (natural["log_r"] + natural["log_odds"][:, None]).sum()

    assert abs(jax.grad(log_mean)(0.0)) < 1e-6
