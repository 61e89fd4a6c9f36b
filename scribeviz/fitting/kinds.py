"""What a run can fit, and what follows: how it is fitted, prepared and read again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scribeviz.data.counts import Counts
from scribeviz.fitting.count_models import prepare_fit
from scribeviz.fitting.custom_models import prepare_custom
from scribeviz.fitting.methods import InferenceConfig
from scribeviz.fitting.plan import Fit
from scribeviz.inference.nuts import NUTSConfig
from scribeviz.inference.svi import SVIConfig
from scribeviz.models.custom.arguments import CustomModelError
from scribeviz.models.custom.model import CustomModel
from scribeviz.models.custom.network_model import NetworkModel
from scribeviz.models.custom.registry import CustomSpec
from scribeviz.models.spec import ModelSpec, spec_from_dict
from scribeviz.networks.cellvae import CellVAE
from scribeviz.results.custom_results import CustomResults
from scribeviz.results.sampled import ScribeMCMCResults
from scribeviz.results.variational import ScribeSVIResults

type ChosenModel = ModelSpec | CustomSpec | CellVAE


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of model.

    Attributes
    ----------
    methods
        Keys of the ways to fit it, the usual one first.
    prepare
        ``(counts, model, config, start_from) -> Fit``.
    load
        ``(path, model, config) -> results``.
    has_latent_space
        Whether results know where each cell lies (``get_latent_representation``).
    """

    methods: tuple[str, ...]
    prepare: Callable[[Counts, Any, Any, ScribeSVIResults | None], Fit]
    load: Callable[[Path, Any, Any], Any]
    has_latent_space: bool = False


def _load_counts_model(path: Path, _model: ModelSpec, config: InferenceConfig) -> Any:
    return (ScribeMCMCResults if isinstance(config, NUTSConfig) else ScribeSVIResults).load(path)


def _prepare_counts_model(
    counts: Counts,
    model: ModelSpec,
    config: SVIConfig | NUTSConfig,
    start_from: ScribeSVIResults | None,
) -> Fit:
    return prepare_fit(counts, model, config, start_from=start_from)


def _prepare_custom(
    counts: Counts, model: CustomModel, config: SVIConfig, _: ScribeSVIResults | None
) -> Fit:
    return prepare_custom(counts, model, config)


def _prepare_network(
    counts: Counts, model: CellVAE | NetworkModel, config: Any, _: ScribeSVIResults | None
) -> Fit:
    from scribeviz.fitting.network_fits import prepare_network  # flax takes a second to import

    return prepare_network(counts, model, config)


def _load_network(path: Path, model: CellVAE | NetworkModel, _: InferenceConfig) -> Any:
    from scribeviz.results.network_results import CellVAEResults

    return CellVAEResults.load(path, model if isinstance(model, NetworkModel) else None)


def _load_custom(path: Path, model: CustomModel, _: InferenceConfig) -> CustomResults:
    return CustomResults.load(path, model)


_NETWORK = Kind(
    methods=("training",), prepare=_prepare_network, load=_load_network, has_latent_space=True
)
_KINDS: Mapping[type, Kind] = {
    ModelSpec: Kind(
        methods=("svi", "mcmc"), prepare=_prepare_counts_model, load=_load_counts_model
    ),
    CustomModel: Kind(methods=("svi",), prepare=_prepare_custom, load=_load_custom),
    CellVAE: _NETWORK,
    NetworkModel: _NETWORK,
}


def resolved(model: ChosenModel) -> ModelSpec | CellVAE | CustomModel | NetworkModel:
    """The model itself where the choice only names a registered one.

    Raises
    ------
    CustomModelError
        If no model of that name is registered here.
    """
    return model.model if isinstance(model, CustomSpec) else model


def kind_of(model: ChosenModel) -> Kind:
    """What follows from the choice of ``model``."""
    return _KINDS[type(resolved(model))]


def has_latent_space(model: ChosenModel) -> bool:
    """Whether results know where each cell lies; not of a model that is not registered here."""
    try:
        return kind_of(model).has_latent_space
    except CustomModelError:
        return False


def chosen_from_dict(content: Mapping[str, Any]) -> ChosenModel:
    """Read what ``as_dict`` of any kind of choice gave."""
    if "custom" in content:
        return CustomSpec(content["custom"])
    if "cellvae" in content:
        return CellVAE(**content["cellvae"])
    return spec_from_dict(content)
