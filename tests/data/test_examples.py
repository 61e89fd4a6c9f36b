import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from scribeviz.data.counts import CountsError
from scribeviz.data.examples import demo, whole_counts


def test_the_example_is_raw_counts_of_known_cells():
    # Not even the warnings that the project's own settings let pass.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts = demo()
    assert (counts.n_cells, counts.n_genes) == (700, 765)
    assert counts.matrix.dtype == np.int32
    assert counts.obs["bulk_labels"].nunique() == 10
    assert counts.name == "PBMC 68k (example)"
    assert (counts.gene_totals > 0).all()
    # The genes are a part of those that were counted.
    assert (counts.cell_totals <= counts.obs["n_counts"]).all()
    assert counts.gene("CD74").max() > 20


def test_counts_come_back_from_logarithms():
    matrix = np.random.default_rng(0).poisson(2.0, (30, 8))
    totals = matrix.sum(axis=1) + 100.0
    logarithms = np.log1p(1e4 * matrix / totals[:, None]).astype(np.float32)
    back = whole_counts(sp.csr_array(logarithms, dtype=np.float64), totals)
    assert back.toarray().tolist() == matrix.tolist()


def test_other_data_are_refused():
    logarithms = sp.csr_array(np.log1p([[1e4 * 0.5 / 7]]))
    with pytest.raises(CountsError, match=r"do not come back whole \(off by 0.5\)"):
        whole_counts(logarithms, np.array([7.0]))
