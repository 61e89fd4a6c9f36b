"""Which kind of cell a cell is, learnt from cells whose kind is known."""

from collections.abc import Iterable, Mapping, Sequence
from types import EllipsisType
from typing import Any, Self

import anndata as ad
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from flax import nnx
from jaxtyping import Array, Float, Int
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)

from scribeviz.networks.arrays import Pair, Survey
from scribeviz.networks.batches import Batches, Split, split_cells
from scribeviz.networks.cellvae import TrainingConfig
from scribeviz.networks.estimator import NEVER, Estimator, Prepared, applied, either, writable
from scribeviz.networks.module import Metrics, Step
from scribeviz.networks.training import Callback

_HIDDEN = 20


class Perceptron(nnx.Module):
    """n_in → 20 → classes with a rectifier; gives logits."""

    def __init__(self, n_in: int, n_classes: int, *, rngs: nnx.Rngs) -> None:
        self.hidden = nnx.Linear(n_in, _HIDDEN, rngs=rngs)
        self.last = nnx.Linear(_HIDDEN, n_classes, rngs=rngs)

    def __call__(self, x: Float[Array, "cells n_in"]) -> Float[Array, "cells classes"]:
        """Logits of the classes."""
        return self.last(nnx.relu(self.hidden(x)))


class Classification(nnx.Module):
    """The module around a network that gives logits: cross-entropy, Adam."""

    def __init__(self, network: nnx.Module) -> None:
        self.model: Any = network

    def __call__(self, x: Float[Array, "cells features"]) -> Float[Array, "cells classes"]:
        """Probabilities of the classes."""
        return jax.nn.softmax(self.model(x))

    def training_step(self, batch: Pair, _step: Step) -> Metrics:
        """Cross-entropy in nats, and the share of cells that were told rightly."""
        x, y = batch
        logits = self.model(x)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return {"loss": loss, "accuracy": (logits.argmax(axis=-1) == y).mean()}

    def validation_step(self, batch: Pair, step: Step) -> Metrics:
        """The same of a minibatch that is not trained on."""
        return self.training_step(batch, step)

    def test_step(self, batch: Pair, step: Step) -> Metrics:
        """The same of a minibatch that was kept for last."""
        return self.training_step(batch, step)

    def configure_optimizers(self) -> None:
        """Adam, at the rates of the training's settings."""
        return


class Classifier(Estimator):
    """Tells kinds of cells apart.

    Parameters
    ----------
    n_in, n_classes
        Features and classes of the default network.
    model
        A custom network, from features to the logits of the classes; or a custom
        module, whose attribute ``model`` is that network.  It is trained in place.
    classes
        Names of the classes in the order of the logits; by default those of the target, or, of
        custom data, ``"0"``, ``"1"`` and so on.

    Attributes
    ----------
    notes
        What one should know about the training cells.

    Examples
    --------
    >>> import anndata
    >>> cells = anndata.AnnData(np.random.default_rng(0).random((60, 5)).astype(np.float32))
    >>> cells.obs["kind"] = pd.Categorical(np.where(cells.X[:, 0] > 0.5, "bright", "dim"))
    >>> classifier = Classifier(5, 2)
    >>> classifier = classifier.fit(cells, "kind", None, max_epochs=2, enable_progress_bar=False)
    >>> classifier.predict(cells)
    >>> list(cells.obs["clf_kind"].cat.categories), cells.obsm["clf_kind_probabilities"].shape
    (['bright', 'dim'], (60, 2))
    """

    def __init__(
        self,
        n_in: int = 36,
        n_classes: int = 2,
        *,
        model: nnx.Module | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.n_in, self.n_classes = n_in, n_classes
        self._named = None if classes is None else [str(name) for name in classes]
        self.classes: list[str] = self._named or []
        self.target = ""
        self.notes: tuple[str, ...] = ()
        self._told = (np.zeros(0, int), np.zeros(0, int))
        super().__init__(model)

    def fit(
        self,
        adata: ad.AnnData | None = None,
        target: str = "target",
        layer: str | None = "X_norm",
        *,
        datamodule: Batches | None = None,
        split: Split | None = None,
        max_epochs: int = 100,
        early_stopping: bool = True,
        patience: int = 10,
        learning_rate: float = 5e-3,
        batch_size: int = 256,
        seed: int = 42,
        callbacks: Iterable[Callback] = (),
        enable_progress_bar: bool = True,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        adata
            Cells.
        target
            Column of their ``obs`` with the classes.  Cells without one are left out.
        layer
            Which of their layers to learn from, None for X.
        datamodule
            Custom data instead of ``adata``: minibatches (x, y), y being classes from 0.
            ``setup`` is called once, before all else.
        split
            Which cells are for what; by default 10 % of every class test and 10 % of the rest
            validation.
        max_epochs
            The most that will be done.
        early_stopping
            End when the validation loss no longer falls.  The best epoch is kept either way, also
            when training is interrupted.
        patience
            Epochs without a better validation loss until the learning rate falls, twice at
            most, and then until training ends; a custom optimizer keeps its rate.
        learning_rate
            Adam's first step size.
        batch_size
            Cells per step.
        seed
            Of the split, the first weights of the default network, the order, and all noise.
        callbacks
            Each is called with the :class:`~scribeviz.networks.training.TrainingCheckpoint` of
            every epoch.
        enable_progress_bar
            Show one.

        Raises
        ------
        NetworkShapeError
            If the network does not give a logit per class; the message has both shapes.
        ValueError
            If the cells cannot be trained on; the message says why.
        """
        either(adata, datamodule)
        config = TrainingConfig(
            max_epochs=max_epochs,
            patience=patience if early_stopping else NEVER,
            learning_rate=learning_rate,
            batch_size=batch_size,
            seed=seed,
        )
        notes: tuple[str, ...] = ()
        if adata is None:
            data = Prepared.own(datamodule, layer)
            classes = self._named or [str(i) for i in range(self._n_out(data.seen))]
        else:
            codes, classes = self._labels(adata, target)
            split = split or _stratified(codes, seed)
            notes = _notes(codes, target)
            data = Prepared.of(adata, layer, config, _labelled(split, codes), codes)
        self._check(data, len(classes), target)
        self._train(data, len(classes), config, callbacks, shown=enable_progress_bar)
        # Only now: what was trained before is whole when something cannot be trained.
        self.target, self.classes, self.notes = target, classes, notes
        self._told = self._tell(data.batches)
        return self

    def predict(
        self,
        adata: ad.AnnData,
        layer: str | EllipsisType | None = ...,
        *,
        key_added: str | None = None,
        inplace: bool = True,
    ) -> ad.AnnData | None:
        """Write the likeliest class of each cell, and the probabilities of all.

        ``obs["clf_<target>"]`` gets the class, a categorical of the classes in training, and
        ``obsm["clf_<target>_probabilities"]`` an array with a column for each of them.

        Parameters
        ----------
        adata
            Cells, with the genes that were trained on, in any order.
        layer
            Where their values are; by default where they were in training.
        key_added
            Name of what is written instead of ``clf_<target>``.
        inplace
            Write into ``adata``; otherwise into a copy, which is returned.

        Raises
        ------
        ValueError
            If genes are missing or new, or values leave the range from 0 to 1 that was trained on.
        """
        features = self._known.features
        place = features.layer if isinstance(layer, EllipsisType) else layer
        probabilities = np.empty((adata.n_obs, len(self.classes)), np.float32)
        for cells, _, logits in self._outputs(*features.found_in(adata, place)):
            probabilities[cells] = jax.nn.softmax(logits)
        key = key_added or f"clf_{self.target}"
        written = writable(adata, inplace=inplace)
        written.obs[key] = pd.Categorical.from_codes(
            probabilities.argmax(axis=1), pd.Index(self.classes)
        )
        written.obsm[f"{key}_probabilities"] = probabilities
        return None if inplace else written

    @property
    def accuracy(self) -> float:
        """Share of the test cells that were told rightly."""
        return float(accuracy_score(*self._held_out))

    @property
    def f1(self) -> float:
        """Mean over classes of the F1 score on the test cells."""
        return float(f1_score(*self._held_out, average="macro", zero_division=0))

    @property
    def precision(self) -> float:
        """Mean over classes of the share of cells told to be of it that are."""
        return float(precision_score(*self._held_out, average="macro", zero_division=0))

    @property
    def recall(self) -> float:
        """Mean over classes of the share of its cells that were told to be of it."""
        return float(recall_score(*self._held_out, average="macro", zero_division=0))

    @property
    def confusion(self) -> pd.DataFrame:
        """Test cells by their class (rows) and by what they were told to be (columns)."""
        cells = confusion_matrix(*self._held_out, labels=range(len(self.classes)))
        index = pd.Index(self.classes, name=self.target)
        return pd.DataFrame(cells, index=index, columns=index.rename(f"clf_{self.target}"))

    @property
    def _held_out(self) -> tuple[Int[np.ndarray, " test"], Int[np.ndarray, " test"]]:
        if self._known and not self._told[0].size:
            raise ValueError("no cells were kept for last; there is nothing to measure on.")
        return self._told

    def _tell(self, batches: Batches) -> tuple[np.ndarray, np.ndarray]:
        """The true and the likeliest class of the test cells."""
        apply = applied(self.network)
        pairs = [(np.asarray(y), apply(x).argmax(axis=1)) for x, y in batches.test_batches()]
        if not pairs:
            return np.zeros(0, int), np.zeros(0, int)
        true, predicted = (np.concatenate(part) for part in zip(*pairs, strict=True))
        return true, predicted

    def _labels(
        self, adata: ad.AnnData, target: str
    ) -> tuple[Int[np.ndarray, " cells"], list[str]]:
        """The class of each cell, -1 where it is missing, and the names of the classes."""
        if target not in adata.obs:
            columns = ", ".join(map(repr, adata.obs.columns)) or "none"
            raise ValueError(f"adata.obs has no column {target!r}; it has {columns}.")
        column: Any = adata.obs[target]
        used = pd.Categorical(column).remove_unused_categories()
        names = [str(name) for name in used.categories]
        codes = np.asarray(used.codes, np.int32)
        if self._named is not None:
            unknown = sorted(set(names) - set(self._named))
            if unknown:
                raise ValueError(f"{target} holds {unknown[0]!r}, which is none of the classes.")
            places = np.array([*map(self._named.index, names), -1], np.int32)
            codes, names = places[codes], self._named
        if np.unique(codes[codes >= 0]).size < 2:
            wanted = repr(names[0]) if names else "nothing"
            raise ValueError(
                f"{target} holds one class only ({wanted}); there is nothing to tell apart."
            )
        return codes, names

    def _check(self, data: Prepared, n_classes: int, target: str) -> None:
        y = data.seen.first[1]
        if y.ndim != 1 or y.dtype.kind not in "iu":
            raise TypeError(
                f"y is a class of each cell, a whole number from 0; the data gave shape {y.shape} "
                f"of {y.dtype}."
            )
        if y.min() < 0 or y.max() >= n_classes:
            raise ValueError(
                f"y has classes from {y.min()} to {y.max()}; {n_classes} classes are 0 to "
                f"{n_classes - 1}."
            )
        if self._custom is None and self.n_classes != n_classes:
            raise ValueError(
                f"{target} has {n_classes} classes; write n_classes={n_classes} instead of "
                f"{self.n_classes}."
            )

    def _n_out(self, seen: Survey) -> int:
        """How many classes the network tells apart."""
        if self._custom is None:
            return self.n_classes
        tried = nnx.eval_shape(
            lambda network: network(jnp.zeros((2, seen.n_features))), nnx.clone(self.network)
        )
        return int(tried.shape[-1])

    def _network(self, seed: int, _seen: Survey | None = None) -> nnx.Module:
        return Perceptron(self.n_in, self.n_classes, rngs=nnx.Rngs(seed))

    def _wrapped(self, network: nnx.Module) -> nnx.Module:
        return Classification(network)

    def _settings(self) -> dict[str, Any]:
        return {
            "n_in": self.n_in,
            "n_classes": self.n_classes,
            "named": self._named,
            "classes": self.classes,
            "target": self.target,
            "notes": self.notes,
        }

    def _arrays(self) -> dict[str, np.ndarray]:
        return dict(zip(("held_out/true", "held_out/told"), self._told, strict=True))

    @classmethod
    def _read(
        cls, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], model: nnx.Module | None
    ) -> Self:
        made = cls(meta["n_in"], meta["n_classes"], model=model, classes=meta["named"])
        made.classes = meta["classes"]
        made.target, made.notes = meta["target"], tuple(meta["notes"])
        made._told = arrays["held_out/true"], arrays["held_out/told"]
        return made


def _stratified(codes: Int[np.ndarray, " cells"], seed: int) -> Split:
    """10 % of every class test, 10 % of the rest validation."""
    labelled = np.flatnonzero(codes >= 0)
    parts = split_cells(labelled.size, validation=0.1, test=0.1, seed=seed, labels=codes[labelled])
    return Split(labelled[parts.train], labelled[parts.validation], labelled[parts.test])


def _labelled(split: Split, codes: Int[np.ndarray, " cells"]) -> Split:
    """The split without the cells whose class is missing."""
    return Split(*(part[codes[part] >= 0] for part in (split.train, split.validation, split.test)))


def _notes(codes: Int[np.ndarray, " cells"], target: str) -> tuple[str, ...]:
    missing = int((codes < 0).sum())
    return (f"{missing:,} cells have no {target} and were left out.",) if missing else ()
