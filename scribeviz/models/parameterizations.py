"""Which quantities carry the priors.  To add a choice: one entry in ``PARAMETERIZATIONS``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scribeviz.models.priors import POSITIVE, SIMPLEX, UNIT_INTERVAL, Prior

# Parameters by name: arrays of JAX, or of NumPy outside of a fit.
type Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A parameter that is inferred.

    Attributes
    ----------
    key
        Its NumPyro name.
    label
        Its name on screen.
    doc
        What it means to a biologist, one sentence.
    support
        Which values it takes; its prior and its guide share it.
    axes
        What it is repeated over: ``"components"`` (only in mixtures), ``"genes"``.
    prior
        The prior unless the user chooses another.
    """

    key: str
    label: str
    doc: str
    support: str
    axes: tuple[str, ...]
    prior: Prior


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameterization:
    """Sites, and how the likelihood's own parameters follow from their values and back."""

    key: str
    label: str
    doc: str
    sites: tuple[Site, ...]
    natural: Callable[[Values], dict[str, Any]]
    from_natural: Callable[[Values], dict[str, Any]]


MIXING = Site(
    key="mixing_weights",
    label="Mixing weights",
    doc="The share of cells in each component.",
    support=SIMPLEX,
    axes=("components",),
    prior=Prior("dirichlet", (1.0,)),
)

PARAMETERIZATIONS: Mapping[str, Parameterization] = {
    entry.key: entry
    for entry in (
        Parameterization(
            key="standard",
            label="Standard (p, r)",
            doc="Success probability p and one dispersion r per gene; the mean is r p / (1 - p).",
            sites=(
                Site(
                    key="p",
                    label="Success probability p",
                    doc="Shared by all genes: the larger, the noisier the counts.",
                    support=UNIT_INTERVAL,
                    axes=(),
                    prior=Prior("beta", (1.0, 1.0)),
                ),
                Site(
                    key="r",
                    label="Dispersion r",
                    doc="One per gene: how much it is expressed; the mean is proportional to it.",
                    support=POSITIVE,
                    axes=("components", "genes"),
                    prior=Prior("lognormal", (0.0, 1.0)),
                ),
            ),
            natural=lambda values: {"p": values["p"], "r": values["r"]},
            from_natural=lambda natural: {"p": natural["p"], "r": natural["r"]},
        ),
    )
}
