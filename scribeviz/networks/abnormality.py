"""How unlike the cells it knows a cell is: what an autoencoder cannot reproduce.

Catena et al. (scQUEST) train it on healthy cells and look at the signed error of others.
"""

from collections.abc import Callable, Iterable, Mapping
from types import EllipsisType
from typing import Any, Self

import anndata as ad
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from scribeviz.criticism.budget import check_budget
from scribeviz.networks.arrays import Pair, Survey
from scribeviz.networks.batches import Batches, Split
from scribeviz.networks.cellvae import TrainingConfig
from scribeviz.networks.estimator import NEVER, Estimator, Prepared, either, writable
from scribeviz.networks.layers import NetworkShapeError
from scribeviz.networks.module import Metrics, Step
from scribeviz.networks.training import Callback

_WIDTHS = (10, 2, 10)
_LEAST = 1e-3  # mean of a feature, so that its log-odds stay finite


class Autoencoder(nnx.Module):
    """n_in → 10 → 2 → 10 → n_in with rectifiers, values between 0 and 1.

    Parameters
    ----------
    n_in
        Features.
    mean
        Of each feature; the reconstruction of every cell before training.
    rngs
        Source of the first weights.

    Notes
    -----
    The two hidden numbers have no rectifier: with one, a cell has a place in a quadrant only, and
    on a few hundred cells many seeds lose one of the two for good.
    """

    def __init__(
        self, n_in: int, *, mean: Float[np.ndarray, " n_in"] | None = None, rngs: nnx.Rngs
    ) -> None:
        wide, narrow, wide_again = _WIDTHS
        self.encoder = nnx.Sequential(
            nnx.Linear(n_in, wide, rngs=rngs), nnx.relu, nnx.Linear(wide, narrow, rngs=rngs)
        )
        self.decoder = nnx.Sequential(nnx.Linear(narrow, wide_again, rngs=rngs), nnx.relu)
        self.last = nnx.Linear(wide_again, n_in, rngs=rngs)
        if mean is not None:
            inside = np.clip(mean, _LEAST, 1 - _LEAST)
            self.last.bias = nnx.Param(jnp.asarray(np.log(inside / (1 - inside)), jnp.float32))

    def __call__(self, x: Float[Array, "cells n_in"]) -> Float[Array, "cells n_in"]:
        """Reconstruct cells."""
        return nnx.sigmoid(self.last(self.decoder(self.encoder(x))))


class Reconstruction(nnx.Module):
    """The module around a network that reconstructs its input: mean squared error, Adam."""

    def __init__(self, network: nnx.Module) -> None:
        self.model: Any = network

    def __call__(self, x: Float[Array, "cells features"]) -> Float[Array, "cells features"]:
        """The signed error."""
        return x - self.model(x)

    def training_step(self, batch: Pair, _step: Step) -> Metrics:
        """Mean squared error of a minibatch."""
        x, y = batch
        mse = jnp.mean((self.model(x) - y) ** 2)
        return {"loss": mse, "mse": mse}

    def validation_step(self, batch: Pair, step: Step) -> Metrics:
        """Mean squared error of a minibatch."""
        return self.training_step(batch, step)

    def test_step(self, batch: Pair, step: Step) -> Metrics:
        """Mean squared error of a minibatch."""
        return self.training_step(batch, step)

    def configure_optimizers(self) -> None:
        """Adam, at the rates of the training's settings."""
        return


class Abnormality(Estimator):
    """An autoencoder of cells, and what it cannot reproduce of them.

    Parameters
    ----------
    n_in
        Features of the default network.
    model
        A custom network, from features to their reconstruction; or a custom module,
        whose attribute ``model`` is that network.  It is trained in place.

    Notes
    -----
    The default is the reference's n_in → 10 → 2 → 10 → n_in, mean squared error and Adam, with
    three differences, because on a few hundred cells the reference's learns no more than each
    gene's mean: the reconstruction starts at the means of the training cells, the two numbers in
    the middle have no rectifier, and the learning rate starts at 0.005 and falls.

    Attributes
    ----------
    baseline
        Mean squared error on the test cells of predicting each gene's mean in the training cells:
        what a network has to beat.

    Examples
    --------
    >>> import anndata
    >>> cells = anndata.AnnData(np.random.default_rng(0).random((60, 5)).astype(np.float32))
    >>> abnormality = Abnormality(n_in=5)
    >>> abnormality = abnormality.fit(cells, None, max_epochs=2, enable_progress_bar=False)
    >>> abnormality.predict(cells)
    >>> cells.layers["abnormality"].shape, cells.obs["abnormality"].shape
    ((60, 5), (60,))
    """

    def __init__(self, n_in: int = 36, *, model: nnx.Module | None = None) -> None:
        self.n_in = n_in
        self.baseline = float("nan")
        super().__init__(model)

    def fit(
        self,
        adata: ad.AnnData | None = None,
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
        layer
            Which of their layers to reproduce, None for X.  The default network needs values
            between 0 and 1; :class:`~scribeviz.networks.arrays.UnitScale` brings them there.
        datamodule
            Custom data instead of ``adata``: minibatches (x, y), y being what x should
            become.  ``setup`` is called once, before all else.
        split
            Which cells are for what; by default 10 % test and 10 % of the rest validation.
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
            If the network does not give what it takes; the message has both shapes.
        ValueError
            If the values cannot be trained on; the message says why.
        """
        either(adata, datamodule)
        config = TrainingConfig(
            max_epochs=max_epochs,
            patience=patience if early_stopping else NEVER,
            learning_rate=learning_rate,
            batch_size=batch_size,
            seed=seed,
        )
        data = (
            Prepared.own(datamodule, layer)
            if adata is None
            else Prepared.of(adata, layer, config, split)
        )
        self._check(data)
        self._train(data, data.seen.n_features, config, callbacks, shown=enable_progress_bar)
        self.baseline = _error_of_means(data.batches, data.seen.mean)
        return self

    def predict(
        self,
        adata: ad.AnnData,
        layer: str | EllipsisType | None = ...,
        *,
        key_added: str = "abnormality",
        inplace: bool = True,
    ) -> ad.AnnData | None:
        """Write what the network cannot reproduce.

        ``layers[key_added]`` gets the signed error, x less its reconstruction, and
        ``obs[key_added]`` its mean square over the features of each cell.

        Parameters
        ----------
        adata
            Cells, with the genes that were trained on, in any order.
        layer
            Where their values are; by default where they were in training.
        key_added
            Name of what is written.
        inplace
            Write into ``adata``; otherwise into a copy, which is returned.

        Raises
        ------
        ValueError
            If genes are missing or new, or values leave the range from 0 to 1 that was trained on.
        """
        error = np.empty(adata.shape, np.float32)
        squared = np.empty(adata.n_obs)
        for cells, columns, x, reconstruction in self._blocks(adata, layer):
            missed = x - reconstruction
            error[np.ix_(cells, columns)] = missed
            squared[cells] = np.square(missed, dtype=np.float64).mean(axis=1)
        written = writable(adata, inplace=inplace)
        written.layers[key_added] = error
        written.obs[key_added] = squared
        return None if inplace else written

    @staticmethod
    def aggregate(
        ad: ad.AnnData,
        agg_fun: str | Callable[..., Any] = "mse",
        key: str = "abnormality",
        layer: str = "abnormality",
    ) -> None:
        """Sum up the signed errors of each cell, in ``obs[key]``.

        :meth:`predict` has done so already, with the mean square.

        Parameters
        ----------
        ad
            Cells that :meth:`predict` has written to.
        agg_fun
            ``"mse"`` for the mean square, or a function of the errors and ``axis=1``, such as
            ``numpy.median``.
        key
            Name of what is written.
        layer
            Where the errors are.

        Raises
        ------
        KeyError
            If there is no such layer.
        ValueError
            If ``agg_fun`` is neither.
        """
        if layer not in ad.layers:
            raise KeyError(f"there is no layer {layer!r}; predict writes 'abnormality'.")
        errors = np.asarray(ad.layers[layer])
        if callable(agg_fun):
            ad.obs[key] = np.asarray(agg_fun(errors, axis=1))
        elif agg_fun == "mse":
            ad.obs[key] = np.square(errors, dtype=np.float64).mean(axis=1)
        else:
            raise ValueError(f"agg_fun={agg_fun!r} is neither 'mse' nor a function.")

    def reconstruct(
        self, adata: ad.AnnData, layer: str | EllipsisType | None = ...
    ) -> Float[np.ndarray, "cells genes"]:
        """What the network makes of cells, genes in the order of ``adata``."""
        check_budget("the reconstruction", adata.shape, np.float32, instead="fewer cells or genes")
        made = np.empty(adata.shape, np.float32)
        for cells, columns, _, reconstruction in self._blocks(adata, layer):
            made[np.ix_(cells, columns)] = reconstruction
        return made

    def _blocks(self, adata: ad.AnnData, layer: str | EllipsisType | None) -> Any:
        features = self._known.features
        place = features.layer if isinstance(layer, EllipsisType) else layer
        matrix, columns = features.found_in(adata, place)
        for cells, x, reconstruction in self._outputs(matrix, columns):
            yield cells, columns, x, reconstruction

    def _check(self, data: Prepared) -> None:
        x, y = data.seen.first
        if x.shape != y.shape:
            raise NetworkShapeError(
                f"an autoencoder reproduces its input, so x and y have one shape; the data gave "
                f"{x.shape} and {y.shape}."
            )
        features = data.features
        if self._custom is None and not features.unit:
            raise ValueError(
                f"the values to reproduce reach from {features.low:.3g} to {features.high:.3g}, "
                "and the default network gives values between 0 and 1; scale them with "
                "scribeviz.networks.arrays.UnitScale, or pass a network of your own."
            )

    def _network(self, seed: int, seen: Survey | None = None) -> nnx.Module:
        mean = seen.mean if seen is not None and seen.n_features == self.n_in else None
        return Autoencoder(self.n_in, mean=mean, rngs=nnx.Rngs(seed))

    def _wrapped(self, network: nnx.Module) -> nnx.Module:
        return Reconstruction(network)

    def _settings(self) -> dict[str, Any]:
        return {"n_in": self.n_in, "baseline": self.baseline}

    @classmethod
    def _read(
        cls, meta: Mapping[str, Any], _arrays: Mapping[str, np.ndarray], model: nnx.Module | None
    ) -> Self:
        made = cls(meta["n_in"], model=model)
        made.baseline = meta["baseline"]
        return made


def _error_of_means(batches: Batches, mean: Float[np.ndarray, " features"]) -> float:
    """Mean squared error on the test cells of predicting the means; NaN without test cells."""
    total, entries = 0.0, 0
    for _, y in batches.test_batches():
        total += float(np.square(np.asarray(y, float) - mean).sum())
        entries += np.size(y)
    return total / entries if entries else float("nan")
