import numpy as np
import pytest
import scipy.stats as st

from scribeviz.models.simulation import simulate
from scribeviz.models.spec import ModelSpec


def test_counts_have_scipys_moments():
    r = np.array([0.2, 1.0, 5.0, 40.0])
    counts, truth = simulate("nbdm", n_cells=20_000, n_genes=4, values={"p": 0.3, "r": r})
    oracle, drawn = st.nbinom(r, 0.7), counts.matrix.toarray()
    assert truth["p"] == 0.3
    assert truth["r"].tolist() == r.tolist()
    off = (drawn.mean(axis=0) - oracle.mean()) / (oracle.std() / np.sqrt(20_000))
    assert np.abs(off).max() < 4
    np.testing.assert_allclose(drawn.var(axis=0), oracle.var(), rtol=0.1)


def test_counts_have_scipys_distribution():
    n = 1_000_000  # a deviation of a tenth of a percent would show
    counts, _ = simulate("nbdm", n_cells=n, n_genes=1, values={"p": 0.6, "r": [1.7]})
    drawn = counts.matrix.toarray().ravel()
    seen = np.bincount(np.minimum(drawn, 20), minlength=21)
    oracle = st.nbinom(1.7, 0.4)
    expected = n * np.append(oracle.pmf(np.arange(20)), oracle.sf(19))
    assert st.chisquare(seen, expected).pvalue > 0.001


def test_components_are_told_and_have_their_own_counts():
    r = np.array([[50.0, 0.001], [0.001, 50.0]])
    values = {"p": 0.5, "r": r, "mixing_weights": [0.8, 0.2]}
    counts, truth = simulate("nbdm_mix", n_cells=2_000, n_genes=2, values=values)
    component = truth["component"]
    assert abs(component.mean() - 0.2) < 4 * np.sqrt(0.16 / 2_000)
    assert counts.obs["component"].tolist() == component.astype(str).tolist()
    assert (counts.matrix.toarray().argmax(axis=1) == component).all()


def test_what_is_not_given_comes_from_its_prior():
    spec = ModelSpec(priors={"r": ("gamma", 4, 2), "p": ("beta", 30, 70)})
    draws = [simulate(spec, n_cells=1, n_genes=200, seed=s)[1] for s in range(40)]
    p = np.array([draw["p"] for draw in draws])
    assert st.kstest(p, st.beta(30, 70).cdf).pvalue > 0.001
    r = np.concatenate([draw["r"] for draw in draws])
    assert st.kstest(r, st.gamma(4, scale=0.5).cdf).pvalue > 0.001


@pytest.mark.parametrize("n_components", [1, 3])
def test_shapes(n_components):
    counts, truth = simulate(n_cells=11, n_genes=4, n_components=n_components)
    assert (counts.n_cells, counts.n_genes) == (11, 4)
    assert truth["p"].shape == ()
    if n_components == 1:
        assert truth.keys() == {"p", "r"}
        assert truth["r"].shape == (4,)
    else:
        assert truth["r"].shape == (3, 4)
        assert truth["mixing_weights"].shape == (3,)
        assert truth["component"].shape == (11,)


def test_the_same_seed_gives_the_same_counts():
    first, again, other = (simulate(n_cells=20, n_genes=5, seed=s)[0] for s in (1, 1, 2))
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"q": 0.5}, "nbdm has no parameter 'q'; it has 'p', 'r'."),
        ({"mixing_weights": [0.5, 0.5]}, "nbdm has no parameter 'mixing_weights'"),
        ({"r": 1.0}, r"'r' has shape \(3,\) here; got \(\)\."),
        ({"p": [0.1, 0.2, 0.3]}, r"'p' has shape \(\) here; got \(3,\)\."),
    ],
)
def test_values_that_do_not_fit_the_model_are_refused(values, says):
    with pytest.raises(ValueError, match=says):
        simulate("nbdm", n_cells=2, n_genes=3, values=values)
