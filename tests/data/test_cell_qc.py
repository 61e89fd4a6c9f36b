"""What cells are judged by: numbers by hand, names of many species, labels of other tools."""

import numpy as np
import pandas as pd
import pytest

from scribeviz.data.cell_labels import label_columns, labels_of
from scribeviz.data.cell_qc import cell_qc, mitochondrial
from scribeviz.data.counts import plain_counts

MATRIX = np.array([[1, 3, 0], [0, 2, 2], [0, 0, 0]])


def test_numbers_of_each_cell():
    qc = cell_qc(plain_counts(MATRIX, genes=["MT-ND1", "ACTB", "mt-Co1"]))
    assert qc.counts.tolist() == [4, 4, 0]
    assert qc.genes.tolist() == [2, 2, 0]
    assert qc.mt_share.tolist() == [0.25, 0.5, 0.0]


def test_nothing_is_worked_out_twice():
    counts = plain_counts(MATRIX)
    assert cell_qc(counts) is cell_qc(counts)
    assert cell_qc(counts).mt_share is None


@pytest.mark.parametrize(
    "gene",
    [
        "MT-CO1",
        "mt-Co1",
        "Mt-nd4",
        "mt:CoI",
        "MT.ND1",
        "GRCh38_MT-CO1",
        "mm10___mt-Nd1",
        "ATMG00160",
    ],
)
def test_mitochondrial_genes_of_many_species(gene):
    assert mitochondrial(plain_counts(MATRIX, genes=[gene, "A", "B"])).tolist() == [True, 0, 0]


@pytest.mark.parametrize("gene", ["MTOR", "MT1A", "MT2A", "MTRNR2L1", "HMT-1", "AT1G01010", "Mt"])
def test_other_genes_are_not_taken_for_them(gene):
    assert not mitochondrial(plain_counts(MATRIX, genes=[gene, "A", "B"])).any()


def columns_of(**columns):
    obs = pd.DataFrame(columns)
    return label_columns(plain_counts(np.ones((len(obs), 2)), obs=obs))


@pytest.mark.parametrize(
    ("name", "values", "usual"),
    [
        ("predicted_doublet", [False, True, False], ("False",)),
        ("predicted_doublet", [0, 1, 0], ("0",)),
        ("predicted_doublet", [0.0, 1.0, np.nan], ("(missing)", "0")),
        ("predicted_doublet", pd.array([False, True, None], "boolean"), ("(missing)", "False")),
        ("hash_classification", ["Singlet", "Doublet", "Negative"], ("Singlet",)),
        ("HTO_classification.global", ["Doublet", "Singlet", "Negative"], ("Singlet",)),
        ("MULTI_ID", ["BC1", "Doublet", "BC2"], ("BC1", "BC2")),
        ("demuxlet_cls", ["SNG", "DBL", "AMB"], ("SNG",)),
        ("DF.classifications_0.25_0.09_52", ["Singlet", "Doublet", "Singlet"], ("Singlet",)),
        ("scDblFinder.class", ["singlet", "doublet", "singlet"], ("singlet",)),
        ("droplet type", ["singlet", "multiplet", "singlet"], ("singlet",)),
    ],
)
def test_calls_are_offered_first_without_doublets(name, values, usual):
    found = columns_of(batch=["a", "b", "a"], **{name: values})
    assert list(found) == [name, "batch"]
    assert found[name].is_call
    assert found[name].usual == usual
    assert found["batch"].usual == ("a", "b")
    assert not found["batch"].is_call


def test_columns_that_label_nothing_are_not_offered():
    found = columns_of(
        depth=[1.5, 2.5, 3.5],
        same=["x", "x", "x"],
        day=pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"]),
        type=pd.Categorical(["T", "B", "T"], categories=["B", "T", "unused"]),
    )
    assert list(found) == ["type"]
    assert found["type"].cells == {"B": 1, "T": 2}
    barcodes = [f"barcode {i}" for i in range(60)]
    assert columns_of(barcode=barcodes) == {}


def test_labels_are_text_one_per_cell():
    obs = pd.DataFrame([[1, "a"], [2, None], [3, "c"]], columns=["n", "label"])
    counts = plain_counts(MATRIX, obs=obs)
    assert labels_of(counts, "label").tolist() == ["a", "(missing)", "c"]
