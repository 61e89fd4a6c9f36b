"""Sums over cells through a few nodes of depth, against the sums themselves."""

import numpy as np
import pytest

from scribeviz.data.counts import plain_counts
from scribeviz.data.depth_nodes import depth_nodes, depth_sums, depth_sums_at, shares


@pytest.fixture(scope="module")
def log_depth():
    return np.random.default_rng(0).uniform(np.log(0.2), np.log(6.0), 500)  # thirtyfold


@pytest.fixture(scope="module")
def counts(log_depth):
    rng = np.random.default_rng(1)
    return plain_counts(rng.poisson(np.exp(log_depth)[:, None] * rng.gamma(1.0, 2.0, 9)))


def test_sums_are_those_over_all_cells(counts, log_depth):
    sums = depth_sums(counts, log_depth)
    for odds in (-20.0, -5.0, 0.0, 3.0, 15.0):
        each = np.logaddexp(0, odds + log_depth)
        at_nodes = np.logaddexp(0, odds + sums.place)
        wanted = counts.matrix.toarray().T @ each
        np.testing.assert_allclose(sums.of_genes @ at_nodes, wanted, rtol=1e-8)
        np.testing.assert_allclose(sums.of_cells @ at_nodes, each.sum(), rtol=1e-8)


def test_parts_of_the_cells_add_up(counts, log_depth):
    nodes = depth_nodes(log_depth)
    whole = depth_sums(counts, log_depth)
    halves = [
        depth_sums_at(nodes, counts.select_cells(cells), log_depth[cells])
        for cells in (np.arange(200), np.arange(200, 500))
    ]
    np.testing.assert_allclose(sum(half.of_genes for half in halves), whole.of_genes, atol=1e-9)
    np.testing.assert_allclose(sum(half.of_cells for half in halves), whole.of_cells, atol=1e-9)


def test_a_wider_range_takes_more_nodes():
    sizes = [depth_nodes(np.log([1.0, ratio])).place.size for ratio in (1.0, 2.0, 30.0, 1e4)]
    assert sizes == sorted(sizes)
    assert sizes[0] <= 6
    assert 12 <= sizes[2] <= 18


def test_cells_of_one_depth_are_shared_out_all_the_same():
    log_depth = np.zeros(7)
    parts = shares(depth_nodes(log_depth), log_depth)
    np.testing.assert_allclose(parts.sum(axis=1), 1)
