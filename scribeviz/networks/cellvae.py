"""What a CellVAE is and how it is trained, as data.  No JAX here: pages read it too."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from scribeviz._settings import check_settings, document_settings, setting

CELLVAE = "cellvae"
"""Name of the model in runs, files and URLs."""


LABEL = "Variational autoencoder"
USE_WHEN = (
    "When cells differ in more ways than a few groups can say: states along paths, batches, rare "
    "types. Finds a map of the cells as well as what they express."
)
FORMULA = (
    "z ~ Normal(0, I); count of gene g ~ NB(mean = total x share of g at z, spread); the shares at "
    "z are the softmax of a network"
)
DOC = "Fitted by maximising the evidence lower bound, with an encoder for q(z | counts)."
SOURCE = "Lopez et al. 2018, Nat. Methods 15, 1053"


class Choice(NamedTuple):
    """One entry of a picker."""

    label: str
    doc: str


COUNT_DISTRIBUTIONS: Mapping[str, Choice] = {
    "nb": Choice("Negative binomial", "The usual choice for UMI counts."),
    "zinb": Choice(
        "Zero-inflated negative binomial",
        "When genes drop out beyond what their mean explains.",
    ),
    "poisson": Choice("Poisson", "To see how much of the scatter the latent space alone explains."),
}
NORMALIZATIONS: Mapping[str, Choice] = {
    "batch": Choice("Batch", "Activations of a minibatch get mean 0 and variance 1."),
    "layer": Choice("Layer", "Activations of each cell get mean 0 and variance 1."),
    "none": Choice("None", "Activations stay as they are."),
}
LIBRARIES: Mapping[str, Choice] = {
    "observed": Choice("Observed", "A cell's expected total is the total that was counted."),
    "learned": Choice("Learned", "A cell's expected total is a latent variable of its own."),
}


@document_settings
@dataclass(frozen=True, slots=True, kw_only=True)
class CellVAE:
    """A variational autoencoder of counts, the simplified scVI.

    Each cell has a place z ~ Normal(0, I) in a latent space; a decoder says which share of the
    cell's counts each gene gets there.  An encoder finds z from the counts.

    Notes
    -----
    Lopez et al. 2018, Nat. Methods 15, 1053.

    Examples
    --------
    >>> import scribeviz
    >>> scribeviz.CellVAE(n_latent=5).described
    'variational autoencoder, 5 dimensions'
    """

    likelihood: str = setting(
        "nb",
        label="Count distribution",
        doc="How counts scatter around what the decoder expects.",
        choices=COUNT_DISTRIBUTIONS,
    )
    n_latent: int = setting(
        10, label="Latent dimensions", doc="Of the space that cells lie in.", bounds=(1, 200)
    )
    n_layers: int = setting(
        1, label="Hidden layers", doc="In the encoder, and as many in the decoder.", bounds=(1, 10)
    )
    n_hidden: int = setting(
        128, label="Hidden width", doc="Units of each hidden layer.", bounds=(1, 4_096)
    )
    normalization: str = setting(
        "batch",
        label="Normalization",
        doc="Of the activations of hidden layers.",
        choices=NORMALIZATIONS,
    )
    dropout: float = setting(
        0.1,
        label="Dropout",
        doc="Share of the encoder's hidden units left out at random while training.",
        bounds=(0.0, 0.9),
    )
    library: str = setting(
        "observed",
        label="Library size",
        doc="Where the expected total count of a cell comes from.",
        choices=LIBRARIES,
    )
    linear_decoder: bool = setting(
        False,
        label="Linear decoder",
        doc="No hidden layers in the decoder: each latent dimension has loadings of the genes.",
    )
    covariate: str = setting(
        "",
        label="Batch covariate",
        doc="Column of obs whose effect on expression the decoder takes out of the latent space.",
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def name(self) -> str:
        """Name of the model in runs."""
        return CELLVAE

    @property
    def described(self) -> str:
        """The model in words."""
        kind = "linear autoencoder" if self.linear_decoder else "variational autoencoder"
        likelihood = COUNT_DISTRIBUTIONS[self.likelihood].label.lower()
        unusual = "" if self.likelihood == "nb" else f", {likelihood}"
        return f"{kind}, {self.n_latent} dimensions{unusual}"

    @property
    def is_mixture(self) -> bool:
        """Never: cells lie in a continuous space."""
        return False

    @property
    def n_components(self) -> int:
        """One, for the same reason."""
        return 1

    def as_dict(self) -> dict[str, Any]:
        """JSON-able content; ``CellVAE(**content["cellvae"])`` reads it back."""
        return {CELLVAE: asdict(self)}


@document_settings
@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How a network is trained; every number is a control of the app.

    Examples
    --------
    >>> import scribeviz
    >>> scribeviz.TrainingConfig(max_epochs=20).batch_size
    128
    """

    max_epochs: int = setting(
        400,
        label="At most",
        doc="Training ends by itself when the validation loss no longer falls, and here at the "
        "latest.",
        unit="epochs",
        bounds=(1, 100_000),
    )
    learning_rate: float = setting(
        2e-3,
        label="Learning rate",
        doc="Adam's first step size; it falls when the validation loss no longer does.",
        bounds=(1e-6, 1.0),
    )
    patience: int = setting(
        10,
        label="Patience",
        doc="Epochs without a better validation loss until the learning rate falls, and, at the "
        "lowest rate, until training ends.",
        unit="epochs",
        bounds=(1, 10_000),
    )
    batch_size: int = setting(
        128,
        label="Cells per step",
        doc="Drawn anew in each epoch.",
        unit="cells",
        bounds=(2, 65_536),
    )
    validation_share: float = setting(
        0.1,
        label="Validation share",
        doc="Of the cells: never trained on; they say when to stop, and how well unseen cells are "
        "predicted.",
        bounds=(0.0, 0.9),
    )
    kl_warmup: int = setting(
        400,
        label="KL warm-up",
        doc="Steps over which the KL term grows to its full weight.",
        unit="steps",
        bounds=(0, 1_000_000),
    )
    seed: int = setting(
        0, label="Seed", doc="Of the split, the first weights and all noise.", bounds=(0, 2**31 - 1)
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def n_steps(self) -> int:
        """Not known before the cells are split: 0."""
        return 0
