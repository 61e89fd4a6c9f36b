import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from sklearn import metrics
from sklearn.dummy import DummyClassifier

from scribeviz import Abnormality, Classifier
from scribeviz.networks.classifier import Classification
from scribeviz.networks.layers import NetworkShapeError
from tests.networks.nets import Net, OwnData

QUIET = {"max_epochs": 40, "enable_progress_bar": False}
KINDS = np.array(["B/x", "NK", "T"])


@pytest.fixture
def cells(rng):
    """Three kinds of 150 cells: 100, 30 and 20."""
    codes = rng.permutation(np.repeat([0, 1, 2], [100, 30, 20]))
    x = np.clip(rng.normal(0.5, 0.1, (150, 6)) + 0.3 * np.eye(3, 6)[codes], 0, 1)
    found = ad.AnnData(x.astype(np.float32), obs=pd.DataFrame(index=map(str, range(150))))
    found.obs["kind"] = pd.Categorical(KINDS[codes], categories=[*KINDS, "unused"])
    return found


@pytest.fixture
def fitted(cells):
    return Classifier(6, 3).fit(cells, "kind", None, batch_size=32, **QUIET)


def test_scores_are_scikit_learns_on_held_out_cells(cells, fitted):
    fitted.predict(cells)
    test = fitted.split.test
    true, told = (cells.obs[name].astype(str).to_numpy()[test] for name in ("kind", "clf_kind"))
    macro = {"average": "macro", "zero_division": 0}
    assert fitted.accuracy == pytest.approx(metrics.accuracy_score(true, told))
    assert fitted.accuracy == pytest.approx(fitted.test_metrics["test_accuracy"], abs=1e-6)
    assert fitted.f1 == pytest.approx(metrics.f1_score(true, told, **macro))
    assert fitted.precision == pytest.approx(metrics.precision_score(true, told, **macro))
    assert fitted.recall == pytest.approx(metrics.recall_score(true, told, **macro))
    expected = metrics.confusion_matrix(true, told, labels=KINDS)
    np.testing.assert_array_equal(fitted.confusion, expected)
    assert list(fitted.confusion.index) == list(KINDS)
    assert fitted.accuracy > 0.8


def test_prediction_is_a_categorical_with_probabilities(cells, fitted, tmp_path):
    copy = fitted.predict(cells, inplace=False)
    assert "clf_kind" not in cells.obs
    fitted.predict(cells, key_added="told")
    probabilities = cells.obsm["told_probabilities"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(KINDS[probabilities.argmax(axis=1)], cells.obs["told"])
    assert list(copy.obs["clf_kind"].cat.categories) == list(KINDS)
    copy.write_h5ad(tmp_path / "cells.h5ad")
    again = ad.read_h5ad(tmp_path / "cells.h5ad")
    assert list(again.obs["clf_kind"]) == list(copy.obs["clf_kind"])


def test_every_part_has_its_share_of_every_class(cells, fitted):
    shares = cells.obs["kind"].value_counts(normalize=True)
    for part in (fitted.split.train, fitted.split.validation, fitted.split.test):
        own = cells.obs["kind"].iloc[part].value_counts(normalize=True)
        np.testing.assert_allclose(own[KINDS], shares[KINDS], atol=0.06)
    assert fitted.split.test.size == 15


def test_cells_without_a_label_are_left_out_and_said_so(cells):
    missing = np.arange(0, 150, 10)
    cells.obs.iloc[missing, 0] = np.nan
    found = Classifier(6, 3).fit(cells, "kind", None, **QUIET)
    assert found.notes == ("15 cells have no kind and were left out.",)
    used = np.concatenate([found.split.train, found.split.validation, found.split.test])
    assert not set(used) & set(missing)
    assert used.size == 135
    found.predict(cells)
    assert cells.obs["clf_kind"].notna().all()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["T"] * 150, r"one class only \('T'\); there is nothing to tell apart"),
        ([None] * 150, r"one class only \(nothing\)"),
    ],
)
def test_one_class_is_nothing_to_tell_apart(cells, values, says):
    cells.obs["kind"] = pd.Categorical(values)
    with pytest.raises(ValueError, match=says):
        Classifier(6, 2).fit(cells, "kind", None, **QUIET)


def test_wrong_numbers_of_classes_and_columns_are_refused(cells):
    with pytest.raises(ValueError, match="kind has 3 classes; write n_classes=3 instead of 2"):
        Classifier(6, 2).fit(cells, "kind", None, **QUIET)
    with pytest.raises(ValueError, match=r"no column 'knid'; it has 'kind'"):
        Classifier(6, 2).fit(cells, "knid", None, **QUIET)
    with pytest.raises(NetworkShapeError, match=r"\(4, 6\) to \(4, 3\); it gives \(4, 4\)"):
        Classifier(model=Net(6, 4)).fit(cells, "kind", None, **QUIET)


@pytest.mark.parametrize("own_data", [False, True])
@pytest.mark.parametrize(
    "make",
    [lambda: None, lambda: Net(6, 3), lambda: Classification(Net(6, 3))],
    ids=["default", "net", "module"],
)
def test_own_networks_modules_and_data(cells, make, own_data):
    found = Classifier(6, 3, model=make())
    if own_data:
        codes = cells.obs["kind"].cat.codes.to_numpy().astype(np.int32)
        own = OwnData(cells.X, codes)
        found.fit(datamodule=own, target="kind", layer=None, **QUIET)
        assert found.classes == ["0", "1", "2"]
        true, told = codes[own.test], np.asarray(found.network(own.x[own.test])).argmax(axis=1)
        assert found.accuracy == pytest.approx(metrics.accuracy_score(true, told))
    else:
        found.fit(cells, "kind", None, **QUIET)
        assert found.classes == list(KINDS)
    found.predict(cells)
    assert list(cells.obs["clf_kind"].cat.categories) == found.classes
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} == set(found.history)


def test_classes_may_be_named(cells):
    names = ["T", "B/x", "NK"]
    found = Classifier(6, 3, classes=names).fit(cells, "kind", None, batch_size=32, **QUIET)
    assert found.classes == names
    assert found.accuracy > 0.8
    with pytest.raises(ValueError, match="kind holds 'B/x', which is none of the classes"):
        Classifier(6, 3, classes=["T", "NK", "B"]).fit(cells, "kind", None, **QUIET)


def test_classes_of_own_data_are_checked(cells):
    with pytest.raises(ValueError, match="classes from 0 to 4; 3 classes are 0 to 2"):
        Classifier(6, 3).fit(datamodule=OwnData(cells.X, np.arange(150) % 5), **QUIET)
    with pytest.raises(TypeError, match="whole number from 0"):
        Classifier(6, 3).fit(datamodule=OwnData(cells.X), **QUIET)


def test_what_cannot_be_trained_leaves_what_was(cells, fitted):
    before = fitted.predict(cells, inplace=False)
    cells.obs["other"] = [str(i % 5) for i in range(150)]
    with pytest.raises(ValueError, match="other has 5 classes"):
        fitted.fit(cells, "other", None, **QUIET)
    after = fitted.predict(cells, inplace=False)
    assert list(after.obs["clf_kind"]) == list(before.obs["clf_kind"])


def test_seed_0_is_a_seed(cells):
    test = [
        Classifier(6, 3).fit(cells, "kind", None, seed=seed, **QUIET).split.test
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(test[0], test[1])
    assert not np.array_equal(test[0], test[2])


def test_saved_and_loaded_it_is_the_same(cells, fitted, tmp_path):
    fitted.save(tmp_path / "classifier.h5")
    again = Classifier.load(tmp_path / "classifier.h5")
    first, second = (one.predict(cells, inplace=False) for one in (fitted, again))
    np.testing.assert_array_equal(
        first.obsm["clf_kind_probabilities"], second.obsm["clf_kind_probabilities"]
    )
    assert again.classes == fitted.classes
    assert again.confusion.equals(fitted.confusion)
    with pytest.raises(ValueError, match=r"no Abnormality .but: Classifier"):
        Abnormality.load(tmp_path / "classifier.h5")


def test_blood_cells_are_told_apart():
    blood = sc.datasets.pbmc68k_reduced()
    found = Classifier(blood.n_vars, 10).fit(blood, "bulk_labels", None, enable_progress_bar=False)
    true = blood.obs["bulk_labels"].to_numpy()
    guess = DummyClassifier().fit(true[found.split.train], true[found.split.train])
    assert guess.score(true[found.split.test], true[found.split.test]) < 0.5
    assert found.accuracy > 0.7
