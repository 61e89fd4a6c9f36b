"""Pictures of the cells that came with the data: which parts of ``obsm`` are coordinates."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

_FIRST = ("umap", "tsne", "t-sne", "draw_graph", "fa", "phate", "diffmap", "spatial", "pca")
_SPATIAL = ("spatial", "coord", "position", "centroid")


def embeddings(obsm: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """First two dimensions of what draws the cells, two-dimensional embeddings first.

    Coordinates are two or more columns of fractions (whole pixels where the name says that they
    are places); counts of antibodies and probabilities are none.

    Parameters
    ----------
    obsm
        AnnData's: arrays and tables, the cells in rows.

    Returns
    -------
    dict
        By name, shape ``(n_cells, 2)``, float32.
    """
    drawn: dict[str, np.ndarray] = {}
    for name in sorted(map(str, obsm), key=_rank):
        values = obsm[name]
        if isinstance(values, pd.DataFrame):
            values = values.to_numpy()
        if isinstance(values, np.ndarray) and _are_coordinates(name, values):
            drawn[name] = values[:, :2].astype(np.float32)
    return drawn


def _rank(name: str) -> tuple[int, str]:
    lower = name.lower()
    place = next((i for i, part in enumerate(_FIRST) if part in lower), len(_FIRST))
    return place, name


def _are_coordinates(name: str, values: np.ndarray) -> bool:
    if values.ndim != 2 or values.shape[1] < 2 or values.dtype.kind not in "iuf":
        return False
    if not np.isfinite(values[:, :2]).all() or not np.ptp(values[:, :2], axis=0).any():
        return False
    if any(part in name.lower() for part in _SPATIAL):
        return True
    whole = (values == np.rint(values)).all()
    shares = values.shape[1] > 2 and (values >= 0).all() and np.allclose(values.sum(axis=1), 1)
    return not whole and not shares
