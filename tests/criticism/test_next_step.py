"""From simulations that a model gets wrong in one known way to the model that is proposed."""

import numpy as np
import pandas as pd
import pytest

from scribeviz import ModelSpec
from scribeviz.criticism.misfit import AS_EXPECTED
from scribeviz.criticism.next_step import digest, next_step
from scribeviz.data.counts import plain_counts


@pytest.fixture
def counts(rng):
    return plain_counts(rng.poisson(2.0, (200, 50)))


def table(counts, problem=AS_EXPECTED, n_wrong=0):
    """Genes whose totals vary as they do, the first of them wrong."""
    matrix = counts.matrix.toarray()
    wrong = np.arange(counts.n_genes) < n_wrong
    return pd.DataFrame(
        {
            "gene": counts.genes,
            "misfit": np.where(wrong, 0.2 - 0.001 * np.arange(counts.n_genes), 0.0),
            "problem": np.where(wrong, problem, AS_EXPECTED),
            "mean": matrix.mean(axis=0),
            "predicted_mean": matrix.mean(axis=0),
            "predicted_variance": np.full(counts.n_genes, counts.cell_totals.var() / 50),
        }
    )


def test_depth_is_proposed_where_totals_vary_more_than_expected(counts):
    deep = plain_counts(counts.matrix.toarray() * np.repeat([1, 20], 100)[:, None])
    genes = table(counts)
    step = next_step(ModelSpec(likelihood="nbdm"), genes, deep)
    assert step.model == ModelSpec(likelihood="nb", parameterization="mean_dispersion")
    assert "The totals of the cells vary" in step.why
    assert next_step(ModelSpec(likelihood="nbdm"), genes, counts) is None
    assert next_step(ModelSpec(likelihood="nbvcp"), genes, deep) is None


@pytest.mark.parametrize("likelihood", ["nbdm", "nbvcp", "zinb", "zinbvcp", "poisson"])
def test_own_dispersions_are_proposed_where_shared_ones_fail(counts, likelihood):
    spec = ModelSpec(likelihood=likelihood, n_components=2)
    step = next_step(spec, table(counts, "tail too heavy", 10), counts)
    assert (step.model.likelihood, step.model.n_components) == ("nb", 2)
    assert step.why.startswith("10 of 50 genes (20%) scatter otherwise")
    assert next_step(spec, table(counts, "tail too heavy", 2), counts) is None


def test_components_are_proposed_where_own_dispersions_fail(counts):
    step = next_step(ModelSpec(likelihood="nb"), table(counts, "shape differs", 5), counts)
    assert (step.model.likelihood, step.model.n_components) == ("nb", 5)
    assert "gene 1, gene 2 and gene 3" in step.why
    mixture = ModelSpec(likelihood="nb", n_components=5)
    assert next_step(mixture, table(counts, "shape differs", 5), counts) is None


def test_genes_are_sorted_by_what_is_off(counts):
    genes = table(counts, "too many zeros", 4)
    genes.loc[0, "problem"] = "shape differs"
    genes.loc[7, "predicted_mean"] *= 2
    entries = digest(genes, counts.n_cells)
    assert [(entry.problem, len(entry.genes)) for entry in entries] == [
        (AS_EXPECTED, 46),
        ("too many zeros", 3),
        ("shape differs", 1),
        ("mean off", 1),
    ]
    assert entries[-1].genes == [counts.genes[7]]
    assert digest(table(counts), counts.n_cells)[0].genes == list(counts.genes)
    exact = table(counts).assign(over_poisson=np.arange(50.0) - 44.5)
    assert digest(exact, counts.n_cells)[-1] == ("more than Poisson", list(counts.genes[-2:]))
