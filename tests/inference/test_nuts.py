import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import scribeviz.inference.nuts
from scribeviz.data.counts import plain_counts
from scribeviz.fitting.count_models import prepare_fit
from scribeviz.inference.chains import chain_diagnostics
from scribeviz.inference.nuts import NoStartError, NUTSConfig, nuts_checkpoints
from scribeviz.models.spec import model_spec


def gamma_poisson(counts):
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0).expand([counts.shape[1]]).to_event(1))
    numpyro.factor("counts", dist.Poisson(rate).log_prob(counts).sum())
    numpyro.deterministic("twice", 2 * rate)


@pytest.fixture(scope="module")
def counts():
    return np.random.default_rng(0).poisson(5.0, (30, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def checkpoints(counts):
    config = NUTSConfig(n_warmup=200, n_samples=400, n_chains=2)
    start = {"rate": jnp.full(3, 4.0)}
    return config, list(nuts_checkpoints(gamma_poisson, counts, config, initial=start))


def test_it_samples_a_conjugate_posterior(checkpoints, counts):
    config, stream = checkpoints
    last = stream[-1]
    assert last.samples.keys() == {"rate"}
    assert last.samples["rate"].shape == (2 * 400, 3)
    shape, rate = 2 + counts.sum(axis=0), 1 + len(counts)
    error = np.sqrt(shape) / rate / np.sqrt(300)
    assert np.all(np.abs(last.samples["rate"].mean(axis=0) - shape / rate) < 4 * error)
    np.testing.assert_allclose(last.samples["rate"].std(axis=0), np.sqrt(shape) / rate, rtol=0.15)
    assert last.settled
    assert last.step == last.n_steps == last.losses.size == config.n_steps
    first, second = np.split(last.samples["rate"], 2)
    assert not np.array_equal(first, second)


def test_a_resumed_run_is_the_unbroken_one(checkpoints, counts, monkeypatch):
    config, stream = checkpoints
    monkeypatch.setattr(scribeviz.inference.nuts, "_MOST_AT_ONCE", 150)
    start = {"rate": jnp.full(3, 4.0)}
    pieces = list(nuts_checkpoints(gamma_poisson, counts, config, initial=start))
    assert len(pieces) != len(stream)
    for part in (pieces[1], pieces[-2]):
        *_, again = nuts_checkpoints(gamma_poisson, counts, config, initial=start, start=part)
        assert again.losses.tolist() == stream[-1].losses.tolist()
        assert again.samples["rate"].tolist() == stream[-1].samples["rate"].tolist()
        assert again.diverging.tolist() == stream[-1].diverging.tolist()


def test_it_compiles_once(counts):
    traces = []

    def model(counts):
        traces.append(1)
        gamma_poisson(counts)

    stream = nuts_checkpoints(model, counts, NUTSConfig(n_warmup=50, n_samples=50, n_chains=2))
    next(stream)
    next(stream)
    seen = len(traces)
    list(stream)
    assert len(traces) == seen


def test_thinning_keeps_every_so_many(counts):
    plain = NUTSConfig(n_warmup=20, n_samples=30, n_chains=1)
    thin = NUTSConfig(n_warmup=20, n_samples=30, n_chains=1, thinning=10)
    *_, every = nuts_checkpoints(gamma_poisson, counts, plain)
    *_, few = nuts_checkpoints(gamma_poisson, counts, thin)
    assert few.samples["rate"].tolist() == every.samples["rate"][9::10].tolist()


def test_divergences_are_told():
    def cliff(_):
        x = numpyro.sample("x", dist.Normal(0, 1))
        numpyro.factor("cliff", -1e5 * jnp.maximum(x - 0.5, 0))

    config = NUTSConfig(n_warmup=200, n_samples=400, n_chains=1, max_tree_depth=6)
    *_, last = nuts_checkpoints(cliff, jnp.zeros(1), config, initial={"x": jnp.zeros(())})
    assert last.diverging.sum() > 0
    samples = {name: value[None] for name, value in last.samples.items()}
    found = chain_diagnostics(samples, last.diverging)
    assert found.divergences == last.diverging.sum()
    assert not found.trustworthy
    assert "diverged" in found.sentences[2]


def test_draws_that_would_not_fit_are_refused():
    def wide(_):
        numpyro.sample("x", dist.Normal(jnp.zeros(1_000_000), 1).to_event(1))

    with pytest.raises(ValueError, match=r"take 40.0 GB.*thinning=10"):
        next(nuts_checkpoints(wide, jnp.zeros(1), NUTSConfig(n_samples=10_000, n_chains=1)))


def test_no_start_is_a_sentence():
    def broken(_):
        numpyro.sample("x", dist.Normal(0, 1))
        numpyro.factor("bad", jnp.nan)

    with pytest.raises(NoStartError, match="no finite density"):
        next(nuts_checkpoints(broken, jnp.zeros(1), NUTSConfig(), initial={"x": jnp.zeros(())}))


def test_settings_are_checked():
    with pytest.raises(ValueError, match="keeps none of"):
        NUTSConfig(n_samples=10, thinning=11)


def test_chains_that_agree_and_chains_that_do_not():
    rng = np.random.default_rng(0)
    alike = rng.normal(size=(4, 500, 3))
    good = chain_diagnostics({"x": alike, "same": np.ones((4, 500))}, np.zeros(2_000, bool))
    assert good.worst_r_hat < 1.02
    assert good.fewest_effective > 1_000
    assert good.trustworthy
    apart = chain_diagnostics({"x": alike + np.arange(4)[:, None, None]}, np.zeros(2_000, bool))
    assert apart.worst_r_hat > 1.3
    assert "do not agree" in apart.sentences[0]
    assert not apart.trustworthy


def loud_genes():
    """Counts whose energy is so large that float32 does not know it to a nat."""
    rng = np.random.default_rng(0)
    r, p = 3.0, 0.97
    return plain_counts(rng.negative_binomial(r * rng.gamma(2, 2, 40), 1 - p, (4_000, 40)))


@pytest.mark.slow
def test_loud_genes_move_and_nobody_else_gets_float64():
    counts = loud_genes()
    config = NUTSConfig(n_warmup=150, n_samples=150, n_chains=2, max_tree_depth=7)
    prepared = prepare_fit(counts, model_spec("nbdm", parameterization="linked"), config)
    seen_outside = set()
    for each in prepared.checkpoints():
        seen_outside.add(jax.config.jax_enable_x64)
        checkpoint = each
    assert seen_outside == {False}
    assert checkpoint.losses.min() > 2**19  # steps of 1/16 of a nat
    assert {value.dtype for value in checkpoint.samples.values()} == {np.dtype(np.float32)}
    results = prepared.results(checkpoint)
    assert results.diagnostics.worst_r_hat < 1.1
    assert prepared.problem(results) == ""


def test_chains_that_do_not_move_are_called_so():
    rng = np.random.default_rng(0)
    moving = {"x": rng.normal(size=(2, 100, 9)), "saturated": np.ones((2, 100))}
    assert chain_diagnostics(moving, np.zeros(200, bool)).problem == ""
    for starts in (np.zeros((1, 1, 9)), np.arange(2)[:, None, None] + np.zeros((2, 1, 9))):
        still = starts + np.zeros((len(starts), 100, 9), np.float32)
        # One value creeps by single roundings of float32, as where energies are too coarse.
        still[:, :, 0] += 1 + rng.choice([0, 1e-7], 100)
        stuck = chain_diagnostics({"x": still}, np.zeros(len(starts) * 100, bool))
        assert stuck.n_stuck == stuck.n_chains == len(starts)
        assert not stuck.trustworthy
        (sentence,) = stuck.sentences
        assert sentence == stuck.problem
        assert sentence.startswith("The sampler does not move: in ")
        assert "variational fit" in sentence
        assert not (stuck.effective["x"] < 0).any()
    one = {"x": np.where(np.arange(2)[:, None, None], rng.normal(size=(2, 100, 9)), 3.0)}
    assert "in 1 of 2 chains" in chain_diagnostics(one, np.ones(200, bool)).sentences[0]
    assert "diverged" in chain_diagnostics(one, np.ones(200, bool)).sentences[1]


@pytest.mark.parametrize("correlation", [0.5, -0.5, -0.99])
def test_the_effective_number_is_that_of_an_autoregression(correlation):
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(2, 1_000, 50))
    for i in range(1, 1_000):
        draws[:, i] = correlation * draws[:, i - 1] + np.sqrt(1 - correlation**2) * draws[:, i]
    effective = chain_diagnostics({"x": draws}, np.zeros(2_000, bool)).effective["x"]
    most = 2_000 * np.log10(2_000)
    exact = min(2_000 * (1 - correlation) / (1 + correlation), most)
    assert 0.85 < np.median(effective) / exact < 1.15
    assert effective.min() > 0
    assert effective.max() <= most
