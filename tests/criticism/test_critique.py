from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from scribeviz import SVIConfig, simulate
from scribeviz.criticism.critique import Critique
from scribeviz.criticism.loo import CellScores
from scribeviz.fitting.count_models import prepare_fit
from scribeviz.models.spec import model_spec
from tests.criticism.natural import short


@pytest.fixture(scope="module", params=[1, 2])
def critique(request):
    model = "nbdm_mix" if request.param == 2 else "nbdm"
    counts, _ = simulate(model, n_cells=80, n_genes=12, seed=3)
    fit = prepare_fit(counts, model_spec(model), SVIConfig(n_steps=300))
    *_, last = fit.checkpoints()
    return fit.results(last).critique(fit.counts), fit


@pytest.mark.slow
def test_it_holds_every_gene_and_every_cell(critique):
    found, fit = critique
    k = fit.model.spec.n_components
    assert short(found.draws.natural, "r").shape == (found.draws.n_draws, k, fit.counts.n_genes)
    assert list(found.genes["gene"]) == list(fit.counts.genes)
    assert found.probabilities.shape == (80, k)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)


def test_its_draws_are_the_posterior(critique):
    found, fit = critique
    *_, last = fit.checkpoints()
    alpha, beta = last.params["p_alpha"], last.params["p_beta"]
    p = expit(short(found.draws.natural, "log_odds"))
    np.testing.assert_allclose(p.mean(), alpha / (alpha + beta), rtol=0.01)


def test_it_comes_back_from_a_file(critique, tmp_path):
    found, _ = critique
    found.save(tmp_path / "critique.h5")
    back = Critique.load(tmp_path / "critique.h5")
    assert back.draws.likelihood_key == "nbdm"
    for name, value in found.draws.natural.items():
        np.testing.assert_array_equal(back.draws.natural[name], value)
    np.testing.assert_array_equal(back.draws.weights, found.draws.weights)
    np.testing.assert_array_equal(back.probabilities, found.probabilities)
    pd.testing.assert_frame_equal(back.genes, found.genes, check_dtype=False)


def test_totals_and_scored_cells_come_back_from_a_file(critique, tmp_path, rng):
    found, _ = critique
    totals = rng.random((5, 12)).astype(np.float32)
    scores = CellScores(rng.normal(size=7), rng.random(7), float("nan"), cells=np.arange(3, 10))
    nobody = np.zeros(0, np.int32)
    draws = replace(found.draws, totals=totals, group_of_cell=nobody)
    replace(found, draws=draws, scores=scores).save(tmp_path / "critique.h5")
    back = Critique.load(tmp_path / "critique.h5")
    np.testing.assert_array_equal(back.draws.totals, totals)
    np.testing.assert_array_equal(back.scores.cells, scores.cells)
    np.testing.assert_array_equal(back.scores.elpd, scores.elpd)
    np.testing.assert_array_equal(back.scores.pareto_k, scores.pareto_k)
    assert found.can_choose_cells
    assert not back.can_choose_cells


def test_cells_are_chosen_by_mask_or_position(critique):
    found, _ = critique
    mask = np.arange(80) % 3 == 0
    by_mask, by_position = found.of_cells(mask), found.of_cells(np.flatnonzero(mask))
    np.testing.assert_array_equal(by_mask.draws.groups, by_position.draws.groups)
    assert by_mask.draws.groups.sum() == pytest.approx(1)
    for nothing in ([], np.zeros(80, bool)):
        with pytest.raises(ValueError, match="no cell is chosen"):
            found.of_cells(nothing)
    with pytest.raises(ValueError, match="0 to 79"):
        found.of_cells([80])
    with pytest.raises(ValueError, match="80 entries"):
        found.of_cells(mask[:5])
