"""Scores of a user's own model, from the sites that it observes."""

# ruff: noqa: ARG001 - the arguments are passed by name

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats as st

import scribeviz
from scribeviz import CustomModel, SVIConfig
from scribeviz.criticism.loo import loo
from scribeviz.fitting.custom_models import prepare_custom
from scribeviz.fitting.plan import run


@pytest.fixture
def counts():
    found, _ = scribeviz.simulate("nbdm", n_cells=80, n_genes=6, seed=0)
    return found.seen_genes()


def fitted(custom, counts, n_steps=300):
    return run(prepare_custom(counts, custom, SVIConfig(n_steps=n_steps)), progress=False)


@pytest.mark.slow
def test_the_tutorials_cells_are_scored_as_scipy_scores_negative_binomials(tutorial, counts):
    """A total and how it is shared out: together they are independent negative binomials."""
    results = fitted(tutorial, counts)
    draws = results.get_posterior_samples(n_samples=30)
    ours = results.cell_log_likelihood(counts, draws)
    r, p = draws["r"].astype(float)[:, None], draws["p"].astype(float)[:, None, None]
    theirs = st.nbinom(r, 1 - p).logpmf(counts.matrix.toarray()).sum(axis=-1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)
    critique = results.critique(counts)
    drawn = results.bound.sample_posterior(jax.random.PRNGKey(0), 200, results.params)
    known = loo(results.cell_log_likelihood(counts, drawn))
    np.testing.assert_array_equal(critique.scores.elpd, known.elpd)


def _guide(counts=None, n_cells=None, n_genes=None):
    numpyro.sample("rate", dist.LogNormal(numpyro.param("loc", 0.0), 0.1))


def test_a_model_that_does_not_tell_cells_apart_has_no_scores(counts):
    def model(counts=None, n_cells=None, n_genes=None):
        rate = numpyro.sample("rate", dist.LogNormal(0.0, 1.0))
        with numpyro.plate("cells", n_cells, dim=-1):
            predicted = dist.Poisson(rate).expand([n_genes]).to_event(1)
            numpyro.sample("counts", predicted, obs=counts)
        numpyro.factor("penalty", -rate)

    custom = CustomModel(
        key="penalised",
        label="x",
        model=model,
        guide=_guide,
        param_spec={"loc": {"type": "global"}},
    )
    assert fitted(custom, counts, 20).critique(counts).scores is None


def test_data_are_matched_by_the_names_of_their_genes(tutorial, counts):
    results = fitted(tutorial, counts, n_steps=50)
    draws = results.get_posterior_samples(n_samples=3)
    turned = counts.select_genes(np.arange(counts.n_genes)[::-1])
    np.testing.assert_allclose(
        results.cell_log_likelihood(turned, draws), results.cell_log_likelihood(counts, draws)
    )
    with pytest.raises(scribeviz.CountsError, match=r"80 cells were fitted.*these data have 79"):
        results.critique(counts.select_cells(np.arange(79)))
    with pytest.raises(scribeviz.CountsError, match="these data lack 1, such as"):
        results.loo(counts.select_genes(np.arange(1, counts.n_genes)))
