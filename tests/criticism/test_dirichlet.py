import numpy as np
import pytest
import scipy.stats as st
from scipy.optimize import minimize
from scipy.special import digamma, gammaln

from scribeviz.criticism import dirichlet as module
from scribeviz.criticism.dirichlet import LARGEST_TOTAL, fit_dirichlet, fit_dirichlet_logs

TRUTHS = {
    "flat": [1.0, 1.0],
    "uneven": [0.5, 2.0, 9.0],
    "sparse": [0.08, 0.05, 0.3, 0.1],
    "narrow": [200.0, 50.0, 4_000.0],
    "far apart": [0.02, 30.0, 1.0],
}
EVERY_TRUTH = pytest.mark.parametrize("truth", TRUTHS.values(), ids=TRUTHS)


def draws_of(rng, truth, n):
    """Shares that are never 0, by way of gamma variables."""
    gammas = rng.gamma(truth, size=(n, len(truth)))
    gammas = np.maximum(gammas, 1e-290)
    return gammas / gammas.sum(axis=1, keepdims=True)


def log_likelihood(alpha, mean_logs):
    return gammaln(alpha.sum()) - gammaln(alpha).sum() + ((alpha - 1) * mean_logs).sum()


@EVERY_TRUTH
def test_recovers_what_was_simulated(rng, truth):
    found = fit_dirichlet(draws_of(rng, truth, 40_000))
    np.testing.assert_allclose(found, truth, rtol=0.03)


@EVERY_TRUTH
def test_is_as_likely_as_a_direct_search(rng, truth):
    mean_logs = np.log(draws_of(rng, truth, 12)).mean(axis=0)
    search = minimize(
        lambda free: -log_likelihood(np.exp(free), mean_logs),
        np.log(truth),
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 20_000, "maxfev": 20_000},
    )
    found = fit_dirichlet_logs(mean_logs)
    assert log_likelihood(found, mean_logs) >= -search.fun - 1e-10
    np.testing.assert_allclose(found, np.exp(search.x), rtol=1e-4)


def test_two_shares_are_scipys_beta(rng):
    draws = rng.beta(2.0, 5.0, 300)
    a, b, _, _ = st.beta.fit(draws, floc=0, fscale=1)
    found = fit_dirichlet(np.stack([draws, 1 - draws], axis=1))
    np.testing.assert_allclose(found, [a, b], rtol=1e-6)


@pytest.mark.parametrize("total", [1e-3, 1e-1, 1, 1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("n_shares", [2, 7, 400])
def test_the_slope_is_zero_there(rng, total, n_shares):
    # Mean logarithms that belong to known concentrations exactly.
    truth = total * rng.dirichlet(np.full(n_shares, 2.0), 50)
    mean_logs = digamma(truth) - digamma(truth.sum(axis=1, keepdims=True))
    found = fit_dirichlet_logs(mean_logs)
    # The larger the total the less the mean logarithms say about it.
    np.testing.assert_allclose(found, truth, rtol=1e-9 + 1e-13 * total)


def test_few_steps_are_enough(rng, monkeypatch):
    steps = []
    plain = module._mismatch
    monkeypatch.setattr(module, "_mismatch", lambda *args: steps.append(1) or plain(*args))
    scores = rng.normal(size=(50, 500, 5)) * np.geomspace(1e-4, 300, 500)[:, None]
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    found = fit_dirichlet(shares / shares.sum(axis=-1, keepdims=True))
    assert np.isfinite(found).all()
    assert len(steps) < 15


def test_a_batch_is_its_members_one_by_one(rng):
    samples = np.stack([draws_of(rng, [1.0, 0.1, 20.0], 60) for _ in range(6)], axis=1)
    samples = samples.reshape(60, 2, 3, 3)
    found = fit_dirichlet(samples)
    assert found.shape == (2, 3, 3)
    for i in range(2):
        for j in range(3):
            np.testing.assert_allclose(found[i, j], fit_dirichlet(samples[:, i, j]), rtol=1e-12)


@pytest.mark.parametrize("axis", [1, 2, -2])
def test_draws_may_lie_along_any_axis(rng, axis):
    samples = rng.dirichlet([1.0, 2.0, 3.0], (40, 5))
    moved = np.moveaxis(samples, 0, axis)
    np.testing.assert_allclose(fit_dirichlet(moved, axis=axis), fit_dirichlet(samples))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, int])
def test_certain_assignments_stay_certain(dtype):
    found = fit_dirichlet(np.tile(np.array([[1, 0, 0]], dtype), (20, 1)))
    assert (found > 0).all()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found / found.sum(), [1, 0, 0], atol=1e-9)


def test_assignments_that_flip_between_certainties():
    samples = np.zeros((20, 4, 2))
    samples[:, :, 0] = np.arange(20)[:, None] < [0, 5, 10, 20]
    samples[..., 1] = 1 - samples[..., 0]
    found = fit_dirichlet(samples)
    assert np.isfinite(found).all()
    assert (found > 0).all()
    shares = found[:, 0] / found.sum(axis=1)
    assert (np.diff(shares) > 0.1).all()
    np.testing.assert_allclose(shares[[0, 2, 3]], [0, 0.5, 1], atol=1e-9)
    assert (found[1:3] < 0.01).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 30])
def test_draws_that_do_not_differ_are_narrow_but_finite(rng, dtype, n):
    shares = rng.dirichlet(np.ones(6)).astype(dtype)
    found = fit_dirichlet(np.tile(shares, (n, 1)))
    np.testing.assert_allclose(found.sum(), LARGEST_TOTAL, rtol=1e-6)
    np.testing.assert_allclose(found / found.sum(), shares / shares.sum(), rtol=1e-6)


def test_shares_that_do_not_quite_sum_to_one(rng):
    samples = rng.dirichlet([1.0, 2.0, 3.0], 40)
    scaled = samples * rng.uniform(0.9, 1.1, (40, 1))
    np.testing.assert_allclose(fit_dirichlet(scaled), fit_dirichlet(samples), rtol=1e-9)


def test_logarithms_have_no_floor():
    # Gamma variables of shape 1e-4: their logarithms are about -10,000.
    truth = np.array([1e-4, 3e-4, 2.0])
    mean_logs = digamma(truth) - digamma(truth.sum())
    assert mean_logs[0] < np.log(np.finfo(float).tiny)
    np.testing.assert_allclose(fit_dirichlet_logs(mean_logs), truth, rtol=1e-9)


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (np.array([0.5, 0.5]), "should be draws of shares"),
        (np.empty((0, 3)), "should be draws of shares"),
        (np.ones((5, 1)), "two shares or more"),
        (np.array([[0.5, 0.5], [1.5, -0.5]]), "negative, not finite, or all 0"),
        (np.array([[0.5, 0.5], [np.nan, 0.5]]), "negative, not finite, or all 0"),
        (np.array([[0.5, 0.5], [np.inf, 0.5]]), "negative, not finite, or all 0"),
        (np.array([[0.5, 0.5], [0.0, 0.0]]), "negative, not finite, or all 0"),
    ],
)
def test_what_is_no_draw_of_shares_is_an_error(samples, says):
    with pytest.raises(ValueError, match=says):
        fit_dirichlet(samples)


def test_infinite_logarithms_are_an_error():
    with pytest.raises(ValueError, match="mean_logs holds values that are not finite"):
        fit_dirichlet_logs(np.array([0.0, -np.inf]))
