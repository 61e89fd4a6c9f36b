"""The users' own models that this process knows: the picker offers them beside the built-in ones.

They come from a Python file that the person who starts the server names (:func:`load_models`), or
from installed packages (:func:`load_installed_models`).  Both run that code, so neither may ever be
given something that came through the browser.
"""

import hashlib
import importlib.util
import logging
import os
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from scribeviz.models.custom.arguments import CustomModelError
from scribeviz.models.custom.model import CustomModel
from scribeviz.models.custom.network_model import NetworkModel
from scribeviz.models.likelihoods import LIKELIHOODS

ENTRY_POINT_GROUP = "scribeviz.models"
MODELS_VARIABLE = "SCRIBEVIZ_MODELS"

type OwnModel = CustomModel | NetworkModel

CUSTOM_MODELS: dict[str, OwnModel] = {}

_RESERVED = ("cellvae",)  # built-in models of floors above

_log = logging.getLogger(__name__)
_keys_of_files: dict[Path, tuple[str, ...]] = {}


def register_model[M: OwnModel](custom: M) -> M:
    """Add a model, or a network, to ``CUSTOM_MODELS`` and give it back.

    Parameters
    ----------
    custom
        What the picker, the command line and :func:`scribeviz.fit` are to know by its key.

    Raises
    ------
    CustomModelError
        If another model, or a built-in one, has its key.
    TypeError
        If it is no :class:`~scribeviz.models.custom.model.CustomModel` and no
        :class:`~scribeviz.models.custom.network_model.NetworkModel`.

    Examples
    --------
    ::

        mine = scribeviz.register_model(
            scribeviz.CustomModel(key="my-nb", model=model, guide=guide, param_spec=spec)
        )
        scribeviz.fit(counts, "my-nb")
    """
    if not isinstance(custom, CustomModel | NetworkModel):
        raise TypeError(
            "only a CustomModel or a NetworkModel can be registered, and "
            f"{custom!r} is {type(custom).__name__}."
        )
    if custom.key in {*LIKELIHOODS, *_RESERVED}:
        raise CustomModelError(
            f"the key {custom.key!r} is that of a built-in model; choose another for your own."
        )
    other = CUSTOM_MODELS.setdefault(custom.key, custom)
    if other is not custom:
        raise CustomModelError(
            f"the key {custom.key!r} is taken by the model {other.label!r}; choose another key for "
            f"{custom.label!r}."
        )
    return custom


def load_models(path: Path | str) -> tuple[OwnModel, ...]:
    """Run a Python file that registers models, and give those.

    A file that is loaded again replaces its models.  When it fails, nothing has changed.

    Parameters
    ----------
    path
        A file that ends in ``.py``; it is run, so only one that is trusted.

    Raises
    ------
    CustomModelError
        If there is no such file, it is no Python, it fails, or it registers nothing.

    Examples
    --------
    >>> import scribeviz
    >>> scribeviz.load_models("/no/such/my_models.py")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    scribeviz.models.custom.arguments.CustomModelError: there is no file ...
    """
    file = _checked_file(path)
    before = dict(CUSTOM_MODELS)
    for key in _keys_of_files.get(file, ()):
        CUSTOM_MODELS.pop(key, None)
    try:
        new = _newly_registered(file)
    except CustomModelError:
        CUSTOM_MODELS.clear()
        CUSTOM_MODELS.update(before)
        raise
    _keys_of_files[file] = tuple(model.key for model in new)
    return new


def load_installed_models() -> tuple[OwnModel, ...]:
    """Register the models that installed packages offer, and give them.

    Each entry point of the group ``scribeviz.models`` is a ``CustomModel``, or a function that
    returns one or several.  One that fails is left out, with a warning in the log.
    """
    models: list[OwnModel] = []
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            models.extend(register_model(model) for model in _offered(entry))
        except Exception as error:  # noqa: BLE001 - another's code: anything may be raised
            _log.warning(
                "The models of the entry point %r (%s) are left out: %s: %s",
                entry.name,
                entry.value,
                type(error).__name__,
                error,
            )
    return tuple(models)


def _checked_file(path: Path | str) -> Path:
    file = Path(path).expanduser().resolve()
    if not file.exists():
        raise CustomModelError(f"there is no file {file}; name the Python file of your models.")
    if not file.is_file() or file.suffix != ".py":
        raise CustomModelError(f"{file} is no Python file; its name must end in .py.")
    return file


def _newly_registered(file: Path) -> tuple[OwnModel, ...]:
    before = set(CUSTOM_MODELS)
    _execute(file)
    new = tuple(model for key, model in CUSTOM_MODELS.items() if key not in before)
    if not new:
        raise CustomModelError(
            f"{file} registers no model; call register_model(CustomModel(...)) in it "
            "(from scribeviz.models.custom.registry)."
        )
    return new


def _execute(file: Path) -> None:
    # A name of its own, as two folders may hold files of one name.
    digest = hashlib.sha256(str(file).encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"scribeviz_models_{file.stem}_{digest}", file)
    if spec is None or spec.loader is None:
        raise CustomModelError(f"{file} cannot be loaded as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # as for any import: dataclasses look there
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise CustomModelError(f"{file} is not valid Python: {error}") from error
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(file)]
        where = f" at line {lines[-1]}" if lines else ""
        raise CustomModelError(f"{file} failed{where}: {type(error).__name__}: {error}") from error


def _offered(entry: EntryPoint) -> Iterable[OwnModel]:
    loaded: Any = entry.load()
    made = loaded() if callable(loaded) else loaded
    return (made,) if isinstance(made, CustomModel | NetworkModel) else tuple(made)


@dataclass(frozen=True, slots=True)
class CustomSpec:
    """The choice of a registered model, as data: what a run keeps of it."""

    key: str

    @property
    def name(self) -> str:
        """Name of the model in runs."""
        return self.key

    @property
    def described(self) -> str:
        """The model in words."""
        registered = CUSTOM_MODELS.get(self.key)
        return self.key if registered is None else registered.label

    @property
    def is_mixture(self) -> bool:
        """Never: what components mean in a custom model only its author knows."""
        return False

    @property
    def n_components(self) -> int:
        """One, for the same reason."""
        return 1

    @property
    def model(self) -> OwnModel:
        """The registered model.

        Raises
        ------
        CustomModelError
            If no model of this key is registered here.
        """
        if self.key not in CUSTOM_MODELS:
            raise CustomModelError(
                f"the model {self.key!r} is not known here; start the server with --models and the "
                "file that registers it."
            )
        return CUSTOM_MODELS[self.key]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able content; ``CustomSpec(content["custom"])`` reads it back."""
        return {"custom": self.key}


def registered_model(key: str) -> OwnModel:
    """The registered model of this key.

    Parameters
    ----------
    key
        Its name in runs and files.

    Raises
    ------
    CustomModelError
        If no model of this key is registered here.

    Examples
    --------
    >>> import scribeviz
    >>> scribeviz.registered_model("my-nb")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    scribeviz.models.custom.arguments.CustomModelError: the model 'my-nb' is not ...
    """
    return CustomSpec(key).model


def load_configured_models() -> None:
    """Load what the server was told to: files in ``SCRIBEVIZ_MODELS``, and installed packages."""
    for path in filter(None, os.environ.get(MODELS_VARIABLE, "").split(os.pathsep)):
        load_models(path)
    load_installed_models()
