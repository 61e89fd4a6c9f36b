import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
import scipy.stats as st
from numpyro.infer import MCMC, NUTS, Predictive
from scipy.special import softmax

from scribeviz.data.tables import CellRows, SurvivalTable, cell_rows
from scribeviz.inference.svi import SVIConfig, svi_checkpoints
from scribeviz.models.builder import build
from scribeviz.models.initial import initial_params
from scribeviz.models.simulation import simulate
from scribeviz.models.spec import ModelSpec

SPECS = {
    "nbdm": ModelSpec(),
    "nbdm, other priors": ModelSpec(priors={"r": ("gamma", 2, 0.5), "p": ("beta", 2, 3)}),
    "nbdm_mix": ModelSpec(n_components=3),
}
every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))


def arrays(tables):
    return jax.tree.map(jnp.asarray, tables)


def odds(p, ndim):
    ratio = p / (1 - p)
    return ratio.reshape(ratio.shape + (1,) * (ndim - ratio.ndim))


def shapes(values):
    return {name: np.shape(value) for name, value in values.items()}


@every_spec
def test_predictive_draws_counts_from_the_prior(spec, key):
    model = build(spec, n_cells=7, n_genes=5)
    drawn = Predictive(model.model, num_samples=4)(key)
    expected = {site.key: (4, *model.shape(site)) for site in spec.sites}
    expected |= {"counts": (4, 7, 5)}
    assert {name: np.shape(drawn[name]) for name in expected} == expected
    np.testing.assert_allclose(  # what follows from the sites is there by name as well
        np.moveaxis(drawn["mu"], -1, 0),
        np.moveaxis(drawn["r"], -1, 0) * odds(drawn["p"], drawn["r"].ndim - 1),
        rtol=1e-3,
    )
    assert jnp.issubdtype(drawn["counts"].dtype, jnp.integer)


def test_predictive_draws_counts_from_the_posterior(key):
    model = build(ModelSpec(), n_cells=2_000, n_genes=3)
    r = np.array([1.0, 4.0, 20.0])
    params = {"p_alpha": 4e5, "p_beta": 6e5, "r_loc": np.log(r), "r_scale": np.full(3, 1e-4)}
    params = {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}
    predictive = Predictive(model.model, guide=model.guide, params=params, num_samples=3)
    counts = np.asarray(predictive(key)["counts"], float)
    oracle = st.nbinom(r, 0.6)
    off = (counts.mean(axis=(0, 1)) - oracle.mean()) / (oracle.std() / np.sqrt(6_000))
    assert np.abs(off).max() < 4


@every_spec
def test_model_and_guide_have_the_same_sites_and_shapes(spec, key):
    model = build(spec, n_cells=7, n_genes=5)
    prior, posterior = (
        numpyro.handlers.trace(numpyro.handlers.seed(function, key)).get_trace()
        for function in (model.sample_priors, model.guide)
    )
    expected = {site.key: model.shape(site) for site in spec.sites}
    for trace in (prior, posterior):
        sampled = {k: s["value"].shape for k, s in trace.items() if s["type"] == "sample"}
        assert sampled == expected
    # The whole of a site is one event, or the KL term would count it once per entry.
    for name in expected:
        assert prior[name]["fn"].batch_shape == posterior[name]["fn"].batch_shape == ()


@every_spec
def test_the_models_density_is_prior_times_likelihood(spec, key, small_counts):
    counts = small_counts
    model = build(spec, counts.n_cells, counts.n_genes)
    values = numpyro.handlers.seed(model.sample_priors, key)()
    tables = arrays(model.tables(counts))
    ours, _ = numpyro.infer.util.log_density(model.model, (tables,), {}, values)
    prior = sum(
        float(spec.prior(site).distribution(model.shape(site)).log_prob(values[site.key]).sum())
        for site in spec.sites
    )
    k, p = spec.n_components, np.asarray(values["p"], float)
    r = np.asarray(values["r"], float).reshape(k, 1, -1)
    by_cell = st.nbinom(r, 1 - p).logpmf(counts.matrix.toarray()).sum(axis=-1)
    weights = np.asarray(values.get("mixing_weights", [1.0]), float)
    likelihood = np.logaddexp.reduce(by_cell + np.log(weights)[:, None], axis=0).sum()
    np.testing.assert_allclose(ours, prior + likelihood, rtol=1e-5)


def test_a_mixture_is_scored_cell_by_cell_and_others_from_the_survival_table(small_counts):
    assert isinstance(build(ModelSpec(), 40, 12).tables(small_counts), SurvivalTable)
    assert isinstance(build(ModelSpec(n_components=2), 40, 12).tables(small_counts), CellRows)


def fitted(counts, spec, n_steps=4_000):
    model = build(spec, counts.n_cells, counts.n_genes)
    tables = model.tables(counts)
    *_, last = svi_checkpoints(
        model.model,
        model.guide,
        tables,
        SVIConfig(n_steps=n_steps),
        initial=initial_params(model, counts),
        refine=model.refine,
    )
    return model, tables, last


@pytest.mark.slow
def test_nuts_runs_on_the_same_model_and_agrees(key):
    counts, _ = simulate("nbdm", n_cells=60, n_genes=6, values={"p": 0.5, "r": [1, 2, 3, 4, 5, 6]})
    model, tables, last = fitted(counts, ModelSpec())
    mcmc = MCMC(NUTS(model.model), num_warmup=300, num_samples=500, progress_bar=False)
    mcmc.run(key, arrays(tables))
    samples = {name: mcmc.get_samples()[name] for name in ("p", "r")}
    assert shapes(samples) == {"p": (500,), "r": (500, 6)}
    found = model.posterior_means(last.params)
    for name, draws in samples.items():
        off = (np.asarray(found[name]) - draws.mean(axis=0)) / draws.std(axis=0)
        assert np.abs(off).max() < 2, name


def test_refine_is_one_em_step_by_hand(small_counts):
    counts = small_counts.seen_genes()
    spec = ModelSpec(n_components=3, priors={"mixing_weights": ("dirichlet", 2)})
    model = build(spec, counts.n_cells, counts.n_genes)
    tables = cell_rows(counts)
    params = initial_params(model, counts)
    means = {name: np.asarray(v, float) for name, v in model.posterior_means(params).items()}
    p, r = means["p"], means["r"]
    weights = means["mixing_weights"] / means["mixing_weights"].sum()
    by_cell = st.nbinom(r[:, None], 1 - p).logpmf(counts.matrix.toarray()).sum(axis=-1)
    responsibilities = softmax(by_cell + np.log(weights)[:, None], axis=0)
    changed = model.refine(params, arrays(tables))
    assert list(changed) == ["mixing_concentrations"]
    expected = 2 + responsibilities.sum(axis=1)
    np.testing.assert_allclose(changed["mixing_concentrations"], expected, rtol=1e-4)
    np.testing.assert_allclose(changed["mixing_concentrations"].sum(), 3 * 2 + 40, rtol=1e-5)


def test_refine_leaves_a_single_component_alone(small_counts):
    counts = small_counts.seen_genes()
    model = build(ModelSpec(), counts.n_cells, counts.n_genes)
    assert model.refine(initial_params(model, counts), model.tables(counts)) == {}


@every_spec
def test_posterior_draws_have_the_posteriors_moments(spec, key):
    model = build(spec, n_cells=7, n_genes=5)
    params = {
        name: jnp.asarray(np.linspace(0.4, 3.0, max(np.prod(model.shape(site), dtype=int), 1)))
        .reshape(model.shape(site))
        .astype(jnp.float32)
        for site in spec.sites
        for name in model.param_names(site)
    }
    params |= {name: 0.2 * value for name, value in params.items() if name.endswith("scale")}
    posterior = model.posterior(params)
    drawn = model.sample_posterior(key, 4_000, params)
    assert drawn.keys() == posterior.keys() == {site.key for site in spec.sites}
    for site in spec.sites:
        draws = np.asarray(drawn[site.key])
        error = draws.std(axis=0) / np.sqrt(4_000)
        assert np.max(np.abs(draws.mean(axis=0) - posterior[site.key].mean) / error) < 4.5
        free = np.asarray(site.free(draws))
        center, spread = model.free_moments(site, params)
        assert np.max(np.abs(free.mean(axis=0) - center) / free.std(axis=0)) < 0.1
        np.testing.assert_allclose(free.std(axis=0), spread, rtol=0.1)


def test_posterior_draws_follow_their_key(key):
    model = build(ModelSpec(), n_cells=7, n_genes=5)
    params = {"p_alpha": 2.0, "p_beta": 2.0, "r_loc": jnp.zeros(5), "r_scale": jnp.ones(5)}
    first, again = (model.sample_posterior(key, 3, params) for _ in range(2))
    other = model.sample_posterior(jax.random.key(1), 3, params)
    assert first["r"].tolist() == again["r"].tolist()
    assert first["r"].tolist() != other["r"].tolist()
