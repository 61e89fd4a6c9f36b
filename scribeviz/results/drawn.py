"""Draws of results: the key when none is given, and the draws that a frozen result may keep."""

from typing import Any

import jax
from jaxtyping import PRNGKeyArray

SEED = 42
"""Of draws without a key: the same every time, as in the reference."""

_KEPT = ("posterior_samples", "predictive_samples", "prior_predictive_samples")


def key_or_default(rng_key: PRNGKeyArray | None) -> PRNGKeyArray:
    """Return the key itself; that of :data:`SEED` when left out."""
    return jax.random.PRNGKey(SEED) if rng_key is None else rng_key


def keep(results: object, name: str, value: Any) -> None:
    """Keep in frozen results what was drawn last."""
    object.__setattr__(results, name, value)


def keeps_draws[C](cls: type[C]) -> type[C]:
    """Let a frozen dataclass take ``results.posterior_samples = None`` and the like.

    To be put above ``@dataclass(frozen=True)``; everything else stays frozen.
    """
    frozen = cls.__setattr__

    def set_attribute(self: C, name: str, value: Any) -> None:
        if name in _KEPT:
            keep(self, name, value)
        else:
            frozen(self, name, value)

    type.__setattr__(cls, "__setattr__", set_attribute)
    return cls
