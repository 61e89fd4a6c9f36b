"""The ways to fit a model.  To add one: its settings, its stream, one entry in ``METHODS``."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from scribeviz.inference.exact import ExactConfig
from scribeviz.inference.nuts import NUTSConfig
from scribeviz.inference.svi import SVIConfig
from scribeviz.inference.weighted_em import EMConfig
from scribeviz.networks.cellvae import TrainingConfig

type InferenceConfig = SVIConfig | NUTSConfig | ExactConfig | EMConfig | TrainingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A way to fit a model.

    Attributes
    ----------
    key
        Name in specs and files, and of ``inference_method``.
    label, doc
        What the user reads.
    result
        What its runs are called beside the model, where it is not the model's usual method.
    trace_doc
        How to read what is plotted while it runs.
    config
        Its settings.
    doing
        What a worker is at meanwhile.
    settled, finished
        How it ended, by itself or because it was to do no more; ``{took}`` stands for how long
        that took.
    unit
        What it counts its steps in.
    on_cpu
        Whether it computes on the CPU, also where there is a GPU.
    starts_others
        Whether a sampler can start from what it gives.
    takes_start
        Whether it goes on from such a fit.
    is_noisy
        Whether its losses scatter, so that only a mean over some says where they are.
    """

    key: str
    label: str
    doc: str
    result: str
    trace_doc: str
    config: type[InferenceConfig]
    doing: str
    settled: str
    finished: str
    unit: str = "steps"
    on_cpu: bool = False
    starts_others: bool = False
    takes_start: bool = False
    is_noisy: bool = True

    def has(self, settings: Iterable[str]) -> bool:
        """Whether it knows all of these settings."""
        return set(settings) <= {f.name for f in fields(self.config)}

    def config_of(self, settings: Mapping[str, Any]) -> InferenceConfig:
        """Its settings, those that are not given at their defaults.

        Raises
        ------
        ValueError
            If one is not known.
        """
        names = [f.name for f in fields(self.config)]
        unknown = [name for name in settings if name not in names]
        if unknown:
            raise ValueError(
                f"{self.label} has no setting {unknown[0]!r}; it has {', '.join(names)}."
            )
        return self.config(**settings)


METHODS: Mapping[str, Method] = {
    entry.key: entry
    for entry in (
        Method(
            key="svi",
            label="Variational inference",
            doc="Variational inference fits a distribution of simple shape to the posterior: "
            "seconds to a minute, for every model.",
            result="variational",
            trace_doc="The loss is the negative ELBO of all cells: it falls, then wobbles around a "
            "level. Between models of the same data, lower is better.",
            config=SVIConfig,
            starts_others=True,
            doing="fitting",
            settled="the loss has settled, after {took}",
            finished="all steps are done, after {took}; the loss had not settled",
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
            takes_start=True,
            doing="sampling",
            settled="all draws are done, after {took}",
            finished="all draws are done, after {took}",
        ),
        Method(
            key="exact",
            label="Exact (quadrature)",
            doc="Computes the posterior of every gene itself, and learns the priors that genes "
            "share: seconds, however many cells there are.",
            result="exact",
            trace_doc="The loss is minus the log evidence, of all genes under the priors that they "
            "share: it falls with every sweep over the genes, until these priors are learned.",
            config=ExactConfig,
            doing="computing the posteriors of the genes",
            unit="quarter sweeps",
            on_cpu=True,
            is_noisy=False,
            settled="the priors are learned, after {took}",
            finished="all sweeps are done, after {took}; the priors were still changing",
        ),
        Method(
            key="em",
            label="Variational EM",
            doc="Sorts the cells and computes every gene's posterior in turn, each exactly given "
            "the other: seconds to a minute, all cells at once.",
            result="by EM",
            trace_doc="The loss is minus the bound on the log evidence of all cells: it falls with "
            "every sweep over genes and cells, until no cell moves and the priors are learned.",
            config=EMConfig,
            doing="sorting the cells",
            unit="sweeps",
            on_cpu=True,
            is_noisy=False,
            settled="no sweep gains any more, after {took}",
            finished="all sweeps are done, after {took}; cells or priors were still changing",
        ),
        Method(
            key="training",
            label="Training",
            doc="Trains a network on minibatches of nine cells in ten; the others say when to "
            "stop, and how well unseen cells are predicted.",
            result="trained",
            trace_doc="The loss is the negative ELBO of all cells, as each minibatch tells it "
            "(line; it begins low, while the KL term still grows) and as the cells do that are not "
            "trained on (dots). Training ends when the dots no longer fall; where they rise while "
            "the line falls, the network learns by heart, and the weights of the lowest dot are "
            "kept.",
            config=TrainingConfig,
            doing="training",
            settled="the validation loss no longer falls, after {took}",
            finished="all epochs are done, after {took}; the validation loss might still fall",
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
