"""p-values of genes: uniform where the model is right, and what they find where it is not.

``python -m tests.benchmarks.misfit`` draws counts from a model, spoils twenty genes in each of
several ways, fits the model to all, and prints two tables: over the genes that were left alone, how
far their p-values are from uniform; of those that were spoiled, how many are found at a false
discovery rate of 5 %, beside a textbook Pearson test with the same prediction (bins with five cells
expected or more, a degree of freedom less for each of a gene's own parameters).
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.stats as st

import scribeviz
from scribeviz.criticism.draws import natural_draws
from scribeviz.criticism.goodness import false_discovery_rates
from scribeviz.criticism.misfit import blocks, histograms
from scribeviz.criticism.pmf import predictive_pmfs
from scribeviz.data.counts import Counts, plain_counts

N_GENES, N_CELLS, EACH = 2_000, 1_000, 20
FEWEST = 5.0  # cells in a bin of the textbook's
type Spoil = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def extra_zeros(x: np.ndarray, _: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One cell in ten shows nothing."""
    return np.where(rng.random(x.shape) < 0.1, 0, x)


def gamma_scatter(x: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means that vary from cell to cell by as much as a gamma of shape 2 does."""
    return rng.poisson(x.mean(axis=0) * rng.gamma(2.0, 0.5, x.shape) * depth)


def two_states(x: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three cells in ten express eight times as much as the others, and no other scatter."""
    high = rng.random(x.shape) < 0.3
    share = np.where(high, 8.0, 1.0)
    return rng.poisson(x.mean(axis=0) * share / 3.1 * depth)


SPOILS: dict[str, Spoil] = {
    "10 % extra zeros": extra_zeros,
    "scatter of a gamma of shape 2": gamma_scatter,
    "two states": two_states,
}


@dataclass(frozen=True)
class Study:
    """A model, its counts, and how many parameters a gene has of its own."""

    model: str
    own_parameters: int

    def counts(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Counts, and the depths of the cells."""
        mean = np.exp(rng.normal(-1.2, 1.5, N_GENES))
        if self.model == "nbdm":  # one variance-to-mean ratio, cells all alike
            return rng.negative_binomial(mean / 0.5, 1 / 1.5, (N_CELLS, N_GENES)), np.ones(1)
        depth = np.exp(rng.normal(0, 0.4, N_CELLS))[:, None]
        depth /= depth.mean()
        r = np.exp(rng.normal(0.5, 0.8, N_GENES))
        return rng.poisson(rng.gamma(r, 1, (N_CELLS, N_GENES)) * mean / r * depth), depth


STUDIES = (Study("nb", 2), Study("nbdm", 1))


def spoiled(
    x: np.ndarray, depth: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, dict[tuple[str, str], np.ndarray]]:
    """Counts with some genes spoiled, and which."""
    x, mean, which = x.copy(), x.mean(axis=0), {}
    for of_mean, able in (
        ("above 0.3", (mean > 0.3) & (mean < 5)),
        ("below 0.3", (mean > 0.05) & (mean < 0.3)),
    ):
        left = rng.permutation(np.flatnonzero(able))
        for name, spoil in SPOILS.items():
            chosen, left = left[:EACH], left[EACH:]
            x[:, chosen] = spoil(x[:, chosen], depth, rng)
            which[name, of_mean] = chosen
    return x, which


def textbook(counts: Counts, results: scribeviz.Results, own_parameters: int) -> np.ndarray:
    """Pearson's test of every gene; NaN where no degree of freedom is left."""
    draws = natural_draws(results.model, results._site_draws(64))
    largest = counts.columns.max(axis=0).toarray().ravel().astype(np.int64)
    p = np.full(counts.n_genes, np.nan)
    for block in blocks(largest):
        pmfs = predictive_pmfs(draws, block.padded, block.n_counts)[:, : block.genes.size]
        seen = histograms(counts, block.genes, block.n_counts)
        for gene, cells, pmf in zip(block.genes, seen, pmfs.mean(axis=0), strict=True):
            expected = counts.n_cells * pmf / pmf.sum()
            starts = _starts(expected)
            observed, wanted = (np.add.reduceat(v, starts) for v in (cells, expected))
            freedom = starts.size - 1 - own_parameters
            if freedom > 0:
                p[gene] = st.chi2.sf(((observed - wanted) ** 2 / wanted).sum(), freedom)
    return p


def _starts(expected: np.ndarray) -> np.ndarray:
    """Where bins begin, so that enough cells are expected in each and in the last."""
    starts, filled = [0], 0.0
    for i, more in enumerate(expected):
        if filled >= FEWEST and expected[i:].sum() >= FEWEST:
            starts.append(i)
            filled = 0.0
        filled += more
    return np.asarray(starts)


def report(study: Study, seed: int) -> None:
    """Print both tables of a model."""
    rng = np.random.default_rng(seed)
    x, depth = study.counts(rng)
    x, which = spoiled(x, depth, rng)
    genes = np.asarray([f"g{i}" for i in range(N_GENES)], object)
    counts = plain_counts(x, genes=list(genes)).seen_genes()
    results = scribeviz.fit(counts, study.model, progress=False)
    table = results.gene_table(counts, n_samples=200).set_index("gene")
    table["textbook"] = textbook(counts, results, study.own_parameters)
    alone = table.drop(index=genes[np.concatenate(list(which.values()))])
    print(f"\n## {study.model}: {counts.n_cells:,} cells, {counts.n_genes:,} genes\n")
    print("| genes left alone | genes | tested | KS distance | p < 0.05 | p < 0.01 | called off |")
    print("|---|---|---|---|---|---|---|")
    means = {"all": (0, np.inf), "below 0.3": (0, 0.3), "above 0.3": (0.3, np.inf)}
    for name, (low, high) in means.items():
        some = alone[(alone["mean"] >= low) & (alone["mean"] < high)]
        p = some["p_value"].dropna()
        print(
            f"| mean {name} | {len(some):,} | {len(p):,} | {st.kstest(p, 'uniform').statistic:.3f} "
            f"| {(p < 0.05).mean():.1%} | {(p < 0.01).mean():.1%} | {(some['fdr'] < 0.05).sum()} |"
        )
    print(
        "\n| spoiled, 20 genes each | found, FDR 5 % | textbook Pearson, FDR 5 % |\n|---|---|---|"
    )
    pearson = pd.Series(false_discovery_rates(table["textbook"].to_numpy()), table.index)
    for (name, of_mean), chosen in which.items():
        there = [gene for gene in genes[chosen] if gene in table.index]
        ours, theirs = (table.loc[there, "fdr"] < 0.05).sum(), (pearson[there] < 0.05).sum()
        print(f"| {name}, mean {of_mean} | {ours} | {theirs} |")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", scribeviz.CountsWarning)
    for study in STUDIES:
        report(study, chosen.seed)


if __name__ == "__main__":
    main()
