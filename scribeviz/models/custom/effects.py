"""Two effect handlers under which a user's model runs as it is written.

**Plates of one name see the same cells.**  A model often opens the plate of cells twice, once for
the totals and once for the counts.  With a batch, NumPyro draws the cells anew each time and says
nothing: the totals would be those of other cells than the counts, and a value per cell would meet
the wrong cell.  :class:`SharedPlates` gives the second plate the cells of the first.

**Parameters are floats.**  ``jnp.array(p_prior[0])`` with the prior ``(1, 1)`` makes an integer
parameter, which has no gradient.  :class:`FloatParams` makes it a float where it is declared, so
the numbers of the prior stay what the user gave.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.primitives import Messenger


class SharedPlates(Messenger):
    """Give plates of the same name the same subsample; enter a new one for every call."""

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[str, tuple[int, int | None]] = {}
        self._members: dict[str, jax.Array] = {}

    def process_message(self, msg: dict[str, Any]) -> None:
        """Hand a plate the members that an earlier plate of its name drew."""
        if msg["type"] != "plate":
            return
        name, sizes = msg["name"], tuple(msg["args"])
        first = self._sizes.setdefault(name, sizes)
        if sizes != first:
            raise ValueError(
                f"the plate {name!r} is opened with {_sizes(first)} and again with "
                f"{_sizes(sizes)}; give two plates that differ two names."
            )
        if name in self._members:
            msg["value"] = self._members[name]

    def postprocess_message(self, msg: dict[str, Any]) -> None:
        """Remember which members were drawn."""
        if msg["type"] == "plate":
            self._members[msg["name"]] = msg["value"]


class FloatParams(Messenger):
    """Make integer start values of parameters floats."""

    def process_message(self, msg: dict[str, Any]) -> None:
        """Convert what the declaration gives, be it a value or a function that makes one."""
        if msg["type"] == "param":
            msg["fn"] = _as_floats(msg["fn"])


def _as_floats(declare: Callable[..., Any]) -> Callable[..., Any]:
    def declared(*args: Any, **settings: Any) -> Any:
        return jax.tree.map(_as_float, declare(*args, **settings))

    return declared


def _as_float(value: Any) -> Any:
    whole = jnp.issubdtype(jnp.result_type(value), jnp.integer)
    return jnp.asarray(value, float) if whole else value


def _sizes(sizes: tuple[int, int | None]) -> str:
    size, subsample = sizes
    return f"size {size:,}" + ("" if subsample is None else f" (batches of {subsample:,})")
