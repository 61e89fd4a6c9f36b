"""A minute and a half of hostile files; ``python -m tests.data.fuzz`` goes on as long as asked."""

import pytest

from scribeviz.data.reading_process import Reading
from tests.data.fuzz import check, fuzz, table
from tests.data.small_files import COUNTS, SMALL_FILES


@pytest.mark.parametrize("kind", SMALL_FILES)
def test_the_small_files_are_whole(kind, tmp_path):
    path = SMALL_FILES[kind].write(tmp_path)
    found = Reading().open(path)
    layer = next(layer for layer, problem in found.sources.items() if not problem)
    counts = Reading().open(path, layer).counts
    check(counts)
    assert counts.matrix.toarray().tolist() == COUNTS[:, : counts.n_genes].tolist()


@pytest.mark.slow
def test_hostile_files_end_in_counts_or_in_a_sentence():
    outcomes = list(fuzz(seed=1, seconds=90))
    failed = [outcome for outcome in outcomes if outcome.kind == "failed"]
    print(table(outcomes))
    assert not [(o.case.name, o.says) for o in failed]
    assert {outcome.kind for outcome in outcomes} >= {"read", "refused"}
