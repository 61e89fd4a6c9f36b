"""A finished mixture whose genes, labels and name try to speak HTML."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import panel as pn
import pytest

from scribeviz import ModelSpec, SVIConfig, simulate
from scribeviz.runs.folder import create_run
from scribeviz.runs.store import RunStore
from scribeviz.runs.worker import work

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def finish():
    """Run a coroutine to its end, also where a browser test has left a loop running."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda coroutine: pool.submit(asyncio.run, coroutine).result()


@pytest.fixture(scope="package")
def hostile():
    return HOSTILE


@pytest.fixture(scope="package")
def counts():
    """Sixty cells in two groups, nine genes; nobody has seen the last."""
    r = np.tile([2.0, 6.0, 1.0, 3.0], 4).reshape(2, 8)
    found, _ = simulate("nbdm_mix", n_cells=60, n_genes=8, values={"p": 0.5, "r": r})
    names = np.array([HOSTILE, "CD3E", *(f"G{i}" for i in range(6)), "Unseen"], dtype=object)
    ids = np.array([f"ENSG{i:03}" for i in range(9)], dtype=object)
    matrix = found.matrix.copy()
    matrix.resize(60, 9)
    obs = found.obs.assign(total=found.cell_totals, **{"<b>batch": "one"})
    name = f"blood {HOSTILE}"
    return replace(found, matrix=matrix, genes=names, gene_ids=ids, obs=obs, name=name)


@pytest.fixture(scope="package")
def runs_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="package")
def mixture(runs_folder, counts):
    """A finished run of two components."""
    run = create_run(
        runs_folder / "mixture", counts, ModelSpec(n_components=2), SVIConfig(n_steps=200)
    )
    work(run)
    return run


class IdleStore(RunStore):
    """Runs stay in the queue: no process is started."""

    def tend(self):
        pass


@pytest.fixture
def store(tmp_path):
    return IdleStore(tmp_path / "runs")


@pytest.fixture
def finished_store(runs_folder, mixture):
    """A store that holds the finished run."""
    assert mixture.path.parent == runs_folder
    return IdleStore(runs_folder)


def _shown(view):
    return pn.panel(view).select()


@pytest.fixture
def labels_of():
    """What the widgets of a view are called."""
    return lambda view: {part.label for part in _shown(view) if getattr(part, "label", None)}


@pytest.fixture
def html_of():
    """Everything that a view shows as HTML, without the marks of words that are explained."""

    def join(view):
        texts = [getattr(part, "object", None) for part in _shown(view)]
        html = "\n".join(text for text in texts if isinstance(text, str))
        return re.sub(r"</?dfn\b[^>]*>", "", html)

    return join
