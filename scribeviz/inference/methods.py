"""The ways to find a posterior.  To add one: its settings, its stream, one entry in ``METHODS``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scribeviz.inference.nuts import NUTSConfig
from scribeviz.inference.svi import SVIConfig

type InferenceConfig = SVIConfig | NUTSConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A way to find a posterior.

    Attributes
    ----------
    key
        Name in specs and files, and of ``inference_method``.
    label, doc
        What the user reads.
    result
        What its runs are called beside the model; nothing for the usual method.
    trace_doc
        How to read what is plotted while it runs.
    config
        Its settings.
    """

    key: str
    label: str
    doc: str
    result: str
    trace_doc: str
    config: type[InferenceConfig]


METHODS: Mapping[str, Method] = {
    entry.key: entry
    for entry in (
        Method(
            key="svi",
            label="Variational inference",
            doc="Fits a posterior of simple shape: seconds to a minute, for every model.",
            result="",
            trace_doc="The loss is the negative ELBO of all cells: it falls, then wobbles around a "
            "level. Between models of the same data, lower is better.",
            config=SVIConfig,
        ),
        Method(
            key="mcmc",
            label="Sampling (NUTS)",
            doc="Draws from the posterior itself, whatever its shape: minutes. For a last check of "
            "intervals; of a mixture it explores the groups that it starts from.",
            result="sampled",
            trace_doc="The loss is the energy of each transition, minus the log posterior density: "
            "after the warm-up it should wander around a level, without drift.",
            config=NUTSConfig,
        ),
    )
}


def method_of(config: InferenceConfig) -> Method:
    """The entry that ``config`` belongs to."""
    return next(entry for entry in METHODS.values() if isinstance(config, entry.config))


def config_as_dict(config: InferenceConfig) -> dict[str, Any]:
    """JSON-able content; :func:`config_from_dict` reads it back."""
    return asdict(config) | {"method": method_of(config).key}


def config_from_dict(content: Mapping[str, Any]) -> InferenceConfig:
    """Read what :func:`config_as_dict` gave."""
    settings = dict(content)
    return METHODS[settings.pop("method", "svi")].config(**settings)
