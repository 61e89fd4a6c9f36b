"""Genes go by many names: symbols, ids of any version, aliases; and what else var says of them."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scribeviz
from scribeviz import as_counts
from scribeviz.data.cell_qc import cell_qc, mitochondrial
from scribeviz.data.counts import Counts, plain_counts

GENES = ["CD3D", "IL12B", "IL9", "LYZ", "AC092143.1"]
IDS = ["ENSG00000167286.9", "ENSG00000113302", "ENSG00000145839.2", "ENSG00000090382.7", "E9"]
MATRIX = np.random.default_rng(3).poisson(2.0, (12, 5)) + np.eye(12, 5, dtype=int)


def counts_of(index=GENES, **var):
    frame = pd.DataFrame(var, index=index)
    return as_counts(ad.AnnData(sp.csr_matrix(MATRIX.astype("float32")), var=frame))


@pytest.mark.parametrize("by_ids", [True, False])
def test_versions_of_ids_are_ignored(by_ids):
    counts = counts_of(IDS, gene_name=GENES) if by_ids else counts_of(gene_ids=IDS)
    assert counts.genes.tolist() == GENES
    for name in ("CD3D", "ENSG00000167286", "ENSG00000167286.9", "ENSG00000167286.12"):
        assert counts.gene_index(name) == 0
        np.testing.assert_array_equal(counts.gene(name), MATRIX[:, 0])
    assert counts.gene_index("ENSG00000113302.4") == 1
    with pytest.raises(KeyError, match="no gene is called 'AC092143' in"):  # no version of an id
        counts.gene_index("AC092143")


@pytest.mark.parametrize("column", ["alias_symbol", "prev_symbol", "synonyms", "Gene Synonym"])
@pytest.mark.parametrize("parted", ["|", ", ", ";"])
def test_aliases_are_found_where_var_has_them(column, parted):
    aliases = [f"T3D{parted}OKT3", f"CLMF{parted}p40", "p40", None, ""]
    counts = counts_of(**{column: aliases})
    assert counts.gene_index("OKT3") == 0
    assert counts.gene_index("CLMF") == 1
    with pytest.raises(KeyError, match="'p40' may be any of 2 genes: IL12B, IL9; give one"):
        counts.gene_index("p40")
    some = counts.select_genes(np.array([2, 3]))
    assert some.gene_index("p40") == 0


def test_a_name_goes_before_an_alias():
    counts = counts_of(alias_symbol=["LYZ", "", "", "", ""], prev_symbol=["", "IL9", "", "", ""])
    assert counts.gene_index("LYZ") == 3
    assert counts.gene_index("IL9") == 2


def test_an_id_of_several_features_is_not_guessed():
    counts = counts_of(gene_ids=["E1", "E2", "E2", "E3", "E4"])
    with pytest.raises(KeyError, match="'E2' may be any of 2 genes: IL12B, IL9"):
        counts.gene_index("E2")


def test_results_are_indexed_by_ids_of_any_version():
    counts = plain_counts(MATRIX, genes=IDS)
    results = scribeviz.fit(counts, "nbdm", n_steps=50)
    assert results["ENSG00000167286"].genes.tolist() == IDS[:1]
    assert results[["E9", "ENSG00000145839.77"]].genes.tolist() == ["E9", IDS[2]]
    with pytest.raises(KeyError, match="no gene is called 'CD3D' in a fit of 5 genes"):
        results["CD3D"]


@pytest.mark.parametrize("method", ["svi", "mcmc"])
def test_results_keep_ids_beside_symbols(tmp_path, method):
    settings = {"n_steps": 50} if method == "svi" else {"n_samples": 20, "n_warmup": 20}
    results = scribeviz.fit(counts_of(gene_ids=IDS), "nbdm", inference_method=method, **settings)
    results.save(tmp_path / "r.h5")
    for each in (results, type(results).load(tmp_path / "r.h5")):
        assert each["ENSG00000167286"].genes.tolist() == ["CD3D"]
        assert each[["LYZ", "CD3D"]]["ENSG00000090382.1"].genes.tolist() == ["LYZ"]


def test_a_network_names_genes_by_their_ids(tmp_path):
    counts = counts_of(gene_ids=IDS)
    network = scribeviz.CellVAE(n_latent=2, n_hidden=4)
    results = scribeviz.fit(counts, network, max_epochs=1)
    results.save(tmp_path / "n.h5")
    for each in (results, type(results).load(tmp_path / "n.h5")):
        frame = each.get_normalized_expression(counts, ["ENSG00000167286", "LYZ"])
        assert frame.columns.tolist() == ["CD3D", "LYZ"]


@pytest.mark.parametrize("column", ["mt", "mito", "is_mito", "MT", "mitochondrial", "is_mt"])
@pytest.mark.parametrize(
    "marks",
    [
        np.array([False, True, False, False, True]),
        pd.array([False, True, None, False, True], dtype="boolean"),
        ["False", "True", "False", "False", "True"],
        [0, 1, 0, 0, 1],
    ],
    ids=["numpy", "nullable", "text", "numbers"],
)
def test_a_column_of_var_marks_mitochondrial_genes(tmp_path, column, marks):
    counts = counts_of(**{column: marks})
    share = MATRIX[:, [1, 4]].sum(axis=1) / MATRIX.sum(axis=1)
    np.testing.assert_allclose(cell_qc(counts).mt_share, share)
    counts.save(tmp_path / "c.h5")
    loaded = Counts.load(tmp_path / "c.h5")
    assert mitochondrial(loaded).tolist() == [False, True, False, False, True]
    assert mitochondrial(loaded.select_genes(np.array([1, 0]))).tolist() == [True, False]
    kept = scribeviz.CellFilter(max_mt_share=0.3).apply(counts)
    assert kept.n_cells == (share <= 0.3).sum()


@pytest.mark.parametrize("name", ["MT", "chrM", "M"])
def test_the_chromosome_tells_them(name):
    counts = counts_of(chromosome=["1", name, "X", "chrMa", "MT1"])
    assert mitochondrial(counts).tolist() == [False, True, False, False, False]


def test_columns_that_mark_nothing_are_not_asked():
    symbols = ["MT-CO1", *GENES[1:]]
    for marks in ([False] * 5, [0.1, 0.2, 0.0, 0.0, 0.5], ["a"] * 5):
        counts = counts_of(symbols, mt=marks)
        assert counts.mitochondrial is None
        assert mitochondrial(counts).tolist() == [True, False, False, False, False]


@pytest.mark.parametrize(
    "gene", ["ENSG00000198888", "ENSG00000210049.1", "ENSMUSG00000065947", "ENSMUSG00000064336"]
)
def test_ids_of_ensembl_tell_them(gene):
    others = ["ENSG00000198889", "ENSMUSG00000064362", "A", "B"]
    assert mitochondrial(plain_counts(MATRIX, genes=[gene, *others])).tolist() == [
        True,
        *[False] * 4,
    ]


def test_aliases_are_saved(tmp_path):
    counts = counts_of(synonyms=["OKT3", None, "", "", ""])
    counts.save(tmp_path / "c.h5")
    assert Counts.load(tmp_path / "c.h5").gene_index("OKT3") == 0
