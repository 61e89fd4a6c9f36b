import logging
from importlib.metadata import EntryPoint

import pytest

from scribeviz.models.custom import registry as custom_registry
from scribeviz.models.custom.arguments import CustomModelError
from scribeviz.models.custom.model import CustomModel
from scribeviz.models.custom.registry import load_installed_models, load_models, register_model

FILE = """
from scribeviz.models.custom.model import CustomModel
from scribeviz.models.custom.registry import register_model

def function(n_cells, n_genes, counts=None):
    pass

def made(key="{key}"):
    return CustomModel(key=key, label="{label}", model=function, guide=function, param_spec={{}})

register_model(made())
"""


def function(n_cells, n_genes, counts=None):
    pass


def made(key):
    return CustomModel(key=key, model=function, guide=function, param_spec={})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE.format(key="mine", label="Mine"))
    return path


def test_a_file_registers_its_models(registry, tutorial_file):
    (model,) = load_models(tutorial_file)
    assert registry == {"nbdm-lognormal": model}
    assert model.use_when.startswith("When dispersions")


def test_a_key_belongs_to_one_model(registry):
    first = register_model(made("mine"))
    assert register_model(first) is first
    with pytest.raises(CustomModelError, match="the key 'mine' is taken by the model 'mine'"):
        register_model(made("mine"))
    assert registry == {"mine": first}


def test_only_models_are_registered(registry):
    with pytest.raises(
        TypeError,
        match=r"only a CustomModel or a NetworkModel .* is function",
    ):
        register_model(function)
    assert not registry


def test_a_file_that_is_loaded_again_replaces_its_models(registry, file):
    load_models(file)
    file.write_text(FILE.format(key="mine", label="Better"))
    load_models(str(file))
    assert [model.label for model in registry.values()] == ["Better"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("def (", r"mine\.py is not valid Python: invalid syntax"),
        ("1 / 0", r"mine\.py failed at line 1: ZeroDivisionError: division by zero"),
        ("\nraise SystemExit(2)", r"mine\.py failed at line 2: SystemExit: 2"),
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("x = 1", r"mine\.py registers no model; call register_model\(CustomModel"),
        (FILE.format(key="theirs", label=""), "CustomModelError: the key 'theirs' is taken"),
        (FILE.format(key="a b", label=""), "key='a b' names no model"),
    ],
)
def test_a_file_that_fails_changes_nothing(registry, file, content, says):
    register_model(made("theirs"))
    load_models(file)
    before = dict(registry)
    file.write_text(content)
    with pytest.raises(CustomModelError, match=says):
        load_models(file)
    assert registry == before


def test_what_is_no_python_file_is_refused(registry, tmp_path):
    with pytest.raises(CustomModelError, match=r"there is no file .*none\.py; name the Python"):
        load_models(tmp_path / "none.py")
    (tmp_path / "data.h5ad").touch()
    for path in (tmp_path / "data.h5ad", tmp_path):
        with pytest.raises(CustomModelError, match=r"is no Python file; its name must end in \.py"):
            load_models(path)
    assert not registry


def entry(name, value):
    return EntryPoint(name=name, value=value, group="scribeviz.models")


def test_installed_models(registry, tmp_path, monkeypatch, caplog):
    module = FILE.replace("register_model(made())", "").format(key="one", label="")
    module += "one = made()\ndef two():\n    return [made('two'), made('three')]\nlot = 3\n"
    (tmp_path / "plugin_of_a_test.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    offered = {"one": "one", "two": "two", "taken": "made", "number": "lot", "gone": "missing"}
    entries = [entry(name, f"plugin_of_a_test:{value}") for name, value in offered.items()]
    monkeypatch.setattr(custom_registry, "entry_points", lambda group: entries)
    with caplog.at_level(logging.WARNING):
        found = load_installed_models()
    assert [model.key for model in found] == ["one", "two", "three"]
    assert list(registry) == ["one", "two", "three"]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3
    for message, says in zip(messages, ["'taken'", "'number'", "'gone'"], strict=True):
        assert f"The models of the entry point {says} (plugin_of_a_test:" in message
    assert "the key 'one' is taken" in messages[0]


def test_nothing_is_installed_here(registry):
    assert load_installed_models() == ()
    assert not registry
