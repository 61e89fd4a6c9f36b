"""From data to a trained network: built in, with custom networks, or wholly custom."""

from dataclasses import replace
from itertools import islice

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from flax import nnx
from sklearn.cross_decomposition import CCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

import scribeviz
from scribeviz.data.counts import CountsError, plain_counts
from scribeviz.fitting.network_fits import prepare_network
from scribeviz.networks.building import ModuleError
from scribeviz.networks.cellvae import CellVAE, TrainingConfig
from scribeviz.networks.layers import NetworkShapeError
from scribeviz.results.network_results import CellVAEResults
from tests.networks.cells import OwnProbabilistic, OwnVAE

QUICK = {"max_epochs": 3, "batch_size": 32, "kl_warmup": 0, "progress": False}
SMALL = CellVAE(n_latent=2, n_hidden=16)


def simulated(place, n_genes=30, *, depth=300.0, effect=None, seed=0):
    """Negative binomial counts whose shares are a softmax of loadings of a known place."""
    rng = np.random.default_rng(seed)
    logits = place @ rng.normal(size=(place.shape[1], n_genes)) + rng.normal(size=n_genes)
    if effect is not None:
        logits += effect
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    total = depth * rng.gamma(10, 0.1, len(place))[:, None]
    return plain_counts(rng.poisson(rng.gamma(5.0, total * share / 5.0)))


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(1)
    matrix = rng.poisson(rng.gamma(2.0, size=8), (80, 8))
    matrix[:, 3] = 0
    return plain_counts(matrix)


def canonical(one, other):
    """The smallest canonical correlation of two subspaces."""
    n = other.shape[1]
    a, b = CCA(n_components=n).fit(one, other).transform(one, other)
    return min(np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(n))


def test_no_cell_is_both_trained_on_and_validated(counts):
    for seed in range(3):
        config = TrainingConfig(validation_share=0.2, seed=seed)
        split = prepare_network(counts, SMALL, config).split
        assert not set(split.train) & set(split.validation)
        assert {*split.train, *split.validation} == set(range(80))
        assert split.validation.size == 16
        assert split.test.size == 0


def test_the_network_never_sees_validation_counts(counts):
    config = TrainingConfig(validation_share=0.2, max_epochs=2, batch_size=16)
    prepared = prepare_network(counts, SMALL, config)
    other = counts.matrix.toarray()
    chosen = prepared.split.validation
    other[chosen] = other[chosen[::-1]] + 1
    other[:, 3] = 0
    changed = prepare_network(plain_counts(other), SMALL, config)
    one, two = (list(p.checkpoints())[-1] for p in (prepared, changed))
    np.testing.assert_array_equal(one.losses, two.losses)
    assert not np.array_equal(one.validation, two.validation)


def test_genes_without_counts_are_left_out(counts):
    results = scribeviz.fit(counts, SMALL, **QUICK)
    assert isinstance(results, CellVAEResults)
    assert results.left_out_genes.tolist() == [counts.genes[3]]
    assert results.n_genes == 7
    assert results.get_latent_representation(counts).shape == (80, 2)


def test_losses_are_of_all_cells(counts):
    prepared = prepare_network(counts, SMALL, TrainingConfig(max_epochs=3, batch_size=32))
    stream = list(prepared.checkpoints())
    last = stream[-1]
    np.testing.assert_allclose(prepared.losses(last), last.losses * 80)
    steps, losses = prepared.validation(last)
    assert steps.tolist() == [2, 4, 6]  # 72 cells, 32 at a time
    np.testing.assert_allclose(losses, last.validation * 80)
    assert prepared.n_steps == 6 == last.n_steps


def test_a_stopped_fit_goes_on_as_if_it_had_not(counts):
    prepared = prepare_network(counts, SMALL, TrainingConfig(max_epochs=4, batch_size=16))
    unbroken = list(prepared.checkpoints())
    start = next(prepare_network(counts, SMALL, prepared.config).checkpoints())
    *_, resumed = prepared.checkpoints(start)
    for one, other in zip(resumed.state, unbroken[-1].state, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(resumed.losses, unbroken[-1].losses)
    one, other = (prepared.results(c) for c in (resumed, unbroken[-1]))
    assert one.get_elbo(counts) == other.get_elbo(counts)


def test_results_hold_the_best_epoch(counts):
    config = TrainingConfig(max_epochs=40, batch_size=16, learning_rate=0.05, kl_warmup=0)
    prepared = prepare_network(counts, SMALL, config)
    *_, last = prepared.checkpoints()
    results = prepared.results(last)
    assert results.best_epoch < last.epoch
    # The very noise of validation gives the very loss of that epoch.
    again = prepare_network(counts, SMALL, config)
    *_, until_best = islice(again.checkpoints(), results.best_epoch)
    best = again.results(until_best)
    assert best.get_elbo(counts) == results.get_elbo(counts)
    np.testing.assert_allclose(results.validation_history.min(), last.validation.min() * 80)


@pytest.mark.slow
def test_groups_are_found_again():
    labels = np.repeat([0, 1, 2], 70)
    counts = simulated(np.eye(3)[labels] * 1.5)
    settings = {"max_epochs": 40, "batch_size": 64, "kl_warmup": 0, "progress": False}
    results = scribeviz.fit(counts, SMALL, learning_rate=0.01, **settings)
    place = results.get_latent_representation(counts)
    found = GaussianMixture(3, n_init=5, random_state=0).fit_predict(place)
    assert adjusted_rand_score(labels, found) > 0.9
    untrained = scribeviz.fit(counts, SMALL, learning_rate=1e-6, max_epochs=1, progress=False)
    place = untrained.get_latent_representation(counts)
    blind = GaussianMixture(3, n_init=5, random_state=0).fit_predict(place)
    assert adjusted_rand_score(labels, blind) < 0.9


@pytest.fixture(scope="module")
def linear():
    """Cells on a plane, and a linear decoder trained on them."""
    place = np.random.default_rng(3).normal(size=(400, 2))
    counts = simulated(place, depth=1_000.0)
    spec = replace(SMALL, linear_decoder=True)
    settings = {"max_epochs": 150, "batch_size": 64, "kl_warmup": 0, "progress": False}
    return place, counts, scribeviz.fit(counts, spec, learning_rate=0.03, **settings)


def test_a_continuous_place_is_found_again(linear):
    place, counts, results = linear
    assert canonical(results.get_latent_representation(counts), place) > 0.95


def test_a_linear_decoder_has_the_loadings_that_counts_were_made_with(linear):
    _, _, results = linear
    true = np.random.default_rng(0).normal(size=(2, 30))  # as ``simulated`` draws them first
    found = np.asarray(results.module.decoder.logits.kernel[...])
    # A softmax knows loadings up to a constant per dimension; a rotation is free.
    true, found = (one - one.mean(axis=1, keepdims=True) for one in (true, found))
    angles = np.linalg.svd(np.linalg.qr(true.T)[0].T @ np.linalg.qr(found.T)[0])[1]
    assert angles.min() > 0.97


def test_it_agrees_with_a_factor_analysis(linear):
    from sklearn.decomposition import FactorAnalysis

    true, counts, results = linear
    dense = counts.matrix.toarray()
    logs = np.log1p(dense / dense.sum(axis=1, keepdims=True) * 1_000)
    factors = FactorAnalysis(2, random_state=0).fit_transform(logs)
    place = results.get_latent_representation(counts)
    assert canonical(place, factors) > 0.8
    assert canonical(place, true) > canonical(factors, true)  # which takes counts for normal


def separated(place, batch):
    """How far apart the middles of two batches lie, in spreads within them."""
    first, second = place[batch == 0], place[batch == 1]
    apart = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    return apart / np.sqrt((first.var(axis=0) + second.var(axis=0)).mean() / 2)


@pytest.mark.slow
def test_a_covariate_is_taken_out_of_the_latent_space():
    rng = np.random.default_rng(4)
    place, batch = rng.normal(size=(400, 1)), np.arange(400) % 2
    effect = batch[:, None] * rng.normal(0, 1.5, 30)
    counts = simulated(place, effect=effect)
    obs = pd.DataFrame({"lane": np.where(batch, "b", "a")}, index=counts.cells)
    counts = replace(counts, obs=obs)
    settings = {"max_epochs": 60, "batch_size": 64, "kl_warmup": 0, "progress": False}
    kept, out = (
        scribeviz.fit(counts, replace(SMALL, covariate=column), learning_rate=0.01, **settings)
        for column in ("", "lane")
    )
    places = [one.get_latent_representation(counts) for one in (kept, out)]
    assert separated(places[0], batch) > 1.5
    assert separated(places[1], batch) < 0.5
    assert canonical(places[1], place) > 0.9
    assert out.covariate.levels == ("a", "b")
    assert out.get_elbo(counts) > kept.get_elbo(counts)
    with pytest.raises(CountsError, match="'lane'"):
        out.get_latent_representation(replace(counts, obs=counts.obs.drop(columns="lane")))


def test_a_covariate_that_is_not_there_is_refused(counts):
    with pytest.raises(CountsError, match="obs column 'lane', which these data lack"):
        scribeviz.fit(counts, replace(SMALL, covariate="lane"), **QUICK)


def net(n_in, n_out, width=7):
    rngs = nnx.Rngs(0)
    parts = (nnx.Linear(n_in, width, rngs=rngs), nnx.tanh, nnx.Linear(width, n_out, rngs=rngs))
    return nnx.Sequential(*parts)


def test_networks_of_ones_own_take_part(counts):
    own = {"mean_encoder": net(7, 2), "variance_encoder": net(7, 2), "decoder": net(2, 7)}
    results = scribeviz.fit(counts, SMALL, networks=own, **QUICK)
    assert results.module.encoder.mean.layers[0].kernel.shape == (7, 7)
    assert results.module.decoder.logits.layers[2].kernel.shape == (7, 7)
    before = own["decoder"].layers[0].kernel[...]
    assert not np.array_equal(results.module.decoder.logits.layers[0].kernel[...], before)
    assert np.isfinite(results.get_elbo(counts))


@pytest.mark.parametrize(
    ("part", "network", "both"),
    [
        ("mean_encoder", net(7, 3), (r"\(4, 7\) to \(4, 2\)", r"gives \(4, 3\)")),
        ("variance_encoder", net(5, 2), (r"\(4, 7\) to \(4, 2\)", "failed on an array of shape")),
        ("decoder", net(2, 8), (r"\(4, 2\) to \(4, 7\)", r"gives \(4, 8\)")),
        ("decoder", net(7, 2), (r"\(4, 2\) to \(4, 7\)", "failed on an array of shape")),
    ],
)
def test_a_wrong_shape_is_an_error_before_training(counts, part, network, both):
    with pytest.raises(NetworkShapeError, match=both[0]) as error:
        prepare_network(counts, SMALL, TrainingConfig(), networks={part: network})
    assert error.match(both[1])


def test_networks_that_are_no_part_are_refused(counts):
    with pytest.raises(ValueError, match="'encoder' is no part of a CellVAE; it has mean_encoder"):
        prepare_network(counts, SMALL, TrainingConfig(), networks={"encoder": net(7, 2)})
    with pytest.raises(ValueError, match="brings its own"):
        prepare_network(counts, OwnVAE, TrainingConfig(), networks={"decoder": net(2, 7)})


OWN = pytest.mark.parametrize("kind", [OwnVAE, OwnProbabilistic])


@pytest.fixture(scope="module", params=[OwnVAE, OwnProbabilistic])
def own(request, counts):
    settings = QUICK | {"max_epochs": 15}
    return request.param, scribeviz.fit(counts, request.param, learning_rate=0.01, **settings)


@pytest.mark.slow
def test_own_modules_train_and_predict(own, counts):
    kind, results = own
    assert results.model_type == kind.__name__
    assert results.spec is None
    losses = results.history["val_loss"]
    assert losses[results.best_epoch - 1] < losses[0]
    assert results.get_latent_representation(counts).shape == (80, 2)
    shares = results.get_normalized_expression(counts)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-4)
    drawn = results.posterior_predictive_sample(counts, 10)
    assert drawn.shape == (10, 80, 7)
    seen = counts.seen_genes().matrix.toarray()
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), seen.mean(axis=0), rtol=0.3, atol=0.2)
    assert results.get_elbo(counts) < results.get_marginal_ll(counts, 200)


@pytest.mark.slow
def test_own_modules_are_judged(own, counts):
    _, results = own
    found = results.critique(counts)
    assert found.genes["gene"].size == 7
    assert found.scores.elpd.size == results.split.validation.size
    assert np.isfinite(found.scores.elpd).all()


def test_own_modules_are_saved_and_come_back(own, counts, tmp_path):
    kind, results = own
    results.save(tmp_path / "own.h5")
    with pytest.raises(ValueError, match="give one that is built like it as module="):
        CellVAEResults.load(tmp_path / "own.h5")
    back = CellVAEResults.load(tmp_path / "own.h5", module=kind(7, rngs=nnx.Rngs(5)))
    assert back.get_elbo(counts) == results.get_elbo(counts)
    with pytest.raises(ValueError, match="shape"):
        CellVAEResults.load(tmp_path / "own.h5", module=kind(7, 3, rngs=nnx.Rngs(5)))


@OWN
def test_a_module_that_is_made_already_trains_as_a_copy(kind, counts):
    seen = counts.seen_genes()
    module = kind(7, rngs=nnx.Rngs(0))
    before = np.asarray(module.log_theta[...])
    results = scribeviz.fit(seen, module, **QUICK)
    assert results.left_out_genes.size == 0
    np.testing.assert_array_equal(module.log_theta[...], before)
    assert not np.array_equal(results.module.log_theta[...], before)


def test_a_registered_network_has_its_own_name(counts):
    model = scribeviz.NetworkModel(key="simplest", make=OwnVAE, label="The simplest")
    assert scribeviz.fit(counts, model, **QUICK).model_type == "simplest"


class Swapped(OwnVAE):
    """As in the document: genes and latent dimensions swapped at construction."""

    def __init__(self, n_genes, *, rngs):
        super().__init__(2, n_genes, rngs=rngs)


class ReturnsNothing(OwnVAE):
    def loss(self, batch, inferred, counts):
        super().loss(batch, inferred, counts)


class WrongName(OwnVAE):
    def inference(self, batch, key):
        found = super().inference(batch, key)
        return {"mean": found["mean"], "z": found["z"], "var": found["variance"]}


class OneNumber(OwnVAE):
    def loss(self, batch, inferred, counts):
        terms = super().loss(batch, inferred, counts)
        return terms._replace(reconstruction=terms.reconstruction.mean())


class PerGene(OwnVAE):
    def generative(self, batch, inferred):
        return super().generative(batch, inferred).base_dist


class MissesGenes(OwnVAE):
    def __init__(self, n_genes, *, rngs):
        super().__init__(n_genes - 1, rngs=rngs)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Swapped, "Swapped fails on 5 cells of 7 genes"),
        (MissesGenes, "MissesGenes fails on 5 cells of 7 genes"),
        (ReturnsNothing, r"ReturnsNothing fails on 5 cells of 7 genes: AttributeError"),
        (
            WrongName,
            r"WrongName: inference returns 'mean', 'var', 'z'; it has to return a dict with 'mean'",
        ),
        (OneNumber, r"reconstruction has shape \(\) .* and \(5,\) is needed"),
        (PerGene, r"reconstruction has shape \(5, 7\) .* and \(5,\) is needed"),
    ],
)
def test_modules_that_cannot_work_are_refused_before_training(counts, kind, says):
    with pytest.raises(ModuleError, match=says):
        prepare_network(counts, kind, TrainingConfig())


def test_a_class_that_lacks_a_part_cannot_be_made(counts):
    class Half(OwnVAE.__base__):
        def __init__(self, n_genes, *, rngs):
            pass

        def inference(self, batch, key): ...

    with pytest.raises(TypeError, match="abstract"):
        prepare_network(counts, Half, TrainingConfig())


def test_what_is_no_module_of_cells_is_refused(counts):
    model = scribeviz.NetworkModel(key="net", make=lambda n, rngs: nnx.Linear(n, n, rngs=rngs))
    with pytest.raises(TypeError, match=r"subclass of scribeviz\.networks\.vae\.VAE or"):
        prepare_network(counts, model, TrainingConfig())


def test_there_has_to_be_something_to_train_on():
    with pytest.raises(CountsError, match="nothing to train on"):
        prepare_network(plain_counts(np.zeros((5, 3), int)), SMALL, TrainingConfig())


@pytest.mark.parametrize("steps", [1, 40])
def test_the_divergence_grows_to_its_full_weight(counts, steps):
    config = TrainingConfig(kl_warmup=steps, max_epochs=2, batch_size=32)
    prepared = prepare_network(counts, SMALL, config)
    first = next(prepared.checkpoints())
    full = first.history["reconstruction"][0] + first.history["kl"][0]
    grown = first.history["loss"][0] - first.history["reconstruction"][0]
    expected = first.history["kl"][0] * min(1, 1.5 / steps)  # the mean of steps 1 and 2
    assert grown == pytest.approx(expected, rel=0.3 if steps > 1 else 1e-3)
    assert first.history["val_loss"][0] == pytest.approx(
        first.history["val_reconstruction"][0] + first.history["val_kl"][0], rel=1e-5
    )
    assert full >= first.history["loss"][0] - 1e-3


def test_of_a_huge_sparse_matrix_only_blocks_are_dense():
    # 80 GB if it were dense.
    cells, genes = 200_000, 100_000
    rows = np.repeat(np.arange(cells), 2)
    columns = np.tile([0, 1], cells)
    matrix = sp.csr_array((np.ones(2 * cells, np.int32), (rows, columns)), shape=(cells, genes))
    counts = plain_counts(matrix)
    config = TrainingConfig(batch_size=64, max_epochs=1)
    prepared = prepare_network(counts, CellVAE(n_latent=2, n_hidden=2), config)
    assert prepared.tables.matrix.nnz == 2 * cells
    assert prepared.tables.at(np.arange(64)).x.shape == (64, 2)
    assert jnp.asarray(prepared.total.mean) == pytest.approx(np.log(2))
