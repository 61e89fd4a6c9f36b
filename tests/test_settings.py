from dataclasses import dataclass, fields

import numpy as np
import pytest

from scribeviz._settings import check_settings, document_settings, setting


@dataclass(frozen=True)
class Oven:
    heat: int = setting(
        180, label="Heat", doc="How hot.", unit="degrees", bounds=(0, 250), choices=None
    )
    salt: float = setting(0.5, label="Salt", doc="How much.", bounds=(0.0, None))
    pull: float = setting(0.0, label="Pull", doc="Either way.", bounds=(None, 1.5))
    mode: str = setting("fan", label="Mode", doc="Which.", choices={"fan": 1, "grill": 2})
    note: str = setting("", label="Note", doc="Anything.")

    def __post_init__(self):
        check_settings(self)


@document_settings
@dataclass(frozen=True)
class Pan(Oven):
    """A pan.

    Notes
    -----
    Of iron.
    """


def test_help_lists_the_settings_before_the_notes():
    head, listed, notes = Pan.__doc__.partition("Parameters\n----------\n")
    assert (head, notes.partition("Notes\n")[2]) == ("A pan.\n\n", "-----\nOf iron.")
    assert listed
    assert notes.startswith(
        "heat : int in [0, 250] degrees, default 180\n    Heat. How hot.\n"
        "salt : float in [0.0, inf), default 0.5\n    Salt. How much.\n"
    )
    assert "mode : {'fan', 'grill'}, default 'fan'\n    Mode. Which.\n" in notes
    assert "note : str, default ''\n    Note. Anything." in notes


def test_a_field_carries_all_that_a_form_needs():
    notes = {f.name: f.metadata for f in fields(Oven)}
    assert notes["heat"]["label"] == "Heat"
    assert notes["heat"]["doc"] == "How hot."
    assert notes["heat"]["unit"] == "degrees"
    assert notes["heat"]["bounds"] == (0, 250)
    assert list(notes["mode"]["choices"]) == ["fan", "grill"]
    assert notes["note"]["bounds"] is None


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"heat": 0},
        {"heat": 250},
        {"heat": np.int64(3)},
        {"salt": 1e9},
        {"salt": 0},
        {"salt": np.float32(1)},
        {"pull": -1e9},
        {"mode": "grill"},
        {"note": "anything at all"},
    ],
)
def test_what_is_inside_is_taken(settings):
    oven = Oven(**settings)
    assert all(getattr(oven, name) == value for name, value in settings.items())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"heat": 251}, "heat=251 is outside [0, 250] degrees."),
        ({"heat": -1}, "heat=-1 is outside [0, 250] degrees."),
        ({"heat": 2.5}, "heat=2.5 is not a whole number."),
        ({"heat": True}, "heat=True is not a whole number."),
        ({"heat": "hot"}, "heat='hot' is not a whole number."),
        ({"salt": -0.1}, "salt=-0.1 is outside [0.0, inf)."),
        ({"salt": float("nan")}, "salt=nan is outside [0.0, inf)."),
        ({"salt": None}, "salt=None is not a number."),
        ({"pull": 2}, "pull=2 is outside (-inf, 1.5]."),
        ({"mode": "steam"}, "mode='steam' is not known; choose one of 'fan', 'grill'."),
    ],
)
def test_what_is_outside_is_refused_by_name(settings, says):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011  its whole text is compared
        Oven(**settings)
    assert str(refusal.value) == says
