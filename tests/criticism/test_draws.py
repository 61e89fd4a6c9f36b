import numpy as np
import pytest

from scribeviz.criticism.draws import NaturalDraws, affordable_draws, natural_draws
from scribeviz.models.builder import build
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.spec import ModelSpec


def test_draws_of_one_component_get_an_axis_for_it(rng):
    values = {"p": rng.random(6, np.float32), "r": rng.random((6, 4), np.float32)}
    draws = natural_draws(build(ModelSpec(), 9, 4), values)
    assert draws.n_draws == 6
    assert draws.likelihood is LIKELIHOODS["nbdm"]
    assert draws.natural["p"].tolist() == values["p"][:, None].tolist()
    assert draws.natural["r"].tolist() == values["r"][:, None].tolist()
    assert draws.weights.tolist() == [[1.0]] * 6


def test_draws_of_a_mixture_share_p_and_keep_their_weights(rng):
    values = {
        "p": rng.random(6, np.float32),
        "r": rng.random((6, 3, 4), np.float32),
        "mixing_weights": rng.dirichlet(np.ones(3), 6).astype(np.float32),
    }
    draws = natural_draws(build(ModelSpec(n_components=3), 9, 4), values)
    assert draws.natural["p"].tolist() == np.repeat(values["p"][:, None], 3, axis=1).tolist()
    assert draws.natural["r"].tolist() == values["r"].tolist()
    assert draws.weights.tolist() == values["mixing_weights"].tolist()


@pytest.mark.parametrize(("index", "columns"), [(2, [2]), (slice(1, 3), [1, 2])])
def test_some_genes_all_have_a_gene_axis_in_float64(rng, index, columns):
    natural = {"p": rng.random((5, 2), np.float32), "r": rng.random((5, 2, 4), np.float32)}
    draws = NaturalDraws("nbdm", natural, np.full((5, 2), 0.5))
    some = draws.genes(index)
    assert some["p"].shape == (5, 2, 1)
    assert some["r"].tolist() == natural["r"][..., columns].astype(float).tolist()
    assert {value.dtype for value in some.values()} == {np.dtype(float)}


@pytest.mark.parametrize(
    ("n_genes", "k", "expected"),
    [(100, 1, 200), (32_000, 1, 200), (30_000, 5, 106), (60_000, 20, 50)],
)
def test_draws_fit_the_memory(n_genes, k, expected):
    model = build(ModelSpec(n_components=k), 10, n_genes)
    assert affordable_draws(model) == expected
