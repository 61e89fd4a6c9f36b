from dataclasses import dataclass, fields

import param
import pytest

from scribeviz import SVIConfig
from scribeviz._settings import setting
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.views.shared.forms import form_for


@dataclass(frozen=True)
class Everything:
    whole: int = setting(3, label="Whole", doc="A number.", unit="cells", bounds=(1, 9))
    part: float = setting(0.5, label="Part", doc="A share.", bounds=(0.0, None))
    on: bool = setting(default=True, label="On", doc="Yes or no.")
    text: str = setting("a", label="Text", doc="Words.")
    kind: str = setting("nbdm", label="Kind", doc="Which.", choices=LIKELIHOODS)


def test_the_form_gives_the_settings_back():
    assert form_for(SVIConfig).value() == SVIConfig()
    form = form_for(SVIConfig)
    changed = {"n_steps": 5, "learning_rate": 0.2, "tolerance": 0.0, "n_particles": 3, "seed": 9}
    form.param.update(**changed)
    assert form.value() == SVIConfig(**changed)


def test_two_forms_are_independent():
    one, other = form_for(SVIConfig), form_for(SVIConfig)
    one.n_steps = 7
    assert other.value() == SVIConfig()


@pytest.mark.parametrize("f", fields(SVIConfig), ids=lambda f: f.name)
def test_every_setting_has_a_control_with_its_bounds(f):
    form = form_for(SVIConfig)
    parameter = form.param[f.name]
    low, high = f.metadata["bounds"]
    assert parameter.bounds == (low, high)
    assert parameter.doc == f.metadata["doc"]
    for outside in (low - 1, high + 1):
        with pytest.raises(ValueError, match="must be"):
            form.param.update(**{f.name: outside})
    for inside in (low, high):
        form.param.update(**{f.name: inside})
        assert getattr(form.value(), f.name) == inside


def test_labels_name_the_unit():
    form = form_for(SVIConfig)
    assert form.param.n_steps.label == "At most (steps)"
    assert form.param.learning_rate.label == "Learning rate"


def test_every_kind_of_setting_has_its_parameter():
    form = form_for(Everything)
    assert form.value() == Everything()
    kinds = {name: type(form.param[name]) for name in ("whole", "part", "on", "text", "kind")}
    assert kinds == {
        "whole": param.Integer,
        "part": param.Number,
        "on": param.Boolean,
        "text": param.String,
        "kind": param.Selector,
    }
    assert form.param.whole.label == "Whole (cells)"
    assert form.param.kind.names == {entry.label: key for key, entry in LIKELIHOODS.items()}
    with pytest.raises(ValueError, match="nonsense"):
        form.kind = "nonsense"
