"""Posteriors mean what they say: ranks of the truth among draws, and both methods side by side."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from numpyro.infer import MCMC, NUTS

from scribeviz import ModelSpec, fit, simulate
from scribeviz.models.builder import build
from tests.science.one_shape import of_one_shape

pytestmark = pytest.mark.slow

N_SETS, N_GENES = 160, 5
N_DRAWS, THINNING = 99, 4
OPTIMIZED = {"xla_backend_optimization_level": 3}
PRIORS = {"p": ("beta", 6, 4), "r": ("lognormal", 0.5, 0.7)}


@pytest.mark.parametrize(
    ("likelihood", "n_cells", "more"),
    [("nbdm", 30, {}), ("nbvcp", 15, {"p_capture": ("beta", 20, 60)})],
)
def test_the_truth_has_any_rank_among_the_draws_of_nuts(likelihood, n_cells, more):
    # Talts et al. 2018: over data sets from the prior, ranks are uniform.
    spec = ModelSpec(likelihood=likelihood, priors=PRIORS | more)
    model = build(spec, n_cells, N_GENES)
    sets = [simulate(spec, n_cells=n_cells, n_genes=N_GENES, seed=s) for s in range(N_SETS)]
    longest = max(int(counts.matrix.max()) for counts, _ in sets)
    tables = [of_one_shape(counts, longest) for counts, _ in sets]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *tables)

    # It runs for longer than it compiles: with XLA's optimizer on, unlike the other tests.
    @partial(jax.jit, compiler_options=OPTIMIZED)
    @jax.vmap
    def posterior(key, table):
        sampler = MCMC(
            NUTS(model.model, target_accept_prob=0.9, max_tree_depth=7),
            num_warmup=300,
            num_samples=N_DRAWS * THINNING,
            thinning=THINNING,
            progress_bar=False,
        )
        sampler.run(key, table)
        return sampler.get_samples()

    drawn = posterior(jax.random.split(jax.random.key(1), N_SETS), stacked)
    uniformity = {}
    for site in spec.sites:
        truth = np.stack([values[site.key] for _, values in sets])
        ranks = (np.asarray(drawn[site.key]) < truth[:, None]).sum(axis=1)
        # Values of one data set lean on each other; over data sets they are independent.
        each = ranks.reshape(N_SETS, -1)[:, :N_GENES]
        uniformity |= {
            f"{site.key}[{i}]": st.chisquare(np.bincount(column // 10, minlength=10)).pvalue
            for i, column in enumerate(each.T)
        }
    # As many tests as values: Bonferroni, at one in a thousand.
    assert min(uniformity.values()) * len(uniformity) > 1e-3, uniformity


@pytest.fixture(scope="module", params=["nbdm", "zinb", "nbvcp", "zinbvcp"])
def both(request):
    """Linked, whose rectangle is nearly right, fitted by both methods."""
    priors = {"p": ("beta", 6, 4)}
    if "vcp" in request.param:
        priors["p_capture"] = ("beta", 20, 60)
    spec = ModelSpec(likelihood=request.param, parameterization="linked", priors=priors)
    mu = np.random.default_rng(3).lognormal(2.0, 0.7, 12)
    counts, _ = simulate(spec, n_cells=60, n_genes=12, values={"p": 0.6, "mu": mu}, seed=3)
    svi = fit(counts, spec, progress=False)
    nuts = fit(counts, spec, inference_method="mcmc", start_from=svi, n_warmup=300, progress=False)
    return spec, svi, nuts


def test_both_methods_find_the_same_means(both):
    spec, _, nuts = both
    variational, sampled = (each.get_posterior_samples(n_samples=1_000) for each in both[1:])
    print(f"\n{spec.name:8} |  mean apart, in sd | sd of SVI / sd of NUTS")
    for site in spec.sites:
        mean, spread = sampled[site.key].mean(axis=0), sampled[site.key].std(axis=0)
        apart = np.abs(variational[site.key].mean(axis=0) - mean) / spread
        ratio = variational[site.key].std(axis=0) / spread
        print(f"{site.key:8} | {np.max(apart):18.2f} | {np.min(ratio):.2f} to {np.max(ratio):.2f}")
        assert np.all(apart < 2), site.key
    assert nuts.diverging.mean() < 0.02
