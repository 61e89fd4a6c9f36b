import numpy as np
import pytest
from bokeh.models import DataRange1d

from scribeviz.plots.loss import loss_curve, thinned_loss

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n_steps", [1, 2, 25, 799, 800, 801, 1_600, 1_601, 12_345, 100_000])
@pytest.mark.parametrize("first", [0, 1, 7])
def test_few_points_and_the_last_step_among_them(n_steps, first):
    losses = RNG.normal(size=n_steps).astype(np.float32)
    thin = thinned_loss(losses, first)
    left = max(n_steps - first, 0)
    assert thin["step"].size == thin["loss"].size == thin["smooth"].size
    assert min(left, 400) <= thin["step"].size <= 800
    if left:
        assert thin["step"][-1] == n_steps
        assert thin["step"][0] > first
        np.testing.assert_array_equal(thin["loss"], losses[thin["step"] - 1])
        assert len(set(np.diff(thin["step"]))) <= 1


@pytest.mark.parametrize(("n_steps", "first"), [(300, 0), (300, 100), (5_000, 0), (5_000, 2_500)])
def test_smoothed_is_a_centred_mean_that_narrows_towards_the_ends(n_steps, first):
    losses = (1e6 + RNG.normal(size=n_steps)).astype(np.float32)
    thin = thinned_loss(losses, first)
    stride = -(-(n_steps - first) // 800)
    by_hand = []
    for step in thin["step"] - 1:
        half = min(25 * stride // 2, step - first, n_steps - 1 - step)
        by_hand.append(losses[step - half : step + half + 1].astype(float).mean())
    np.testing.assert_allclose(thin["smooth"], by_hand, rtol=1e-12)


def test_smoothed_lags_behind_nothing():
    straight = np.arange(2_000.0)
    thin = thinned_loss(straight)
    np.testing.assert_allclose(thin["smooth"], thin["loss"])


def test_steps_before_the_first_do_not_count():
    losses = np.r_[np.full(100, 1e9), np.ones(100)]
    thin = thinned_loss(losses, 100)
    assert thin["step"].min() == 101
    np.testing.assert_array_equal(thin["loss"], 1)
    np.testing.assert_array_equal(thin["smooth"], 1)


def test_the_losses_stay_as_they_were():
    losses = np.arange(10.0)
    thinned_loss(losses)["loss"][:] = -1
    np.testing.assert_array_equal(losses, np.arange(10.0))


@pytest.mark.parametrize("n_steps", [0, 1, 2, 900])
def test_any_number_of_steps_is_drawn(draw, n_steps):
    thin = thinned_loss(np.linspace(9, 1, n_steps))
    figure = draw(loss_curve(thin))
    drawn = [renderer.data_source.data for renderer in figure.renderers]
    assert len(drawn) == 2
    for data, name in zip(drawn, ("loss", "smooth"), strict=True):
        np.testing.assert_array_equal(data["step"], thin["step"])
        np.testing.assert_array_equal(data["loss"], thin[name])


def test_the_axes_follow_the_data_in_the_browser(draw):
    figure = draw(loss_curve(thinned_loss(np.arange(5.0))))
    assert isinstance(figure.x_range, DataRange1d)
    assert isinstance(figure.y_range, DataRange1d)
    assert figure.xaxis.axis_label == "steps"
    assert figure.yaxis.axis_label == "loss (nats)"
    assert figure.xaxis.formatter.format == "0,0"
    assert figure.yaxis.formatter.format == "0,0.[00]"
