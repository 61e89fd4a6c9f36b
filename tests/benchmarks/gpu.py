"""A GPU against the processor of the same machine: speed, numbers, repeatability, the worker.

``python -m tests.benchmarks.gpu`` takes eight minutes at most; ``--device cpu`` compares the
processor with itself, so that the script is known to run; ``--small`` is a smoke test.  It ends
with a table in Markdown, and with status 1 if a row failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.util import log_density

from scribeviz.data.counts import Counts, plain_counts
from scribeviz.fitting.count_models import prepare_fit
from scribeviz.fitting.network_fits import prepare_network
from scribeviz.inference.exact import ExactConfig
from scribeviz.inference.svi import SVIConfig
from scribeviz.models.spec import model_spec
from scribeviz.networks.cellvae import CellVAE, TrainingConfig
from scribeviz.runs.folder import RunFolder, create_run
from scribeviz.runs.store import worker_environment

COLUMNS = (
    "model",
    "ms per step, GPU",
    "ms per step, CPU",
    "CPU / GPU",
    "value off by",
    "slopes off by",
    "same seed, same fit",
    "resumed, same fit",
    "peak memory",
)


class Case(NamedTuple):
    """A model, and how it is fitted."""

    model: str
    k: int = 1
    batch: int = 0

    def __str__(self) -> str:
        components = f", K = {self.k}" if self.k > 1 else ""
        return f"{self.model}{components}" + (f", {self.batch} cells a step" if self.batch else "")


CASES = (
    Case("nbdm"),
    Case("zinbvcp"),
    Case("nbvcp", k=2),
    Case("nbvcp", k=5),
    Case("cellvae"),
    Case("nb"),
    Case("nb", batch=128),
    Case("nb", k=5),
)
THROUGH_THE_WORKER = {"nbvcp": SVIConfig(n_steps=2_000), "nb": ExactConfig()}


@dataclass(frozen=True)
class Setting:
    """What is measured, and on what.

    Attributes
    ----------
    counts
        The data.
    device, cpu
        The device that is looked at, and the one that it is compared with.
    steps
        Of a fit that is timed.
    repeated
        Of fits that should repeat.
    """

    counts: Counts
    device: jax.Device
    cpu: jax.Device
    steps: int
    repeated: int


def simulated(n_cells: int, n_genes: int) -> Counts:
    """Counts of about 9 % non-zeros, with depths that differ."""
    rng = np.random.default_rng(0)
    r = np.maximum(rng.lognormal(-3.1, 1.4, n_genes), 0.02)
    depth = rng.lognormal(0.0, 0.4, (n_cells, 1))
    rate = rng.standard_gamma(r, (n_cells, n_genes)).astype(np.float32) * (1.5 * depth)
    matrix = rng.poisson(rate)
    matrix[0] = np.maximum(matrix[0], 1)  # every gene is seen
    return plain_counts(matrix, name=f"{n_cells:,} cells x {n_genes:,} genes")


def fit_of(setting: Setting, case: Case, n_steps: int) -> Any:
    """A fit of exactly so many steps (epochs of a network)."""
    if case.model == "cellvae":
        config = TrainingConfig(max_epochs=n_steps, patience=n_steps, seed=1)
        return prepare_network(setting.counts, CellVAE(), config)
    spec = model_spec(case.model, n_components=case.k)
    config = SVIConfig(n_steps=n_steps, tolerance=0.0, seed=1, batch_size=case.batch)
    return prepare_fit(setting.counts, spec, config)


def milliseconds(setting: Setting, device: jax.Device, case: Case, steps: int) -> float:
    """Of a step, at the best pace between two checkpoints; compilation is in the first."""
    with jax.default_device(device):
        paces = [c.steps_per_second for c in fit_of(setting, case, steps).checkpoints()]
    return 1e3 / max(paces[1:] or paces)


def arrays_of(checkpoint: Any) -> list[np.ndarray]:
    """All parameters of a checkpoint."""
    return [
        np.asarray(leaf)
        for leaf in jax.tree.leaves(getattr(checkpoint, "params", None) or checkpoint.state)
    ]


def same(one: Any, other: Any) -> str:
    """Whether two fits ended with the same parameters, or how far apart they are."""
    pairs = list(zip(arrays_of(one), arrays_of(other), strict=True))
    if all(np.array_equal(a, b) for a, b in pairs):
        return "bit for bit"
    apart = max(float(np.max(np.abs(a - b) / (np.abs(b) + 1e-3), initial=0)) for a, b in pairs)
    return f"off by {apart:.0e}"


def repeats(setting: Setting, case: Case) -> tuple[str, str]:
    """Whether the same seed gives the same fit, at once and after a stop."""
    n = 3 if case.model == "cellvae" else setting.repeated
    with jax.default_device(setting.device):
        unbroken = list(fit_of(setting, case, n).checkpoints())
        again = list(fit_of(setting, case, n).checkpoints())
        resumed = list(fit_of(setting, case, n).checkpoints(start=unbroken[0]))
    return same(again[-1], unbroken[-1]), same(resumed[-1], unbroken[-1])


def numbers(setting: Setting, case: Case) -> tuple[str, str]:
    """Relative errors of a value and of its slopes, the device against the processor."""
    if case.model == "cellvae":
        losses = []
        for device in (setting.device, setting.cpu):
            with jax.default_device(device):
                first, *_ = fit_of(setting, case, 1).checkpoints()
            losses.append(float(first.losses[0]))
        return f"{abs(losses[0] / losses[1] - 1):.0e} (first loss)", "-"
    fit = fit_of(setting, case, 1)
    params = fit.model.posterior_means(next(iter(fit.checkpoints())).params)

    def density(values: Any, tables: Any) -> Any:
        return log_density(fit.model.model, (tables,), {}, values)[0]

    both = []
    for device in (setting.device, setting.cpu):
        with jax.default_device(device):
            tables = jax.tree.map(jnp.asarray, fit.tables)
            values = {name: jnp.asarray(np.asarray(value)) for name, value in params.items()}
            both.append(jax.device_get(jax.jit(jax.value_and_grad(density))(values, tables)))
    (value, slopes), (exact, wanted) = both
    off = max(
        float(np.max(np.abs(slopes[name] - wanted[name])) / np.max(np.abs(wanted[name])))
        for name in wanted
    )
    return f"{abs(value / exact - 1):.0e}", f"{off:.0e}"


def row(setting: Setting, case: Case) -> dict[str, str]:
    """One line of the table."""
    steps = 12 if case.model == "cellvae" else setting.steps
    gpu = milliseconds(setting, setting.device, case, steps)
    cpu = milliseconds(setting, setting.cpu, case, 3 if case.model == "cellvae" else steps // 4)
    value, slopes = numbers(setting, case)
    again, resumed = repeats(setting, case)
    memory = (setting.device.memory_stats() or {}).get("peak_bytes_in_use")
    cells = (
        str(case),
        f"{gpu:.2f}",
        f"{cpu:.2f}",
        f"{cpu / gpu:.1f}",
        value,
        slopes,
        again,
        resumed,
        "-" if memory is None else f"{memory / 1e6:,.0f} MB so far",
    )
    return dict(zip(COLUMNS, cells, strict=True))


def through_the_worker(setting: Setting, model: str, folder: Path) -> str:
    """A whole fit as the dashboard does it, in a process of its own."""
    run = create_run(folder, setting.counts, model_spec(model), THROUGH_THE_WORKER[model])
    environment = dict(worker_environment())
    if setting.device.platform == "cpu":
        environment["JAX_PLATFORMS"] = "cpu"
    # This process holds most of the memory of a GPU already.
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "scribeviz.runs.worker"],
        input=f"{run.path}\n",
        text=True,
        env=environment,
        check=True,
        timeout=240,
    )
    status = RunFolder(run.path).status
    if status.error or not RunFolder(run.path).has_results:
        raise RuntimeError(f"the worker ended as {status.state}: {status.error}")
    return (
        f"A fit of {model} through the worker: {status.state}, {status.step:,} steps on "
        f"{status.device}, {time.monotonic() - started:.0f} s with start, compilation and checks."
    )


def table(rows: list[dict[str, str]]) -> Iterator[str]:
    """In Markdown."""
    yield "| " + " | ".join(COLUMNS) + " |"
    yield "|" + "---|" * len(COLUMNS)
    for each in rows:
        yield "| " + " | ".join(each.get(name, "") for name in COLUMNS) + " |"


def attempt(what: str, work: Callable[[], Any], left: float) -> tuple[Any, str]:
    """The result of ``work``, or why there is none."""
    if left <= 0:
        return None, f"{what}: not reached"
    try:
        return work(), ""
    except Exception as problem:  # noqa: BLE001  the other rows go on, and the status says so
        traceback.print_exc()
        return None, f"{what}: failed ({type(problem).__name__}: {str(problem)[:200]})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--seconds", type=float, default=400, help="after which rows are left out")
    parser.add_argument("--small", action="store_true", help="a smoke test")
    parser.add_argument("--only", help="a model's name: its rows alone, and no worker")
    chosen = parser.parse_args()
    end = time.monotonic() + chosen.seconds
    cpu = jax.devices("cpu")[0]
    device = cpu if chosen.device == "cpu" else jax.devices("gpu")[0]
    n_cells, n_genes, steps = (120, 60, 200) if chosen.small else (2_700, 10_000, 2_000)
    counts = simulated(n_cells, n_genes)
    setting = Setting(counts, device, cpu, steps, repeated=60)
    rows, failures = [], []
    for case in CASES:
        if chosen.only not in {None, case.model}:
            continue
        few = replace(
            setting, steps=steps // 10 if case.model == "zinbvcp" or case.k > 1 else steps
        )
        began = time.monotonic()
        made, problem = attempt(str(case), lambda few=few, case=case: row(few, case), end - began)
        if made is None:
            failures.append(problem)
            made = {"model": problem}
        rows.append(made)
        print(made, f"{time.monotonic() - began:.0f} s", flush=True)
    whole_fits = []
    for model in THROUGH_THE_WORKER if chosen.only is None else ():
        with tempfile.TemporaryDirectory() as folder:
            sentence, problem = attempt(
                f"{model} through the worker",
                lambda model=model, run=Path(folder) / "run": through_the_worker(
                    setting, model, run
                ),
                end - time.monotonic(),
            )
        whole_fits.append(sentence or problem)
        failures += [problem] if problem else []
    print()
    print(
        f"{device.device_kind} against {os.cpu_count()} processor cores, JAX {jax.__version__}, "
        f"{counts.name}, float32.\n"
    )
    print("\n".join(table(rows)))
    print("\n" + "\n\n".join(whole_fits))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
