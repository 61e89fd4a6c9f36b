"""How often 90 % intervals hold the truth: ``python -m tests.benchmarks.coverage``.

Parameters are drawn from the priors and counts from the parameters, so an exact posterior would
cover 90 % of them.  Prints a markdown table, one row per model, parameterization and guide.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from scribeviz import ModelSpec, fit, simulate
from scribeviz.models.parameterizations import SHARED_ODDS

RATE = 0.9
N_DRAWS = 2_000
QUANTITIES = {
    "p": "p (or φ)",
    "r": "r",
    "mu": "μ",
    "p_capture": "ν",
    "mean_count": "mean count",
}


@dataclass(frozen=True, kw_only=True)
class Study:
    """A model and the size of its data sets."""

    likelihood: str
    n_cells: int
    n_genes: int

    def spec(self, parameterization: str, rank: int) -> ModelSpec:
        """The model, with priors under which p and capture are neither 0 nor 1."""
        chosen = SHARED_ODDS[parameterization]
        priors = {chosen.odds.key: (chosen.odds.prior.family, 6.0, 4.0)}
        if self.likelihood == "nbvcp":
            priors[chosen.capture.key] = (chosen.capture.prior.family, 20.0, 60.0)
        return ModelSpec(
            likelihood=self.likelihood,
            parameterization=parameterization,
            guide_rank=rank,
            priors=priors,
        )


STUDIES = (
    Study(likelihood="nbdm", n_cells=300, n_genes=100),
    Study(likelihood="nbvcp", n_cells=150, n_genes=40),
)


def with_mean_count(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every quantity, and the mean count of each gene over the cells that were seen."""
    capture = values["p_capture"].mean(axis=-1)[..., None] if "p_capture" in values else 1.0
    return dict(values) | {"mean_count": values["mu"] * capture}


def covered(spec: ModelSpec, study: Study, seed: int) -> dict[str, np.ndarray]:
    """For each quantity, which of its values lie in their intervals, for one data set."""
    counts, truth = simulate(spec, n_cells=study.n_cells, n_genes=study.n_genes, seed=seed)
    results = fit(counts, spec, seed=seed, progress=False)
    seen = np.isin(counts.genes, results.genes)
    model = results.model
    sites = {
        site.key: truth[site.key][..., seen] if "genes" in site.axes else truth[site.key]
        for site in spec.sites
    }
    derived = {name: np.asarray(value) for name, value in model.derived(sites).items()}
    wanted = with_mean_count(sites | derived)
    drawn = with_mean_count(results.get_posterior_samples(n_samples=N_DRAWS))
    found = {}
    for name in QUANTITIES:
        if name in wanted:
            low, high = np.quantile(drawn[name], [(1 - RATE) / 2, (1 + RATE) / 2], axis=0)
            found[name] = np.ravel((low <= wanted[name]) & (wanted[name] <= high))
    return found


def rows(n_sets: int, ranks: tuple[int, ...]) -> Iterator[str]:
    """One row of the table after the other."""
    yield f"| model | parameterization | guide | {' | '.join(QUANTITIES.values())} |"
    yield "|---" * (3 + len(QUANTITIES)) + "|"
    for study, parameterization, rank in product(STUDIES, SHARED_ODDS, ranks):
        spec = study.spec(parameterization, rank)
        sets = [covered(spec, study, seed) for seed in range(n_sets)]
        cells = [
            f"{np.concatenate([s[name] for s in sets]).mean():.0%}" if name in sets[0] else ""
            for name in QUANTITIES
        ]
        guide = f"rank {rank}" if rank else "mean field"
        yield f"| {spec.name} | {parameterization} | {guide} | {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=40, help="data sets per row")
    parser.add_argument("--ranks", type=int, nargs="+", default=[0, 5], help="0: mean field")
    chosen = parser.parse_args()
    for row in rows(chosen.sets, tuple(chosen.ranks)):
        print(row, flush=True)
