import os
import time
from pathlib import Path

# Most of the time goes into compiling: programs are kept for the next run of the tests.  (JAX keeps
# a note beside each of when it was used last.)  NumPyro sums over a set of names, whose order, and
# so the program, follows the hash seed, which the workers of xdist take from here.
COMPILED = Path(__file__).resolve().parents[1] / ".pytest_cache" / "compiled"
_MOST_SECONDS = 14 * 24 * 3600

if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["PYTHONHASHSEED"] = "0"
    for note in COMPILED.glob("*-atime"):
        if note.stat().st_mtime < time.time() - _MOST_SECONDS:
            note.unlink()
            note.with_name(note.name.replace("-atime", "-cache")).unlink(missing_ok=True)
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(COMPILED)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
# They then run on tiny arrays: optimizing them costs more than it wins.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_COMPILE",
)

import jax
import numpy as np
import pytest

from scribeviz.data.counts import plain_counts
from scribeviz.models.custom.registry import CUSTOM_MODELS, load_models

# In the order of their weight: what comes last keeps one processor waiting for the other.
HEAVY = (
    "browser/test_journey",
    "browser/test_pages",
    "science/",
    "browser/",
    "results/",
    "models/",
    "fitting/",
    "test_reference",
    "inference/",
    "criticism/",
    "runs/",
    "data/test_fuzz",
)


def weight(nodeid):
    return next((len(HEAVY) - i for i, part in enumerate(HEAVY) if part in nodeid), 0)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: weight(item.nodeid), reverse=True)
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_data)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def small_counts(rng):
    """40 cells and 12 genes: quiet and loud genes, and one with a long gap between its counts."""
    matrix = rng.negative_binomial(rng.gamma(1.0, size=12), 0.4, (40, 12))
    matrix[:, 0] = 0
    matrix[[3, 7, 9], 0] = [1, 1, 900]
    matrix[5] = 0
    return plain_counts(matrix)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data sets beside the repository; it need not exist."""
    return Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def registry():
    """The registry of custom models, empty, and afterwards as it was."""
    before = dict(CUSTOM_MODELS)
    CUSTOM_MODELS.clear()
    yield CUSTOM_MODELS
    CUSTOM_MODELS.clear()
    CUSTOM_MODELS.update(before)


@pytest.fixture
def tutorial_file():
    return Path(__file__).parent / "models" / "custom" / "tutorial_model.py"


@pytest.fixture
def tutorial(registry, tutorial_file):
    """The model of the custom-model tutorial."""
    load_models(tutorial_file)
    return registry["nbdm-lognormal"]
