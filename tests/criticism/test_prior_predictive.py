import numpy as np
import pytest
import scipy.stats as st

from scribeviz import ModelSpec
from scribeviz.criticism.predictive import check_gene, predictive_pmf
from scribeviz.criticism.prior_predictive import prior_draws, typical_gene
from scribeviz.models.gene_priors import TYPICAL
from scribeviz.models.likelihoods import LIKELIHOODS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("likelihood", "parameterization"),
    [(key, name) for key, entry in LIKELIHOODS.items() for name in entry.parameterizations],
)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("free", [False, True])
def test_every_model_can_be_checked_before_it_is_fitted(likelihood, parameterization, k, free, rng):
    spec = ModelSpec(
        likelihood=likelihood,
        parameterization=parameterization,
        n_components=k,
        unconstrained=free,
    )
    draws = prior_draws(spec, 50, gene_priors=TYPICAL if spec.learns_priors else None)
    check = check_gene(rng.poisson(1.0, 300), draws, 0)
    assert np.isfinite(check.bands).all()
    assert check.observed.sum() == 300
    # Priors know little: the bands are wide.
    assert (check.bands[4] - check.bands[0])[0] > 50


def test_counts_follow_the_priors():
    """A narrow prior gives the negative binomial of its center."""
    spec = ModelSpec(priors={"p": ("beta", 6e3, 4e3), "r": ("lognormal", np.log(3.0), 1e-3)})
    ours = predictive_pmf(prior_draws(spec), 0, 30).mean(axis=0)
    np.testing.assert_allclose(ours, st.nbinom(3, 0.4).pmf(np.arange(31)), rtol=0.02, atol=1e-6)


def test_the_picture_moves_with_the_prior_and_not_by_chance():
    spec = ModelSpec()
    again, once = prior_draws(spec), prior_draws(spec)
    np.testing.assert_array_equal(again.natural["r"], once.natural["r"])
    louder = prior_draws(ModelSpec(priors={"r": ("lognormal", 2, 1)}))
    np.testing.assert_allclose(louder.natural["r"], once.natural["r"] * np.exp(2), rtol=1e-4)


def test_a_gene_to_begin_with_is_neither_rare_nor_loud():
    assert typical_gene(np.array([0.0, 0.01, 1.3, 40.0])) == 2


def test_a_prior_of_tiny_numbers_still_has_a_picture():
    spec = ModelSpec(likelihood="nbdm", priors={"r": ("gamma", 0.01, 1.0)})
    check = check_gene(np.array([0, 1, 2]), prior_draws(spec), 0)
    assert np.isfinite(check.bands).all()
