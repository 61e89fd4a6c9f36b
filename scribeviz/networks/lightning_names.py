"""Lightning's names for the hooks of a data module, so that one needs no rewriting."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def has_loaders(data: Any) -> bool:
    """Whether ``data`` is written like a ``LightningDataModule``."""
    return callable(getattr(data, LOADERS[0], None))


class LoaderBatches:
    """The minibatches of a data module with Lightning's hooks, as arrays of NumPy.

    Parameters
    ----------
    data
        Has ``train_dataloader``, and where there are such cells ``val_dataloader`` and
        ``test_dataloader``: each gives something that can be gone through anew for every epoch.
        ``prepare_data`` and ``setup`` are called once, in this order, where they are there.
    """

    def __init__(self, data: Any) -> None:
        self._data = data

    def setup(self) -> None:
        """Prepare and split, once for all stages."""
        for name in ("prepare_data", "setup"):
            hook = getattr(self._data, name, None)
            if hook is not None:
                _call(hook)

    def train_batches(self) -> Iterator[Any]:
        """What ``train_dataloader`` gives."""
        return self._from(LOADERS[0])

    def val_batches(self) -> Iterator[Any]:
        """What ``val_dataloader`` gives; nothing where there is none."""
        return self._from(LOADERS[1])

    def test_batches(self) -> Iterator[Any]:
        """What ``test_dataloader`` gives; nothing where there is none."""
        return self._from(LOADERS[2])

    def _from(self, name: str) -> Iterator[Any]:
        loader = getattr(self._data, name, None)
        for batch in () if loader is None else loader():
            # Tensors of PyTorch become arrays; what is no pair is refused where it is read.
            yield tuple(map(np.asarray, batch)) if isinstance(batch, list | tuple) else batch


def _call(hook: Callable[..., Any]) -> None:
    """Call ``setup(stage)`` for all stages at once, as Lightning means by None."""
    try:
        inspect.signature(hook).bind()
    except TypeError:
        hook(None)
    else:
        hook()
