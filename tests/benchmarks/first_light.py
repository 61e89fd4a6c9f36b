"""How fast, how exact and how right the first models are: one table, measured in one run.

``python -m tests.benchmarks.first_light`` takes some minutes and up to about 12 GB, for the dense
models that the exact ones are compared with; ``--quick`` takes a minute and little memory.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer.util import log_density

from scribeviz.data.counts import Counts, plain_counts
from scribeviz.data.tables import CellRows, SurvivalTable, survival_table
from scribeviz.models.builder import build
from scribeviz.models.spec import ModelSpec
from tests.benchmarks import dashboard

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PBMC, LINES = DATA / "pbmc3k_raw.h5ad", DATA / "tian2019_celseq2_5celllines.h5ad"

type Theta = Mapping[str, Any]


class Size(NamedTuple):
    """How large the simulated data are, and how many rounds of measurements are made."""

    n_cells: int
    n_genes: int
    rounds: int
    coverage_cells: int
    coverage_genes: int


FULL = Size(2_700, 10_000, rounds=7, coverage_cells=2_000, coverage_genes=1_000)
QUICK = Size(300, 500, rounds=5, coverage_cells=300, coverage_genes=100)
_EXACT_PER_ROUND = 10  # a dense step, then this many exact ones: load from elsewhere meets both


class Row(NamedTuple):
    """One line of the table."""

    what: str
    found: str
    wanted: str = ""


class Step(NamedTuple):
    """A full-data gradient step, measured both ways: seconds of each call, and errors."""

    dense_seconds: list[float]
    exact_seconds: list[float]
    dense_error: tuple[float, float]
    exact_error: tuple[float, float]


def sparse_counts(n_cells: int, n_genes: int, k: int) -> tuple[Counts, Theta]:
    """Simulated counts, about 9 % of them non-zero, and a point to evaluate at.

    The point is off the optimum: there the gradient cancels to nothing, and so would its digits.
    """
    rng = np.random.default_rng(0)
    r = rng.lognormal(-3.1, 1.4, (k, n_genes))
    component = rng.integers(0, k, n_cells)
    counts = plain_counts(rng.negative_binomial(r[component], 0.4))
    theta = {"logit_p": np.float32(0.3), "log_r": np.float32(np.log(r) + 0.7)}
    return counts, theta | {"logits": np.linspace(0, 0.5, k, dtype=np.float32)}


def values_of(theta: Theta, k: int) -> dict[str, Any]:
    """The sites' values at a point of the whole space."""
    r = jnp.exp(theta["log_r"])
    shared = {"p": jax.nn.sigmoid(theta["logit_p"]), "r": r if k > 1 else r[0]}
    return shared | ({"mixing_weights": jax.nn.softmax(theta["logits"])} if k > 1 else {})


def dense_model(counts: Any, k: int, n_genes: int, *, share_of_prior: float = 1.0) -> None:
    """The same model the usual way: every entry of the matrix meets the likelihood."""
    shape = (n_genes,) if k == 1 else (k, n_genes)
    with numpyro.handlers.scale(scale=share_of_prior):
        p = numpyro.sample("p", dist.Beta(1.0, 1.0))
        r = numpyro.sample("r", dist.LogNormal(0.0, 1.0).expand(shape).to_event(len(shape)))
        if k > 1:
            weights = numpyro.sample("mixing_weights", dist.Dirichlet(jnp.ones(k)))
    cell: dist.Distribution = dist.NegativeBinomialProbs(r, p).to_event(1)
    if k > 1:
        cell = dist.MixtureSameFamily(dist.Categorical(probs=weights), cell)
    with numpyro.plate("cells", counts.shape[0]):
        numpyro.sample("counts", cell, obs=counts)


def dense_loss(k: int, n_genes: int) -> Callable:
    """Negative log joint through the dense matrix; of some cells, a share of the prior counts."""

    def loss(theta: Theta, counts: Any, share_of_prior: Any = 1.0) -> Any:
        def model(counts: Any) -> None:
            dense_model(counts, k, n_genes, share_of_prior=share_of_prior)

        return -log_density(model, (counts,), {}, values_of(theta, k))[0]

    return jax.jit(jax.value_and_grad(loss))


def exact_loss(counts: Counts, k: int) -> tuple[Callable, SurvivalTable | CellRows]:
    """Negative log joint through the tables, and the tables."""
    model = build(ModelSpec(n_components=k), counts.n_cells, counts.n_genes)

    def loss(theta: Theta, tables: Any) -> Any:
        return -log_density(model.model, (tables,), {}, values_of(theta, k))[0]

    return jax.jit(jax.value_and_grad(loss)), jax.tree.map(jnp.asarray, model.tables(counts))


def reference(counts: Counts, theta: Theta, k: int) -> tuple[float, Theta]:
    """Value and gradient of the dense model in float64, some cells at a time."""
    starts, loss = range(0, counts.n_cells, 100), dense_loss(k, counts.n_genes)
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), dict(theta))
        total = None
        for start in starts:
            block = counts.matrix[start : start + 100].toarray()
            share = block.shape[0] / counts.n_cells
            part = loss(exact, jnp.asarray(block), share)
            part = jax.tree.map(np.asarray, part)
            total = part if total is None else jax.tree.map(np.add, total, part)
    return total


def errors(found: tuple[Any, Theta], wanted: tuple[float, Theta]) -> tuple[float, float]:
    """Relative error of the value, and of the gradient against its site's largest entry."""
    value = abs(float(found[0]) / float(wanted[0]) - 1)
    slopes = []
    for name, slope in wanted[1].items():
        largest = np.abs(slope).max()
        if largest > 0:  # the weights of a single component have no slope
            slopes.append(np.abs(np.asarray(found[1][name], float) - slope).max() / largest)
    return value, float(max(slopes))


def seconds_of(function: Callable, *arguments: Any) -> float:
    """Processor time of one call, of all threads; time of the clock where another device works."""
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    began = clock()
    jax.block_until_ready(function(*arguments))
    return clock() - began


def measure_step(size: Size, k: int) -> Step:
    """Time a gradient step both ways, in turn, and compare both with float64."""
    counts, theta = sparse_counts(size.n_cells, size.n_genes, k)
    wanted = reference(counts, theta, k)
    exact, tables = exact_loss(counts, k)
    dense, matrix = dense_loss(k, size.n_genes), jnp.asarray(counts.matrix.toarray(), jnp.float32)
    # The first calls compile; what they return is compared.
    exact_error = errors(exact(theta, tables), wanted)
    dense_error = errors(dense(theta, matrix), wanted)
    dense_seconds, exact_seconds = [], []
    for _ in range(size.rounds):
        dense_seconds.append(seconds_of(dense, theta, matrix))
        exact_seconds += [seconds_of(exact, theta, tables) for _ in range(_EXACT_PER_ROUND)]
    return Step(dense_seconds, exact_seconds, dense_error, exact_error)


def step_rows(size: Size, k: int, wanted: int) -> list[Row]:
    """A gradient step through tables and through the matrix."""
    step = measure_step(size, k)
    name = "nbdm" if k == 1 else f"nbdm_mix K={k}"
    where = f"{name}, {size.n_cells:,} x {size.n_genes:,}"
    medians = np.median(step.dense_seconds) / np.median(step.exact_seconds)
    # Load from elsewhere slows the dense step more, which uses all cores: not so at their fastest.
    fastest = min(step.dense_seconds) / min(step.exact_seconds)
    goal = f">= {wanted}x" if size is FULL else ""
    return [
        Row(f"{where}: dense gradient step, ms", _spread(step.dense_seconds)),
        Row(f"{where}: exact gradient step, ms", _spread(step.exact_seconds)),
        Row(f"{where}: dense / exact, medians", f"{medians:,.0f}x", goal),
        Row(f"{where}: dense / exact, fastest of each", f"{fastest:,.0f}x", goal),
        Row(f"{where}: exact, error of value, gradient", _pair(step.exact_error), "<= 1e-05"),
        Row(f"{where}: dense float32, the same errors", _pair(step.dense_error)),
    ]


def _spread(seconds: list[float]) -> str:
    low, middle, high = (1e3 * f(seconds) for f in (np.min, np.median, np.max))
    return f"{middle:,.2f} ({low:,.2f} to {high:,.2f})"


def _pair(numbers: tuple[float, float]) -> str:
    return ", ".join(f"{number:.1e}" for number in numbers)


FROM_FILE_TO_FIT = """
import json, resource, sys, time
began = time.perf_counter()
import scribeviz
from_file = sys.argv[1] != "demo"
counts = scribeviz.read(sys.argv[1]) if from_file else scribeviz.demo()
read = time.perf_counter()
results = scribeviz.fit(counts, "nbdm", progress=False)
done = time.perf_counter()
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
print(json.dumps({
    "name": counts.name, "n_cells": counts.n_cells, "n_genes": counts.n_genes,
    "steps": int(results.loss_history.size), "settled": results.settled,
    "loss": float(results.loss_history[-200:].mean()), "peak": peak,
    "read": read - began, "fit": done - read,
}))
"""


def fit_in_a_process(source: str, cache: str) -> dict[str, Any]:
    """Read and fit in a process of its own; the time is that of the whole process."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FROM_FILE_TO_FIT, source],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - began
    return json.loads(done.stdout.splitlines()[-1]) | {"seconds": seconds}


def whole_fit_rows(source: str) -> list[Row]:
    """From a file to a settled fit, with and without a warm compilation cache."""
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = (fit_in_a_process(source, cache) for _ in range(2))
    name, shape = cold["name"], f"{cold['n_cells']:,} x {cold['n_genes']:,}"
    dense = 4 * cold["n_cells"] * cold["n_genes"]
    end = "settled" if cold["settled"] else "not settled"
    return [
        Row(f"{name} ({shape}), file to {end} nbdm: cold", f"{cold['seconds']:.1f} s"),
        Row("    the same, warm compilation cache", f"{warm['seconds']:.1f} s"),
        Row("    of that: imports and reading, fit", f"{warm['read']:.1f} s, {warm['fit']:.1f} s"),
        Row("    steps, -ELBO", f"{cold['steps']:,}, {cold['loss']:,.0f}"),
        Row(
            "    peak memory (one dense float32 array)",
            f"{max(cold['peak'], warm['peak']) / 2**20:,.0f} MiB ({dense / 2**20:,.0f} MiB)",
        ),
    ]


def table_rows(source: str) -> list[Row]:
    """How long it takes to reduce a data set."""
    import scribeviz

    counts = scribeviz.demo() if source == "demo" else scribeviz.read(source)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        survival_table(counts)
        times.append(time.perf_counter() - began)
    return [Row(f"{counts.name}: building the survival table", f"{np.median(times):.2f} s")]


def coverage_rows(size: Size) -> list[Row]:
    """Whether the truth lies where the posterior says, for one type and for two."""
    import scribeviz

    n_cells, n_genes = size.coverage_cells, size.coverage_genes
    counts, truth = scribeviz.simulate("nbdm", n_cells=n_cells, n_genes=n_genes, values={"p": 0.6})
    results = scribeviz.fit(counts, "nbdm", progress=False)
    draws = results.get_posterior_samples(n_samples=1_000)
    seen = np.isin(counts.genes, results.genes)
    rows = [
        Row(
            f"nbdm, {n_cells:,} x {n_genes:,}: 90 % intervals of r that hold the truth",
            f"{covered(draws['r'], truth['r'][seen]):.1%}",
            "80 to 97 %",
        ),
        Row("    p: truth in posterior interval", _beside(0.6, draws["p"])),
    ]
    rng = np.random.default_rng(1)
    values = {"p": 0.5, "r": rng.lognormal(0, 1, (2, n_genes)), "mixing_weights": [0.7, 0.3]}
    counts, truth = scribeviz.simulate("nbdm_mix", n_cells=n_cells, n_genes=n_genes, values=values)
    draws = scribeviz.fit(counts, "nbdm_mix", progress=False).get_posterior_samples(n_samples=1_000)
    order = np.argsort(-draws["mixing_weights"].mean(axis=0))
    share = np.mean(truth["component"] == 0)
    rows += [
        Row("nbdm_mix K=2: p", _beside(0.5, draws["p"])),
        Row("    weight 0.7", _beside(0.7, draws["mixing_weights"][:, order[0]])),
        Row("    (share of the simulated cells)", f"{share:.3f}"),
        Row(
            "    90 % intervals of r that hold the truth",
            f"{covered(draws['r'][:, order], truth['r']):.1%}",
            "80 to 97 %",
        ),
    ]
    return rows


def covered(draws: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true values inside their 90 % intervals."""
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return float(np.mean((low <= truth) & (truth <= high)))


def _beside(truth: float, draws: np.ndarray) -> str:
    low, high = np.quantile(draws, [0.05, 0.95])
    word = "in" if low <= truth <= high else "NOT in"
    return f"{truth:g} {word} {low:.4f} to {high:.4f}"


def cell_line_rows() -> list[Row]:
    """Five cell lines that genotypes tell apart: what a mixture without capture makes of them."""
    from sklearn.metrics import adjusted_rand_score

    import scribeviz
    from scribeviz.criticism.assignments import (
        assigned,
        assignment_probabilities,
        depth_share,
        depth_warning,
    )
    from scribeviz.data.tables import cell_rows

    counts = scribeviz.read(LINES)
    counts = counts.select_cells(np.flatnonzero(counts.obs["demuxlet_cls"] == "SNG")).seen_genes()
    began = time.perf_counter()
    results = scribeviz.fit(counts, "nbdm_mix", n_components=5, progress=False)
    seconds = time.perf_counter() - began
    draws = results.get_posterior_samples(n_samples=20)
    components = assigned(assignment_probabilities(results.model, cell_rows(counts), draws))
    lines = counts.obs["cell_line_demuxlet"].astype(str)
    true_share = depth_share(lines.astype("category").cat.codes.to_numpy(), counts.cell_totals)
    score = adjusted_rand_score(lines, components)
    share = depth_share(components, counts.cell_totals)
    shape = f"{counts.n_cells:,} x {counts.n_genes:,}"
    return [
        Row(f"five cell lines ({shape}), nbdm_mix K=5: adjusted Rand index", f"{score:.2f}"),
        Row("    share of depth between components", f"{share:.2f}"),
        Row("    share of depth between cell lines", f"{true_share:.2f}"),
        Row("    steps, seconds", f"{results.loss_history.size:,}, {seconds:.0f} s"),
        Row(f"    said: {depth_warning(components, counts.cell_totals)}", ""),
    ]


def show(rows: list[Row]) -> None:
    """Print rows in columns."""
    for row in rows:
        print(f"{row.what:<72} {row.found:>26}  {row.wanted}".rstrip(), flush=True)


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, no real data")
    size = QUICK if parser.parse_args().quick else FULL
    real = size is FULL and PBMC.is_file()
    source = str(PBMC) if real else "demo"
    print(f"{os.cpu_count()} cores, JAX on {jax.default_backend()}")
    if not real:
        print("pbmc3k is not used here; the built-in example stands in for it.")
    show([Row(*row) for row in dashboard.measure(PBMC if real else None)])
    show(whole_fit_rows(source))
    show(table_rows(source))
    show(coverage_rows(size))
    if size is FULL and LINES.is_file():
        show(cell_line_rows())
    show(step_rows(size, 1, wanted=500))
    show(step_rows(size, 2, wanted=100))


if __name__ == "__main__":
    main()
