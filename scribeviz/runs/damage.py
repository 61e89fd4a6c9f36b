"""What is said of a run whose files cannot be read, and how that is noticed."""

import math
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from json import JSONDecodeError
from pathlib import Path
from types import NoneType
from typing import Any, cast, get_type_hints

_SIMPLE: Mapping[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "text"),
    float | None: ((int, float, NoneType), "a number or nothing"),
}
_KEPT = {
    "counts.h5": "the data",
    "losses.h5": "the losses",
    "checkpoint.h5": "the last checkpoint",
    "results.h5": "the fit",
    "critique.h5": "its criticism",
    "folds.h5": "its cross-validation",
    "worker.log": "the log",
}


class DamagedRunError(ValueError):
    """A file of a run cannot be read; says which, and why."""


@dataclass(frozen=True)
class DamagedRun:
    """A run that cannot be read.

    Attributes
    ----------
    path
        Its folder.
    problem
        What is wrong, as a sentence.
    """

    path: Path
    problem: str

    @property
    def id(self) -> str:
        """Name of the run."""
        return self.path.name

    @property
    def kept(self) -> list[str]:
        """What is still there, in words."""
        return [words for name, words in _KEPT.items() if (self.path / name).is_file()]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in a sentence what is wrong with a file of a run.

    Raises
    ------
    DamagedRunError
        If the block cannot read ``path``.
    """
    try:
        yield
    except DamagedRunError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as problem:
        raise DamagedRunError(f"Its {path.name} {_why(path, problem)}.") from problem


def checked[T](kind: type[T], content: Mapping[str, Any]) -> T:
    """A data class from what a file holds.

    Raises
    ------
    TypeError, ValueError
        If an entry is missing, unknown, or of another type.
    """
    if not isinstance(content, Mapping):
        raise TypeError("it holds no named entries")
    hints = _hints(cast("Hashable", kind))
    if unknown := sorted(set(content) - set(hints)):
        raise ValueError(
            f"{unknown[0]!r} is unknown to this version: it may be of a newer scribeviz"
        )
    for name, value in content.items():
        allowed, words = _SIMPLE.get(hints[name], (None, ""))
        if allowed is not None and not _is_one_of(value, allowed):
            raise TypeError(f"{name!r} is {str(value)[:40]!r}, and not {words}")
    return kind(**content)


@cache
def _hints(kind: Hashable) -> Mapping[str, Any]:
    return get_type_hints(kind)  # slow, and the same for every run


def _is_one_of(value: Any, allowed: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in allowed
    return isinstance(value, allowed) and not (
        isinstance(value, float) and not math.isfinite(value)
    )


def _why(path: Path, problem: Exception) -> str:
    if not path.exists():
        return "is missing"
    if path.is_dir():
        return "is a folder"
    if path.stat().st_size == 0:
        return "is empty"
    if isinstance(problem, PermissionError):
        return "may not be read by this server"
    if path.suffix == ".h5" or isinstance(problem, JSONDecodeError | UnicodeError):
        return "is damaged: part of it is missing, or is something else"
    reason = " ".join(str(problem.args[0] if problem.args else problem).split())
    if isinstance(problem, KeyError) and " " not in reason:
        reason = f"it lacks {reason!r}"
    return f"cannot be read ({reason[:200]})"
