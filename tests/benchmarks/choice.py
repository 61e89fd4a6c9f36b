"""Does leave-one-out find the model that made the data?  ``python -m tests.benchmarks.choice``.

Data sets of known truth from each of the four likelihoods, all four fitted to each.  Prints how
often each wins, and for each data set by how many nats the truth is ahead of the best of the other
three (behind it where negative); and what wins with every cell's own capture kept (the plug-in
version), which favours models with capture.
"""

import argparse
from collections.abc import Iterator

import numpy as np

from scribeviz import ModelSpec, compare, fit, simulate
from scribeviz.criticism.loo import CellScores, loo
from scribeviz.data.counts import Counts
from scribeviz.models.likelihoods import LIKELIHOODS

N_CELLS, N_GENES, N_DRAWS = 300, 60, 200


def data_of(likelihood: str, seed: int) -> Counts:
    """Counts of 300 cells and 60 genes; zeros inflated by 30 %, capture from 5 to 35 %."""
    rng = np.random.default_rng(seed)
    entry = LIKELIHOODS[likelihood]
    values = {"p": 0.7, "r": rng.lognormal(0.5, 1.0, N_GENES)}
    if entry.has_gate:
        values["gate"] = np.full(N_GENES, 0.3)
    if entry.has_capture:
        values["p_capture"] = rng.uniform(0.05, 0.35, N_CELLS)
        values["r"] = values["r"] * 5
    spec = ModelSpec(likelihood=likelihood)
    counts, _ = simulate(spec, n_cells=N_CELLS, n_genes=N_GENES, values=values, seed=seed)
    return counts.seen_genes()


def scores_of(likelihood: str, counts: Counts, seed: int) -> tuple[CellScores, CellScores]:
    """Scores with capture integrated out, and with each cell's own capture kept."""
    spec = ModelSpec(likelihood=likelihood, parameterization="linked")
    results = fit(counts, spec, seed=seed, progress=False)
    results.get_posterior_samples(n_samples=N_DRAWS)
    return results.loo(counts, N_DRAWS), loo(results.log_likelihood(counts))


def rows(n_seeds: int) -> Iterator[str]:
    """One row of the table after the other."""
    header = f"| truth | {' | '.join(LIKELIHOODS)} | truth ahead of the best other (nats ± se)"
    yield f"{header} | plug-in picks |"
    yield "|---" * (3 + len(LIKELIHOODS)) + "|"
    for truth in LIKELIHOODS:
        wins = dict.fromkeys(LIKELIHOODS, 0)
        ahead, plugged_in = [], []
        for seed in range(n_seeds):
            counts = data_of(truth, seed)
            both = {key: scores_of(key, counts, seed) for key in LIKELIHOODS}
            table = compare({key: integrated for key, (integrated, _) in both.items()})
            wins[str(table.index[0])] += 1
            other = next(name for name in table.index if name != truth)
            margin = compare({key: both[key][0] for key in (truth, other)})
            sign = 1 if margin.index[0] == truth else -1
            second = margin.iloc[1]
            ahead.append(f"{-sign * second['difference']:.0f} ± {second['difference_se']:.0f}")
            plugged_in.append(max(both, key=lambda key: both[key][1].total))
        told = " | ".join(f"{n}/{n_seeds}" for n in wins.values())
        yield f"| {truth} | {told} | {', '.join(ahead)} | {', '.join(plugged_in)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="data sets of each likelihood")
    for row in rows(parser.parse_args().seeds):
        print(row, flush=True)
