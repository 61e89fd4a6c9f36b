"""A dispersion per gene: what exact inference costs, and what it makes of rare and loud genes.

``python -m tests.benchmarks.own_dispersion [--data FOLDER]`` prints tables in processor seconds of
one run, for every data set of the folder.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

import scribeviz
from scribeviz.criticism.exact_loo import leave_one_out
from scribeviz.data.counts import Counts
from scribeviz.data.gene_tables import GeneTables, gene_tables
from scribeviz.inference.exact import ExactConfig, exact_checkpoints
from scribeviz.inference.gene_posterior import GenePosterior
from scribeviz.inference.gene_quadrature import Region, quadrature
from scribeviz.inference.shared_priors import Learned, first_priors
from scribeviz.models.depth import Depth
from scribeviz.models.gene_priors import GenePriors

_CLASSES = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 30), (31, np.inf))
_TIMES = 10  # as many cells
_SWEEPS = 3


def fitted(tables: GeneTables) -> tuple[GenePriors, Region, int, float]:
    """Priors, where the posteriors lie, sweeps, and processor seconds."""
    began = time.process_time()
    *_, last = exact_checkpoints(tables, ExactConfig(), first_priors(tables), Learned())
    took = time.process_time() - began
    return GenePriors.from_arrays(last.priors), last.region, last.step // 4, took


def sweep_seconds(tables: GeneTables, priors: GenePriors, region: Region) -> float:
    """Processor seconds of one sweep."""
    began = time.process_time()
    for _ in quadrature(tables, priors, region.copy()):
        pass
    return time.process_time() - began


def more_cells(counts: Counts, times: int) -> Counts:
    """The same cells so many times: no count and no gene is new."""
    matrix = sp.csr_array(sp.vstack([counts.matrix] * times, format="csr"))
    return scribeviz.as_counts(matrix)


def log_depths(counts: Counts) -> Float[np.ndarray, " cells"]:
    """From the totals."""
    return np.log(Depth.of_totals(counts.cell_totals).relative)


def report(path: Path) -> None:
    """Print the tables of one data set."""
    began = time.process_time()
    counts = scribeviz.read(path).seen_genes()
    read = time.process_time() - began
    began = time.process_time()
    log_depth = log_depths(counts)
    tables = gene_tables(counts, log_depth)
    made = time.process_time() - began
    priors, region, n_sweeps, took = fitted(tables)
    many = more_cells(counts, _TIMES)
    wide = gene_tables(many, log_depths(many))
    wide_priors, wide_region, *_ = fitted(wide)
    few_cells, many_cells = [], []
    for _ in range(_SWEEPS):  # interleaved
        few_cells.append(sweep_seconds(tables, priors, region))
        many_cells.append(sweep_seconds(wide, wide_priors, wide_region))
    began = time.process_time()
    posterior = GenePosterior(tables, priors, region)
    scores = leave_one_out(posterior, counts, log_depth)
    scored = time.process_time() - began
    print(f"\n## {path.stem}: {counts.n_cells:,} cells, {counts.n_genes:,} genes\n")
    print("| what | processor s |\n|---|---|")
    print(f"| reading | {read:.2f} |")
    print(f"| tables | {made:.2f} |")
    print(f"| {n_sweeps} sweeps, the search before them and the learning between | {took:.2f} |")
    print(f"| one sweep (best of {_SWEEPS}) | {min(few_cells):.2f} |")
    print(f"| one sweep with {_TIMES} times the cells | {min(many_cells):.2f} |")
    print(f"| exact leave-one-out of all cells (elpd {scores.by_cell.sum():,.0f}) | {scored:.2f} |")
    observed = tables.total / tables.depth_total
    ratio = posterior.means()["mu"] / observed
    print("\n| counts of the gene | genes | fitted / observed mean, median |\n|---|---|---|")
    for low, high in _CLASSES:
        of_class = (tables.total >= low) & (tables.total <= high)
        if not of_class.any():
            continue
        named = f"{low}" if low == high else f"{low} to {high:.0f}" if np.isfinite(high) else "more"
        print(f"| {named} | {of_class.sum():,} | {np.median(ratio[of_class]):.2f} |")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", scribeviz.CountsWarning)
    for path in sorted(chosen.data.glob("*.h5ad")):
        report(path)


if __name__ == "__main__":
    main()
