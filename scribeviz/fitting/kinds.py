"""The kinds of models: what follows from the choice of one.

This is the only place that knows which kinds there are.  ``fit``, the command line, runs, scripts
and pages ask the :class:`Kind` of a model and never what class it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

from scribeviz._offered import NotOfferedError
from scribeviz.data.counts import Counts
from scribeviz.fitting.count_models import prepare_fit
from scribeviz.fitting.custom_models import prepare_custom
from scribeviz.fitting.methods import METHODS, InferenceConfig, Method, method_of
from scribeviz.fitting.plan import Fit
from scribeviz.models.custom.arguments import CustomModelError
from scribeviz.models.custom.model import CustomModel
from scribeviz.models.custom.network_model import NetworkModel
from scribeviz.models.custom.registry import CUSTOM_MODELS, CustomSpec, OwnModel
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.spec import ModelSpec, model_spec, spec_from_dict
from scribeviz.networks import cellvae
from scribeviz.networks.cellvae import CELLVAE, CellVAE
from scribeviz.results.custom_results import CustomResults
from scribeviz.results.exact_results import ExactResults
from scribeviz.results.mixture_results import MixtureResults
from scribeviz.results.protocol import Results
from scribeviz.results.sampled import ScribeMCMCResults
from scribeviz.results.variational import ScribeSVIResults

type ChosenModel = ModelSpec | CustomSpec | CellVAE
"""A model as a run keeps it: data alone."""

_WIDTH = 88
_BRINGS_ITS_OWN = (
    "this model brings its own components and priors; set them there, or give a model of counts by "
    f"name ({', '.join(LIKELIHOODS)})."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of model.

    Attributes
    ----------
    plural
        Several of it in a sentence.
    methods
        Keys of the ways to fit it, the usual one first.
    prepare
        ``(counts, model, config, start_from, networks) -> Fit``.
    load
        ``(path, model, config) -> results``.
    code
        ``choice -> str``: Python that makes the model, under the name ``model``.
    scored_in_folds
        Whether a verdict on it takes fits that have not seen the cells.  Importance sampling from
        one fit is too hopeful where a cell moves what it belongs to, and a network is scored on the
        cells that told it when to stop.
    has_priors
        Whether its parameters carry priors that can be chosen; then it has components as well.
    has_settings
        Whether a form of settings makes it.
    has_latent_space
        Whether results know where each cell lies (``get_latent_representation``).
    """

    plural: str
    methods: tuple[str, ...]
    prepare: Callable[..., Fit]
    load: Callable[[Path, Any, Any], Results]
    code: Callable[[Any], str]
    scored_in_folds: bool = False
    has_priors: bool = False
    has_settings: bool = False
    has_latent_space: bool = False

    def config(self, method: str | None, settings: Mapping[str, Any]) -> InferenceConfig:
        """Settings of a way to fit it.

        When left out, the way is the first that has all of these settings.

        Raises
        ------
        ValueError
            If it is not fitted in that way, or a setting is not known; the message has those that
            are.
        """
        if method is None:
            knowing = (key for key in self.methods if METHODS[key].has(settings))
            method = next(knowing, self.methods[0])
        return self.method(method).config_of(settings)

    def method(self, key: str | None) -> Method:
        """The way of that name to fit it; the usual one when left out."""
        if key is None:
            return METHODS[self.methods[0]]
        if key not in METHODS:
            raise ValueError(
                f"inference_method={key!r} is not known; choose {_listed(self.methods)}."
            )
        self.check_method(METHODS[key])
        return METHODS[key]

    def check_method(self, method: Method) -> None:
        """Raise unless it is fitted in this way."""
        if method.key not in self.methods:
            raise ValueError(
                f"{self.plural} cannot be fitted by {method.label.lower()}; "
                f"choose {_listed(self.methods)}."
            )


def _listed(keys: tuple[str, ...]) -> str:
    return " or ".join(map(repr, keys))


# Models of counts.


def _prepare_counts_model(
    counts: Counts, model: ModelSpec, config: Any, start_from: Any = None, networks: Any = None
) -> Fit:
    _check_no_networks(networks)
    return prepare_fit(counts, model, config, start_from=start_from)


def _check_no_networks(networks: Any) -> None:
    if networks is not None:
        raise NotOfferedError("networks are parts of a CellVAE; this model has none.")


def _load_counts_model(path: Path, _model: ModelSpec, config: InferenceConfig) -> Results:
    by_method: Mapping[str, Any] = {
        "svi": ScribeSVIResults,
        "mcmc": ScribeMCMCResults,
        "exact": ExactResults,
        "em": MixtureResults,
    }
    return by_method[method_of(config).key].load(path)


def _counts_model_code(spec: ModelSpec) -> str:
    said = {"likelihood": spec.likelihood} | changed_settings(spec)
    if spec.priors:
        said["priors"] = {key: (prior.family, *prior.numbers) for key, prior in spec.priors}
    if spec.guides:
        said["guides"] = dict(spec.guides)
    return f"model = {call('scribeviz.ModelSpec', [], said)}"


# Models of the user's own.


def _prepare_custom(
    counts: Counts, model: CustomModel, config: Any, start_from: Any = None, networks: Any = None
) -> Fit:
    _check_no_networks(networks)
    return prepare_custom(counts, model, config, start_from=start_from)


def _load_custom(path: Path, model: CustomModel, _: InferenceConfig) -> Results:
    return CustomResults.load(path, model)


def _registered_code(choice: CustomSpec) -> str:
    return (
        "# First, once: scribeviz.load_models(the file that registers it)\n"
        f"model = scribeviz.registered_model({choice.key!r})"
    )


# Networks.


def _prepare_network(
    counts: Counts, model: Any, config: Any, start_from: Any = None, networks: Any = None
) -> Fit:
    from scribeviz.fitting.network_fits import prepare_network  # flax takes a second to import

    if start_from is not None:
        raise NotOfferedError("a network is trained anew: nothing can be its start.")
    return prepare_network(counts, model, config, networks=networks)


def _load_network(path: Path, model: Any, _: InferenceConfig) -> Results:
    from scribeviz.results.network_results import CellVAEResults

    return CellVAEResults.load(path, model)


def _load_cellvae(path: Path, _model: CellVAE, config: InferenceConfig) -> Results:
    return _load_network(path, None, config)


def _cellvae_code(spec: CellVAE) -> str:
    return f"model = {call('scribeviz.CellVAE', [], changed_settings(spec))}"


COUNTS_MODEL = Kind(
    plural="models of counts",
    methods=("svi", "mcmc"),
    prepare=_prepare_counts_model,
    load=_load_counts_model,
    code=_counts_model_code,
    has_priors=True,
)
EXACT_COUNTS_MODEL = replace(COUNTS_MODEL, methods=("exact", "svi", "mcmc"))
MIXTURE = replace(COUNTS_MODEL, scored_in_folds=True)
WEIGHTED_COUNTS_MODEL = replace(MIXTURE, methods=("em", "svi", "mcmc"))
CUSTOM = Kind(
    plural="custom models",
    methods=("svi",),
    scored_in_folds=True,
    prepare=_prepare_custom,
    load=_load_custom,
    code=_registered_code,
)
BUILT_IN_NETWORK = Kind(
    plural="networks",
    methods=("training",),
    prepare=_prepare_network,
    load=_load_cellvae,
    code=_cellvae_code,
    scored_in_folds=True,
    has_settings=True,
    has_latent_space=True,
)
NETWORK = Kind(
    plural="networks",
    methods=("training",),
    prepare=_prepare_network,
    load=_load_network,
    code=_registered_code,
    scored_in_folds=True,
    has_latent_space=True,
)

_KINDS: Mapping[type, Kind] = {
    CustomModel: CUSTOM,
    CellVAE: BUILT_IN_NETWORK,
    NetworkModel: NETWORK,
}


def resolved(model: ChosenModel) -> ModelSpec | CellVAE | OwnModel:
    """The model itself where the choice only names a registered one.

    Raises
    ------
    CustomModelError
        If no model of that name is registered here.
    """
    return model.model if isinstance(model, CustomSpec) else model


def kind_of(model: Any) -> Kind:
    """What follows from the choice of ``model``, or from a model itself.

    A module of the user's own, or a class of modules, is a network.

    Raises
    ------
    TypeError
        If ``model`` is none.
    """
    model = resolved(model)
    if isinstance(model, ModelSpec):
        return _kind_of_counts_model(model)
    kind = next((kind for cls, kind in _KINDS.items() if isinstance(model, cls)), None)
    if kind is not None:
        return kind
    if not callable(model):
        from scribeviz.networks.vae import Amortized  # flax takes a second to import

        if not isinstance(model, Amortized):
            raise TypeError(
                f"{model!r} is no model; give the name of one, a ModelSpec, a CellVAE, a "
                "CustomModel, a NetworkModel, or a module of your own."
            )
    return NETWORK


def _kind_of_counts_model(spec: ModelSpec) -> Kind:
    if spec.has_exact_posterior:
        return EXACT_COUNTS_MODEL
    if spec.has_weighted_tables:
        return WEIGHTED_COUNTS_MODEL
    return MIXTURE if spec.is_mixture else COUNTS_MODEL


def known_kind_of(model: ChosenModel) -> Kind | None:
    """The same; None of a model that is not registered here, as of a run from elsewhere."""
    try:
        return kind_of(model)
    except CustomModelError:
        return None


def has_latent_space(model: ChosenModel) -> bool:
    """Whether results know where each cell lies; not of a model that is not registered here."""
    kind = known_kind_of(model)
    return kind is not None and kind.has_latent_space


def model_named(model: Any, n_components: int | None = None, priors: Any = None) -> Any:
    """A model from its name, as ``fit`` takes it; whatever else it is stays as it is.

    Raises
    ------
    ValueError
        If no model has that name, or components and priors are given to a model that brings its
        own.
    """
    given: dict[str, Any] = {} if n_components is None else {"n_components": n_components}
    if priors:
        given["priors"] = priors
    if isinstance(model, str):
        return resolved(chosen_named(model, **given))
    if given:
        raise ValueError(_BRINGS_ITS_OWN)
    return resolved(model)


def name_of(model: Any) -> str:
    """What a model is called: by its name or key, and a module by its class."""
    named = next((getattr(model, word) for word in ("name", "key") if hasattr(model, word)), None)
    return str(named or (model.__name__ if isinstance(model, type) else type(model).__name__))


def chosen_by(model: Any, n_components: int | None = None, priors: Any = None) -> ChosenModel:
    """What a run keeps of a model: of a name, of settings, or of a registered model.

    Raises
    ------
    ValueError
        As :func:`model_named`, and of a model that another process could not load.
    """
    registered = next((key for key, one in CUSTOM_MODELS.items() if one is model), model)
    whole = model_named(registered, n_components, priors)
    if isinstance(whole, ModelSpec | CellVAE):
        return whole
    if isinstance(registered, str):
        return CustomSpec(registered)
    raise ValueError(
        "a fit in the background can only have a model that its process can load: put it into a "
        "file that registers it (scribeviz.register_model), load that with scribeviz.load_models, "
        "and give its key; or fit it here with scribeviz.fit."
    )


def choice_of(results: Results) -> ChosenModel:
    """What a run would keep of the model of a result."""
    built_in = (getattr(results, name, None) for name in ("model_config", "spec"))
    return next(filter(None, built_in), None) or CustomSpec(results.model_type)


def chosen_named(name: str, **settings: Any) -> ChosenModel:
    """The choice of a model by its name, as a run keeps it.

    ``settings`` are those of a :class:`ModelSpec`.

    Raises
    ------
    ValueError
        If no model has that name, or one that is no model of counts is given settings.
    """
    if name not in CUSTOM_MODELS and name != CELLVAE:
        return model_spec(name, **settings)
    if settings:
        raise ValueError(_BRINGS_ITS_OWN)
    return CustomSpec(name) if name in CUSTOM_MODELS else CellVAE()


def chosen_from_dict(content: Mapping[str, Any]) -> ChosenModel:
    """Read what ``as_dict`` of any kind of choice gave."""
    if "custom" in content:
        return CustomSpec(content["custom"])
    if CELLVAE in content:
        return CellVAE(**content[CELLVAE])
    return spec_from_dict(content)


# What is offered by name, on pages and on the command line.


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One entry of the picker.

    Attributes
    ----------
    key, label, use_when
        Its name in links and files, on screen, and when to choose it.
    heading
        What it is listed under.
    kind
        What follows.
    details
        More about it, in a line; may be empty.
    maths
        Its formula and where that comes from, in lines.
    """

    key: str
    label: str
    use_when: str
    heading: str
    kind: Kind
    details: str = ""
    maths: tuple[str, ...] = ()


def offers() -> dict[str, Offer]:
    """All models that can be chosen here, by key; the first is what is recommended."""
    built_in = [
        Offer(
            key=entry.key,
            label=entry.label,
            use_when=entry.use_when,
            heading=entry.heading,
            kind=kind_of(ModelSpec(likelihood=entry.key)),
            maths=(entry.formula, f"Source: {entry.source}"),
        )
        for entry in LIKELIHOODS.values()
    ]
    network = Offer(
        key=CELLVAE,
        label=cellvae.LABEL,
        use_when=cellvae.USE_WHEN,
        heading="Networks",
        kind=BUILT_IN_NETWORK,
        maths=(cellvae.FORMULA, cellvae.DOC, f"Source: {cellvae.SOURCE}"),
    )
    registered = [
        Offer(
            key=key,
            label=model.label,
            use_when=model.use_when or "As its author wrote it.",
            heading="Custom models",
            kind=kind_of(model),
            details=model.details,
            maths=("As its Python file says.",),
        )
        for key, model in CUSTOM_MODELS.items()
    ]
    return {offer.key: offer for offer in (*built_in, network, *registered)}


# Code.


def changed_settings(settings: Any) -> dict[str, Any]:
    """Fields that differ from their defaults, priors and guides left out."""
    return {
        f.name: getattr(settings, f.name)
        for f in fields(settings)
        if f.name not in {"priors", "guides"}
        and f.default is not MISSING
        and getattr(settings, f.name) != f.default
    }


def call(function: str, positional: list[str], named: Mapping[str, Any]) -> str:
    """Code that calls a function, on one line or a line per argument."""
    arguments = [*positional, *(f"{name}={value!r}" for name, value in named.items())]
    short = f"{function}({', '.join(arguments)})"
    if len(short) <= _WIDTH:
        return short
    body = "".join(f"    {argument},\n" for argument in arguments)
    return f"{function}(\n{body})"
