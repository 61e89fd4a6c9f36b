"""Parameters of single counts, written down the short way."""

import numpy as np


def four_axes(natural: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give (draws, components, genes) an axis of groups, and log odds of groups one of genes."""
    return {
        name: value[..., None] if name == "log_odds" else value[:, :, None]
        for name, value in natural.items()
    }


def short(natural: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The inverse."""
    return natural[name][..., 0] if name == "log_odds" else natural[name][:, :, 0]
