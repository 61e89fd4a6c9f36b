import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from scribeviz.data import tables
from scribeviz.data.tables import padded_lists
from scribeviz.models.lists import sum_over_lists


@pytest.fixture(params=[40, 2**20], ids=["small blocks", "whole"])
def sparse(rng, request, monkeypatch):
    """A sparse matrix of ones, some rows of it empty, and the same as lists from both sides."""
    monkeypatch.setattr(tables, "_BLOCK", request.param)
    dense = (rng.random((30, 17)) < np.linspace(0, 0.9, 30)[:, None]).astype(int)
    dense[4] = dense[:, 2] = 0
    matrix = sp.csr_array(dense)
    flipped = sp.csr_array(matrix.T)
    lists, transposed = (
        padded_lists(m.indices, np.diff(m.indptr), size=m.shape[1]) for m in (matrix, flipped)
    )
    return matrix, lists, transposed


def test_sum_over_lists_is_a_sparse_product(sparse, rng):
    matrix, lists, transposed = sparse
    values = rng.normal(size=(3, 17)).astype(np.float32)
    ours = sum_over_lists(jnp.asarray(values), lists, transposed)
    np.testing.assert_allclose(ours, (matrix @ values.T).T, rtol=1e-5, atol=1e-6)


def test_sum_over_lists_has_the_slope_of_a_sparse_product(sparse, rng):
    matrix, lists, transposed = sparse
    values, weights = rng.normal(size=(2, 17)), rng.normal(size=(2, 30))

    def weighted(values):
        sums = sum_over_lists(values, lists, transposed)
        return (jnp.asarray(weights, jnp.float32) * sums).sum()

    slope = jax.grad(weighted)(jnp.asarray(values, jnp.float32))
    np.testing.assert_allclose(slope, (matrix.T @ weights.T).T, rtol=1e-5, atol=1e-6)


def test_sum_over_lists_can_be_compiled_with_its_lists_as_arguments(sparse, rng):
    matrix, lists, transposed = sparse
    values = rng.normal(size=(1, 17)).astype(np.float32)
    ours = jax.jit(sum_over_lists)(values, lists, transposed)
    np.testing.assert_allclose(ours, (matrix @ values.T).T, rtol=1e-5, atol=1e-6)
