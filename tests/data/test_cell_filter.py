"""Which cells and genes a filter keeps, by hand."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import scribeviz
from scribeviz import CellFilter, CountsError
from scribeviz.data.counts import Counts, plain_counts

# Totals 3, 3, 5, 0, 12; genes seen 2, 1, 1, 0, 4.
MATRIX = np.array([[0, 2, 0, 1], [3, 0, 0, 0], [0, 0, 0, 5], [0, 0, 0, 0], [1, 1, 4, 6]])
GENES = ["MT-CO1", "B", "C", "D"]


@pytest.fixture
def counts():
    obs = pd.DataFrame(
        {
            "predicted_doublet": [False, True, False, False, True],
            "batch": pd.Categorical(["a", "b", "a", None, "b"]),
        }
    )
    return plain_counts(MATRIX, genes=GENES, name="small", obs=obs)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"min_counts": 3}, [0, 1, 2, 4]),
        ({"max_counts": 5}, [0, 1, 2, 3]),
        ({"min_counts": 4, "max_counts": 11}, [2]),
        ({"min_genes": 2}, [0, 4]),
        ({"max_genes": 1}, [1, 2, 3]),
        ({"max_mt_share": 0.1}, [0, 2, 3, 4]),  # 1 of 12 is 0.083
        ({"max_mt_share": 0.0}, [0, 2, 3]),
        ({"obs_column": "predicted_doublet", "obs_values": ["False"]}, [0, 2, 3]),
        ({"obs_column": "batch", "obs_values": ["b", "(missing)"]}, [1, 3, 4]),
        ({"min_counts": 1, "obs_column": "batch", "obs_values": ["a"]}, [0, 2]),
    ],
)
def test_cells_are_kept_by_their_numbers_and_labels(counts, settings, kept):
    chosen = CellFilter(**settings)
    assert np.flatnonzero(chosen.kept_cells(counts)).tolist() == kept
    some = chosen.apply(counts)
    assert some.matrix.toarray().tolist() == MATRIX[kept].tolist()
    assert some.cells.tolist() == counts.cells[kept].tolist()
    assert some.obs.index.tolist() == counts.cells[kept].tolist()


def test_genes_are_counted_in_the_cells_that_are_kept(counts):
    assert CellFilter(min_cells=2).apply(counts).genes.tolist() == ["MT-CO1", "B", "D"]
    few = CellFilter(max_counts=5, min_cells=2).apply(counts)
    assert few.genes.tolist() == ["D"]
    assert few.n_cells == 4


def test_what_was_kept_is_noted_and_remembered(counts, tmp_path):
    chosen = CellFilter(min_counts=3, max_mt_share=0.5, min_cells=2)
    some = chosen.apply(counts)
    assert some.notes[-1] == (
        "Filtered: 3 of 5 cells and 2 of 4 genes were kept (at least 3 counts, at most 50% of "
        "them mitochondrial, genes seen in at least 2 cells)."
    )
    assert [CellFilter.from_dict(each) for each in some.filters] == [chosen]
    assert some.fingerprint != counts.fingerprint
    some.save(tmp_path / "counts.h5")
    assert Counts.load(tmp_path / "counts.h5").filters == some.filters
    twice = CellFilter(max_counts=5).apply(some)
    assert len(twice.filters) == 2
    assert twice.select_cells(np.array([0])).filters == ()  # nobody knows by what


def test_a_filter_that_keeps_everything_changes_nothing(counts):
    assert CellFilter().keeps_all
    assert CellFilter().apply(counts) is counts
    assert CellFilter().described == "everything"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"min_counts": 13}, "no cells of small would be kept (at least 13 counts); widen"),
        ({"min_cells": 5}, "no genes of small would be kept"),
        ({"obs_column": "batch", "obs_values": ["z"]}, "no cells of small would be kept"),
        ({"obs_column": "x", "obs_values": ["z"]}, "no column 'x' in obs; it has predicted_doub"),
    ],
)
def test_what_keeps_nothing_is_refused(counts, settings, says):
    with pytest.raises(CountsError) as problem:
        CellFilter(**settings).apply(counts)
    assert says in str(problem.value)


def test_a_mitochondrial_bound_needs_mitochondrial_genes():
    unnamed = plain_counts(MATRIX, genes=["MTOR", "MT1A", "ENSG00000075624", "D"], name="small")
    with pytest.raises(CountsError, match="no gene of small is recognised as mitochondrial"):
        CellFilter(max_mt_share=0.1).apply(unnamed)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"min_counts": -1}, "min_counts=-1 must be a whole number of at least 0"),
        ({"max_genes": 2.5}, "max_genes=2.5 must be a whole number"),
        ({"min_cells": True}, "min_cells=True must be a whole number"),
        ({"min_counts": 9, "max_counts": 3}, "min_counts=9 is above max_counts=3"),
        ({"max_mt_share": 10}, "max_mt_share=10 must be a share from 0 to 1; 0.1 stands for 10%"),
        ({"max_mt_share": float("nan")}, "must be a share"),
        ({"obs_column": "batch"}, "obs_column='batch' needs obs_values"),
        ({"obs_values": ["a"]}, "without obs_column"),
        ({"obs_column": "batch", "obs_values": "a"}, "obs_values='a' is one text"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, says):
    with pytest.raises(ValueError) as problem:  # noqa: PT011  the message is looked at
        CellFilter(**settings)
    assert says in str(problem.value)


FILTERS = [
    CellFilter(),
    CellFilter(min_counts=np.int64(500), max_counts=20_000, min_genes=200, max_mt_share=0.07),
    CellFilter(max_genes=9, min_cells=3, obs_column="b, c=d:e/f", obs_values=["a|b", "", "ü/=,"]),
]


@pytest.mark.parametrize("chosen", FILTERS)
def test_a_filter_survives_json_and_code(chosen):
    assert CellFilter.from_dict(json.loads(json.dumps(chosen.as_dict()))) == chosen
    assert eval(chosen.code, {"scribeviz": scribeviz}) == chosen  # noqa: S307  that is tested
    assert max(map(len, chosen.code.splitlines())) <= 100


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValueError, match="has no 'min_umis'"):
        CellFilter.from_dict({"min_umis": 3})


@pytest.mark.parametrize("chosen", FILTERS[:2])
def test_the_code_reads_the_filtered_counts_again(chosen):
    chosen = replace(chosen, max_mt_share=1.0, min_counts=600)
    some = chosen.apply(scribeviz.demo())
    again = eval(some.read_by, {"scribeviz": scribeviz})  # noqa: S307  that is what is tested
    assert again.fingerprint == some.fingerprint
    assert 0 < some.n_cells < 700


def test_counts_that_nobody_knows_how_to_read_stay_so(counts):
    assert CellFilter(min_counts=3).apply(counts).read_by == ""
