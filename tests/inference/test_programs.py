"""Programs are compiled once for all fits of a model, and keep no data alive."""

import gc
import subprocess
import sys
import weakref
from dataclasses import dataclass

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from scribeviz import fit
from scribeviz.data.counts import plain_counts
from scribeviz.inference.programs import Programs, by_content, keep_on_disk, layout_of
from scribeviz.inference.svi import SVIConfig, svi_checkpoints

COMPILED = "/jax/core/compile/backend_compile_duration"
TRACED = "/jax/core/compile/jaxpr_trace_duration"


@pytest.fixture
def events():
    """Names of what JAX traced and compiled meanwhile."""
    seen = []

    def listen(name, _seconds, **_):
        seen.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


@dataclass(frozen=True, eq=False)
class Bound:
    """A model that counts how often it is traced."""

    loc: float
    traces: list

    def model(self, data):
        self.traces.append("model")
        x = numpyro.sample("x", dist.Normal(self.loc, 1.0))
        numpyro.sample("data", dist.Normal(x, 1.0).expand(data.shape).to_event(1), obs=data)

    def guide(self, data):
        del data
        numpyro.sample("x", dist.Normal(numpyro.param("center", 0.0), 0.5))


@dataclass(frozen=True)
class ByNumber:
    number: int

    def method(self):
        return self.number


def test_methods_of_equal_objects_are_the_same_program():
    one, same, other = ByNumber(1), ByNumber(1), ByNumber(2)
    assert one.method != same.method  # Python's own opinion
    assert by_content(one.method) == by_content(same.method)
    assert hash(by_content(one.method)) == hash(by_content(same.method))
    assert by_content(one.method) != by_content(other.method)
    assert by_content(print) is print


def test_a_layout_is_shapes_and_types_and_not_values():
    ones, zeros = {"a": np.ones(3)}, {"a": np.zeros(3)}
    assert layout_of(ones) == layout_of(zeros)
    different = [{"b": np.ones(3)}, {"a": np.ones(4)}, {"a": np.ones(3, int)}, {"a": None}]
    assert all(layout_of(ones) != layout_of(tree) for tree in different)


def test_the_programs_used_longest_ago_are_forgotten():
    programs, made = Programs(most=2), []

    def make(key):
        return lambda: made.append(key) or key

    for key in "abacab":
        assert programs.get(key, make(key)) == key
    assert made == ["a", "b", "c", "b"]


@pytest.mark.parametrize("changed", [{}, {"n_steps": 30}, {"seed": 1}, {"learning_rate": 0.01}])
def test_a_second_fit_traces_nothing(changed):
    bound, data = Bound(0.0, []), np.ones(5, np.float32)
    first = list(svi_checkpoints(bound.model, bound.guide, data, SVIConfig(n_steps=20)))[-1]
    seen = len(bound.traces)
    config = SVIConfig(**({"n_steps": 20} | changed))
    second = list(svi_checkpoints(bound.model, bound.guide, data, config))[-1]
    assert len(bound.traces) == seen
    if not changed:
        assert second.losses.tobytes() == first.losses.tobytes()


@pytest.mark.parametrize("changed", [{"n_particles": 3}, {"shape": (6,)}, {"loc": 9.0}])
def test_what_enters_the_program_is_compiled_anew(changed):
    data = np.ones(5, np.float32)
    fits = []
    for settings in ({}, changed):
        bound = Bound(settings.get("loc", 0.0), [])
        values = np.ones(settings.get("shape", data.shape), np.float32)
        config = SVIConfig(n_steps=20, n_particles=settings.get("n_particles", 1))
        fits.append(list(svi_checkpoints(bound.model, bound.guide, values, config))[-1])
        assert bound.traces
    assert not np.array_equal(fits[0].losses, fits[1].losses)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"n_steps": 30},
        {"n_steps": 30, "n_components": 2},
        {"inference_method": "mcmc", "n_warmup": 5, "n_samples": 5, "n_chains": 1},
    ],
)
def test_the_same_fit_of_the_same_data_compiles_nothing(small_counts, events, settings):
    first = fit(small_counts, **settings, progress=False)
    assert COMPILED in events
    events.clear()
    second = fit(small_counts, **settings, progress=False)
    assert COMPILED not in events
    assert second.loss_history.tobytes() == first.loss_history.tobytes()


def test_another_seed_and_other_counts_of_that_shape_are_really_fitted(rng):
    one, other = (plain_counts(rng.poisson(4.0, (30, 1)) + np.ones((30, 3), int)) for _ in range(2))
    losses = [
        fit(counts, n_steps=20, seed=seed, progress=False).loss_history
        for counts, seed in ((one, 0), (one, 1), (other, 0))
    ]
    assert not np.array_equal(losses[0], losses[1])
    assert not np.array_equal(losses[0], losses[2])


def test_no_data_are_kept_alive():
    bound, data = Bound(0.0, []), jax.numpy.ones(5)
    gone = weakref.ref(data)
    list(svi_checkpoints(bound.model, bound.guide, data, SVIConfig(n_steps=20)))
    del data
    gc.collect()
    assert gone() is None


def test_a_cache_on_disk_that_the_user_chose_stays():
    before = jax.config.jax_compilation_cache_dir
    assert before  # that of these tests
    keep_on_disk()
    assert jax.config.jax_compilation_cache_dir == before


_FIT = """
import jax, sys
events = []
jax.monitoring.register_event_listener(lambda name, **_: events.append(name))
import scribeviz
counts, _ = scribeviz.simulate("nbdm", n_cells=30, n_genes=4)
scribeviz.fit(counts, "nbdm_mix", n_steps=20, progress=False)
print(events.count("/jax/compilation_cache/cache_misses"), end=" ")
print(events.count("/jax/compilation_cache/cache_hits"))
"""


@pytest.mark.slow
def test_another_process_finds_what_was_compiled(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.delenv(name, raising=False)
    missed_and_hit = []
    for seed in ("1", "2"):  # of Python's hashes, random in a process of the user's
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        done = subprocess.run(
            [sys.executable, "-c", _FIT], capture_output=True, text=True, check=True
        )
        missed_and_hit.append([int(n) for n in done.stdout.split()[-2:]])
    assert list(tmp_path.glob("scribeviz/compiled/*"))
    (missed, _), (missed_again, hit) = missed_and_hit
    assert missed > 5
    assert missed_again == 0
    assert hit >= missed
