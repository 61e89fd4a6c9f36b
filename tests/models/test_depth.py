"""Depths of cells that are given: from totals, or from a column of obs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import scribeviz
from scribeviz import CountsError, ModelSpec
from scribeviz.data.counts import plain_counts
from scribeviz.models.builder import build
from scribeviz.models.depth import Depth, depth_columns, depths_in

FACTORS = ModelSpec(likelihood="nb", depth_column="size_factor")


@pytest.fixture(scope="module")
def counts():
    """One gene takes most of some cells' counts: their totals say little of their depth."""
    rng = np.random.default_rng(0)
    depth = rng.lognormal(0, 0.4, 120)
    mean = np.outer(depth, rng.lognormal(0, 1, 30))
    mean[:60, 0] *= 200
    plain = plain_counts(rng.poisson(rng.gamma(3.0, mean / 3)))
    obs = pd.DataFrame(
        {
            "size_factor": 1_000 * depth,
            "total": plain.cell_totals,
            "type": pd.Categorical(["a", "b"] * 60),
            "kept": True,
            "zero": np.arange(120),
            "missing": pd.array([None, *range(1, 120)], dtype="Int64"),
        },
        index=plain.obs.index,
    )
    return replace(plain, obs=obs)


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ("nowhere", "has no column 'nowhere' in obs to take depths from; it has 'size_factor'"),
        ("type", r"obs\['type'\] holds none"),
        ("kept", r"obs\['kept'\] holds none"),
        ("zero", r"obs\['zero'\] holds 0 for cell 'cell 1'"),
        ("missing", r"obs\['missing'\] holds nan for cell 'cell 1'"),
    ],
)
def test_a_column_without_depths_is_refused(counts, column, says):
    with pytest.raises(CountsError, match=says):
        depths_in(counts, column)
    with pytest.raises(CountsError, match=says):
        scribeviz.fit(counts, ModelSpec(likelihood="nb", depth_column=column), progress=False)


def test_columns_with_depths_are_offered(counts):
    assert depth_columns(counts) == ["size_factor", "total"]
    assert depth_columns(plain_counts(np.eye(3, dtype=int))) == []


def test_models_without_given_depths_take_no_column():
    with pytest.raises(ValueError, match="nbdm takes none as given; choose one of 'nb', 'poisson'"):
        ModelSpec(depth_column="size_factor")
    assert FACTORS.changed(likelihood="nbvcp").depth_column == ""
    assert FACTORS.changed(likelihood="poisson").depth_column == "size_factor"


def test_totals_in_a_column_are_the_totals(counts):
    plain = scribeviz.fit(counts, "nb", progress=False)
    column = scribeviz.fit(counts, FACTORS.changed(depth_column="total"), progress=False)
    np.testing.assert_array_equal(column.loss_history, plain.loss_history)
    np.testing.assert_array_equal(column.get_map()["mu"], plain.get_map()["mu"])


def test_size_factors_reach_the_posterior_and_the_scores(counts, tmp_path):
    results = scribeviz.fit(counts, FACTORS, progress=False)
    factors = counts.obs["size_factor"].to_numpy()
    np.testing.assert_allclose(results.depth.relative, factors / factors.mean())
    observed = counts.matrix.toarray()
    rate = observed.sum(axis=0) / results.depth.relative.sum()
    loud = observed.sum(axis=0) > 200
    loud[0] = False
    fitted = results.get_map(use_mean=True)["mu"]
    np.testing.assert_allclose(fitted[loud], rate[loud], rtol=0.1)
    by_total = scribeviz.fit(counts, "nb", progress=False)
    assert results.loss_history[-1] < by_total.loss_history[-1] - 100, "in nats"
    results.save(tmp_path / "r.h5")
    again = type(results).load(tmp_path / "r.h5")
    np.testing.assert_array_equal(again.loo(counts).elpd, results.loo(counts).elpd)


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["nb", "poisson"])
@pytest.mark.parametrize("n_components", [1, 2])
def test_every_form_of_a_model_takes_them(counts, likelihood, n_components):
    spec = FACTORS.changed(likelihood=likelihood, n_components=n_components)
    results = scribeviz.fit(counts, spec, n_steps=20, progress=False)
    relative = Depth.of_cells(counts, "size_factor").relative
    tables = build(spec, counts.n_cells, counts.n_genes).tables(counts)
    np.testing.assert_allclose(tables.log_depth, np.log(relative), rtol=1e-5, atol=1e-6)
    assert np.isfinite(results.critique(counts).genes["misfit"]).all()
