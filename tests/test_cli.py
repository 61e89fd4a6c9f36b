"""The command line: what it fits, and what it refuses in words."""

import resource
import signal
import subprocess
import sys

import pytest

from scribeviz import ModelSpec, SVIConfig
from scribeviz.cli import main
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.runs.folder import RunFolder, RunState, create_run
from scribeviz.runs.foreground import fit_by


@pytest.mark.slow
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
    assert "--components: cellvae has nothing of the kind" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
def test_a_second_fit_compiles_nothing(tmp_path, monkeypatch, capsys):
    cache = tmp_path / "cache"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    seconds, kept = [], []
    command = ["fit", "example", "--model", "nbdm", "--steps", "50", "--out"]
    for name in ("first", "second"):
        before = processor_seconds_of_children()
        assert main([*command, str(tmp_path / name)]) == 0
        seconds.append(processor_seconds_of_children() - before)
        kept.append({path.name for path in cache.iterdir()})
    assert "All steps are done, after 50 steps" in capsys.readouterr().out
    assert len(kept[0]) > 10
    assert kept[1] == kept[0]
    assert seconds[1] < 0.85 * seconds[0]


def processor_seconds_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fake_worker(*lines):
    """A process in place of the worker's: reads its run, then does ``lines``."""
    start = [
        "import pathlib, sys, time",
        "from scribeviz._storage import read_json, write_json",
        "path = pathlib.Path(sys.stdin.readline().strip())",
        "def say(**changes):",
        "    file = path / 'status.json'",
        "    write_json(file, read_json(file) | changes)",
    ]
    return subprocess.Popen(
        [sys.executable, "-c", "\n".join([*start, *lines])], stdin=subprocess.PIPE, text=True
    )


@pytest.fixture
def queued(tmp_path, small_counts):
    return create_run(tmp_path / "run", small_counts, ModelSpec(), SVIConfig())


def press_ctrl_c(monkeypatch, presses):
    """Interrupt the first looks at the worker, as Ctrl-C does."""
    real, left = subprocess.Popen.wait, [None] * presses

    def wait(process, timeout=None):
        if timeout is not None and left:
            left.pop()
            raise KeyboardInterrupt
        return real(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", wait)


def test_ctrl_c_asks_the_worker_to_stop_and_waits_for_it(queued, monkeypatch):
    press_ctrl_c(monkeypatch, 1)
    worker = fake_worker(
        "while not (path / 'stop').exists(): time.sleep(0.01)", "say(state='stopped', step=7)"
    )
    status = fit_by(worker, queued)
    assert (status.state, status.step) == (RunState.STOPPED, 7)


def test_a_second_ctrl_c_kills_the_worker(queued, monkeypatch):
    press_ctrl_c(monkeypatch, 2)
    worker = fake_worker("say(state='running')", "time.sleep(600)")
    status = fit_by(worker, queued)
    assert worker.returncode == -signal.SIGKILL
    assert status.state is RunState.FAILED
    assert queued.status == status


def test_a_worker_that_dies_is_said(queued):
    status = fit_by(fake_worker("sys.exit(3)"), queued)
    assert status.state is RunState.FAILED
    assert "exit code 3" in status.error


def test_a_log_is_not_flooded_with_progress(queued, capsys):
    worker = fake_worker(
        "for step in range(10): say(state='running', step=step); time.sleep(0.1)",
        "say(state='done', step=10)",
    )
    assert fit_by(worker, queued).step == 10
    # One line when it begins and one at its end: a redirected progress bar cannot be redrawn.
    assert capsys.readouterr().err.count("step/s") == 2


@pytest.mark.parametrize("command", [[], ["fit"], ["serve"]])
def test_help_waits_for_no_library(command):
    code = (
        "import sys, scribeviz.cli\n"
        "try: scribeviz.cli.main(sys.argv[1:])\n"
        "except SystemExit: print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=True
    )
    assert "usage: " in done.stdout
    imported = {name.partition(".")[0] for name in done.stdout.split()}
    assert "argparse" in imported
    assert not imported & {"numpy", "pandas", "scipy", "jax", "numpyro", "anndata", "panel", "tqdm"}


def test_the_models_are_listed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--list-models"])
    assert ended.value.code == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {*LIKELIHOODS, "cellvae"} <= set(listed)


@pytest.mark.usefixtures("registry")
def test_models_of_a_file_are_listed_with_the_others(capsys, tutorial_file):
    with pytest.raises(SystemExit):
        main(["fit", "--models", str(tutorial_file), "--list-models"])
    assert "nbdm-lognormal" in capsys.readouterr().out
