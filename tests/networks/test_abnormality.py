import anndata as ad
import jax.numpy as jnp
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from flax import nnx
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_squared_error

from scribeviz import Abnormality
from scribeviz.networks.arrays import UnitScale
from scribeviz.networks.batches import split_cells
from scribeviz.networks.layers import NetworkShapeError
from scribeviz.networks.weights import weights
from tests.networks.nets import Net, OwnData, OwnModule

QUIET = {"max_epochs": 3, "enable_progress_bar": False}


@pytest.fixture
def cells(rng):
    """120 cells on a line through six genes, between 0 and 1."""
    place = rng.random((120, 1))
    x = np.clip(place * rng.random(6) + 0.1 * rng.random((120, 6)), 0, 1).astype(np.float32)
    found = ad.AnnData(sp.csr_matrix((120, 6)), layers={"X_norm": x})
    found.var_names = [f"G{i}" for i in range(6)]
    return found


@pytest.fixture(scope="module")
def blood():
    """The document's cells: 700, not ten copies of each, scaled by those that are trained on."""
    found = sc.datasets.pbmc68k_reduced()
    found = found[:, found.var["highly_variable"]][:, :100].copy()
    split = split_cells(found.n_obs, validation=0.1, test=0.1, seed=42)
    found.layers["X_norm"] = UnitScale.fitted(found.X, split.train)(found.X)
    return found, split


def fitted(cells, seed=42, **options):
    return Abnormality(n_in=6).fit(cells, seed=seed, **(QUIET | options))


def same(first, second):
    return all(np.array_equal(first[name], second[name]) for name in first | second)


def test_the_default_beats_the_means_of_the_genes_on_held_out_cells(blood):
    cells, split = blood
    found = Abnormality(n_in=100).fit(cells, split=split, enable_progress_bar=False)
    x = cells.layers["X_norm"]
    means = DummyRegressor().fit(np.zeros((split.train.size, 1)), x[split.train])
    predicted = means.predict(np.zeros((split.test.size, 1)))
    baseline = mean_squared_error(x[split.test], predicted)
    mse = mean_squared_error(x[split.test], found.reconstruct(cells)[split.test])
    assert found.baseline == pytest.approx(baseline, rel=1e-4)
    assert found.test_metrics["test_mse"] == pytest.approx(mse, rel=1e-4)
    assert mse < 0.75 * baseline


def test_test_cells_teach_nothing(cells):
    found = fitted(cells)
    assert found.split.test.size == 12
    other = cells.copy()
    other.layers["X_norm"][found.split.test] = 0.9
    assert same(weights(found.model), weights(fitted(other).model))


def test_parts_never_overlap(cells):
    split = fitted(cells).split
    together = np.concatenate([split.train, split.validation, split.test])
    np.testing.assert_array_equal(np.sort(together), np.arange(120))
    assert split.validation.size == 11


def test_seed_0_is_a_seed(cells):
    zero = fitted(cells, seed=0)
    assert same(weights(zero.model), weights(fitted(cells, seed=0).model))
    one = fitted(cells, seed=1)
    assert not np.array_equal(zero.split.test, one.split.test)
    split = zero.split
    kept = [weights(fitted(cells, seed=seed, split=split).model) for seed in (0, 1)]
    assert not same(*kept)


def test_error_is_what_is_left_of_the_cells(cells):
    found = fitted(cells)
    assert found.predict(cells) is None
    x, error = cells.layers["X_norm"], cells.layers["abnormality"]
    np.testing.assert_allclose(x - error, np.asarray(found.network(x)), atol=1e-6)
    np.testing.assert_allclose(x - error, found.reconstruct(cells), atol=1e-6)
    squared = [mean_squared_error(np.zeros(6), row) for row in error]
    np.testing.assert_allclose(cells.obs["abnormality"], squared, rtol=1e-5)
    assert (error < 0).any()


def test_own_names_and_copies(cells):
    found = fitted(cells)
    before = cells.copy()
    copy = found.predict(cells, key_added="strange", inplace=False)
    assert "strange" in copy.layers
    assert "strange" in copy.obs
    assert list(cells.layers) == list(before.layers)
    assert cells.obs.equals(before.obs)


def test_errors_are_summed_up_in_the_documents_words(cells):
    abnormality = fitted(cells)
    abnormality.predict(cells)
    error = cells.layers["abnormality"]
    cells.obs["abnormality"] = 0.0
    Abnormality.aggregate(cells)
    expected = mean_squared_error(0 * error.T, error.T, multioutput="raw_values")
    np.testing.assert_allclose(cells.obs["abnormality"], expected, rtol=1e-5)
    abnormality.aggregate(cells, np.median, "middle", "abnormality")
    np.testing.assert_array_equal(cells.obs["middle"], np.median(error, axis=1))
    with pytest.raises(KeyError, match="there is no layer 'errors'; predict writes"):
        Abnormality.aggregate(cells, layer="errors")
    with pytest.raises(ValueError, match="agg_fun='sum' is neither"):
        Abnormality.aggregate(cells, "sum")


class Tensor:
    """What PyTorch's are to NumPy: an array of their own."""

    def __init__(self, x):
        self.x = x

    def __array__(self, dtype=None, copy=None):
        return self.x.astype(dtype or self.x.dtype)


class LightningData:
    """A data module with the hooks of Lightning, which sets it up stage by stage."""

    def __init__(self, x):
        self.given, self.stages = x, []

    def prepare_data(self):
        self.x = self.given

    def setup(self, stage):
        self.stages.append(stage)
        self.train, self.validation, self.test = np.split(self.x, [60, 90])

    def train_dataloader(self):
        return [[Tensor(block), Tensor(block)] for block in np.split(self.train, 3)]

    def val_dataloader(self):
        return [(Tensor(self.validation), Tensor(self.validation))]

    def test_dataloader(self):
        return [(Tensor(self.test), Tensor(self.test))]


class LossAlone(OwnModule):
    """As in Lightning: a training step that returns the loss."""

    def training_step(self, batch, batch_idx):  # noqa: ARG002
        x, y = batch
        return jnp.mean((self.model(x) - y) ** 2)


def test_a_data_module_and_a_module_as_in_lightning(cells):
    data = LightningData(cells.layers["X_norm"])
    abnormality = Abnormality(model=LossAlone()).fit(datamodule=data, **QUIET)
    assert data.stages == [None]
    expected = mean_squared_error(data.test, abnormality.network(data.test))
    np.testing.assert_allclose(abnormality.test_metrics["test_loss"], expected, rtol=1e-4)


def test_a_data_module_without_cells_kept_apart(cells):
    class Training:
        def train_dataloader(self):
            x = cells.layers["X_norm"]
            return [(x, x)]

    abnormality = Abnormality(6).fit(datamodule=Training(), **QUIET)
    assert abnormality.test_metrics == {}


def test_predicting_changes_nothing_about_the_network(cells):
    found = Abnormality(model=Net()).fit(cells, **QUIET)
    found.model.train()  # somebody goes on training
    before = {name: value.copy() for name, value in weights(found.model).items()}
    first = found.reconstruct(cells)
    assert same(before, weights(found.model))
    assert not found.network.layers[1].use_running_average
    assert not found.network.dropout.deterministic
    # Neither dropout nor the statistics of these very cells are at work.
    np.testing.assert_array_equal(first, found.reconstruct(cells))
    np.testing.assert_allclose(found.reconstruct(cells[:3].copy()), first[:3], atol=1e-6)


def test_genes_are_found_by_name(cells):
    found = fitted(cells)
    expected = found.reconstruct(cells)
    order = [3, 0, 5, 1, 2, 4]
    turned = cells[:, order].copy()
    np.testing.assert_allclose(found.reconstruct(turned), expected[:, order], atol=1e-6)
    turned.var_names = ["Other", *turned.var_names[1:]]
    with pytest.raises(ValueError, match=r"6 genes; of them adata lacks 1 \(G3\), .* 1 \(Other\)"):
        found.predict(turned)


def test_values_out_of_range_are_refused(cells):
    found = fitted(cells)
    cells.layers["X_norm"][0, 0] = 22.5
    with pytest.raises(ValueError, match=r"from 0.* to 22.5, and the network was trained on"):
        found.predict(cells)
    assert "abnormality" not in cells.layers
    with pytest.raises(ValueError, match=r"to 22.5, and the default network gives"):
        Abnormality(n_in=6).fit(cells, **QUIET)
    free = Abnormality(model=Net()).fit(cells, **QUIET)
    free.predict(cells)


def test_sparse_layers_give_the_same(cells):
    dense = fitted(cells).reconstruct(cells)
    cells.layers["X_norm"] = sp.csr_matrix(cells.layers["X_norm"])
    np.testing.assert_allclose(fitted(cells).reconstruct(cells), dense, atol=1e-6)


@pytest.mark.parametrize("own_data", [False, True])
@pytest.mark.parametrize("make", [lambda: None, Net, OwnModule], ids=["default", "net", "module"])
def test_all_combinations_of_the_document(cells, make, own_data):
    model = make()
    found = Abnormality(n_in=6, model=model)
    if own_data:
        own = OwnData(cells.layers["X_norm"])
        found.fit(datamodule=own, **QUIET)
        assert own.times == 1
    else:
        found.fit(cells, **QUIET)
    assert len(found.history) == 3
    metric = "mae" if isinstance(model, OwnModule) else "mse"
    assert {"loss", metric, "val_loss", f"val_{metric}"} == set(found.history)
    assert {"test_loss", f"test_{metric}"} == set(found.test_metrics)
    found.predict(cells)
    x = cells.layers["X_norm"]
    network = found.model.model
    np.testing.assert_allclose(cells.layers["abnormality"], x - network(x), atol=1e-6)


def test_own_data_are_tested_on_what_was_not_trained_on(cells):
    own = OwnData(cells.layers["X_norm"])
    found = Abnormality(n_in=6).fit(datamodule=own, **QUIET)
    test = own.x[own.test]
    assert found.test_metrics["test_mse"] == pytest.approx(
        mean_squared_error(test, found.network(test)), rel=1e-5
    )
    assert found.baseline == pytest.approx(
        mean_squared_error(test, np.tile(own.x[own.train].mean(axis=0), (20, 1))), rel=1e-5
    )


class Untrained(OwnModule):
    """Its steps must not be run."""

    def training_step(self, _batch, _step):
        raise AssertionError


def test_wrong_shapes_are_refused_before_training(cells):
    for model in (Net(6, 5), Untrained()):
        if isinstance(model, Untrained):
            model.model = Net(6, 5)
        with pytest.raises(NetworkShapeError, match=r"\(4, 6\) to \(4, 6\); it gives \(4, 5\)"):
            Abnormality(model=model).fit(cells, **QUIET)
    with pytest.raises(NetworkShapeError, match=r"failed on an array of shape \(4, 6\)"):
        Abnormality(n_in=36).fit(cells, **QUIET)
    own = OwnData(cells.layers["X_norm"], cells.layers["X_norm"][:, :2])
    with pytest.raises(NetworkShapeError, match=r"\(32, 6\) and \(32, 2\)"):
        Abnormality(n_in=6).fit(datamodule=own, **QUIET)


def test_what_cannot_be_trained_leaves_what_was(cells):
    found = fitted(cells)
    before = found.reconstruct(cells)
    with pytest.raises(NetworkShapeError):
        found.fit(cells[:, :4].copy(), **QUIET)
    np.testing.assert_array_equal(found.reconstruct(cells), before)


class Half(nnx.Module):
    def training_step(self, _batch, _step):
        return {}


class Headless(OwnModule):
    def __init__(self):
        self.net = Net()


class Lossless(OwnModule):
    def training_step(self, batch, step):
        return {"mse": super().training_step(batch, step)["loss"]}


def test_modules_that_cannot_be_trained_are_refused(cells):
    with pytest.raises(TypeError, match="no validation_step, test_step, configure_optimizers"):
        Abnormality(model=Half())
    with pytest.raises(TypeError, match="Headless has no network in its attribute model"):
        Abnormality(model=Headless())
    with pytest.raises(TypeError, match=r"flax.nnx.Module; got function"):
        Abnormality(model=lambda x: x)
    with pytest.raises(TypeError, match='one of them "loss"'):
        Abnormality(model=Lossless()).fit(cells, **QUIET)


def test_early_stopping_ends_and_keeps_the_best_epoch(cells):
    options = {"max_epochs": 60, "learning_rate": 0.5, "patience": 2}
    found = fitted(cells, **options)
    assert len(found.history) < 60
    best = found.history["val_loss"].idxmin()
    validation = cells.layers["X_norm"][found.split.validation]
    kept = mean_squared_error(validation, found.network(validation))
    assert kept == pytest.approx(found.history["val_loss"][best], rel=1e-4)
    assert len(fitted(cells, early_stopping=False, **options).history) == 60


def test_callbacks_and_the_progress_bar_follow(cells, capsys):
    seen = []
    fitted(cells, callbacks=[seen.append], enable_progress_bar=True)
    assert [checkpoint.epoch for checkpoint in seen] == [1, 2, 3]
    assert "3/3" in capsys.readouterr().err
    fitted(cells)
    assert capsys.readouterr().err == ""


def test_an_interrupt_keeps_what_there_is(cells):
    def interrupt(checkpoint):
        if checkpoint.epoch == 2:
            raise KeyboardInterrupt

    found = fitted(cells, callbacks=[interrupt])
    assert len(found.history) == 2
    found.predict(cells)


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"layer": "X_nrom"}, ValueError, "no layer 'X_nrom' .it has: 'X_norm'"),
        ({"datamodule": object()}, TypeError, "one of them"),
        ({"adata": None}, TypeError, "one of them"),
        ({"adata": np.zeros((3, 3))}, TypeError, "AnnData; got ndarray"),
        ({"max_epochs": 0}, ValueError, "max_epochs=0 is outside"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(cells, change, kind, says):
    with pytest.raises(kind, match=says):
        Abnormality(n_in=6).fit(**{"adata": cells, **QUIET, **change})


def test_values_that_are_no_numbers_are_refused(cells):
    cells.layers["X_norm"][5, 2] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        fitted(cells)


def test_before_fit_there_is_nothing(cells):
    with pytest.raises(RuntimeError, match="this Abnormality is not trained yet; call fit"):
        Abnormality(n_in=6).predict(cells)


def test_saved_and_loaded_it_is_the_same(cells, tmp_path):
    found = fitted(cells)
    found.save(tmp_path / "abnormality.h5")
    again = Abnormality.load(tmp_path / "abnormality.h5")
    np.testing.assert_array_equal(again.reconstruct(cells), found.reconstruct(cells))
    assert again.test_metrics == found.test_metrics
    assert again.baseline == found.baseline
    assert again.history.equals(found.history)
    np.testing.assert_array_equal(again.split.test, found.split.test)
    cells.var_names = [f"H{i}" for i in range(6)]
    with pytest.raises(ValueError, match="lacks 6"):
        again.predict(cells)


@pytest.mark.parametrize("make", [Net, OwnModule])
def test_own_networks_are_filled_with_what_was_saved(cells, tmp_path, make):
    path = tmp_path / "abnormality.h5"
    found = Abnormality(model=make()).fit(cells, **QUIET)
    found.save(path)
    with pytest.raises(ValueError, match="build one like it and pass it as model="):
        Abnormality.load(path)
    again = Abnormality.load(path, model=make())
    np.testing.assert_array_equal(again.reconstruct(cells), found.reconstruct(cells))
    with pytest.raises(ValueError, match="was saved with shape"):
        Abnormality.load(path, model=make(7))


def test_what_is_written_survives_a_file(cells, tmp_path):
    fitted(cells).predict(cells)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    again = ad.read_h5ad(tmp_path / "cells.h5ad")
    np.testing.assert_array_equal(again.layers["abnormality"], cells.layers["abnormality"])
