"""The command line: what it fits, and what it refuses in words."""

import os
from unittest import mock

import pytest

from scribeviz.cli import main
from scribeviz.runs.folder import RunFolder


@pytest.fixture(autouse=True)
def _environment():
    """What the command changes in the environment is undone."""
    with mock.patch.dict(os.environ):
        yield


def test_a_network_is_trained_and_told(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["fit", "example", "--model", "cellvae", "--epochs", "1", "--out", str(out)]) == 0
    run = RunFolder(out)
    assert "All epochs are done, after 4 steps" in capsys.readouterr().out
    assert run.spec.config.max_epochs == 1
    assert run.results.get_latent_representation(run.counts).shape == (700, 10)


def test_what_a_network_does_not_have_is_refused(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["fit", "example", "--model", "cellvae", "--components", "2", "--out", str(out)])
    assert "--components: a cellvae has nothing of the kind" in capsys.readouterr().err
    assert not out.exists()
