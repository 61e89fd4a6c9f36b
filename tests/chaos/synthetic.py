"""Folders of runs that nobody fitted: as many as a lab has after some years."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from scribeviz import ModelSpec, SVIConfig
from scribeviz.data.counts import plain_counts
from scribeviz.runs.folder import RunState, RunStatus, create_run


def make_runs(root: Path, n_runs: int) -> None:
    """Runs that are done, a minute apart; of their results only the names of the files."""
    root.mkdir(parents=True, exist_ok=True)
    counts = plain_counts(np.arange(12).reshape(4, 3), name="synthetic")
    first = create_run(root / "00000-nbdm", counts, ModelSpec(), SVIConfig())
    spec = json.loads((first.path / "spec.json").read_text())
    status = asdict(
        RunStatus(
            state=RunState.DONE, step=5_000, n_steps=5_000, settled=True, started=1.0, ended=61.0
        )
    )
    data = first.counts_path.read_bytes()
    for i in range(n_runs):
        path = root / f"{i:05}-nbdm"
        path.mkdir(exist_ok=True)
        spec["created"] = time.time() - 60 * (n_runs - i)
        (path / "spec.json").write_text(json.dumps(spec, indent=2))
        (path / "status.json").write_text(json.dumps(status, indent=2))
        (path / "counts.h5").write_bytes(data)
        (path / "critique.h5").touch()
