"""Genes that are shown while a fit goes on."""

from dataclasses import replace

import numpy as np
import pytest

from scribeviz.criticism.draws import NaturalDraws
from scribeviz.runs.folder import RunFolder, RunState
from scribeviz.views.fit.fit_state import FitState
from scribeviz.views.fit.live_genes import LiveGenesView


@pytest.fixture
def under_way(tmp_path, store, mixture):
    """A run that goes on, and what it is judged by so far."""
    run = RunFolder(tmp_path / "under-way")
    run.path.mkdir()
    for file in mixture.path.iterdir():
        (run.path / file.name).write_bytes(file.read_bytes())
    run.update_status(state=RunState.RUNNING, ended=0.0)
    fit = FitState(store=store)
    fit.look_at(run)
    return run, fit


def test_the_worst_gene_is_shown_and_stays_while_it_becomes_right(under_way, mixture, html_of):
    run, fit = under_way
    view = LiveGenesView(state=fit)
    assert not view.__panel__().visible
    critique = mixture.critique
    misfits = np.linspace(0.0, 0.5, len(critique.genes))
    replace(critique, genes=critique.genes.assign(misfit=misfits)).save(run.preview_path)
    fit.refresh()
    assert view.__panel__().visible
    worst = str(critique.genes["gene"].iloc[-1])
    assert view.gene == worst
    assert worst in html_of(view.__panel__()) or "&lt;" in html_of(view.__panel__())
    replace(critique, genes=critique.genes.assign(misfit=misfits[::-1])).save(run.preview_path)
    fit.refresh()
    assert view.gene == worst
    assert len(view._picker.options) <= 9
    run.update_status(state=RunState.DONE)
    fit.refresh()
    assert not view.__panel__().visible


def test_a_preview_that_has_gone_is_no_error(under_way, mixture):
    run, fit = under_way
    mixture.critique.save(run.preview_path)
    fit.refresh()
    run.preview_path.unlink()
    assert LiveGenesView(state=fit)._read(run, "") is None


def test_means_alone_scatter_by_chance_alone():
    draws = NaturalDraws(
        likelihood_key="nbdm",
        natural={"r": np.full((1, 1, 1, 3), 2.0), "log_odds": np.zeros((1, 1, 1, 1))},
        weights=np.ones((1, 1)),
        groups=np.ones(1),
        group_of_cell=np.zeros(5, int),
    ).of_gene(1, 40)
    assert draws.n_draws == 40
    assert draws.natural["r"].shape == (40, 1, 1, 1)
