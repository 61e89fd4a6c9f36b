"""NUTS on real data: does it move, and what does it cost.

``python -m tests.benchmarks.sampling`` (``--model``, ``--parameterization``, ``--genes``,
``--check``); one row per model.
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np

import scribeviz
from scribeviz.data.counts import Counts
from scribeviz.fitting.count_models import prepare_fit
from scribeviz.inference.nuts import NUTSConfig
from scribeviz.models.spec import model_spec
from tests.benchmarks.first_light import PBMC


def loudest(counts: Counts, n_genes: int) -> Counts:
    """The genes whose counts vary most, as they are: the hardest for the sampler's energies."""
    matrix = counts.matrix.astype(float)
    means = np.asarray(matrix.mean(axis=0)).ravel()
    squares = np.asarray(matrix.multiply(matrix).mean(axis=0)).ravel()
    return counts.select_genes(np.sort(np.argsort(means**2 - squares)[:n_genes]))


def row(counts: Counts, model: str, parameterization: str, config: NUTSConfig) -> str:
    """Sample, and say how the chains mixed and what they cost."""
    spec = model_spec(model, parameterization=parameterization)
    prepared = prepare_fit(counts, spec, config)
    began = time.process_time()
    *_, last = prepared.checkpoints()
    seconds = time.process_time() - began
    diagnostics = prepared.results(last).diagnostics
    cells = [
        f"{spec.name}, {parameterization}",
        f"{prepared.counts.n_cells:,} x {prepared.counts.n_genes:,}",
        f"{config.n_chains} x ({config.n_warmup} + {config.n_samples})",
        f"{-last.losses[-1]:,.0f}",
        f"{last.leapfrogs.mean():,.0f}",
        f"{diagnostics.worst_r_hat:.3f}",
        f"{diagnostics.fewest_effective:,.0f}",
        f"{diagnostics.divergences}",
        f"{seconds:,.0f}",
        diagnostics.problem or "moves",
    ]
    return f"| {' | '.join(cells)} |"


HEADER = (
    "| model | cells x genes | chains x (warm-up + draws) | log density | leapfrogs a draw "
    "| worst R-hat | fewest effective | divergences | processor seconds, compilation included "
    "| verdict |"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=PBMC)
    parser.add_argument("--model", action="append")
    parser.add_argument("--parameterization", default="linked")
    parser.add_argument("--genes", type=int, default=0, help="so many loudest; all when left out")
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--draws", type=int, default=300, help="and as many to warm up")
    parser.add_argument("--check", action="store_true", help="check_posterior instead")
    chosen = parser.parse_args()
    counts = scribeviz.read(chosen.data).seen_genes()
    counts = loudest(counts, chosen.genes) if chosen.genes else counts
    config = NUTSConfig(n_warmup=chosen.draws, n_samples=chosen.draws, n_chains=chosen.chains)
    print(f"JAX on {jax.default_backend()}", flush=True)
    if not chosen.check:
        print(HEADER, "|---" * 10 + "|", sep="\n", flush=True)
    for model in chosen.model or ["nbdm"]:
        if chosen.check:
            spec = model_spec(model, parameterization=chosen.parameterization)
            print(scribeviz.check_posterior(counts, spec), flush=True)
        else:
            print(row(counts, model, chosen.parameterization, config), flush=True)


if __name__ == "__main__":
    main()
