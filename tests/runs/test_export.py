"""A run as AnnData: what scanpy's users find in it."""

import anndata as ad
import numpy as np
import pytest

from scribeviz import ModelSpec, SVIConfig, simulate
from scribeviz.models.custom.registry import CustomSpec
from scribeviz.runs.export import as_h5ad
from scribeviz.runs.folder import create_run
from scribeviz.runs.worker import work


@pytest.fixture
def counts():
    found, _ = simulate("nbdm_mix", n_cells=60, n_genes=8, seed=0)
    matrix = found.matrix.toarray()
    matrix[:, 3] = 0  # nobody has seen this gene
    return type(found)(**(vars(found) | {"matrix": type(found.matrix)(matrix)}))


@pytest.mark.slow
@pytest.mark.usefixtures("tutorial")
@pytest.mark.parametrize(
    "spec", [ModelSpec(n_components=2), CustomSpec("nbdm-lognormal")], ids=["mixture", "own"]
)
def test_a_run_is_one_file_for_scanpy(tmp_path, counts, spec):
    run = create_run(tmp_path / "run", counts, spec, SVIConfig(n_steps=60))
    work(run)
    path = tmp_path / "out.h5ad"
    path.write_bytes(as_h5ad(run).read())
    found = ad.read_h5ad(path)
    np.testing.assert_array_equal(found.X.toarray(), counts.matrix.toarray())
    assert set(counts.obs) <= set(found.obs)
    table = run.critique.genes.set_index("gene")
    fitted = found.var_names.isin(table.index)
    np.testing.assert_allclose(
        found.var.loc[fitted, "scribeviz_misfit"],
        table.loc[found.var_names[fitted], "misfit"],
    )
    own = isinstance(spec, CustomSpec)
    assert fitted.all() == own, "a user's own model fits every gene"
    assert (found.var["scribeviz_problem"] == "not fitted").sum() == (not own)
    assert ("scribeviz_component" in found.obs) == (not own)
