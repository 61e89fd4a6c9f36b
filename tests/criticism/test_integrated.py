"""Capture integrated out, against SciPy's quadrature of SciPy's distributions."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import logsumexp

from scribeviz import ModelSpec, fit, simulate
from scribeviz.criticism.integrated import integrated_log_likelihood
from scribeviz.criticism.log_likelihood import log_likelihood
from scribeviz.models.builder import build
from scribeviz.models.spec import model_spec

N_CELLS, N_GENES = 6, 5


def one_draw(spec, seed=0):
    """Values of every site with an axis of one draw, and counts that they give."""
    counts, truth = simulate(spec, n_cells=N_CELLS, n_genes=N_GENES, seed=seed)
    return counts, {site.key: np.asarray(truth[site.key])[None] for site in spec.sites}


def by_hand(model, values, counts, prior):
    """Log of the integral over the capture of each cell, component by component."""
    natural = model.natural({name: value[0] for name, value in values.items()})
    r, log_odds = (
        np.exp(np.asarray(natural["log_r"], float)),
        np.asarray(natural["log_odds"], float),
    )
    gate = np.zeros_like(r)
    if "gate_logit" in natural:
        gate = 1 / (1 + np.exp(-np.asarray(natural["gate_logit"], float)))
    x = counts.matrix.toarray()
    found = np.empty((len(r), N_CELLS))
    for k in range(len(r)):
        for c in range(N_CELLS):

            def log_joint(nu, k=k, c=c):
                plain = st.nbinom(r[k], 1 / (1 + nu * np.exp(log_odds[k]))).pmf(x[c])
                return np.log(gate[k] * (x[c] == 0) + (1 - gate[k]) * plain).sum()

            at = np.linspace(1e-4, 1 - 1e-4, 80)
            top = max(log_joint(nu) for nu in at)
            best = at[np.argmax([log_joint(nu) for nu in at])]
            area, _ = quad(
                lambda nu, top=top: np.exp(log_joint(nu) - top) * prior.pdf(nu),
                0,
                1,
                points=[best],
                limit=500,
            )
            found[k, c] = top + np.log(area)
    return logsumexp(found + np.asarray(natural["log_weights"], float)[:, None], axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["nbvcp", "zinbvcp"])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize(("parameterization", "a_b"), [("linked", (1, 1)), ("odds_ratio", (3, 8))])
def test_the_integral_is_scipys(likelihood, parameterization, k, a_b):
    a, b = a_b
    capture = {"p_capture": ("beta", a, b)}
    if parameterization == "odds_ratio":
        capture = {"phi_capture": ("betaprime", a, b)}
    spec = ModelSpec(
        likelihood=likelihood, parameterization=parameterization, n_components=k, priors=capture
    )
    counts, values = one_draw(spec)
    model = build(spec, N_CELLS, N_GENES)
    ours = integrated_log_likelihood(model, values, counts)
    assert ours.shape == (1, N_CELLS)
    np.testing.assert_allclose(ours[0], by_hand(model, values, counts, st.beta(a, b)), atol=5e-3)


@pytest.mark.parametrize("name", ["nbdm", "zinb_mix"])
def test_without_capture_it_is_the_likelihood_itself(name):

    spec = model_spec(name)
    counts, values = one_draw(spec)
    model = build(spec, N_CELLS, N_GENES)
    plain = log_likelihood(model, values, counts)
    np.testing.assert_allclose(integrated_log_likelihood(model, values, counts), plain, rtol=1e-5)


def test_cells_need_not_be_those_that_were_fitted():
    spec = ModelSpec(likelihood="nbvcp", parameterization="linked")
    counts, values = one_draw(spec)
    model = build(spec, N_CELLS, N_GENES)
    some = counts.select_cells(np.arange(5))
    whole = integrated_log_likelihood(model, values, counts)
    np.testing.assert_allclose(
        integrated_log_likelihood(model, values, some), whole[:, :5], rtol=1e-5
    )


@pytest.mark.parametrize("parameterization", ["linked", "odds_ratio"])
def test_a_stated_mean_of_capture_bends_the_prior(parameterization):
    spec = ModelSpec(likelihood="nbvcp", parameterization=parameterization)
    counts, values = one_draw(spec)
    # A flat prior of captures that are 0.2 in the mean is an exponential cut off at 1.
    stated = ModelSpec(
        likelihood="nbvcp",
        parameterization=parameterization,
        total_mrna=counts.cell_totals.mean() / 0.2,
    )
    scale = brentq(lambda b: st.truncexpon(1 / b, scale=b).mean() - 0.2, 0.05, 2)
    model = build(stated, N_CELLS, N_GENES)
    expected = by_hand(model, values, counts, st.truncexpon(1 / scale, scale=scale))
    ours = integrated_log_likelihood(model, values, counts)[0]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=2e-3)


@pytest.mark.slow
def test_the_level_that_was_stated_does_not_decide_between_models(rng):
    values = {"p": 0.6, "mu": rng.lognormal(1.4, 0.7, 40), "p_capture": rng.uniform(0.02, 0.3, 150)}
    plain = ModelSpec(likelihood="nbvcp", parameterization="linked")
    counts, _ = simulate(plain, n_cells=150, n_genes=40, values=values)
    depth = counts.cell_totals.mean()
    scores = [
        fit(counts, spec, progress=False).loo(counts, n_samples=100).total
        for spec in (replace(plain, total_mrna=depth / level) for level in (0.3, 0.1, 0.02))
    ]
    # Without the bend each cell would lose ln(0.3 / 0.02), 2.7 nats, between the first and last.
    assert np.ptp(scores) < 0.3 * counts.n_cells
