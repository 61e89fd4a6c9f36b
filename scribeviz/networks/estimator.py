"""What Abnormality and Classifier share: a module, its training, and custom networks.

**A custom network** is any ``flax.nnx.Module`` that maps features to what is wanted.  **A
custom module** has ``training_step``, ``validation_step``, ``test_step`` and
``configure_optimizers`` besides, and keeps its network in ``model``: predictions are made with
``module.model``, and what the module itself returns when called is its own affair.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import anndata as ad
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import nnx

from scribeviz._cards import shown_by_fields
from scribeviz._storage import read_arrays, write_arrays
from scribeviz.networks.arrays import (
    ArrayBatches,
    Matrix,
    Pair,
    SetUpOnce,
    Survey,
    cells_at_once,
    dense,
    survey,
)
from scribeviz.networks.batches import Batches, Split, in_order, split_cells
from scribeviz.networks.cellvae import TrainingConfig
from scribeviz.networks.features import Features, matrix_of
from scribeviz.networks.layers import check_shapes
from scribeviz.networks.module import (
    FROM_LIGHTNING,
    Step,
    check_trainable,
    named,
    put_together,
    take_apart,
)
from scribeviz.networks.training import (
    Callback,
    TrainingCheckpoint,
    held_out_metrics,
    restore,
    training_checkpoints,
)
from scribeviz.networks.weights import fill, weights

_STEPS = ("training_step", "validation_step", "test_step")
NEVER = 10_000
"""A patience that no training exhausts."""

_TOLD = ("n", "low", "high", "layer")
_PARTS = ("train", "validation", "test")


@shown_by_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What training left behind.

    Attributes
    ----------
    features
        What was trained on.
    best_epoch
        The epoch whose parameters are kept, from 1.
    history
        Every metric in every epoch, those of the validation cells as ``val_…``.
    test
        Every metric on the cells that were kept for last, as ``test_…``.
    split
        Which cells were for what; None when the data were somebody's own.
    """

    features: Features
    best_epoch: int
    history: Mapping[str, np.ndarray]
    test: Mapping[str, float]
    split: Split | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Data that are ready to be trained on."""

    batches: Batches
    features: Features
    seen: Survey
    split: Split | None

    @classmethod
    def own(cls, datamodule: Any, layer: str | None) -> "Prepared":
        """Data of somebody's own, set up here."""
        batches = SetUpOnce(datamodule)
        seen = survey(batches.train_batches())
        return cls(batches, Features.seen(seen, layer), seen, None)

    @classmethod
    def of(
        cls,
        adata: ad.AnnData,
        layer: str | None,
        config: TrainingConfig,
        split: Split | None,
        y: np.ndarray | None = None,
    ) -> "Prepared":
        """A layer of an AnnData; without a split, 10 % test and 10 % of the rest validation."""
        matrix = matrix_of(adata, layer)
        if split is None:
            split = split_cells(adata.n_obs, validation=0.1, test=0.1, seed=config.seed)
        batches = ArrayBatches(
            matrix, y, split=split, batch_size=config.batch_size, seed=config.seed
        )
        seen = survey(batches.in_order(split.train))
        return cls(batches, Features.of(adata, matrix, layer), seen, split)


class Estimator(ABC):
    """A network that is trained on cells and applied to cells."""

    def __init__(self, model: nnx.Module | None) -> None:
        self._custom = model
        self.trained: Trained | None = None
        self.model = self._module(self._network(0) if model is None else model)

    @abstractmethod
    def _network(self, seed: int, seen: Survey | None = None) -> nnx.Module:
        """Make the default network."""

    @abstractmethod
    def _wrapped(self, network: nnx.Module) -> nnx.Module:
        """Make the module that trains a network."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """What has to be saved besides arrays, JSON-able."""

    @property
    def network(self) -> Any:
        """The network within the module."""
        return self.model.model

    @property
    def history(self) -> pd.DataFrame:
        """Every metric after every epoch; those of the validation cells are called ``val_…``."""
        columns = self._known.history
        made = {name: pd.Series(v, range(1, len(v) + 1)) for name, v in columns.items()}
        return pd.DataFrame(made).rename_axis("epoch")

    @property
    def test_metrics(self) -> dict[str, float]:
        """Every metric on the cells that were kept for last."""
        return dict(self._known.test)

    @property
    def split(self) -> Split | None:
        """Positions of the cells that were trained on, validated and tested."""
        return self._known.split

    def save(self, path: str | Path) -> None:
        """Write network, metrics, genes and split into one HDF5 file, without pickle."""
        trained = self._known
        features = trained.features
        arrays = {f"weights/{name}": value for name, value in weights(self.model).items()}
        arrays |= {f"history/{name}": value for name, value in trained.history.items()}
        if features.names is not None:
            arrays["genes"] = features.names
        if trained.split is not None:
            arrays |= {f"split/{part}": getattr(trained.split, part) for part in _PARTS}
        meta = {
            "kind": type(self).__name__,
            "custom": self._custom is not None,
            "features": {name: getattr(features, name) for name in _TOLD},
            "best_epoch": trained.best_epoch,
            "test": dict(trained.test),
            **self._settings(),
        }
        write_arrays(Path(path), arrays | self._arrays(), meta)

    @classmethod
    def load(cls, path: str | Path, model: nnx.Module | None = None) -> Self:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path
            The file.
        model
            A network or module built like the one that was saved, when it was a custom one: its
            arrays are replaced.

        Raises
        ------
        ValueError
            If the file holds something else, or the model is built in another way.
        """
        arrays, meta = read_arrays(Path(path))
        if meta.get("kind") != cls.__name__:
            raise ValueError(f"{path} holds no {cls.__name__} (but: {meta.get('kind')}).")
        if meta["custom"] and model is None:
            raise ValueError(
                f"{path} holds the arrays of a network of your own; build one like it and pass "
                "it as model=."
            )
        made = cls._read(meta, arrays, model if meta["custom"] else None)
        fill(made.model, _below("weights", arrays))
        split = _below("split", arrays)
        made.trained = Trained(
            features=Features(**meta["features"], names=arrays.get("genes")),
            best_epoch=meta["best_epoch"],
            history=_below("history", arrays),
            test=meta["test"],
            split=Split(**split) if split else None,
        )
        made.model.eval()
        return made

    @classmethod
    @abstractmethod
    def _read(
        cls, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], model: nnx.Module | None
    ) -> Self:
        """Make one with what :meth:`_settings` and :meth:`_arrays` said."""

    def _arrays(self) -> dict[str, np.ndarray]:
        return {}

    @property
    def _known(self) -> Trained:
        if self.trained is None:
            raise RuntimeError(f"this {type(self).__name__} is not trained yet; call fit first.")
        return self.trained

    def _module(self, model: Any) -> Any:
        """The module around a network, or a custom module as it is."""
        if not isinstance(model, nnx.Module):
            raise TypeError(
                f"model is a flax.nnx.Module; got {type(model).__name__}. {FROM_LIGHTNING}"
            )
        if not any(callable(getattr(model, name, None)) for name in _STEPS):
            return self._wrapped(model)
        check_trainable(model)
        if not callable(getattr(model, "model", None)):
            raise TypeError(
                f"{type(model).__name__} has no network in its attribute model; a module of your "
                "own keeps it there, and predictions are made with it."
            )
        return model

    def _train(
        self,
        data: Prepared,
        n_out: int,
        config: TrainingConfig,
        callbacks: Iterable[Callback],
        *,
        shown: bool,
    ) -> None:
        """Check the shapes, train, and measure on the test cells."""
        model = self.model
        if self._custom is None:
            model = self._module(self._network(config.seed, data.seen))
        check_shapes("network", model.model, data.seen.n_features, n_out)
        _check_step(model, data.seen.first)
        last = _run(model, data.batches, config, callbacks, shown=shown)
        restore(model, last)
        test = held_out_metrics(model, data.batches, config.seed)
        self.model = model
        self.trained = Trained(
            features=data.features,
            best_epoch=last.best_epoch,
            history=last.history,
            test={f"test_{name.removeprefix('test_')}": value for name, value in test.items()},
            split=data.split,
        )

    def _outputs(
        self, matrix: Matrix, columns: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Blocks of cells: their positions, their features, and what the network makes of them."""
        apply = applied(self.network)
        for cells in in_order(np.arange(matrix.shape[0]), cells_at_once(matrix.shape[1])):
            x = dense(matrix[cells][:, columns])
            yield cells, x, apply(x)


def applied(network: nnx.Module) -> Any:
    """The network in evaluating mode as a function of arrays.  The network is left as it is."""
    evaluating = nnx.clone(network)
    evaluating.eval()
    graph, state = nnx.split(evaluating)
    apply = jax.jit(lambda state, x: nnx.merge(graph, state)(x))
    return lambda x: np.asarray(apply(state, x))


def either(adata: Any, datamodule: Any) -> None:
    """Raise ``TypeError`` unless there is exactly one of them."""
    if (adata is None) == (datamodule is None):
        raise TypeError("fit takes an adata, or a datamodule of your own: one of them.")


def writable(adata: ad.AnnData, *, inplace: bool) -> ad.AnnData:
    """Where to write: ``adata`` itself or a copy."""
    return adata if inplace else adata.copy()


def _run(
    module: nnx.Module,
    batches: Batches,
    config: TrainingConfig,
    callbacks: Iterable[Callback],
    *,
    shown: bool,
) -> TrainingCheckpoint:
    """Train to the end; an interrupt ends training, and the best epoch so far is kept."""
    listeners = tuple(callbacks)
    last: TrainingCheckpoint | None = None
    with _progress_bar(config.max_epochs, shown=shown) as report:
        try:
            for last in training_checkpoints(module, batches, config):
                report(last)
                for callback in listeners:
                    callback(last)
        except KeyboardInterrupt:
            if last is None:
                raise
    assert last is not None  # noqa: S101  there is at least one epoch
    return last


@contextmanager
def _progress_bar(n_epochs: int, *, shown: bool) -> Iterator[Callback]:
    if not shown:
        yield lambda _checkpoint: None
        return
    # Imported here: in a notebook without ipywidgets it warns.
    from tqdm.auto import tqdm

    with tqdm(total=n_epochs, unit="epoch") as bar:

        def report(checkpoint: TrainingCheckpoint) -> None:
            if checkpoint.settled:
                bar.total = checkpoint.epoch  # stopped early: that is the whole of it
            named = {"loss": checkpoint.history["loss"][-1]}
            if checkpoint.validation.size:
                named["val_loss"] = checkpoint.validation[-1]
            bar.set_postfix({k: f"{v:.4g}" for k, v in named.items()}, refresh=False)
            bar.update(checkpoint.epoch - bar.n)

        yield report


def _check_step(module: nnx.Module, batch: Pair) -> None:
    """Try a training step on shapes alone."""
    whole = take_apart(module)

    def step() -> Any:
        key = jax.random.key(0)
        tried = put_together(whole.training, whole.params, whole.noise, whole.memory, key)
        return named(tried.training_step(batch, Step(jnp.uint32(0), key)))

    metrics = jax.eval_shape(step)
    loss = metrics.get("loss") if isinstance(metrics, Mapping) else None
    if getattr(loss, "shape", None) != ():
        raise TypeError(
            f"training_step of {type(module).__name__} has to return named numbers, one of them "
            f'"loss"; it returns {metrics}.'
        )


def _below(group: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    prefix = f"{group}/"
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
