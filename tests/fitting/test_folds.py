"""Cross-validation of what is no model of counts: custom models and networks."""

# ruff: noqa: ARG001 - the arguments are passed by name

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats as st

import scribeviz
from scribeviz import CustomModel, NotOfferedError, SVIConfig, cross_validate
from scribeviz.data.counts import plain_counts
from scribeviz.fitting.custom_models import prepare_custom
from scribeviz.fitting.folds import Folds
from scribeviz.fitting.plan import run

FOLDS = 3


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(1)
    return plain_counts(rng.poisson(rng.gamma(2.0, size=8), (90, 8)))


def _model(counts=None, n_cells=None, n_genes=None):
    rate = numpyro.sample("rate", dist.LogNormal(0.0, 1.0).expand([n_genes]).to_event(1))
    with numpyro.plate("cells", n_cells, dim=-1):
        numpyro.sample("counts", dist.Poisson(rate).to_event(1), obs=counts)


def _guide(counts=None, n_cells=None, n_genes=None):
    loc = numpyro.param("loc", np.zeros(n_genes, np.float32))
    scale = numpyro.param("scale", np.full(n_genes, 0.1, np.float32))
    numpyro.sample("rate", dist.LogNormal(loc, abs(scale) + 1e-3).to_event(1))


GENES = {"type": "gene-specific"}
RATES = CustomModel(
    key="rates", model=_model, guide=_guide, param_spec={"loc": GENES, "scale": GENES}
)


def test_a_custom_model_is_scored_by_fits_that_have_not_seen_the_cells(counts):
    settings = {"n_steps": 1_500, "tolerance": 0.0, "learning_rate": 0.02}
    whole = run(prepare_custom(counts, RATES, SVIConfig(**settings)), progress=False)
    [scores] = cross_validate(
        counts, {"rates": RATES}, folds=FOLDS, start_from={"rates": whole}, **settings
    ).values()
    folds, x = Folds.of(counts, FOLDS), counts.matrix.toarray()
    for fold in range(FOLDS):
        train, test = x[folds.others(fold)], x[folds.cells(fold)]
        mean = train.mean(axis=0)
        # The predictive of a gamma posterior, which this one nearly is.
        wanted = st.nbinom(train.sum(axis=0), len(train) / (len(train) + 1)).logpmf(test)
        assert mean.min() > 0
        np.testing.assert_allclose(scores.elpd[folds.cells(fold)], wanted.sum(axis=1), atol=0.35)
    assert scores.method == "3 folds"
    start = whole.start_for(folds.others(0), counts.genes[:5])
    np.testing.assert_array_equal(start.params["loc"], whole.params["loc"][:5])


def _model_of_cells(counts=None, n_cells=None, n_genes=None):
    with numpyro.plate("cells", n_cells, dim=-1):
        depth = numpyro.sample("depth", dist.Gamma(2.0, 1.0))
        predicted = dist.Poisson(depth[:, None] * np.ones(n_genes)).to_event(1)
        numpyro.sample("counts", predicted, obs=counts)


def _guide_of_cells(counts=None, n_cells=None, n_genes=None):
    loc = numpyro.param("depth_loc", np.zeros(n_cells, np.float32))
    with numpyro.plate("cells", n_cells, dim=-1):
        numpyro.sample("depth", dist.LogNormal(loc, 0.1))


def test_parameters_of_single_cells_are_not_made_up(counts):
    custom = CustomModel(
        key="depths",
        model=_model_of_cells,
        guide=_guide_of_cells,
        param_spec={"depth_loc": {"type": "cell-specific"}},
    )
    with pytest.raises(NotOfferedError, match="depth belongs to single cells and would have to be"):
        cross_validate(counts, [custom], folds=FOLDS, n_steps=20)


def test_a_fit_of_another_model_is_no_start(counts):
    whole = run(prepare_custom(counts, RATES, SVIConfig(n_steps=10)), progress=False)
    few = counts.select_cells(np.arange(20))
    with pytest.raises(ValueError, match="its own fit to the same cells and genes only"):
        prepare_custom(few, RATES, SVIConfig(n_steps=10), start_from=whole)


@pytest.mark.slow
def test_a_network_is_trained_anew_without_the_cells_that_it_is_scored_on(counts):
    small = scribeviz.CellVAE(n_latent=2, n_hidden=8)
    settings = {"max_epochs": 3, "batch_size": 16, "kl_warmup": 0}
    [scores] = cross_validate(counts, [small], folds=2, **settings).values()
    assert np.isfinite(scores.elpd).all()
    assert scores.elpd.size == counts.n_cells
    table = scribeviz.compare({"vae": scores, **cross_validate(counts, ["nb"], folds=2)})
    assert set(table["method"]) == {"2 folds"}
