from pathlib import Path

import pytest

from scribeviz.models.custom_registry import CUSTOM_MODELS, load_models

# It registers its model when it runs, so only a test that loads it may run it.
collect_ignore = ["tutorial_model.py"]


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
    return Path(__file__).parent / "tutorial_model.py"


@pytest.fixture
def tutorial(registry, tutorial_file):
    """The model of the custom-model tutorial."""
    load_models(tutorial_file)
    return registry["nbdm-lognormal"]
