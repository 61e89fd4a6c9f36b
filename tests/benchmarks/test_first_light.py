import runpy
from pathlib import Path

import pytest

BENCHMARK = runpy.run_path(str(Path(__file__).with_name("first_light.py")))


@pytest.mark.parametrize("k", [1, 2])
def test_the_exact_step_is_the_dense_one(k):
    size = BENCHMARK["QUICK"]._replace(n_cells=150, n_genes=120, rounds=1)
    step = BENCHMARK["measure_step"](size, k)
    # Against the dense model in float64: no worse than 1e-5, and than the dense one in float32.
    assert max(step.exact_error) < 1e-5
    assert max(step.exact_error) < 10 * max(step.dense_error)
