import numpy as np
import pytest
from scipy.special import gammaln

from scribeviz.data import tables
from scribeviz.data.counts import plain_counts
from scribeviz.data.examples import demo
from scribeviz.data.readers import read
from scribeviz.data.tables import cell_rows, distinct_pairs, padded_lists, survival_table


def brute_force(matrix):
    """S_g(j) = number of cells with more than j counts of gene g, as a dict by (g, j)."""
    return {
        (g, j): int((column > j).sum())
        for g, column in enumerate(matrix.T)
        for j in range(column.max(initial=0))
    }


def with_genes(order, rectangles):
    """Rows of the rectangles, each with its gene."""
    rows = [row for rectangle in rectangles for row in zip(*rectangle, strict=True)]
    return zip(order.genes[: len(rows)], rows, strict=True)


def entries_of(table):
    """The same, read back from the table; no entry may be there twice."""
    entries = [
        (gene, j, w)
        for gene, (step, weight) in with_genes(table.genes_of_steps, table.steps)
        for j, w in zip(step, weight, strict=True)
        if w
    ]
    entries += [
        (gene, first + j, w)
        for gene, stretches in with_genes(table.genes_of_stretches, table.stretches)
        for first, length, w in zip(*stretches, strict=True)
        if w
        for j in range(int(length))
    ]
    by_place = {(int(gene), int(step)): int(weight) for gene, step, weight in entries}
    assert len(by_place) == len(entries)
    return by_place


def lists_of(padded, size):
    """Read padded lists back as a list of lists."""
    rows = [
        row[row < size].tolist()
        for rectangle in padded.rectangles
        for row in rectangle.reshape(-1, rectangle.shape[-1])
    ]
    return [rows[i] for i in padded.position]


def heavy_tailed(rng):
    return np.floor(rng.pareto(0.5, (60, 25))).clip(max=5_000).astype(int)


def gaps(rng):
    matrix = np.zeros((12, 6), int)
    matrix[:3, 0] = [1, 1, 900]
    matrix[:, 1] = 7
    matrix[4, 2] = 1
    matrix[5, 3] = 4_000
    matrix[:, 5] = rng.permutation(12) * 10
    return matrix


MATRICES = {
    "poisson": lambda rng: rng.poisson(1.5, (50, 30)),
    "sparse": lambda rng: rng.poisson(0.05, (50, 30)),
    "heavy-tailed": heavy_tailed,
    "gaps": gaps,
    "one cell": lambda rng: rng.poisson(3.0, (1, 20)),
    "one gene": lambda rng: rng.poisson(3.0, (20, 1)),
    "empty cells and genes": lambda rng: rng.poisson(2.0, (9, 9)) * np.eye(9, dtype=int)[::-1],
}


@pytest.fixture(params=MATRICES)
def matrix(request, rng):
    return MATRICES[request.param](rng)


def test_survival_table_is_the_brute_force_count(matrix):
    assert entries_of(survival_table(plain_counts(matrix))) == brute_force(matrix)


def test_survival_table_totals(matrix):
    table = survival_table(plain_counts(matrix))
    assert table.gene_total.tolist() == matrix.sum(axis=0).tolist()
    assert table.n_cells == len(matrix)
    np.testing.assert_allclose(table.log_factorials, gammaln(matrix + 1.0).sum(), rtol=1e-6)


def test_survival_table_of_nothing_is_empty():
    table = survival_table(plain_counts(np.zeros((4, 5), int)))
    assert entries_of(table) == {}
    assert table.gene_total.tolist() == [0] * 5
    assert table.log_factorials == 0


def test_survival_table_is_small_where_counts_are_far_apart():
    matrix = np.zeros((3, 1), int)
    matrix[:, 0] = [1, 2, 1_000_000]
    table = survival_table(plain_counts(matrix))
    assert sum(group.weight.size for group in table.steps) == 2
    (stretch,) = table.stretches
    assert stretch.length.tolist() == [[999_998]]
    assert stretch.start.tolist() == [[2]]


def test_padding_repeats_a_step_of_its_own_gene(matrix):
    # The logarithm of r + step must be finite there, for the gradient's sake.
    for group in survival_table(plain_counts(matrix)).steps:
        assert (group.step >= 0).all()
        assert (group.step <= matrix.max()).all()


def test_distinct_pairs_are_counted(matrix):
    pairs = distinct_pairs(plain_counts(matrix))
    found = dict(zip(zip(pairs.gene, pairs.value, strict=True), pairs.repeats, strict=True))
    cells, genes = np.nonzero(matrix)
    expected = {}
    for pair in zip(genes, matrix[cells, genes], strict=True):
        expected[pair] = expected.get(pair, 0) + 1
    assert found == expected


def test_cell_rows_hold_the_dense_matrix(matrix):
    rows = cell_rows(plain_counts(matrix))
    back = np.zeros_like(matrix)
    for cell, pairs in enumerate(lists_of(rows.pairs_of_cell, rows.pair_gene.size)):
        back[cell, rows.pair_gene[pairs]] = rows.pair_count[pairs]
    assert back.tolist() == matrix.tolist()
    assert rows.cell_total.tolist() == matrix.sum(axis=1).tolist()
    np.testing.assert_allclose(rows.log_factorials, gammaln(matrix + 1.0).sum(axis=1), rtol=1e-6)


def test_cell_rows_seen_from_the_pairs(matrix):
    rows = cell_rows(plain_counts(matrix))
    cells_of_pair = lists_of(rows.cells_of_pair, len(matrix))
    for gene, count, cells in zip(rows.pair_gene, rows.pair_count, cells_of_pair, strict=True):
        assert sorted(cells) == np.flatnonzero(matrix[:, gene] == count).tolist()


def test_a_gene_has_one_row_of_steps_and_one_of_stretches(matrix):
    table = survival_table(plain_counts(matrix))
    for order in (table.genes_of_steps, table.genes_of_stretches):
        assert sorted(order.genes) == list(range(matrix.shape[1]))
        assert order.genes[order.position].tolist() == list(range(matrix.shape[1]))


@pytest.mark.parametrize(
    "lists",
    [
        [[0, 1, 2], [], [4], [], [3, 1, 0, 2, 4], [2]],
        [[], [], []],
        [[4, 0]],
        [[i % 5] * i for i in range(40)],
    ],
)
@pytest.mark.parametrize("largest_block", [4, 2**20])
def test_padded_lists_come_back(lists, largest_block, monkeypatch):
    monkeypatch.setattr(tables, "_BLOCK", largest_block)
    flat = np.array([member for members in lists for member in members], int)
    padded = padded_lists(flat, np.array([len(members) for members in lists]), size=5)
    assert lists_of(padded, 5) == lists


def test_padded_lists_waste_less_than_their_own_length(rng):
    lengths = np.floor(rng.pareto(0.7, 500) * 3).clip(max=2_000).astype(int)
    padded = padded_lists(np.zeros(lengths.sum(), int), lengths, size=1)
    cells = sum(block.size for block in padded.rectangles)
    assert cells <= 2 * np.maximum(lengths, 1).sum()
    assert len(padded.rectangles) <= 12


def test_sizes_on_blood_cells(shared_data):
    path = shared_data / "pbmc3k_raw.h5ad"
    if path.is_file():
        counts, n_pairs, n_entries = read(path), 48_321, 116_099
    else:
        counts = demo()
        matrix = counts.matrix.toarray()
        n_pairs = sum(np.unique(column[column > 0]).size for column in matrix.T)
        n_entries = matrix.max(axis=0).sum()
    table = survival_table(counts)
    steps = sum(int((group.weight > 0).sum()) for group in table.steps)
    long = sum(stretch.length[stretch.weight > 0].sum() for stretch in table.stretches)
    assert steps + long == n_entries
    assert cell_rows(counts).pair_gene.size == n_pairs
