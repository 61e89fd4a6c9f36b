"""How often 90 % intervals of exact fits hold a truth that looks like real data.

``python -m tests.benchmarks.own_coverage [--data FILE] [--sets 20]``: means and dispersions as
pbmc3k's genes have them (posterior medians of genes drawn at random, not draws from the prior),
depths as its cells; 500 genes and 1,000 cells a set.  Prints a table by abundance.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import scribeviz
from scribeviz.data.counts import plain_counts
from tests.benchmarks.first_light import PBMC

N_GENES, N_CELLS = 500, 1_000
_INTERVAL = (0.05, 0.95)
_CLASSES = ((1, 2), (3, 10), (11, 30), (31, 300), (301, np.inf))


def one_set(mu: np.ndarray, r: np.ndarray, depth: np.ndarray, seed: int) -> pd.DataFrame:
    """For one set the counts of every gene, and whether its intervals hold the truth."""
    rng = np.random.default_rng(seed)
    genes, cells = rng.choice(mu.size, N_GENES, replace=False), rng.choice(depth.size, N_CELLS)
    mean, spread = mu[genes], r[genes]
    at = depth[cells] / depth[cells].mean()
    rate = rng.gamma(spread, mean / spread, (N_CELLS, N_GENES)) * at[:, None]
    names = [f"g{i}" for i in range(N_GENES)]
    # The model takes depths from totals, and so does the truth: those of a whole transcriptome.
    obs = pd.DataFrame({"depth": at})
    counts = plain_counts(rng.poisson(rate), genes=names, obs=obs).seen_genes()
    spec = scribeviz.ModelSpec(likelihood="nb", depth_column="depth")
    results = scribeviz.fit(counts, spec, progress=False)
    kept = np.array([int(name[1:]) for name in results.genes])
    held = results.quantiles_of(["mu", "r"], _INTERVAL)
    truth = {"mu": mean[kept], "r": spread[kept]}
    covered = {
        name: (low <= truth[name]) & (truth[name] <= high) for name, (low, high) in held.items()
    }
    return pd.DataFrame({"total": counts.gene_totals, **covered})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=PBMC)
    parser.add_argument("--sets", type=int, default=20)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", scribeviz.CountsWarning)
    real = scribeviz.read(chosen.data).seen_genes()
    point = scribeviz.fit(real, "nb", progress=False).get_map()
    depth = real.cell_totals / real.cell_totals.mean()
    sets = [one_set(point["mu"], point["r"], depth, seed) for seed in range(chosen.sets)]
    genes = pd.concat(sets)
    print(f"{chosen.sets} sets of {N_GENES} genes and {N_CELLS:,} cells\n")
    print("| counts of the gene | genes | mu held | r held |\n|---|---|---|---|")
    for low, high in (*_CLASSES, (1, np.inf)):
        some = genes[(genes["total"] >= low) & (genes["total"] <= high)]
        named = f"{low} to {high:.0f}" if np.isfinite(high) else f"{low} and more"
        print(f"| {named} | {len(some):,} | {some['mu'].mean():.1%} | {some['r'].mean():.1%} |")


if __name__ == "__main__":
    main()
