"""Halves of the genes agree as often as calibrated assignments claim."""

import numpy as np

from scribeviz.criticism.calibration import calibrate, halves

N, K = 20_000, 3
EVEN = np.log(np.full(K, 1 / K))


def test_like_halves_are_reliable_in_every_tenth():
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 2, (N, K))
    first, second = (30 * (truth + rng.normal(0, 1, (N, K))) for _ in range(2))
    calibration = calibrate(first, second, EVEN, 100)
    claimed, observed = calibration.reliability
    assert calibration.temperature > 5
    assert np.abs(claimed - observed).max() < 0.06
    np.testing.assert_allclose(calibration.probabilities.sum(axis=1), 1, rtol=1e-5)
    best = np.sort(first + second, axis=1)
    np.testing.assert_allclose(calibration.margin, (best[:, -1] - best[:, -2]) / 100)


def test_halves_that_always_agree_leave_the_model_its_word():
    first = 50.0 * np.eye(K)[np.arange(300) % K]
    calibration = calibrate(first, first, EVEN, 10)
    assert calibration.temperature == 1
    assert calibration.halves_agree == 1


def test_halves_are_halves():
    assert halves(11).sum() == 5
    np.testing.assert_array_equal(halves(40), halves(40))
