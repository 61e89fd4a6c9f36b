"""Mixtures with capture find what is known about real cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import scribeviz
from scribeviz.data.counts import Counts
from scribeviz.fitting.count_models import prepare_fit
from scribeviz.inference.svi import SVIConfig
from scribeviz.models.spec import model_spec

pytestmark = pytest.mark.slow

# A fifth of the steps that the loss takes to settle: the groups stand long before.
STEPS = 300


def partition(counts: Counts, seed: int) -> np.ndarray:
    spec = model_spec("nbvcp", n_components=5)
    fit = prepare_fit(counts, spec, SVIConfig(n_steps=STEPS, tolerance=0.0, seed=seed))
    *_, last = fit.checkpoints()
    assert np.isfinite(last.losses).all()
    given = fit.model.counts_given(fit.model.posterior_means(last.params))
    found = given.responsibilities(jax.tree.map(jnp.asarray, fit.tables))
    return np.asarray(found).argmax(axis=0)


@pytest.mark.parametrize("seed", range(5))
def test_five_cell_lines_are_told_apart(shared_data, seed):
    path = shared_data / "tian2019_celseq2_5celllines.h5ad"
    if not path.is_file():
        pytest.skip("the cell lines are not beside the checkout")
    counts = scribeviz.read(path)
    single = np.flatnonzero((counts.obs["demuxlet_cls"] == "SNG").to_numpy())
    counts = counts.select_cells(single)
    lines = counts.obs["cell_line_demuxlet"].astype(str)
    assert adjusted_rand_score(lines, partition(counts, seed)) >= 0.98


def test_sorted_blood_is_told_apart(shared_data):
    path = shared_data / "zheng2017_pbmc_facs.h5ad"
    if not path.is_file():
        pytest.skip("the sorted cells are not beside the checkout")
    counts = scribeviz.read(path)
    assert adjusted_rand_score(counts.obs["subpop"].astype(str), partition(counts, 0)) >= 0.91
