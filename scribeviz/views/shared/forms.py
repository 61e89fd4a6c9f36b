"""Turn a dataclass of settings into a ``param`` form.  Knows no setting by name."""

from dataclasses import Field, fields
from typing import Any

import param


class Form(param.Parameterized):
    """A form for one dataclass; :meth:`value` gives the dataclass back, checked."""

    settings: type

    def value(self) -> Any:
        """The settings as chosen."""
        return self.settings(**{f.name: getattr(self, f.name) for f in fields(self.settings)})


def form_for(settings: type) -> Form:
    """Make a form with one Parameter per field of ``settings``."""
    entries = {f.name: _parameter(f) for f in fields(settings)}
    cls = param.parameterized_class(f"{settings.__name__}Form", entries, bases=Form)
    cls.settings = settings
    return cls()


def parameter_of(settings: type, name: str) -> param.Parameter:
    """One field of a dataclass of settings, as a Parameter."""
    return _parameter(next(f for f in fields(settings) if f.name == name))


def _parameter(f: Field) -> param.Parameter:
    note = f.metadata
    label = f"{note['label']} ({note['unit']})" if note["unit"] else note["label"]
    common = {"default": f.default, "label": label, "doc": note["doc"]}
    if note["choices"] is not None:
        by_label = {entry.label: key for key, entry in note["choices"].items()}
        return param.Selector(objects=by_label, **common)
    kind = {bool: param.Boolean, int: param.Integer, float: param.Number, str: param.String}
    if note["bounds"] is not None:
        common["bounds"] = note["bounds"]
    return kind[type(f.default)](**common)
