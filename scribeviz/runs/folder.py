"""A run on disk: a folder whose files are each replaced whole, so that a reader never sees half."""

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scribeviz import __version__
from scribeviz._storage import read_arrays, read_json, write_arrays, write_json
from scribeviz.criticism.critique import Critique, calibrated_in
from scribeviz.criticism.loo import CellScores
from scribeviz.data.counts import Counts
from scribeviz.fitting.kinds import (
    ChosenModel,
    chosen_from_dict,
    kind_of,
    known_kind_of,
    resolved,
)
from scribeviz.fitting.methods import (
    InferenceConfig,
    config_as_dict,
    config_from_dict,
    method_of,
)
from scribeviz.fitting.plan import AnyCheckpoint
from scribeviz.results.protocol import Results
from scribeviz.runs.checkpoints import load_checkpoint, save_checkpoint
from scribeviz.runs.damage import checked, reading

READING, COMPILING = "reading the counts", "compiling the model"
CHECKING, SCORING = "checking every gene", "scoring cells that were left out"
"""What a worker does before and after it fits, as its status says."""


_MOST_OF_A_LOG = 64_000  # bytes that are read of its end
_LAST_LOSSES = 200  # over which a noisy loss is averaged


class RunState(StrEnum):
    """Where a run is on its way."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"{str(value)[:40]!r} is no state of a run that this version knows")

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self not in {RunState.QUEUED, RunState.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What a run fits, complete: the same spec and seed give the same fit."""

    data_name: str
    fingerprint: str
    n_cells: int
    n_genes: int
    model: ChosenModel
    config: InferenceConfig
    created: float
    versions: Mapping[str, str]
    start_from: str = ""  # id of the run that this one goes on from
    read_by: str = ""  # the Python that reads the counts again
    filters: tuple[Mapping[str, Any], ...] = ()  # what was left out of the data before the fit
    scores: str = ""  # id of the run that this one scores, by fits that have not seen the cells
    folds: int = 0  # that the cells are divided into for it

    @property
    def described(self) -> str:
        """The model in words, how it is fitted unless as usual, and whether it is scored."""
        folds = f"{self.folds}-fold cross-validation" if self.scores else ""
        return ", ".join(filter(None, [self.model.described, self._unusual_method, folds]))

    @property
    def _unusual_method(self) -> str:
        """How it is fitted; nothing where that is the model's usual way."""
        method, kind = method_of(self.config), known_kind_of(self.model)
        is_usual = kind is None or method.key == kind.methods[0]
        return "" if is_usual else method.result

    @property
    def data_label(self) -> str:
        """The data's name, and how many cells are left where some were left out."""
        return f"{self.data_name}, {self.n_cells:,} cells" if self.filters else self.data_name

    @property
    def label(self) -> str:
        """The same in short: the model's name, its components, and an unusual method."""
        k = self.model.n_components
        parts = [self.model.name, f"K = {k}" if k > 1 else "", self._unusual_method]
        return ", ".join(filter(None, parts))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able content."""
        nested = {"model": self.model.as_dict(), "config": config_as_dict(self.config)}
        return {f.name: getattr(self, f.name) for f in fields(self)} | nested

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "RunSpec":
        """Read what :meth:`as_dict` gave."""
        model = chosen_from_dict(content["model"])
        config = config_from_dict(content["config"])
        filters = tuple(content.get("filters", ()))  # runs of before have none
        changed = {"model": model, "config": config, "filters": filters}
        return checked(cls, dict(content) | changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How far a run is.

    Attributes
    ----------
    state
        See :class:`RunState`.
    doing
        What the worker is at, in words.
    step, n_steps, steps_per_second
        Progress; ``n_steps`` is the most that will be done.
    progress
        About how much of the fit is done, by the rule that ends it, from 0 to 1.
    settled
        Whether the loss had settled when the fit ended.
    device
        What the fit runs on, in words.
    pid, process_started
        The worker process; together they identify it.
    started, ended
        Seconds since 1970; 0 while not yet.
    error
        What went wrong and what to do, in words; empty when nothing did.
    loss
        Where the loss is, in nats; None before there is one, and of runs of before it was kept.
    note
        What somebody wrote to it.
    """

    state: RunState
    doing: str = ""
    step: int = 0
    n_steps: int = 0
    steps_per_second: float = 0.0
    progress: float = 0.0
    settled: bool = False
    device: str = ""
    pid: int = 0
    process_started: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    error: str = ""
    loss: float | None = None
    note: str = ""

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "RunStatus":
        """Read what ``dataclasses.asdict`` gave."""
        return checked(cls, dict(content) | {"state": RunState(content["state"])})

    @property
    def is_settled(self) -> bool:
        """Whether it stays as it is unless somebody acts on it.

        One that was stopped is over at once, and its worker goes on to judge what is kept.
        """
        return self.state.is_over and not self.doing

    @property
    def percent(self) -> int:
        """About how much of the fit is done; a settled fit is complete whatever its steps."""
        if self.state is RunState.DONE:
            return 100
        most = self.step / self.n_steps if self.n_steps else 0.0
        return int(100 * max(self.progress, most))

    @property
    def seconds(self) -> float:
        """How long the run has taken, or has taken so far."""
        if not self.started:
            return 0.0
        return (self.ended or time.time()) - self.started

    @property
    def can_be_explored(self) -> bool:
        """Whether what was fitted last is there to be looked at, where the run has results."""
        return self.state.is_over or self.doing == SCORING

    @property
    def most_seconds_left(self) -> float | None:
        """Seconds until ``n_steps`` are done, or None while the speed is not known."""
        if self.state is not RunState.RUNNING or self.steps_per_second == 0:
            return None
        return (self.n_steps - self.step) / self.steps_per_second


@dataclass(frozen=True)
class RunFolder:
    """One run; every property reads the disk anew unless it can no longer change.

    One whose file is damaged raises :class:`~scribeviz.runs.damage.DamagedRunError`.
    """

    path: Path

    @property
    def id(self) -> str:
        """Name of the run, also in URLs."""
        return self.path.name

    @cached_property
    def spec(self) -> RunSpec:
        """What is fitted."""
        path = self.path / "spec.json"
        with reading(path):
            return RunSpec.from_dict(read_json(path))

    @property
    def status(self) -> RunStatus:
        """How far it is."""
        path = self.path / "status.json"
        with reading(path):
            return RunStatus.from_dict(read_json(path))

    def write_status(self, status: RunStatus) -> None:
        """Replace the status."""
        write_json(self.path / "status.json", asdict(status))

    def update_status(self, **changes: Any) -> RunStatus:
        """Replace some entries of the status."""
        status = replace(self.status, **changes)
        self.write_status(status)
        return status

    @property
    def losses(self) -> np.ndarray:
        """Loss of every step so far, in nats; empty before the first checkpoint."""
        return self.traces[0]

    @property
    def validation(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps after which cells kept from training were scored, and their loss; mostly none."""
        return self.traces[1]

    @property
    def traces(self) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Both :attr:`losses` and :attr:`validation`, of one moment and in one reading."""
        path = self.path / "losses.h5"
        with reading(path):
            arrays = read_arrays(path)[0] if path.exists() else {}
        nothing = np.zeros(0, np.float32)
        validation = arrays.get("validated", np.zeros(0, int)), arrays.get("validation", nothing)
        return arrays.get("losses", nothing), validation

    @property
    def last_loss(self) -> float | None:
        """Where the loss is, in nats; None before there is one."""
        losses, (_, validated) = self.traces
        return last_loss(losses, validated, self.spec.config)

    def write_losses(
        self, losses: np.ndarray, validation: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        """Replace the losses."""
        arrays = {"losses": losses}
        if validation is not None and validation[0].size:
            arrays |= {"validated": validation[0], "validation": validation[1]}
        write_arrays(self.path / "losses.h5", arrays, {})

    @property
    def has_checkpoint(self) -> bool:
        """Whether the fit can go on from where it was."""
        return bool(self.spec.scores) or (self.path / "checkpoint.h5").exists()

    def read_checkpoint(self) -> AnyCheckpoint:
        """The latest checkpoint."""
        path = self.path / "checkpoint.h5"
        with reading(path):
            return load_checkpoint(path)

    def write_checkpoint(self, checkpoint: AnyCheckpoint) -> None:
        """Replace the latest checkpoint."""
        save_checkpoint(checkpoint, self.path / "checkpoint.h5")

    @property
    def has_results(self) -> bool:
        """Whether there is something to explore."""
        return self.critique_path.exists()

    @property
    def counts(self) -> Counts:
        """The data that are fitted."""
        if self.spec.scores:
            return self.scored.counts
        with reading(self.counts_path):
            return Counts.load(self.counts_path)

    @property
    def results(self) -> Results:
        """What was found: the results object of the model and the method."""
        model, config = self.spec.model, self.spec.config
        kind = kind_of(model)
        with reading(self.results_path):
            return kind.load(self.results_path, resolved(model), config)

    @property
    def critique(self) -> Critique:
        """What the fit is judged by."""
        with reading(self.critique_path):
            return Critique.load(self.critique_path)

    @property
    def calibrated(self) -> np.ndarray:
        """Probabilities of each cell's assignment, without the rest of the critique."""
        with reading(self.critique_path):
            return calibrated_in(self.critique_path)

    def write_results(self, results: Results) -> None:
        """Keep what was found."""
        results.save(self.results_path)

    def write_critique(self, critique: Critique) -> None:
        """Keep what the fit is judged by: it says that there is something to explore."""
        critique.save(self.critique_path)

    @property
    def scored(self) -> "RunFolder":
        """The run whose cells this one scores."""
        return RunFolder(self.path.parent / Path(self.spec.scores).name)

    @property
    def fold_scores(self) -> CellScores | None:
        """Scores of the cells by cross-validation; None where there was none."""
        path = self.path / "folds.h5"
        if not path.exists():
            return None
        with reading(path):
            return CellScores.from_file(*read_arrays(path))

    def write_fold_scores(self, scores: CellScores) -> None:
        """Keep scores by cross-validation; those of a run that scores are NaN until done."""
        write_arrays(self.path / "folds.h5", *scores.as_file())

    @property
    def preview_path(self) -> Path:
        """What a fit that is under way is judged by, from its means; gone when it is over."""
        return self.path / "preview.h5"

    @property
    def preview_version(self) -> tuple[int, int]:
        """Something that differs once the preview is replaced; zeros where there is none."""
        return version_of(self.preview_path)

    @property
    def counts_path(self) -> Path:
        """Where the data are."""
        return self.path / "counts.h5"

    @property
    def results_path(self) -> Path:
        """Where the results are, for ``ScribeSVIResults.load``."""
        return self.path / "results.h5"

    @property
    def critique_path(self) -> Path:
        """Where the critique is; written after the results, so that all is there when it is."""
        return self.path / "critique.h5"

    @property
    def log_path(self) -> Path:
        """What the worker printed, stack traces included."""
        return self.path / "worker.log"

    def log_tail(self, n_lines: int = 60) -> list[str]:
        """The last lines that its worker wrote; none before the first."""
        if not self.log_path.exists():
            return []
        with self.log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _MOST_OF_A_LOG))
            return log.read().decode(errors="replace").splitlines()[-n_lines:]

    def ask_to_stop(self) -> None:
        """Ask the worker to end at its next checkpoint."""
        (self.path / "stop").touch()

    def withdraw_stop(self) -> None:
        """Forget an earlier request to stop."""
        (self.path / "stop").unlink(missing_ok=True)

    @property
    def stop_asked(self) -> bool:
        """Whether somebody asked it to stop."""
        return (self.path / "stop").exists()

    @property
    def seconds_unanswered(self) -> float:
        """For how long the worker has said nothing after it was last asked to stop, or 0."""
        asked, said = version_of(self.path / "stop")[0], version_of(self.path / "status.json")[0]
        return 0.0 if not asked or said > asked else time.time() - asked / 1e9


def last_loss(losses: np.ndarray, validated: np.ndarray, config: InferenceConfig) -> float | None:
    """Where a loss ended; of a network the lowest on cells that it was not trained on."""
    if validated.size:
        return float(validated.min())
    last = losses[-(_LAST_LOSSES if method_of(config).is_noisy else 1) :]
    return float(last.mean()) if last.size else None


def version_of(path: Path | str) -> tuple[int, int]:
    """When a file was written, and its number; zeros where there is none."""
    try:
        stat = os.stat(path)  # noqa: PTH116
    except OSError:
        return 0, 0
    # Clocks of file systems are coarse; a replacement is also another file.
    return stat.st_mtime_ns, stat.st_ino


def create_run(
    path: Path,
    counts: Counts,
    model: ChosenModel,
    config: InferenceConfig,
    start_from: str = "",
) -> RunFolder:
    """Write a new run, queued, with a copy of its data.

    Raises
    ------
    FileExistsError
        If ``path`` exists and is not empty.
    """
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise FileExistsError(f"{path} is not empty; give the run a folder of its own.")
    spec = RunSpec(
        data_name=counts.name,
        read_by=counts.read_by,
        filters=counts.filters,
        fingerprint=counts.fingerprint,
        n_cells=counts.n_cells,
        n_genes=counts.n_genes,
        model=model,
        config=config,
        created=time.time(),
        versions=_versions(),
        start_from=start_from,
    )
    folder = RunFolder(path)
    counts.save(folder.counts_path)
    write_json(path / "spec.json", spec.as_dict())
    folder.write_status(RunStatus(state=RunState.QUEUED, n_steps=config.n_steps))
    return folder


def create_scoring(path: Path, scored: RunFolder, folds: int) -> RunFolder:
    """Write a new run, queued, that cross-validates what another one fitted."""
    path.mkdir(parents=True)
    spec = replace(scored.spec, created=time.time(), start_from="", scores=scored.id, folds=folds)
    folder = RunFolder(path)
    write_json(path / "spec.json", spec.as_dict())
    folder.write_status(RunStatus(state=RunState.QUEUED))
    return folder


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    # A checkout need not be installed.
    others = {name: version(name) for name in ("jax", "numpyro", "optax", "numpy")}
    return {"scribeviz": __version__, **others}
