import subprocess
import sys

import pytest

import scribeviz

HEAVY = ("jax", "numpyro", "panel", "bokeh", "holoviews", "scanpy", "anndata")


def loaded_after(statement):
    show = f"{statement}; import sys; print(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_the_package_imports_nothing_heavy():
    assert loaded_after("import scribeviz") == []


def test_counts_alone_need_no_jax():
    assert loaded_after("import scribeviz; scribeviz.Counts") == []


@pytest.mark.parametrize("name", scribeviz.__all__)
def test_every_public_name_is_there(name):
    assert getattr(scribeviz, name) is not None


def test_public_things_say_what_they_are():
    undocumented = [
        name
        for name in scribeviz.__all__
        if name != "__version__" and not getattr(scribeviz, name).__doc__
    ]
    assert undocumented == []


def test_names_are_listed():
    assert dir(scribeviz) == sorted(scribeviz.__all__)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(
        AttributeError, match=r"scribeviz has no 'fitt'; it has Counts, .*, fit, .*\."
    ):
        _ = scribeviz.fitt
