"""Compiled draws of a user's own model, kept so that a second call compiles nothing.

What a program computes is determined by the model's functions, the size of the data and the
settings; parameters, keys and draws are its arguments.  So the programs of the last few models are
kept by exactly that, and subsets, reloaded results and later calls find them again.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpyro.infer import Predictive

if TYPE_CHECKING:
    from scribeviz.models.custom.model import BoundModel

_MOST = 16  # models whose programs are kept


class Programs(NamedTuple):
    """Compiled functions of one model.

    Attributes
    ----------
    posterior
        ``(key, params, n_draws) -> draws`` of every site of the guide.
    data_set
        ``(key, draw) -> counts``, predicted from one draw.
    """

    posterior: Callable[..., dict[str, Array]]
    data_set: Callable[[PRNGKeyArray, Mapping[str, Array]], Array]


_KEPT: OrderedDict[Hashable, Programs] = OrderedDict()


def programs_of(bound: "BoundModel") -> Programs:
    """The programs of ``bound`` for all cells, made at the first call."""
    whole = replace(bound, batch_size=None)
    key = (
        whole.custom,
        whole.n_cells,
        whole.n_genes,
        _frozen(whole.settings),
        _frozen(whole.model_args),
    )
    if key not in _KEPT:
        _KEPT[key] = _programs(whole)
        if len(_KEPT) > _MOST:
            _KEPT.popitem(last=False)
    _KEPT.move_to_end(key)
    return _KEPT[key]


def _programs(whole: "BoundModel") -> Programs:
    @partial(jax.jit, static_argnames="n_draws")
    def posterior(key: PRNGKeyArray, params: Mapping[str, Array], n_draws: int) -> dict[str, Array]:
        return Predictive(whole.guide, params=params, num_samples=n_draws)(key)

    @jax.jit
    def data_set(key: PRNGKeyArray, draw: Mapping[str, Array]) -> Array:
        single = {name: value[None] for name, value in draw.items()}
        return Predictive(whole.model, posterior_samples=single)(key)["counts"][0]

    return Programs(posterior, data_set)


def _frozen(value: Any) -> Hashable:
    """The same value as a key: arrays by their content, what cannot be compared by identity."""
    kind = type(value).__name__  # 1, 1.0 and True are equal, but make different programs
    if isinstance(value, Mapping):
        return kind, tuple((name, _frozen(part)) for name, part in value.items())
    if isinstance(value, list | tuple):
        return kind, tuple(map(_frozen, value))
    if isinstance(value, np.ndarray | jax.Array):
        array = np.asarray(value)
        return kind, array.shape, str(array.dtype), array.tobytes()
    if isinstance(value, str | int | float | bool | None):
        return kind, value
    return _ById(value)


class _ById:
    """Equal to itself only; keeps the object alive, so that its place in memory is not reused."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)
