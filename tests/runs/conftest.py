"""Tiny runs, and one cache of compiled programs for the processes of these tests."""

import time
from dataclasses import replace

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from scribeviz import ModelSpec, SVIConfig, simulate
from scribeviz.runs.folder import create_run


@pytest.fixture(scope="package", autouse=True)
def _compiled_programs(tmp_path_factory):
    """Compile every program once, here and in workers; what the user keeps stays untouched."""
    folder = tmp_path_factory.mktemp("compiled")
    changed = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in changed}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        _configure(changed)
        yield
        _configure(before)


def _configure(settings):
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # it looks at the settings once


@pytest.fixture(scope="package")
def counts():
    """Sixty cells and eight genes, one of which nobody has seen."""
    found, _ = simulate("nbdm", n_cells=60, n_genes=8, values={"p": 0.5, "r": [2.0] * 8})
    matrix = found.matrix.tolil()
    matrix[:, 3] = 0
    return replace(found, matrix=matrix.tocsr())


@pytest.fixture
def new_run(tmp_path, counts):
    """Create a run of the tiny counts in a folder of its own."""

    def create(counts=counts, model=ModelSpec(), **settings):  # noqa: B008  it is frozen
        config = SVIConfig(**({"n_steps": 5_000} | settings))
        return create_run(tmp_path / "run", counts, model, config)

    return create


@pytest.fixture(scope="session")
def until():
    """Look until something is so, and fail after a while if it never is."""

    def wait(is_so, seconds=120):
        deadline = time.monotonic() + seconds
        while not (found := is_so()):
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)
        return found

    return wait
