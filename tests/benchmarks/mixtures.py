"""Mixtures by weighted tables: what they cost, what they find, and how sure they may be.

``python -m tests.benchmarks.mixtures [--data FOLDER] [--seeds N] [--only NAME ...]`` prints tables,
in processor seconds of one run.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scanpy as sc
import scipy.sparse as sp
from jaxtyping import Float
from sklearn.metrics import adjusted_rand_score, roc_auc_score

import scribeviz
from scribeviz.criticism.assignments import entropy
from scribeviz.criticism.calibration import Calibration
from scribeviz.data.component_tables import CellsByDepth
from scribeviz.data.counts import Counts
from scribeviz.fitting.count_models import EMFit, SVIFit, prepare_fit
from scribeviz.inference.component_moments import log_likelihood, moments_of
from scribeviz.inference.component_quadrature import first_region
from scribeviz.inference.svi import SVIConfig
from scribeviz.inference.weighted_em import EMCheckpoint, EMConfig
from scribeviz.models.depth import Depth
from scribeviz.models.initial import cluster_cells
from scribeviz.models.spec import ModelSpec

_BLOOD, _SORTED, _LINES = (
    "pbmc3k_raw.h5ad",
    "zheng2017_pbmc_facs.h5ad",
    "tian2019_celseq2_5celllines.h5ad",
)
_GRADIENT_STEPS = 10
_STEPS_TO_SETTLE = 1_000  # of the gradient path, at the least
_TIMES = 10  # as many cells


class Known(NamedTuple):
    """Cells of which something is known."""

    counts: Counts
    labels: np.ndarray
    n_components: int


def lines(folder: Path, *, singlets: bool = True) -> Known:
    """Five cell lines, told by their genotypes."""
    counts = scribeviz.read(folder / _LINES)
    if singlets:
        single = (counts.obs["demuxlet_cls"] == "SNG").to_numpy()
        counts = counts.select_cells(np.flatnonzero(single))
    return Known(counts, counts.obs["cell_line_demuxlet"].astype(str).to_numpy(), 5)


def sorted_blood(folder: Path) -> Known:
    """Blood cells sorted by antibodies."""
    counts = scribeviz.read(folder / _SORTED)
    return Known(counts, counts.obs["subpop"].astype(str).to_numpy(), 5)


def fitted(counts: Counts, k: int, seed: int = 0) -> tuple[EMFit, EMCheckpoint]:
    """A mixture of ``nb``, to the end."""
    spec = ModelSpec(likelihood="nb", n_components=k)
    fit = prepare_fit(counts, spec, EMConfig(seed=seed))
    *_, last = fit.checkpoints()
    return fit, last


def costs(folder: Path) -> None:
    """From file to end, and beside it the gradient path."""
    began = time.process_time()
    counts = scribeviz.read(folder / _BLOOD)
    read = time.process_time() - began
    _, last = fitted(counts, 9)
    took = time.process_time() - began
    spec = ModelSpec(likelihood="nb", n_components=9)
    fit = prepare_fit(counts, spec, SVIConfig(n_steps=_GRADIENT_STEPS, tolerance=0.0))
    assert isinstance(fit, SVIFit)
    for _ in range(2):  # the first compiles
        began = time.process_time()
        for _ in fit.checkpoints():
            pass
        per_step = (time.process_time() - began) / _GRADIENT_STEPS
    print(f"| pbmc3k, K = 9, h5ad to settled ({last.step} sweeps) | {took:.1f} |")
    print(f"| of which reading | {read:.1f} |")
    print(
        f"| {_STEPS_TO_SETTLE:,} gradient steps, from a step's mean | "
        f"{per_step * _STEPS_TO_SETTLE:.0f} ({per_step * _STEPS_TO_SETTLE / took:.0f} times) |"
    )


def seeds(known: Known, name: str, n_seeds: int) -> None:
    """Agreement with what is known, seed by seed; k-means beside it."""
    ours, started, bounds = [], [], []
    for seed in range(n_seeds):
        _, last = fitted(known.counts, known.n_components, seed)
        ours.append(adjusted_rand_score(known.labels, last.responsibilities.argmax(axis=1)))
        groups = cluster_cells(known.counts.seen_genes(), known.n_components, seed)
        started.append(adjusted_rand_score(known.labels, groups))
        bounds.append(-last.losses[-1])
    best = ours[int(np.argmax(bounds))]
    print(
        f"| {name} | {min(ours):.3f} | {np.median(ours):.3f} | {best:.3f} | "
        f"{np.median(started):.3f} |"
    )


def reliability(known: Known, name: str) -> Calibration:
    """How often halves agree against how often they claim to."""
    results = scribeviz.fit(known.counts, "nb", n_components=known.n_components, progress=False)
    calibration = results.calibrated_assignments(known.counts)
    claimed, observed = calibration.reliability
    print(
        f"| {name} | {calibration.temperature:.1f} | {calibration.halves_agree:.1%} | "
        f"{np.abs(claimed - observed).max():.3f} |"
    )
    return calibration


def doublets(folder: Path) -> None:
    """Do doublets stand out?  Areas under the curve."""
    known = lines(folder, singlets=False)
    is_double = (known.counts.obs["demuxlet_cls"] == "DBL").to_numpy()
    results = scribeviz.fit(known.counts, "nb", n_components=5, progress=False)
    calibration = results.calibrated_assignments(known.counts)
    adata = sc.AnnData(known.counts.matrix.astype(np.float32))
    sc.pp.scrublet(adata, random_state=0)
    scores: Mapping[str, Float[np.ndarray, " cells"]] = {
        "calibrated entropy": entropy(calibration.probabilities),
        "plain entropy": entropy(results.assignment_probabilities(known.counts)),
        "minus the margin per gene": -calibration.margin,
        "total counts": known.counts.cell_totals,
        "scanpy's scrublet": adata.obs["doublet_score"].to_numpy(),
    }
    for name, score in scores.items():
        print(f"| {name} | {roc_auc_score(is_double, score):.3f} |")


def sweeps(folder: Path) -> None:
    """A sweep with ten times the cells."""
    counts = scribeviz.read(folder / _BLOOD).seen_genes()
    many = scribeviz.as_counts(sp.csr_array(sp.vstack([counts.matrix] * _TIMES, format="csr")))
    shares = np.random.default_rng(0).dirichlet(np.full(5, 0.1), counts.n_cells)
    both = [_sweep(counts, shares), _sweep(many, np.tile(shares, (_TIMES, 1)))]
    few, wide = (
        min(each) for each in zip(*([one() for one in both] for _ in range(3)), strict=True)
    )
    print(f"| 2,700 cells, K = 5, a sweep | {few:.2f} |")
    print(f"| 27,000 cells | {wide:.2f} ({wide / few:.1f} times) |")


def _sweep(counts: Counts, shares: np.ndarray) -> Callable[[], float]:
    spec = ModelSpec(likelihood="nb", n_components=5)
    fit = prepare_fit(counts, spec, EMConfig())
    assert isinstance(fit, EMFit)
    log_depth = np.log(Depth.of_cells(counts).relative)
    cells = CellsByDepth(counts, log_depth, own_dispersions=False)
    region = first_region(cells.tables(shares), fit.priors)
    moments_of(cells.tables(shares), fit.priors, region, cells)

    def seconds() -> float:
        began = time.process_time()
        moments = moments_of(cells.tables(shares), fit.priors, region, cells)
        log_likelihood(cells, moments)
        fit.mixture.better_priors(moments, fit.priors)
        return time.process_time() - began

    return seconds


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=10)
    parts = ("costs", "sweeps", "seeds", "reliability", "doublets")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", scribeviz.CountsWarning)
    folder = chosen.data
    if "costs" in chosen.only:
        print("\n| what | processor s |\n|---|---|")
        costs(folder)
    if "sweeps" in chosen.only:
        print("\n| what | processor s |\n|---|---|")
        sweeps(folder)
    if "seeds" in chosen.only:
        print(f"\n| ARI, {chosen.seeds} seeds | least | median | best bound | k-means |")
        print("|---|---|---|---|---|")
        seeds(lines(folder), "five cell lines", chosen.seeds)
        seeds(sorted_blood(folder), "sorted blood, 5 types", chosen.seeds)
    if "reliability" in chosen.only:
        print("\n| data | temperature | halves agree | largest gap of a tenth |\n|---|---|---|---|")
        reliability(lines(folder), "five cell lines")
        reliability(lines(folder, singlets=False), "with their doublets")
        reliability(sorted_blood(folder), "sorted blood")
        blood = scribeviz.read(folder / _BLOOD)
        reliability(Known(blood, np.zeros(0), 9), "pbmc3k, K = 9")
    if "doublets" in chosen.only:
        print("\n| doublets of cell lines | area under the curve |\n|---|---|")
        doublets(folder)


if __name__ == "__main__":
    main()
