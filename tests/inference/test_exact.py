"""Exact inference as a stream: evidence rises, priors are found again, a stop costs nothing."""

from dataclasses import fields

import numpy as np
import pytest

import scribeviz
from scribeviz.data.gene_tables import gene_tables
from scribeviz.inference.exact import (
    ExactConfig,
    exact_checkpoints,
    learn_from_some,
    learn_priors,
)
from scribeviz.inference.shared_priors import Learned, first_priors, shared_priors_of
from scribeviz.models.gene_priors import TYPICAL, GenePriors, knots_for
from scribeviz.models.spec import ModelSpec

LEARNED = Learned(mean=True, dispersion=True)


@pytest.fixture(scope="module")
def simulated():
    return scribeviz.simulate("nb", n_cells=400, n_genes=600, seed=3)


@pytest.fixture(scope="module")
def tables(simulated):
    counts, truth = simulated
    kept = np.flatnonzero(counts.gene_totals > 0)
    return gene_tables(counts.select_genes(kept), np.log(truth["depth"]))


def test_the_shared_priors_are_found_again(tables):
    found = learn_priors(tables, first_priors(tables), LEARNED)
    assert found.mean == pytest.approx(TYPICAL.mean, abs=4 * TYPICAL.spread / np.sqrt(600))
    assert found.spread == pytest.approx(TYPICAL.spread, rel=0.12)
    assert found.scatter == pytest.approx(TYPICAL.scatter, rel=0.15)
    places = np.array([-1.5, 0.0, 1.5])
    np.testing.assert_allclose(found.trend(places), TYPICAL.trend(places), atol=0.25)


def test_evidence_rises_with_every_sweep_until_it_settles(tables):
    checkpoints = list(
        exact_checkpoints(tables, ExactConfig(tolerance=0.05), first_priors(tables), LEARNED)
    )
    sweeps = checkpoints[-1].losses[3::4]
    assert len(sweeps) >= 2
    assert (np.diff(sweeps) < 0.02).all()
    assert checkpoints[-1].settled
    assert not any(each.settled for each in checkpoints[:-1])
    assert [each.step for each in checkpoints] == list(range(1, len(checkpoints) + 1))


def test_a_fit_that_goes_on_is_the_one_that_never_stopped(tables):
    config = ExactConfig(tolerance=0.05)
    whole = list(exact_checkpoints(tables, config, first_priors(tables), LEARNED))
    for stop in (2, 4, 6):
        *_, last = exact_checkpoints(
            tables, config, first_priors(tables), LEARNED, start=whole[stop]
        )
        for each in fields(last):
            if each.name == "steps_per_second":
                continue
            ours, wanted = getattr(last, each.name), getattr(whole[-1], each.name)
            if each.name == "priors":
                assert all(np.array_equal(ours[name], wanted[name]) for name in wanted)
            else:
                assert np.array_equal(ours, wanted), each.name


def test_priors_that_are_given_stay(tables):
    spec = ModelSpec(
        likelihood="nb", priors={"mu": ("lognormal", -0.5, 1.0), "r": ("lognormal", 0.2, 0.8)}
    )
    priors, learned = shared_priors_of(spec, tables)
    *_, last = exact_checkpoints(tables, ExactConfig(), priors, learned)
    assert last.settled
    assert last.step == 4
    kept = GenePriors.from_arrays(last.priors)
    assert (kept.mean, kept.spread, kept.scatter) == (-0.5, 1.0, 0.8)
    np.testing.assert_allclose(kept.trend(np.array([-5.0, 0.0, 5.0])), 0.2)


def test_some_genes_tell_about_as_much(simulated):
    counts, _ = simulated
    about = learn_from_some(counts, ModelSpec(likelihood="nb"))
    assert about.mean == pytest.approx(TYPICAL.mean, abs=0.4)
    assert about.scatter == pytest.approx(TYPICAL.scatter, rel=0.25)


def test_a_few_genes_learn_a_little():
    counts, truth = scribeviz.simulate("nb", n_cells=50, n_genes=3, seed=1)
    few = gene_tables(counts.seen_genes(), np.log(truth["depth"]))
    found = learn_priors(few, first_priors(few), LEARNED)
    assert found.knots.size == 1
    assert 0.3 < found.scatter < 3
    assert 0.5 < found.spread < 5


def test_more_genes_bend_the_trend_more():
    rng = np.random.default_rng(0)
    sizes = [knots_for(rng.normal(size=n)).size for n in (5, 40, 60, 1_000)]
    assert sizes == [1, 2, 4, 6]


def test_the_trend_is_the_same_function_in_jax():
    places = np.array([-30.0, -7.3, -1.0, 0.04, 2.2, 30.0])
    ours = np.asarray(TYPICAL.trend_in_jax(places.astype(np.float32)))
    np.testing.assert_allclose(ours, TYPICAL.trend(places), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prior", [("gamma", 2.0, 1.0), ("exponential", 1.0)])
def test_a_given_prior_of_another_family_is_not_taken_for_a_log_normal(prior, tables):
    """The mean's prior is then learned as if that of the dispersion were learned too."""
    spec = ModelSpec(likelihood="nb", priors={"r": prior})
    assert not spec.has_exact_posterior
    priors, learned = shared_priors_of(spec, tables)
    assert learned == LEARNED
    assert priors == first_priors(tables)
