"""Exact leave-one-out against refits that leave the cell out, and against sums over depths."""

import numpy as np
import pytest
import scipy.stats
from scipy.special import logsumexp

import scribeviz
from scribeviz.criticism.exact_loo import leave_one_out, predict_unseen
from scribeviz.data.gene_tables import gene_tables
from scribeviz.inference.gene_posterior import GenePosterior
from scribeviz.inference.gene_quadrature import first_region
from scribeviz.models.gene_priors import TYPICAL

CELLS = (0, 7, 23, 41)


@pytest.fixture(scope="module")
def data():
    counts, truth = scribeviz.simulate("nb", n_cells=60, n_genes=150, seed=5)
    return counts.seen_genes(), np.log(truth["depth"])


def posterior_of(counts, log_depth):
    tables = gene_tables(counts, log_depth)
    return GenePosterior(tables, TYPICAL, first_region(tables, TYPICAL)[0])


@pytest.fixture(scope="module")
def scores(data):
    return leave_one_out(posterior_of(*data), *data)


def without(data, cell, log_depths):
    """By a fit to the other cells: the log-probability of the cell's counts, gene by gene."""
    counts, log_depth = data
    others = np.delete(np.arange(counts.n_cells), cell)
    posterior = posterior_of(counts.select_cells(others), log_depth[others])
    return predicted(posterior, counts.matrix.toarray()[cell], log_depths)


def predicted(posterior, x, log_depths):
    """Log-probability of a cell's counts at each depth, gene by gene."""
    logs = np.empty((log_depths.size, x.size))
    for genes, nodes in posterior.blocks():
        r = np.exp(nodes.log_r)[..., None]
        for i, at in enumerate(log_depths):
            mean = np.exp(nodes.log_mean + at)
            each = scipy.stats.nbinom.logpmf(x[genes, None, None], r, r / (r + mean))
            with np.errstate(divide="ignore"):
                logs[i, genes] = logsumexp(each + np.log(nodes.weight), axis=(1, 2))
    return logs


@pytest.mark.parametrize("cell", CELLS)
def test_cells_score_as_after_a_fit_without_them(cell, data, scores):
    wanted = without(data, cell, data[1][[cell]]).sum()
    assert scores.by_cell_given_depth[cell] == pytest.approx(wanted, abs=0.05)


def test_an_unknown_depth_is_summed_over(data, scores):
    log_depth, cell = data[1], CELLS[1]
    grid = np.linspace(log_depth[cell] - 0.9, log_depth[cell] + 0.9, 61)
    logs = without(data, cell, grid).sum(axis=1)
    logs += scipy.stats.norm.logpdf(grid, log_depth.mean(), log_depth.std())
    wanted = logsumexp(logs) + np.log(grid[1] - grid[0])
    assert scores.by_cell[cell] == pytest.approx(wanted, abs=0.06)


def test_cells_and_genes_add_up(scores):
    assert scores.by_gene.sum() == pytest.approx(scores.by_cell_given_depth.sum(), abs=1e-6)


def test_cells_that_were_not_fitted_are_scored_as_by_sums_over_depths(data):
    counts, log_depth = data
    test, train = np.array(CELLS), np.delete(np.arange(counts.n_cells), CELLS)
    posterior = posterior_of(counts.select_cells(train), log_depth[train])
    ours = predict_unseen(posterior, counts.select_cells(test), log_depth[test], log_depth[train])
    x = counts.matrix.toarray()[test]
    for i, cell in enumerate(test):
        grid = np.linspace(log_depth[cell] - 0.9, log_depth[cell] + 0.9, 61)
        logs = predicted(posterior, x[i], grid).sum(axis=1)
        logs += scipy.stats.norm.logpdf(grid, log_depth[train].mean(), log_depth[train].std())
        wanted = logsumexp(logs) + np.log(grid[1] - grid[0])
        assert ours[i] == pytest.approx(wanted, abs=1e-3)
