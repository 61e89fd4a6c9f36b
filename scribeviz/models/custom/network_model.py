"""A user's own network as an entry of the picker."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkModel:
    """A custom network that the dashboard offers.

    Attributes
    ----------
    key
        Name in runs, files and URLs.
    make
        ``make(n_genes, rngs=rngs)`` gives the module; a subclass of
        :class:`scribeviz.networks.vae.VAE` or
        :class:`scribeviz.networks.probabilistic.ProbabilisticModule` will do.
    label, use_when
        What the user reads.

    Examples
    --------
    ::

        mine = scribeviz.NetworkModel(
            key="my-vae", make=MyVAE, label="My VAE", use_when="To see what is inside."
        )
        scribeviz.register_model(mine)  # the picker offers it
        scribeviz.fit(counts, mine)
    """

    key: str
    make: Callable[..., Any]
    label: str = ""
    use_when: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.key)

    @property
    def details(self) -> str:
        """What it is, in a line."""
        return "A network, trained on minibatches of cells."

    @property
    def name(self) -> str:
        """Name of the model in runs."""
        return self.key
