"""The reference's modules are there from the first moment, as attributes and by import."""

import importlib
import subprocess
import sys

import pytest

NAMES = [
    "svi.SVIInferenceEngine",
    "svi.SVIResultsFactory",
    "svi.ScribeSVIResults",
    "svi.run_scribe",
    "svi.rerun_scribe",
    "mcmc.ScribeMCMCResults",
    "results.CustomResults",
    "results.ScribeSVIResults",
    "viz.plot_posterior",
    "stats.fit_dirichlet_minka",
    "utils.numpyro_to_scipy",
]


def test_as_attributes_without_another_import():
    asked = "; ".join(f"scribe.{name}" for name in NAMES)
    program = f"import scribeviz as scribe; {asked}"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("room", ["mcmc", "results", "stats", "svi", "utils", "viz"])
def test_what_is_not_there_is_answered_with_what_is(room):
    module = importlib.import_module(f"scribeviz.{room}")
    assert all(getattr(module, name).__doc__ for name in module.__all__)
    with pytest.raises(AttributeError, match=rf"scribeviz.{room} has no 'nothing'; it has \w+"):
        _ = module.nothing
