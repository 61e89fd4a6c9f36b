"""The autoencoder of counts against scvi-tools: one table, both sides measured in one run.

``python -m tests.benchmarks.networks --scvi PYTHON`` trains on the labelled cells of pbmc3k and
2,000 variable genes, with the same cells left out on both sides; PYTHON is that of another
environment, with scvi-tools 1.4 in it (without it the table has our side only).  Each training is
a process of its own on two processors, one after the other.  Takes a quarter of an hour, nearly all
of it scvi-tools'.

The genes are scanpy's ``seurat_v3`` choice, which needs scikit-misc (``pip install scikit-misc``);
without it they are those of largest Pearson residuals, and all the numbers are others.

``--part`` chooses among nb and zinb (whole trainings), steps, and full: all genes of pbmc3k, by
itself.  Where a GPU is found, both sides use it.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.special import digamma, gammaln
from threadpoolctl import threadpool_limits

from scribeviz.data.counts import Counts, plain_counts
from scribeviz.data.readers import read
from scribeviz.fitting.network_fits import prepare_network
from scribeviz.networks.batches import CountBatch, CountBatches, Split, split_cells
from scribeviz.networks.cellvae import CellVAE, TrainingConfig
from scribeviz.networks.training import training_checkpoints
from tests.benchmarks.first_light import PBMC, Row, show

ROOT = Path(__file__).resolve().parents[2]
N_GENES = 2_000
_CONFIG = TrainingConfig()
_STEP_EPOCHS, _STEP_ROUNDS = 6, 3
_CLOSE = 0.5  # nats: a validation -ELBO that is as good as the best
_LOG_DISPERSIONS = (-7.0, 7.0)
_FEWEST = 0.5  # counts of a gene, so that one without any may be seen in another cell
_GB = 1e9
# Threads that wait in a loop burn processor seconds, ten times those of the work on a busy machine.
_QUIET = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}

type Found = Mapping[str, Any]


class Problem(NamedTuple):
    """What both sides are given."""

    matrix: sp.csr_array
    split: Split
    labels: np.ndarray
    genes: str

    def write(self, path: Path) -> None:
        """Put everything into one .npz file."""
        np.savez(
            path,
            data=self.matrix.data,
            indices=self.matrix.indices,
            indptr=self.matrix.indptr,
            shape=self.matrix.shape,
            train=self.split.train,
            validation=self.split.validation,
        )


def variable_genes(counts: Counts, n_genes: int) -> tuple[np.ndarray, str]:
    """Positions of the genes that vary most, and by which measure."""
    import anndata as ad
    import scanpy as sc

    cells = ad.AnnData(sp.csr_matrix(counts.matrix, dtype=np.float32))
    if find_spec("skmisc") is not None:
        how = "seurat_v3"
        table = sc.pp.highly_variable_genes(
            cells, flavor="seurat_v3", n_top_genes=n_genes, inplace=False
        )
    else:
        how = "Pearson residuals; install scikit-misc for seurat_v3"
        table = sc.experimental.pp.highly_variable_genes(
            cells, flavor="pearson_residuals", n_top_genes=n_genes, inplace=False
        )
    return np.flatnonzero(table["highly_variable"].to_numpy()), how


def problem(seed: int) -> Problem:
    """The labelled cells of pbmc3k, their variable genes, and the split that the seed gives."""
    counts = read(PBMC)
    counts = counts.select_cells(np.flatnonzero(counts.obs["in_pbmc3k_final"])).seen_genes()
    genes, how = variable_genes(counts, N_GENES)
    counts = counts.select_genes(genes)
    split = split_cells(counts.n_cells, validation=_CONFIG.validation_share, seed=seed)
    labels = pd.Categorical(counts.obs["seurat_annotations"]).codes
    return Problem(counts.matrix, split, np.asarray(labels), how)


def independent(
    matrix: sp.csr_array, train: np.ndarray, validation: np.ndarray
) -> tuple[float, float]:
    """Negative log-likelihood per validation cell of independent genes: NB, and Poisson.

    Every gene has a share of each cell's total counts, and a dispersion, of largest likelihood on
    the training cells.
    """
    x = matrix.astype(np.float64)
    totals = np.maximum(np.asarray(x.sum(axis=1)).ravel(), 1)
    exposure, other = totals[train], totals[validation]
    fitted, scored = x[train].tocsc(), x[validation].tocsc()
    nb = poisson = 0.0
    with threadpool_limits(1):  # threads for two unknowns only wait for each other
        for gene in range(matrix.shape[1]):
            unseen = scored[:, [gene]].toarray().ravel()
            log_share, best = _most_likely(fitted[:, [gene]].toarray().ravel(), exposure)
            factorials = gammaln(unseen + 1).sum()
            nb += _nb_loss(best, unseen, other)[0] + factorials
            log_mean = log_share + np.log(other)
            poisson += (np.exp(log_mean) - unseen * log_mean).sum() + factorials
    return float(nb / validation.size), float(poisson / validation.size)


def _most_likely(x: np.ndarray, exposure: np.ndarray) -> tuple[float, np.ndarray]:
    """Logarithm of a gene's share as a Poisson, and of its share and dispersion as an NB."""
    share = np.log(max(x.sum(), _FEWEST) / exposure.sum())
    least = np.log(_FEWEST / exposure.sum())
    found = minimize(
        _nb_loss,
        np.array([share, 0.0]),
        args=(x, exposure),
        jac=True,
        method="L-BFGS-B",
        bounds=[(least, 0.0), _LOG_DISPERSIONS],
    )
    return share, found.x


def _nb_loss(
    parameters: np.ndarray, x: np.ndarray, exposure: np.ndarray
) -> tuple[float, np.ndarray]:
    """Negative log-likelihood of a gene without its factorials, and the slopes."""
    log_share, log_theta = parameters
    theta, mean = np.exp(log_theta), np.exp(log_share) * exposure
    seen = x[x > 0]
    failures, share = np.log1p(mean / theta), mean / (mean + theta)
    value = (gammaln(seen + theta) - gammaln(theta)).sum()
    value += (x * np.log(mean / theta) - (x + theta) * failures).sum()
    of_share = (x - (x + theta) * share).sum()
    of_theta = theta * ((digamma(seen + theta) - digamma(theta)).sum() - failures.sum()) - of_share
    return -value, -np.array([of_share, of_theta])


class Watched(CountBatches):
    """Minibatches that note when each is asked for: the time of a step, its batch included."""

    steps: list[tuple[float, float]]  # seconds by the clock, and of processors

    def train_batches(self) -> Iterator[CountBatch]:
        """The training cells, shuffled anew in each epoch."""
        self.steps = getattr(self, "steps", [])
        last = None
        for batch in super().train_batches():
            now = time.perf_counter(), time.process_time()
            if last is not None:
                self.steps.append((now[0] - last[0], now[1] - last[1]))
            last = now
            yield batch


def peak_memory() -> int:
    """Most memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # the general answer starts from what the parent process had
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def given(path: str) -> tuple[Counts, Split]:
    """What :meth:`Problem.write` wrote."""
    with np.load(path) as file:
        parts = (file["data"], file["indices"], file["indptr"])
        matrix = sp.csr_array(parts, shape=tuple(file["shape"]))
        split = Split(file["train"], file["validation"], np.zeros(0, int))
    return plain_counts(matrix), split


def our_training(
    path: str, likelihood: str, max_epochs: int, seed: int, *, n_samples: int = 1_000
) -> Found:
    """Train, in this process, and judge with the cells that were left out."""
    counts, split = given(path)
    began = time.process_time()
    config = TrainingConfig(max_epochs=max_epochs, seed=seed)
    prepared = prepare_network(counts, CellVAE(likelihood=likelihood), config)
    epochs, clock = [], []
    for checkpoint in prepared.checkpoints():
        epochs.append((time.process_time() - began, float(checkpoint.validation[-1])))
        clock.append(time.perf_counter())
    seconds, memory = time.process_time() - began, peak_memory()
    if not np.array_equal(prepared.split.validation, split.validation):
        raise ValueError("both sides have to leave the same cells out.")
    results = prepared.results(checkpoint)
    unseen = results.validation(counts)
    residuals = results.residuals(unseen)
    return {
        "seconds": seconds,
        "epochs": epochs,
        "epoch_seconds": [b - a for a, b in pairwise(clock)],
        "memory": memory,
        "loss": -results.get_elbo(unseen, n_samples=25),
        "marginal": results.get_marginal_ll(unseen, n_samples=n_samples) if n_samples else None,
        "coverage": [
            float(np.mean((residuals > low) & (residuals < 1 - low))) for low in (0.05, 0.25)
        ],
        "z": np.asarray(results.get_latent_representation(counts)).tolist(),
        "memory_of_all": peak_memory(),
        "device": str(jax.devices()[0].device_kind),
    }


def our_steps(path: str, likelihood: str, max_epochs: int, seed: int) -> Found:
    """Train for some epochs, each step to its end before the next batch is made."""
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    counts, split = given(path)
    config = TrainingConfig(max_epochs=max_epochs, seed=seed)
    prepared = prepare_network(counts, CellVAE(likelihood=likelihood), config)
    data = Watched(counts.matrix, split, config.batch_size, seed)
    list(training_checkpoints(prepared.model, data, config))
    return {"steps": data.steps}


SCVI = """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
import anndata, numpy as np, scipy.sparse as sp, scvi, torch
from lightning.pytorch.callbacks import Callback
path, likelihood, max_epochs, seed, whole = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
torch.set_num_threads(2)
scvi.settings.seed = seed
with np.load(path) as f:
    x = sp.csr_matrix((f["data"], f["indices"], f["indptr"]), shape=f["shape"], dtype=np.float32)
    train, validation = f["train"], f["validation"]
cells = anndata.AnnData(x)
scvi.model.SCVI.setup_anndata(cells)

class Watch(Callback):
    epochs, steps, last = [], [], None
    def on_train_batch_end(self, trainer, module, outputs, batch, number):
        now = time.perf_counter(), time.process_time()
        if number:
            self.steps.append((now[0] - self.last[0], now[1] - self.last[1]))
        self.last = now
    def on_train_epoch_end(self, trainer, module):
        loss = trainer.callback_metrics.get("elbo_validation")
        if loss is not None:
            self.epochs.append((time.process_time() - began, float(loss)))

watch = Watch()
began = time.process_time()
model = scvi.model.SCVI(cells, n_latent=10, gene_likelihood=likelihood)
model.train(
    max_epochs=max_epochs, batch_size=128, early_stopping=True, check_val_every_n_epoch=1,
    datasplitter_kwargs={"external_indexing": [train, validation]},
    plan_kwargs={"n_epochs_kl_warmup": 50}, callbacks=[watch], enable_progress_bar=False,
)
seconds = time.process_time() - began

def peak_memory():
    try:
        with open("/proc/self/status") as lines:
            return next(1024 * int(l.split()[1]) for l in lines if l.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

found = {"seconds": seconds, "epochs": watch.epochs, "steps": watch.steps, "memory": peak_memory()}
if whole:
    assert sorted(model.validation_indices) == sorted(validation)
    few = dict(indices=validation)
    found["loss"] = -float(np.mean([float(model.get_elbo(**few)) for _ in range(25)]))
    marginal = model.get_marginal_ll(n_mc_samples=1000, return_mean=False, **few)
    found["marginal"] = float(np.mean(np.asarray(marginal)))
    found["z"] = model.get_latent_representation().tolist()
    found["memory_of_all"] = peak_memory()
print(json.dumps(found))
"""


def in_a_process(python: str, text: str, *arguments: Any) -> Found:
    """What a script prints in its last line, read."""
    done = subprocess.run(
        [python, "-W", "ignore", "-c", text, *map(str, arguments)],
        env=os.environ | _QUIET,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


_OURS = """
import json, sys
from tests.benchmarks import networks
call, path, likelihood, max_epochs, seed = sys.argv[1:]
print(json.dumps(getattr(networks, call)(path, likelihood, int(max_epochs), int(seed))))
"""


def ours(call: str, *arguments: Any) -> Found:
    """A function of this module in a process of its own."""
    return in_a_process(sys.executable, _OURS, call, *arguments)


def seconds_until(epochs: Sequence[Sequence[float]], wanted: float) -> float | None:
    """Processor seconds to the first epoch whose validation loss is at most ``wanted``."""
    return next((seconds for seconds, loss in epochs if loss <= wanted), None)


def agreement(z: Any, labels: np.ndarray) -> float:
    """Adjusted Rand index of k-means with the labels, the median of five starts."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    n_groups = np.unique(labels).size
    return float(
        np.median(
            [
                adjusted_rand_score(
                    labels, KMeans(n_groups, n_init=10, random_state=seed).fit_predict(np.array(z))
                )
                for seed in range(5)
            ]
        )
    )


def training_rows(
    likelihood: str, own: Found, other: Found | None, nb: float, labels: np.ndarray
) -> Iterator[Row]:
    """A whole training; of scvi-tools' side too where there is one."""

    def beside(mine: str, theirs: Any, form: str = "{:.1f}") -> str:
        return mine if other is None else f"{mine} | {form.format(theirs(other))}"

    loss = own["loss"]
    reached = None
    if other is not None:
        reached = min(other["loss"], *(loss for _, loss in other["epochs"]))
    yield Row(
        f"{likelihood}: validation -ELBO per cell",
        beside(f"{loss:.1f}", lambda o: o["loss"]),
        "<= 681 with seurat_v3 genes"
        if reached is None
        else f"{_met(loss <= reached)} <= {reached:.1f}, scvi-tools' last or best epoch",
    )
    yield Row(
        "    less than independent NB by",
        beside(f"{nb - loss:.1f}", lambda o: nb - o["loss"]),
        f"{_met(nb - loss >= 23.1)} >= 23.1",
    )
    yield Row(
        "    marginal log-likelihood per cell, 1,000 draws",
        beside(f"{own['marginal']:.1f}", lambda o: o["marginal"]),
        ">= -673"
        if other is None
        else f"{_met(own['marginal'] >= other['marginal'])} >= scvi-tools'",
    )
    for nominal, found in zip((0.9, 0.5), own["coverage"], strict=True):
        yield Row(
            f"    randomised {nominal:.0%} intervals hold of the counts",
            f"{found:.3f}",
            f"{_met(abs(found - nominal) <= 0.02)} {nominal} +- 0.02",
        )
    score = agreement(own["z"], labels)
    yield Row(
        "    k-means on z against the cell types, adjusted Rand index",
        beside(f"{score:.2f}", lambda o: agreement(o["z"], labels), "{:.2f}"),
        f"{_met(score >= 0.55)} >= 0.55",
    )
    yield Row(
        "    epochs",
        beside(f"{len(own['epochs'])}", lambda o: len(o["epochs"]), "{}"),
    )
    yield from _time_rows(own, other)
    yield Row(
        "    peak memory of the process, training, GB",
        beside(f"{own['memory'] / _GB:.2f}", lambda o: o["memory"] / _GB, "{:.2f}"),
        f"{_met(own['memory'] <= 1.2 * _GB)} <= 1.2",
    )
    yield Row(
        "    and with all that is above, GB",
        beside(f"{own['memory_of_all'] / _GB:.2f}", lambda o: o["memory_of_all"] / _GB, "{:.2f}"),
        f"{_met(own['memory_of_all'] <= 1.2 * _GB)} <= 1.2",
    )


def _time_rows(own: Found, other: Found | None) -> Iterator[Row]:
    ends = own["seconds"], None if other is None else other["seconds"]
    yield _ratio("    processor seconds to the end of training", *ends, 0.5)
    goal = _close_to_best(own)
    mine = seconds_until(own["epochs"], goal)
    theirs = None if other is None else seconds_until(other["epochs"], _close_to_best(other))
    yield _ratio(f"    processor seconds to within {_CLOSE} nats of its best", mine, theirs, 0.5)
    if other is not None:
        mine = seconds_until(own["epochs"], _close_to_best(other))
        yield _ratio("    processor seconds to scvi-tools' best, as close", mine, theirs, 0.5)


def _close_to_best(found: Found) -> float:
    return min(loss for _, loss in found["epochs"]) + _CLOSE


def _ratio(
    what: str, mine: float | None, theirs: float | None, most: float, form: str = ".1f"
) -> Row:
    if mine is None:
        return Row(what, "not reached", _met(met=False))
    if theirs is None:
        return Row(what, f"{mine:{form}}")
    ratio = mine / theirs
    return Row(
        what, f"{mine:{form}} | {theirs:{form}}", f"{_met(ratio <= most)} {ratio:.2f}x <= {most}x"
    )


def _met(met: bool) -> str:  # noqa: FBT001
    return "yes:" if met else "NO:"


def step_rows(path: Path, scvi: str | None, seed: int) -> Iterator[Row]:
    """A training step with the making of its batch, both sides in turn."""
    mine: list[Any] = []
    theirs: list[Any] = []
    for _ in range(_STEP_ROUNDS):
        mine += ours("our_steps", path, "nb", _STEP_EPOCHS, seed)["steps"]
        if scvi is not None:
            theirs += in_a_process(scvi, SCVI, path, "nb", _STEP_EPOCHS, seed, 0)["steps"]
    # Load from elsewhere lengthens the clock's steps, and not alike: not so the fastest tenth.
    for what, column, share in (
        ("ms, median", 0, 50),
        ("ms, fastest tenth", 0, 10),
        ("processor ms, median", 1, 50),
    ):
        yield _ratio(
            f"nb: one training step, {what} of {len(mine)}",
            1e3 * float(np.percentile(mine, share, axis=0)[column]),
            1e3 * float(np.percentile(theirs, share, axis=0)[column]) if theirs else None,
            0.8,
            ".2f",
        )


def full_rows(folder: Path, seed: int) -> Iterator[Row]:
    """Every gene of pbmc3k that was seen."""
    counts = read(PBMC).seen_genes()
    split = split_cells(counts.n_cells, validation=_CONFIG.validation_share, seed=seed)
    path = folder / "full.npz"
    Problem(counts.matrix, split, np.zeros(0), "all").write(path)
    own = ours("our_training", path, "nb", _CONFIG.max_epochs, seed)
    shape = f"{counts.n_cells:,} x {counts.n_genes:,}"
    yield Row(f"nb, {shape}, on {own['device']}: seconds per epoch", _median(own["epoch_seconds"]))
    yield Row("    epochs, processor seconds", f"{len(own['epochs'])}, {own['seconds']:.0f}")
    nb, poisson = independent(counts.matrix, split.train, split.validation)
    yield Row(
        "    validation -ELBO per cell; independent NB, Poisson",
        f"{own['loss']:.1f}; {nb:.1f}, {poisson:.1f}",
        f"{_met(own['loss'] < nb)} less than independent NB",
    )
    yield Row(
        "    peak memory of the process, training; with all checks, GB",
        f"{own['memory'] / _GB:.2f}; {own['memory_of_all'] / _GB:.2f}",
    )


def _median(seconds: Sequence[float]) -> str:
    low, middle, high = (f(seconds) for f in (np.min, np.median, np.max))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scvi", metavar="PYTHON", help="the Python that has scvi-tools")
    parser.add_argument("--part", choices=("nb", "zinb", "steps", "full"), action="append")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of both trainings")
    chosen = parser.parse_args()
    if not PBMC.is_file():
        parser.exit(1, f"{PBMC.name} is not in {PBMC.parent}; there is nothing to measure on.\n")
    parts = chosen.part or ["nb", "zinb", "steps"]
    if hasattr(os, "sched_setaffinity"):  # both sides inherit it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, seed {chosen.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if parts != ["full"]:
            compare(Path(folder), parts, chosen.scvi, chosen.seed)
        if "full" in parts:
            for row in full_rows(Path(folder), chosen.seed):
                show([row])


def compare(folder: Path, parts: Sequence[str], scvi: str | None, seed: int) -> None:
    """Both sides on the variable genes."""
    data, path = problem(seed), folder / "data.npz"
    data.write(path)
    n_cells, n_genes = data.matrix.shape
    nb, poisson = independent(data.matrix, data.split.train, data.split.validation)
    print(f"pbmc3k, {n_cells:,} x {n_genes:,} genes ({data.genes}); found: ours | scvi-tools")
    show([Row("validation -log-likelihood, independent NB, Poisson", f"{nb:.1f}, {poisson:.1f}")])
    if "steps" in parts:
        show(list(step_rows(path, scvi, seed)))
    for likelihood in ("nb", "zinb"):
        if likelihood in parts:
            own = ours("our_training", path, likelihood, _CONFIG.max_epochs, seed)
            settings = (path, likelihood, 400, seed, 1)
            other = None if scvi is None else in_a_process(scvi, SCVI, *settings)
            show(list(training_rows(likelihood, own, other, nb, data.labels)))


if __name__ == "__main__":
    main()
