import re
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats as st
from numpyro.distributions import constraints
from numpyro.infer.autoguide import AutoNormal

import scribeviz.inference.svi
from scribeviz._storage import read_arrays, write_arrays
from scribeviz.inference import svi
from scribeviz.inference.svi import (
    Checkpoint,
    LossNotFiniteError,
    SVIConfig,
    _has_settled,
    settling,
    svi_checkpoints,
)

COUNTS = np.random.default_rng(0).poisson(5.0, 200).astype(np.float32)
# The posterior of the rate, by hand: the prior is Gamma(2, 1).
EXACT = st.gamma(2.0 + COUNTS.sum(), scale=1 / (1.0 + COUNTS.size))


def gamma_poisson(counts):
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    numpyro.sample("counts", dist.Poisson(rate).expand([counts.size]).to_event(1), obs=counts)


def gamma_guide(counts):
    del counts
    shape = numpyro.param("shape", 50.0, constraint=constraints.positive)
    mean = numpyro.param("mean", 3.0, constraint=constraints.positive)
    numpyro.sample("rate", dist.Gamma(shape, shape / mean))


def fit(config, **kwargs):
    return list(svi_checkpoints(gamma_poisson, gamma_guide, COUNTS, config, **kwargs))


def test_recovers_a_conjugate_posterior_in_its_own_family():
    *_, last = fit(SVIConfig(n_steps=6_000))
    np.testing.assert_allclose(last.params["mean"], EXACT.mean(), rtol=0.005)
    spread = last.params["mean"] / np.sqrt(last.params["shape"])
    np.testing.assert_allclose(spread, EXACT.std(), rtol=0.1)
    assert last.settled


def test_recovers_a_conjugate_posterior_with_numpyros_own_guide():
    guide = AutoNormal(gamma_poisson)
    *_, last = svi_checkpoints(gamma_poisson, guide, COUNTS, SVIConfig(n_steps=3_000))
    quantiles = guide.quantiles(last.params, [0.05, 0.5, 0.95])["rate"]
    np.testing.assert_allclose(quantiles, EXACT.ppf([0.05, 0.5, 0.95]), rtol=0.015)


def test_the_loss_reaches_minus_the_evidence():
    # At the exact posterior the bound is tight: the negative binomial marginal, by hand.
    *_, last = fit(SVIConfig(n_steps=6_000, n_particles=10))
    logs = st.poisson(4.0).logpmf(COUNTS).sum() + st.gamma(2).logpdf(4.0) - EXACT.logpdf(4.0)
    np.testing.assert_allclose(last.losses[-200:].mean(), -logs, rtol=1e-4)


def test_the_step_size_follows_the_settings():
    moved = {
        rate: abs(fit(SVIConfig(n_steps=1, learning_rate=rate))[0].params["mean"] - 3.0)
        for rate in (0.001, 0.01, 0.1)
    }
    # Adam's first step is as long as its rate, here in ln(mean).
    for rate, step in moved.items():
        np.testing.assert_allclose(step, 3 * (np.exp(rate) - 1), rtol=0.02)


def test_model_and_guide_are_traced_once():
    traces = []

    def model(counts):
        traces.append(1)
        gamma_poisson(counts)

    stream = svi_checkpoints(model, gamma_guide, COUNTS, SVIConfig(n_steps=3_000))
    next(stream)
    seen = len(traces)
    rest = list(stream)
    assert len(rest) > 1
    assert len(traces) == seen


@pytest.mark.parametrize("n_steps", [1, 9, 10, 11, 123, 1_001])
def test_the_number_of_steps_is_honoured_exactly(n_steps):
    stream = fit(SVIConfig(n_steps=n_steps, tolerance=0.0))
    assert stream[-1].step == stream[-1].losses.size == n_steps
    assert stream[-1].fraction == 1
    assert all(checkpoint.n_steps == n_steps for checkpoint in stream)
    steps = [checkpoint.step for checkpoint in stream]
    assert steps == sorted(set(steps))


def test_checkpoints_are_complete_and_agree_with_each_other():
    stream = fit(SVIConfig(n_steps=700, tolerance=0.0))
    assert stream[0].step == 10
    for checkpoint in stream:
        assert checkpoint.losses.dtype == np.float32
        assert checkpoint.losses.size == checkpoint.step
        assert checkpoint.losses.tolist() == stream[-1].losses[: checkpoint.step].tolist()
        assert checkpoint.params.keys() == {"shape", "mean"}
        assert checkpoint.steps_per_second > 0
        assert checkpoint.fraction == checkpoint.step / 700


def test_tolerance_zero_never_settles():
    stream = fit(SVIConfig(n_steps=3_000, tolerance=0.0))
    assert stream[-1].step == 3_000
    assert not any(checkpoint.settled for checkpoint in stream)


def test_a_settled_fit_says_so_and_ends():
    *before, last = fit(SVIConfig(n_steps=20_000))
    assert last.settled
    assert last.step < 20_000
    assert last.stage == 3
    assert not any(checkpoint.settled for checkpoint in before)


def test_it_settles_in_three_stages():
    stages = [checkpoint.stage for checkpoint in fit(SVIConfig(n_steps=20_000))]
    assert stages == sorted(stages)
    assert stages[0] == 0
    assert stages[-1] == 3


@pytest.mark.parametrize(
    ("losses", "tolerance", "settled"),
    [
        (np.zeros(399), 1e-6, False),
        (np.zeros(400), 1e-6, True),
        (np.zeros(400), 0.0, False),
        (np.linspace(200, 100, 400), 1e-6, False),
        (1_000 - 1e-4 * np.arange(400), 1e-6, False),
        (1_000 - 1e-4 * np.arange(400), 1e-3, True),
        (np.linspace(100, 200, 400), 1e-6, True),
        (np.concatenate([np.linspace(1e6, 0, 300), np.zeros(400)]), 1e-6, True),
        (100 + np.random.default_rng(0).normal(size=400), 1e-9, True),
        (100 + np.random.default_rng(0).normal(size=400) - 0.005 * np.arange(400), 1e-9, False),
    ],
)
def test_what_counts_as_settled(losses, tolerance, settled):
    assert _has_settled(losses.astype(np.float32), tolerance) is settled


def test_a_loss_that_is_not_finite_names_the_step_and_a_cure():
    def breaks(counts):
        rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
        numpyro.factor("counts", jnp.where(rate > 1.5, jnp.nan, 3 * rate) + 0 * counts.sum())

    def guide(counts):
        del counts
        mean = numpyro.param("mean", 0.5, constraint=constraints.positive)
        numpyro.sample("rate", dist.Gamma(1e4, 1e4 / mean))

    config = SVIConfig(n_steps=4_000, learning_rate=0.02)
    kept = []
    with pytest.raises(LossNotFiniteError) as problem:
        kept.extend(svi_checkpoints(breaks, guide, COUNTS, config))
    says = str(problem.value)
    # From 0.5 to 1.5 are 55 steps of 2 %.
    step = int(re.search(r"at step (\d+) of 4,000\.", says)[1])
    assert 50 <= step <= 62
    assert "Lower the learning rate (it was 0.02; try 0.01)" in says
    assert "narrower prior" in says


def test_what_was_yielded_before_a_broken_loss_is_still_good():
    def breaks(counts):
        gamma_poisson(counts)
        numpyro.factor("bad", jnp.where(counts[0] < 0, jnp.nan, 0.0))

    stream = svi_checkpoints(breaks, gamma_guide, -COUNTS, SVIConfig(n_steps=10))
    with pytest.raises(LossNotFiniteError, match=r"no longer finite at step 1 of 10\."):
        next(stream)


def test_to_stop_is_to_cease_iterating():
    config = SVIConfig(n_steps=1_000_000, tolerance=0.0)
    stream = svi_checkpoints(gamma_poisson, gamma_guide, COUNTS, config)
    *_, last = islice(stream, 3)
    stream.close()
    assert last.step < 1_000_000
    assert last.losses.size == last.step
    assert not last.settled
    assert np.isfinite(list(last.params.values())).all()


def test_the_same_seed_gives_the_same_fit():
    first, again, other = (fit(SVIConfig(seed=seed))[-1] for seed in (3, 3, 4))
    assert first.losses.tolist() == again.losses.tolist()
    assert first.params == again.params
    assert first.losses[:10].tolist() != other.losses[:10].tolist()


def weights_of(params, data):
    """A closed form that depends on data and parameters, to see when it is done."""
    return {"mean": 0.5 * (params["mean"] + data.mean())}


@pytest.mark.parametrize(
    ("refine", "stop_at"), [(None, 37), (weights_of, 10), (weights_of, 37), (weights_of, 400)]
)
def test_a_resumed_fit_is_the_unbroken_one(refine, stop_at, monkeypatch):
    monkeypatch.setattr(scribeviz.inference.svi, "_LARGEST_PACE", 27)
    checkpoints = fit(SVIConfig(n_steps=1_300), refine=refine)
    whole = checkpoints[-1]
    part = next(checkpoint for checkpoint in checkpoints if checkpoint.step >= stop_at)
    stop_at = part.step
    resumed = fit(SVIConfig(n_steps=1_300), refine=refine, start=part)[-1]
    # The random numbers go on, and the losses are appended: nothing tells the two apart.
    assert resumed.losses[:stop_at].tolist() == part.losses.tolist()
    assert resumed.losses.tolist() == whole.losses.tolist()
    assert resumed.params == whole.params
    assert (resumed.stage, resumed.stage_start) == (whole.stage, whole.stage_start)
    assert resumed.settled == whole.settled


@pytest.mark.parametrize("seconds", [0.001, 0.05])
def test_how_often_it_reports_changes_nothing(seconds, monkeypatch):
    usual = fit(SVIConfig(n_steps=1_500), refine=weights_of)
    monkeypatch.setattr(svi, "_CHECKPOINT_SECONDS", seconds)
    other = fit(SVIConfig(n_steps=1_500), refine=weights_of)
    assert [c.step for c in other] != [c.step for c in usual]
    assert other[-1].losses.tolist() == usual[-1].losses.tolist()
    assert other[-1].params == usual[-1].params


def test_a_fit_resumes_from_saved_arrays(tmp_path):
    config = SVIConfig(n_steps=600)
    stream = fit(config)
    part, whole = stream[len(stream) // 2], stream[-1]
    arrays = {f"params/{name}": value for name, value in part.params.items()}
    arrays |= {f"state/{i}": leaf for i, leaf in enumerate(part.state)} | {"losses": part.losses}
    meta = {"stage": part.stage, "stage_start": part.stage_start, "n_leaves": len(part.state)}
    write_arrays(tmp_path / "part.h5", arrays, meta)
    saved, meta = read_arrays(tmp_path / "part.h5")
    reread = Checkpoint(
        step=saved["losses"].size,
        n_steps=600,
        losses=saved["losses"],
        params={},
        settled=False,
        steps_per_second=0.0,
        stage=meta["stage"],
        stage_start=meta["stage_start"],
        state=tuple(saved[f"state/{i}"] for i in range(meta["n_leaves"])),
    )
    resumed = fit(config, start=reread)[-1]
    assert resumed.losses.tolist() == whole.losses.tolist()
    assert resumed.params == whole.params


def test_a_settled_fit_has_nothing_to_resume():
    *_, last = fit(SVIConfig(n_steps=20_000))
    assert fit(SVIConfig(n_steps=20_000), start=last) == []


def test_a_state_is_arrays_only():
    for leaf in fit(SVIConfig(n_steps=5))[-1].state:
        assert type(leaf) is np.ndarray
        assert leaf.dtype.kind in "iuf"


def test_it_starts_where_it_is_told_to():
    stream = fit(SVIConfig(n_steps=1, learning_rate=1e-6), initial={"mean": jnp.float32(7.0)})
    np.testing.assert_allclose(stream[0].params["mean"], 7.0, rtol=1e-4)
    np.testing.assert_allclose(stream[0].params["shape"], 50.0, rtol=1e-4)


def test_refine_is_done_every_ten_steps_and_sees_the_data():
    def pin(params, data):
        assert params.keys() == {"shape", "mean"}
        return {"mean": data.mean() + 0 * params["mean"]}

    twenty, twenty_one = (fit(SVIConfig(n_steps=n), refine=pin)[-1] for n in (20, 21))
    np.testing.assert_allclose(twenty.params["mean"], COUNTS.mean(), rtol=1e-5)
    assert abs(twenty_one.params["mean"] / COUNTS.mean() - 1) > 1e-4


def test_data_may_be_any_tree_of_arrays():
    def model(data):
        gamma_poisson(data["deep"][0])

    stream = svi_checkpoints(model, gamma_guide, {"deep": (COUNTS,)}, SVIConfig(n_steps=30))
    assert list(stream)[-1].losses.tolist() == fit(SVIConfig(n_steps=30))[-1].losses.tolist()


def test_more_particles_make_the_loss_smoother():
    # Started at the posterior, only the draws make the loss differ from step to step.
    initial = {"mean": jnp.float32(EXACT.mean()), "shape": jnp.float32(200.0)}
    spread = [
        fit(
            SVIConfig(n_steps=300, n_particles=n, learning_rate=1e-6, tolerance=0.0),
            initial=initial,
        )[-1].losses.std()
        for n in (1, 16)
    ]
    assert 2.5 < spread[0] / spread[1] < 6


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"n_steps": 0}, r"n_steps=0 is outside \[1, 1,000,000\] steps\."),
        ({"n_steps": 10.5}, r"n_steps=10\.5 is not a whole number\."),
        ({"learning_rate": 0.0}, r"learning_rate=0\.0 is outside \[1e-06, 1\.0\]\."),
        ({"learning_rate": float("nan")}, r"learning_rate=nan is outside"),
        ({"tolerance": -1e-9}, r"tolerance=-1e-09 is outside \[0\.0, 1\.0\]\."),
        ({"n_particles": 101}, r"n_particles=101 is outside \[1, 100\]\."),
        ({"seed": -1}, r"seed=-1 is outside"),
    ],
)
def test_settings_are_checked(settings, says):
    with pytest.raises(ValueError, match=says):
        SVIConfig(**settings)


def test_nothing_is_left_traced(key):
    # A tracer that leaked into a checkpoint would break the first use of it.
    with jax.checking_leaks():
        last = fit(SVIConfig(n_steps=3))[-1]
    assert float(last.params["mean"]) + float(jax.random.uniform(key)) > 0


@pytest.mark.parametrize("tolerance", [1e-6, 0.0])
def test_how_far_a_fit_is_follows_the_rule_that_ends_it(tolerance):
    config = SVIConfig(n_steps=20_000, tolerance=tolerance)
    steps = np.arange(3_000)
    losses = (1e5 + 1e4 * np.exp(-steps / 150)).astype(np.float32)

    def at(step, stage=0, stage_start=0, *, settled=False):
        checkpoint = Checkpoint(
            step=step,
            n_steps=config.n_steps,
            losses=losses[:step],
            params={},
            settled=settled,
            steps_per_second=0.0,
            stage=stage,
            stage_start=stage_start,
            state=(),
        )
        return settling(checkpoint, config)

    done = [at(step) for step in (10, 200, 400, 800, 1_600, 2_200)]
    if tolerance == 0:
        assert done == [step / 20_000 for step in (10, 200, 400, 800, 1_600, 2_200)]
        return
    assert done == sorted(done)
    assert 0 < done[0] < 0.02
    assert done[-1] == pytest.approx(1 / 3, abs=0.03)  # the first of three stages is all but over
    assert at(2_000, stage=1, stage_start=2_000) == pytest.approx(1 / 3)
    assert at(2_400, stage=2, stage_start=2_400) == pytest.approx(2 / 3)
    assert at(2_400, stage=2, stage_start=2_400, settled=True) == 1
