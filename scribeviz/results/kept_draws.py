"""What may be set in a frozen result: what was drawn last."""

from typing import Any

KEPT = ("posterior_samples", "predictive_samples", "prior_predictive_samples")


def keeps_draws[C](cls: type[C]) -> type[C]:
    """Let a frozen dataclass take ``results.posterior_samples = None`` and the like.

    To be put above ``@dataclass(frozen=True)``; everything else stays frozen.
    """
    frozen = cls.__setattr__

    def set_attribute(self: C, name: str, value: Any) -> None:
        if name in KEPT:
            object.__setattr__(self, name, value)
        else:
            frozen(self, name, value)

    type.__setattr__(cls, "__setattr__", set_attribute)
    return cls
