"""Settings as plain data: one dataclass field says all that a form or a check needs."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import Field, field, fields
from numbers import Integral, Real
from typing import Any

_LATER_SECTION = re.compile(r"\n\n(Notes|References|Examples)\n-")


def setting(
    default: Any,
    *,
    label: str,
    doc: str,
    unit: str = "",
    bounds: tuple[float | None, float | None] | None = None,
    choices: Mapping[str, Any] | None = None,
) -> Any:
    """Declare a dataclass field that checks itself and can draw itself in a form.

    ``choices`` is a registry (key -> entry); ``bounds`` are inclusive, ``None`` is open.
    """
    notes = {"label": label, "doc": doc, "unit": unit, "bounds": bounds, "choices": choices}
    return field(default=default, metadata=notes)


def document_settings[C](cls: type[C]) -> type[C]:
    """Add every setting of a dataclass to its docstring, as numpydoc has parameters."""
    entries = "".join(
        f"{f.name} : {_allowed(f)}\n    {f.metadata['label']}. {f.metadata['doc']}\n"
        for f in fields(cls)  # type: ignore[arg-type]  # of a dataclass
        if f.metadata
    )
    text = inspect.getdoc(cls) or ""
    later = _LATER_SECTION.search(text)
    end = later.start() if later else len(text)
    cls.__doc__ = f"{text[:end]}\n\nParameters\n----------\n{entries.rstrip()}{text[end:]}"
    return cls


def _allowed(f: Field) -> str:
    choices = f.metadata["choices"]
    kind = f.type if isinstance(f.type, str) else getattr(f.type, "__name__", str(f.type))
    described = f"{{{', '.join(map(repr, choices))}}}" if choices else kind
    if f.metadata["bounds"] is not None:
        described += f" in {_interval(*f.metadata['bounds'])} {f.metadata['unit']}".rstrip()
    return f"{described}, default {f.default!r}"


def check_settings(spec: Any) -> None:
    """Raise ``ValueError`` naming the first setting of ``spec`` that is out of range."""
    for f in fields(spec):
        _check_choice(f, getattr(spec, f.name))
        _check_kind(f, getattr(spec, f.name))
        _check_bounds(f, getattr(spec, f.name))


def _check_choice(f: Field, value: Any) -> None:
    choices = f.metadata.get("choices")
    if choices is not None and value not in choices:
        allowed = ", ".join(map(repr, choices))
        raise ValueError(f"{f.name}={value!r} is not known; choose one of {allowed}.")


def _check_kind(f: Field, value: Any) -> None:
    if f.metadata.get("bounds") is None:
        return
    whole = isinstance(f.default, int)
    if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
        word = "a whole number" if whole else "a number"
        raise ValueError(f"{f.name}={value!r} is not {word}.")  # noqa: TRY004  one kind of error


def _check_bounds(f: Field, value: Any) -> None:
    low, high = f.metadata.get("bounds") or (None, None)
    # Written as "not inside", so that NaN is refused too.
    inside = (low is None or value >= low) and (high is None or value <= high)
    if not inside:
        unit = f" {f.metadata['unit']}" if f.metadata["unit"] else ""
        raise ValueError(f"{f.name}={value!r} is outside {_interval(low, high)}{unit}.")


def _interval(low: float | None, high: float | None) -> str:
    left = "(-inf" if low is None else f"[{low:,}"
    right = "inf)" if high is None else f"{high:,}]"
    return f"{left}, {right}"
