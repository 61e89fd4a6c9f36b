"""Checkpoints as files: arrays and plain numbers, whatever was fitted and however."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from scribeviz._storage import read_arrays, write_arrays
from scribeviz.fitting.plan import AnyCheckpoint
from scribeviz.inference.exact import ExactCheckpoint
from scribeviz.inference.nuts import NUTSCheckpoint
from scribeviz.inference.svi import Checkpoint
from scribeviz.inference.weighted_em import EMCheckpoint
from scribeviz.networks.checkpoint import TrainingCheckpoint

_KINDS: Mapping[str, type[AnyCheckpoint]] = {
    "svi": Checkpoint,
    "mcmc": NUTSCheckpoint,
    "exact": ExactCheckpoint,
    "em": EMCheckpoint,
    "training": TrainingCheckpoint,
}


def save_checkpoint(checkpoint: AnyCheckpoint, path: Path) -> None:
    """Replace ``path`` by a checkpoint."""
    arrays: dict[str, Any] = {}
    meta: dict[str, Any] = {
        "kind": next(name for name, kind in _KINDS.items() if isinstance(checkpoint, kind)),
        "groups": {},
        "lists": {},
    }
    for field in fields(checkpoint):
        value = getattr(checkpoint, field.name)
        if isinstance(value, Mapping):
            meta["groups"][field.name] = list(value)
            arrays |= {f"{field.name}/{name}": part for name, part in value.items()}
        elif isinstance(value, tuple):
            meta["lists"][field.name] = len(value)
            arrays |= {f"{field.name}/{i}": part for i, part in enumerate(value)}
        elif isinstance(value, np.ndarray):
            arrays[field.name] = value
        else:
            meta[field.name] = value
    write_arrays(path, arrays, meta)


def load_checkpoint(path: Path) -> AnyCheckpoint:
    """Read what :func:`save_checkpoint` wrote."""
    arrays, meta = read_arrays(path)
    kind, groups, lists = _KINDS[meta.pop("kind")], meta.pop("groups"), meta.pop("lists")
    values: dict[str, Any] = dict(meta)
    for name, members in groups.items():
        values[name] = {member: arrays.pop(f"{name}/{member}") for member in members}
    for name, length in lists.items():
        values[name] = tuple(arrays.pop(f"{name}/{i}") for i in range(length))
    values |= arrays
    return kind(**values)
