"""The exact engine against dense NumPyro: one table, ratios measured in one run.

``python -m tests.benchmarks.engine`` takes half an hour and up to 12 GB, nearly all of it for the
dense models; ``--quick`` takes two minutes.  ``--part`` chooses among steps, baselines, cells,
settling and nuts.  Where a GPU is found, the same table is that of the GPU.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, TraceMeanField_ELBO
from numpyro.infer.util import log_density

from scribeviz.data.counts import Counts
from scribeviz.fitting.count_models import prepare_fit
from scribeviz.inference.nuts import NUTSConfig
from scribeviz.inference.svi import SVIConfig
from scribeviz.models.builder import CountModel, build
from scribeviz.models.initial import initial_params
from scribeviz.models.simulation import simulate
from scribeviz.models.spec import ModelSpec, model_spec
from tests.benchmarks.baselines import dense_by_hand, nonzeros_only
from tests.benchmarks.first_light import PBMC, Row, _pair, errors, seconds_of, show

type Values = Mapping[str, Any]

PARTS = ("steps", "baselines", "cells", "settling", "nuts")


class Size(NamedTuple):
    """How large the simulated data are, and how often is measured."""

    n_cells: int
    n_genes: int
    rounds: int
    dense_cells: int  # a dense step is measured on so many cells and extrapolated


FULL = Size(2_700, 10_000, rounds=5, dense_cells=2_700)
QUICK = Size(270, 500, rounds=3, dense_cells=270)
_EXACT_PER_ROUND = 5

# likelihood, components, ratio asked for, share of the cells for the dense model (its memory)
STEPS = (
    ("nbdm", 1, 500, 1),
    ("zinb", 1, 500, 1),
    ("nbvcp", 1, 500, 1),
    ("zinbvcp", 1, 20, 2),
    ("nbdm", 2, 100, 2),
    ("zinb", 2, 100, 4),
    ("nbvcp", 2, 100, 2),
    ("nbdm", 5, 100, 6),
    ("zinb", 5, 100, 10),
    ("nbvcp", 5, 100, 6),
    ("zinbvcp", 2, 20, 4),
)


def simulated(likelihood: str, k: int, n_cells: int, n_genes: int) -> tuple[Counts, dict[str, Any]]:
    """Counts, about 9 % of them non-zero, and a point to evaluate at, off the optimum."""
    rng = np.random.default_rng(0)
    spec = model_spec(likelihood, n_components=k)
    genes = (k, n_genes) if k > 1 else (n_genes,)
    known: dict[str, Any] = {
        "p": 0.6,
        "r": np.maximum(rng.lognormal(-3.1, 1.4, genes), 0.05),  # every gene is seen
        "gate": rng.beta(1, 9, genes),
        "p_capture": np.clip(rng.lognormal(np.log(0.4), 0.4, n_cells), 0.02, 0.98),
        "mixing_weights": np.full(k, 1 / k),
    }
    values = {site.key: known[site.key] for site in spec.sites}
    counts, truth = simulate(spec, n_cells=n_cells, n_genes=n_genes, values=values)
    moved = {"p": 0.55, "r": truth["r"] * 1.5}
    point = {site.key: moved.get(site.key, truth[site.key]) for site in spec.sites}
    seen = counts.gene_totals > 0
    for site in spec.sites:
        if "genes" in site.axes:
            point[site.key] = point[site.key][..., seen]
    point = {name: np.asarray(value, np.float32) for name, value in point.items()}
    return counts.seen_genes(), point


def dense_model(spec: ModelSpec, counts: Any, *, share: Any = 1.0) -> None:
    """The same model the usual way: every entry of the matrix meets the likelihood."""
    k, (n_cells, n_genes) = spec.n_components, counts.shape
    genes = (k, n_genes) if k > 1 else (n_genes,)
    has = {site.key for site in spec.sites}
    with numpyro.handlers.scale(scale=share):
        p = numpyro.sample("p", dist.Beta(1.0, 1.0))
        r = numpyro.sample("r", dist.LogNormal(0.0, 1.0).expand(genes).to_event(len(genes)))
        gate = None
        if "gate" in has:
            gate = numpyro.sample("gate", dist.Beta(1.0, 1.0).expand(genes).to_event(len(genes)))
        weights = None
        if k > 1:
            weights = numpyro.sample("mixing_weights", dist.Dirichlet(jnp.ones(k)))
    with numpyro.plate("cells", n_cells):
        if "p_capture" in has:
            capture = numpyro.sample("p_capture", dist.Beta(1.0, 1.0))
            p = (p * capture / (1 - p * (1 - capture)))[:, None]
            p = p[:, None] if k > 1 else p
        cell: dist.Distribution = dist.NegativeBinomialProbs(r, p)
        if gate is not None:
            cell = dist.ZeroInflatedDistribution(cell, gate=gate)
        cell = cell.to_event(1)
        if k > 1:
            cell = dist.MixtureSameFamily(dist.Categorical(probs=weights), cell)
        numpyro.sample("counts", cell, obs=counts)


def dense_guide(spec: ModelSpec, counts: Any) -> None:
    """Mean field in NumPyro's own families."""
    model = build(spec, *counts.shape)
    for site in spec.sites:
        shape = model.shape(site)
        if site.key == "r":
            loc = numpyro.param("r_loc", jnp.zeros(shape))
            scale = numpyro.param("r_scale", jnp.ones(shape), constraint=dist.constraints.positive)
            numpyro.sample("r", dist.LogNormal(loc, scale).to_event(len(shape)))
        elif site.key == "mixing_weights":
            size = numpyro.param("mixing", jnp.ones(shape), constraint=dist.constraints.positive)
            numpyro.sample("mixing_weights", dist.Dirichlet(size))
        else:
            a, b = (
                numpyro.param(
                    f"{site.key}_{name}", jnp.ones(shape), constraint=dist.constraints.positive
                )
                for name in ("alpha", "beta")
            )
            if site.key == "p_capture":
                with numpyro.plate("cells", counts.shape[0]):
                    numpyro.sample(site.key, dist.Beta(a, b))
            else:
                numpyro.sample(site.key, dist.Beta(a, b).to_event(len(shape)))


def gradient(model: Callable, data: Any) -> Callable:
    """Value and gradient of the negative log joint at values of the sites, compiled."""

    def loss(values: Values, data: Any) -> Any:
        return -log_density(model, (data,), {}, dict(values))[0]

    compiled = jax.jit(jax.value_and_grad(loss))
    return lambda values: compiled(values, data)


def svi_step(model: Callable, guide: Callable, data: Any, initial: Any = None) -> Callable:
    """One step of variational inference (draw, ELBO, gradient, Adam), compiled."""
    svi = SVI(model, guide, numpyro.optim.Adam(1e-3), TraceMeanField_ELBO())
    state = jax.jit(lambda data: svi.init(jax.random.PRNGKey(0), data, init_params=initial))(data)
    update = jax.jit(svi.update)
    return lambda: update(state, data)


def reference(spec: ModelSpec, counts: Counts, point: Values) -> tuple[float, Values]:
    """Value and gradient of the dense model in float64, some cells at a time."""
    size = 100

    def loss(values: Values, block: Any, share: Any) -> Any:
        return -log_density(lambda b: dense_model(spec, b, share=share), (block,), {}, values)[0]

    with jax.enable_x64(True):
        step = jax.jit(jax.value_and_grad(loss))
        exact = {name: jnp.asarray(value, jnp.float64) for name, value in point.items()}
        value, slopes = 0.0, {name: np.zeros(np.shape(v)) for name, v in point.items()}
        for start in range(0, counts.n_cells, size):
            block = counts.matrix[start : start + size].toarray()
            cells = slice(start, start + block.shape[0])
            own = {n: v[cells] if n == "p_capture" else v for n, v in exact.items()}
            part, slope = step(own, jnp.asarray(block), block.shape[0] / counts.n_cells)
            value += float(part)
            for name, array in slope.items():
                where = cells if name == "p_capture" else ...
                slopes[name][where] += np.asarray(array)
    return value, slopes


def step_rows(size: Size, likelihood: str, k: int, wanted: int, share: int) -> Iterator[Row]:
    """A full-data step through the tables and through the matrix."""
    counts, point = simulated(likelihood, k, size.n_cells, size.n_genes)
    spec = model_spec(likelihood, n_components=k)
    model = build(spec, counts.n_cells, counts.n_genes)
    tables = jax.tree.map(jnp.asarray, model.tables(counts))
    exact = gradient(model.model, tables)
    error = errors(exact(point), reference(spec, counts, point))
    few = counts.select_cells(np.arange(size.dense_cells // share))
    matrix = jnp.asarray(few.matrix.toarray(), jnp.float32)
    times = few.n_cells / counts.n_cells
    dense = gradient(lambda data: dense_model(spec, data), matrix)
    first = initial_params(model, counts)
    exact_svi = svi_step(model.model, model.guide, tables, first)
    dense_svi = svi_step(
        lambda data: dense_model(spec, data), lambda data: dense_guide(spec, data), matrix
    )
    point_of_few = {
        name: value[: few.n_cells] if name == "p_capture" else value
        for name, value in point.items()
    }
    columns: dict[str, list[float]] = {name: [] for name in ("dense", "exact", "dense_svi", "svi")}
    dense(point_of_few), dense_svi(), exact_svi()
    for _ in range(size.rounds):
        columns["dense"].append(seconds_of(dense, point_of_few) / times)
        columns["dense_svi"].append(seconds_of(dense_svi) / times)
        columns["exact"] += [seconds_of(exact, point) for _ in range(_EXACT_PER_ROUND)]
        columns["svi"] += [seconds_of(exact_svi) for _ in range(_EXACT_PER_ROUND)]
    middle = {name: float(np.median(seconds)) for name, seconds in columns.items()}
    yield Row(
        f"{spec.name} K={k}: gradient step, dense / exact",
        f"{1e3 * middle['dense']:,.0f} / {1e3 * middle['exact']:.2f} ms",
        f"{middle['dense'] / middle['exact']:,.0f}x (>= {wanted}x)",
    )
    yield Row(
        "    SVI step with guide and Adam, dense / exact",
        f"{1e3 * middle['dense_svi']:,.0f} / {1e3 * middle['svi']:.2f} ms",
        f"{middle['dense_svi'] / middle['svi']:,.0f}x",
    )
    yield Row("    error of value, gradient", _pair(error), "float64, largest entry")


def baseline_rows(size: Size) -> Iterator[Row]:
    """The likelihood of nbdm, value and slopes, against what a careful user would write."""
    counts, point = simulated("nbdm", 1, size.n_cells, size.n_genes)
    model = build(model_spec("nbdm"), counts.n_cells, counts.n_genes)
    tables = jax.tree.map(jnp.asarray, model.tables(counts))

    def numpyros(values: Values, matrix: Any) -> Any:
        cells = dist.NegativeBinomialProbs(values["r"], values["p"])
        return -cells.log_prob(matrix).sum()

    def ours(values: Values, tables: Any) -> Any:
        return -model.counts_given(values).log_prob(tables)

    values = {name: jnp.asarray(value) for name, value in point.items()}
    dense = jnp.asarray(counts.matrix.toarray(), jnp.float32)
    ways = {
        "exact engine": (jax.jit(jax.value_and_grad(ours)), tables),
        "non-zeros only": nonzeros_only(counts),
        "dense, by hand": dense_by_hand(counts),
        "dense, NumPyro": (jax.jit(jax.value_and_grad(numpyros)), dense),
    }
    slopes = {name: way(values, data)[1] for name, (way, data) in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(size.rounds):
        for name, (way, data) in ways.items():
            for _ in range(_EXACT_PER_ROUND if name == "exact engine" else 1):
                seconds[name].append(seconds_of(way, values, data))
    middle = {name: float(np.median(times)) for name, times in seconds.items()}
    best = min(time for name, time in middle.items() if name != "exact engine")
    for name, time_of_one in middle.items():
        apart = float(
            np.max(np.abs(slopes[name]["r"] - slopes["exact engine"]["r"]))
            / np.max(np.abs(slopes["exact engine"]["r"]))
        )
        is_best = " (the best simple alternative)" if time_of_one == best else ""
        yield Row(
            f"nbdm, likelihood and slopes: {name}",
            f"{1e3 * time_of_one:,.2f} ms",
            f"{time_of_one / middle['exact engine']:,.0f}x, slopes differ by {apart:.0e}{is_best}",
        )


def cell_rows(size: Size) -> Iterator[Row]:
    """Ten times the cells."""
    for likelihood, k, wanted in (("nbdm", 1, 1.5), ("zinb", 1, 1.5), ("nbvcp", 1, 1.5),
                                  ("nbdm", 2, 12), ("nbvcp", 2, 12)):  # fmt: skip
        times, sizes, nonzeros = [], [], []
        for n_cells in (size.n_cells, 10 * size.n_cells):
            counts, point = simulated(likelihood, k, n_cells, size.n_genes)
            model = build(model_spec(likelihood, n_components=k), n_cells, counts.n_genes)
            tables = jax.tree.map(jnp.asarray, model.tables(counts))
            step = gradient(model.model, tables)
            step(point)
            times.append(np.median([seconds_of(step, point) for _ in range(15)]))
            sizes.append(sum(leaf.nbytes for leaf in jax.tree.leaves(tables)))
            nonzeros.append(counts.matrix.nnz)
            del counts, tables, step
        name = model_spec(likelihood, n_components=k).name
        yield Row(
            f"{name} K={k}: step with {size.n_cells:,} and {10 * size.n_cells:,} cells",
            f"{1e3 * times[0]:.2f}, {1e3 * times[1]:.2f} ms",
            f"{times[1] / times[0]:.1f}x (<= {wanted}x)",
        )
        yield Row(
            "    tables; non-zeros",
            f"{sizes[0] / 2**20:.1f}, {sizes[1] / 2**20:.1f} MiB",
            f"{nonzeros[0]:,}, {nonzeros[1]:,}",
        )


def settling_rows(size: Size) -> Iterator[Row]:
    """Time to a settled ELBO, against the reference's defaults extrapolated from its dense step."""
    import scribeviz

    real = size is FULL and PBMC.is_file()
    counts = (scribeviz.read(PBMC) if real else scribeviz.demo()).seen_genes()
    for likelihood in ("nbdm", "zinb", "nbvcp", "zinbvcp"):
        spec = model_spec(likelihood)
        seconds, steps, reached = _settle(counts, spec, SVIConfig())
        _, _, end = _settle(counts, spec, SVIConfig(n_steps=10 * steps, tolerance=0.0))
        reference_steps = _adam_steps(counts, spec, end)
        few = counts.select_cells(np.arange(counts.n_cells // 3))
        matrix = jnp.asarray(few.matrix.toarray(), jnp.float32)
        dense = svi_step(
            lambda data, spec=spec: dense_model(spec, data),
            lambda data, spec=spec: dense_guide(spec, data),
            matrix,
        )
        dense()
        dense_seconds = 3 * float(np.median([seconds_of(dense) for _ in range(3)]))
        yield Row(
            f"{counts.name}, {spec.name}: settled after",
            f"{steps:,} steps, {seconds:.1f} s",
            f"ELBO off by {abs(reached / end - 1):.1e} of ten times longer (<= 1e-4)",
        )
        yield Row(
            f"    reference: {reference_steps} steps of {dense_seconds:.2f} s",
            f"{int(reference_steps.strip('>').replace(',', '')) * dense_seconds:,.0f} s",
            f"{int(reference_steps.strip('>').replace(',', '')) * dense_seconds / seconds:,.0f}x"
            + (" (>= 1,000x)" if likelihood == "nbdm" else ""),
        )


def _settle(counts: Counts, spec: ModelSpec, config: SVIConfig) -> tuple[float, int, float]:
    """Seconds without compilation, steps, and the last losses' mean."""
    prepared = prepare_fit(counts, spec, config)
    began = after_first = 0.0
    for checkpoint in prepared.checkpoints():
        after_first = after_first or time.perf_counter()
        began = began or after_first
        last = checkpoint
    return time.perf_counter() - began, last.step, float(last.losses[-200:].mean())


def _adam_steps(counts: Counts, spec: ModelSpec, end: float) -> str:
    """Steps of Adam(1e-3) from the reference's first values until within 1e-4 of ``end``."""
    model: CountModel = build(spec, counts.n_cells, counts.n_genes)
    tables = jax.tree.map(jnp.asarray, model.tables(counts))
    svi = SVI(model.model, model.guide, numpyro.optim.Adam(1e-3), TraceMeanField_ELBO())
    state = jax.jit(lambda data: svi.init(jax.random.PRNGKey(0), data))(tables)

    @jax.jit
    def advance(state: Any, data: Any) -> tuple[Any, Any]:
        return jax.lax.scan(lambda s, _: svi.update(s, data), state, length=200)

    most = 10_000 if spec.likelihood == "zinbvcp" else 30_000
    for done in range(200, most + 1, 200):
        state, losses = advance(state, tables)
        if float(losses.mean()) < end * (1 + 1e-4):
            return f"{done:,}"
    return f">{most:,}"


def nuts_rows(size: Size) -> Iterator[Row]:
    """Sampling from a whole data set."""
    n_cells, n_genes = (2_700, 2_000) if size is FULL else (270, 200)
    counts, _ = simulated("nbdm", 1, n_cells, n_genes)
    config = NUTSConfig(n_warmup=300, n_samples=300, n_chains=1)
    prepared = prepare_fit(counts, model_spec("nbdm"), config)
    began = time.perf_counter()
    *_, last = prepared.checkpoints()
    seconds = time.perf_counter() - began
    results = prepared.results(last)
    yield Row(
        f"NUTS, nbdm, {n_cells:,} x {n_genes:,}, 300 + 300 draws",
        f"{seconds:.0f} s with compilation",
        "minutes at most",
    )
    for sentence in results.diagnostics.sentences:
        yield Row(f"    {sentence}", "")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, no real data")
    parser.add_argument("--part", choices=tuple(PARTS), action="append")
    chosen = parser.parse_args()
    size = QUICK if chosen.quick else FULL
    parts = chosen.part or PARTS
    print(
        f"{os.cpu_count()} cores, JAX on {jax.default_backend()}; medians of processor time",
        flush=True,
    )
    if "steps" in parts:
        for likelihood, k, wanted, share in STEPS:
            show(list(step_rows(size, likelihood, k, wanted, share if size is FULL else 1)))
    measured = {
        "baselines": baseline_rows,
        "cells": cell_rows,
        "settling": settling_rows,
        "nuts": nuts_rows,
    }
    for name, rows in measured.items():
        if name in parts:
            for row in rows(size):
                show([row])


if __name__ == "__main__":
    main()
