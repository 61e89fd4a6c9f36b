import jax
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
import scipy.stats as st
from scipy.optimize import minimize_scalar

from scribeviz import ScribeSVIResults
from scribeviz._storage import read_arrays, write_arrays
from scribeviz.models.spec import ModelSpec

GENES = np.array([f"G{i}" for i in range(8)], dtype=object)


def results(k=1, **changes):
    rng = np.random.default_rng(0)
    shape = (8,) if k == 1 else (k, 8)
    params = {
        "p_alpha": np.float32(30.0),
        "p_beta": np.float32(50.0),
        "r_loc": rng.normal(size=shape).astype(np.float32),
        "r_scale": rng.uniform(0.05, 0.5, shape).astype(np.float32),
    }
    if k > 1:
        params["mixing_concentrations"] = np.linspace(20, 60, k, dtype=np.float32)
    given = {
        "params": params,
        "loss_history": np.float32([3, 2, 1.5]),
        "model_config": ModelSpec(n_components=k, priors={"r": ("gamma", 2, 0.1)}),
        "n_cells": 40,
        "genes": GENES,
        "left_out_genes": np.array(["dull", "β"], dtype=object),
        "settled": False,
    }
    return ScribeSVIResults(**(given | changes))


every_k = pytest.mark.parametrize("k", [1, 3])


@every_k
def test_what_it_says_of_itself(k):
    found = results(k)
    assert (found.n_genes, found.n_cells) == (8, 40)
    assert found.n_components == (None if k == 1 else 3)
    assert found.model_type == ("nbdm" if k == 1 else "nbdm_mix")
    assert (found.model.n_cells, found.model.n_genes) == (40, 8)
    assert found.model.spec == found.model_config


MASK = np.isin(np.arange(8), [1, 4, 6])


@every_k
@pytest.mark.parametrize(
    ("index", "columns"),
    [
        ("G3", [3]),
        (["G5", "G1"], [5, 1]),
        (np.array(["G5", "G1"]), [5, 1]),
        (np.array(["G5", "G1"], dtype=object), [5, 1]),
        (pd.Index(["G5", "G1"]), [5, 1]),
        (MASK, [1, 4, 6]),
        (MASK.tolist(), [1, 4, 6]),
        (pd.Series(MASK), [1, 4, 6]),
        (slice(2, 5), [2, 3, 4]),
        (slice(None, None, -3), [7, 4, 1]),
        (4, [4]),
        (-1, [7]),
        (np.int64(2), [2]),
        ([6, 0], [6, 0]),
        (np.array([6, -8]), [6, 0]),
        ([], []),
        (np.zeros(8, bool), []),
    ],
    ids=str,
)
def test_genes_are_picked(k, index, columns):
    whole = results(k)
    some = whole[index]
    assert some.genes.tolist() == GENES[columns].tolist()
    for name in ("r_loc", "r_scale"):
        assert some.params[name].tolist() == whole.params[name][..., columns].tolist()
        assert some.params[name].ndim == whole.params[name].ndim
    assert some.params["p_alpha"] == whole.params["p_alpha"]
    assert some.params.keys() == whole.params.keys()
    assert some.n_genes == some.model.n_genes == len(columns)
    assert some.get_posterior_samples(n_samples=2)["r"].shape[-1] == len(columns)
    # The whole is as it was.
    assert whole.params["r_loc"].shape[-1] == 8


@pytest.mark.parametrize(
    ("index", "error", "says"),
    [
        ("GAPDH", KeyError, "'GAPDH' is not among the 8 genes that were fitted."),
        (["G1", "GAPDH"], KeyError, "'GAPDH' is not among the 8 genes that were fitted."),
        ([True, False], IndexError, "a mask of 2 entries cannot select from 8 genes."),
        (8, IndexError, "out of bounds"),
        (1.5, TypeError, "integer"),
        (None, KeyError, "None is not among the 8 genes"),
    ],
)
def test_what_picks_no_gene_is_refused(index, error, says):
    with pytest.raises(error, match=says):
        results()[index]


@every_k
def test_the_map_is_the_mode_by_scipy(k):
    found = results(k)
    modes = found.get_map()
    beta = st.beta(30, 50)
    p = minimize_scalar(lambda x: -beta.logpdf(x), bounds=(0, 1), method="bounded").x
    np.testing.assert_allclose(modes["p"], p, rtol=1e-4)
    loc, scale = found.params["r_loc"].astype(float), found.params["r_scale"].astype(float)
    assert modes["r"].shape == loc.shape
    oracle = st.lognorm(scale, scale=np.exp(loc))
    # No point near it is denser.
    at_mode = oracle.logpdf(modes["r"])
    for factor in (0.98, 1.02):
        assert (oracle.logpdf(modes["r"] * factor) < at_mode).all()
    if k > 1:
        shares = np.linspace(20, 60, k)
        np.testing.assert_allclose(
            modes["mixing_weights"], (shares - 1) / (shares.sum() - k), rtol=1e-5
        )


def test_a_mode_that_does_not_exist_is_nan_unless_the_mean_will_do():
    params = results().params | {"p_alpha": np.float32(0.8), "p_beta": np.float32(2.4)}
    found = results(params=params)
    assert np.isnan(found.get_map()["p"])
    with_means = found.get_map(use_mean=True)
    np.testing.assert_allclose(with_means["p"], st.beta(0.8, 2.4).mean(), rtol=1e-5)
    # Only what is missing is replaced.
    assert with_means["r"].tolist() == found.get_map()["r"].tolist()


@every_k
def test_distributions_are_the_references_families(k):
    found = results(k).get_distributions()
    assert isinstance(found["p"], dist.Beta)
    np.testing.assert_allclose(found["p"].mean, st.beta(30, 50).mean(), rtol=1e-5)
    r = found["r"]
    assert r.event_shape == ((8,) if k == 1 else (k, 8))
    scale = results(k).params["r_scale"].astype(float)
    oracle = st.lognorm(scale, scale=np.exp(results(k).params["r_loc"].astype(float)))
    np.testing.assert_allclose(r.mean, oracle.mean(), rtol=1e-5)
    np.testing.assert_allclose(r.log_prob(np.ones(scale.shape)), oracle.logpdf(1).sum(), rtol=1e-4)
    assert found.keys() == ({"p", "r"} if k == 1 else {"p", "r", "mixing_weights"})


@every_k
def test_posterior_draws(k):
    draws = results(k).get_posterior_samples(jax.random.key(0), n_samples=500)
    shapes = {name: values.shape for name, values in draws.items()}
    expected = {"p": (500,), "r": (500, 8)}
    if k > 1:
        expected = {"p": (500,), "r": (500, k, 8), "mixing_weights": (500, k)}
    assert shapes == expected
    assert {type(values) for values in draws.values()} == {np.ndarray}
    assert st.kstest(draws["p"], st.beta(30, 50).cdf).pvalue > 0.001
    params = results(k).params
    loc, scale = (params[name].astype(float) for name in ("r_loc", "r_scale"))
    assert st.kstest(((np.log(draws["r"]) - loc) / scale).ravel(), "norm").pvalue > 0.001


def test_the_number_of_draws_is_taken_anew_each_time():
    found = results()
    assert found.get_posterior_samples(n_samples=7)["r"].shape[0] == 7
    assert found.get_posterior_samples(n_samples=3)["r"].shape[0] == 3
    assert found.get_posterior_samples()["p"].shape == (100,)


@every_k
def test_results_come_back_from_one_file(k, tmp_path):
    found = results(k)
    found.save(tmp_path / "fit.h5")
    back = ScribeSVIResults.load(str(tmp_path / "fit.h5"))
    assert back.params.keys() == found.params.keys()
    for name, value in found.params.items():
        np.testing.assert_array_equal(back.params[name], value)
        assert back.params[name].dtype == np.float32
    assert back.loss_history.tolist() == found.loss_history.tolist()
    assert back.genes.tolist() == GENES.tolist()
    assert back.left_out_genes.tolist() == ["dull", "β"]
    assert back.model_config == found.model_config
    assert (back.n_cells, back.settled) == (40, False)
    assert back["G2"].get_map()["r"].tolist() == found["G2"].get_map()["r"].tolist()


def test_the_file_holds_arrays_and_no_pickle(tmp_path):
    results(3).save(tmp_path / "fit.h5")
    arrays, meta = read_arrays(tmp_path / "fit.h5")  # opens with h5py
    assert arrays["params/r_loc"].shape == (3, 8)
    assert meta["model"]["n_components"] == 3
    assert all(array.dtype.kind in "fiO" for array in arrays.values())
    content = (tmp_path / "fit.h5").read_bytes()
    assert content.startswith(b"\x89HDF")
    assert b"numpy.core" not in content
    assert b"numpy._core" not in content


def test_a_newer_file_is_refused_in_words(tmp_path):
    results().save(tmp_path / "fit.h5")
    arrays, meta = read_arrays(tmp_path / "fit.h5")
    write_arrays(tmp_path / "fit.h5", arrays, meta | {"format": 99})
    with pytest.raises(ValueError, match="has format 99; this version reads up to 1"):
        ScribeSVIResults.load(tmp_path / "fit.h5")
