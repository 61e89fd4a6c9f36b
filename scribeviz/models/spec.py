"""Which model to fit: one choice per independent axis, so no code per combination."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scribeviz._settings import check_settings, setting
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.parameterizations import (
    GATE,
    MIXING,
    OWN_ODDS,
    PARAMETERIZATIONS,
    Site,
    unconstrained,
)
from scribeviz.models.priors import PRIOR_FAMILIES, Prior, as_prior

_MIXTURE_SUFFIX = "_mix"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model of a count matrix, as data: it hashes, compares, prints and goes to JSON.

    ``priors`` holds only what differs from the sites' own priors; it is given as a mapping from
    site to prior and kept as sorted pairs.
    """

    likelihood: str = setting(
        "nbdm",
        label="Count distribution",
        doc="How a gene's counts scatter from cell to cell.",
        choices=LIKELIHOODS,
    )
    n_components: int = setting(
        1,
        label="Components",
        doc="Number of groups of cells; 1 means no mixture.",
        bounds=(1, 20),
    )
    parameterization: str = setting(
        "standard",
        label="Parameterization",
        doc="Which quantities carry the priors.",
        choices=PARAMETERIZATIONS,
    )
    unconstrained: bool = setting(
        False,
        label="Unconstrained",
        doc="Normal priors and posteriors on log and log-odds scales.",
    )
    component_specific_params: bool = setting(
        False,
        label="Odds of their own",
        doc="Each component has its own p (or φ) instead of a shared one.",
    )
    guide_rank: int = setting(
        0,
        label="Guide rank",
        doc="0: genes and odds vary independently in the posterior. k: together, in k directions "
        "and along the odds; slower, with more honest intervals.",
        bounds=(0, 50),
    )
    total_mrna: float = setting(
        0.0,
        label="mRNA per cell",
        doc="Typical number of mRNA molecules in a cell, to tell capture from expression; 0 leaves "
        "their level open.",
        unit="molecules",
        bounds=(0.0, 1e8),
    )
    priors: tuple[tuple[str, Prior], ...] = setting((), label="Priors", doc="One per parameter.")

    def __post_init__(self) -> None:
        given = self.priors.items() if isinstance(self.priors, Mapping) else self.priors
        priors = tuple(sorted((str(site), as_prior(prior)) for site, prior in given))
        object.__setattr__(self, "priors", priors)
        check_settings(self)
        self._check_combination()
        sites = {site.key: site for site in self.sites}
        for key, prior in priors:
            if key not in sites:
                raise ValueError(
                    f"{self.name} has no parameter {key!r} to put a prior on; "
                    f"it has {', '.join(map(repr, sites))}."
                )
            family, support = PRIOR_FAMILIES[prior.family], sites[key].support
            if family.support != support:
                raise ValueError(
                    f"a {prior.family} prior gives values in the {family.support} domain, "
                    f"but {key!r} lives in the {support} domain."
                )

    def _check_combination(self) -> None:
        if self.component_specific_params and not self.is_mixture:
            raise ValueError(
                "component_specific_params needs components: set n_components to 2 or more."
            )
        if self.total_mrna and not LIKELIHOODS[self.likelihood].has_capture:
            capturing = [entry.key for entry in LIKELIHOODS.values() if entry.has_capture]
            raise ValueError(
                f"total_mrna says how much of a cell's mRNA was captured, and {self.likelihood} "
                f"has no capture probability; choose one of {', '.join(map(repr, capturing))}."
            )

    @property
    def name(self) -> str:
        """``nbdm``, or ``nbdm_mix`` for a mixture."""
        return self.likelihood + (_MIXTURE_SUFFIX if self.is_mixture else "")

    @property
    def base_model(self) -> str:
        """The reference's word for ``name``."""
        return self.name

    @property
    def described(self) -> str:
        """The model in words, such as "negative binomial, 2 components"."""
        label = LIKELIHOODS[self.likelihood].label
        label = label[0].lower() + label[1:]
        return f"{label}, {self.n_components} components" if self.is_mixture else label

    @property
    def is_mixture(self) -> bool:
        """Whether there is more than one component."""
        return self.n_components > 1

    @property
    def sites(self) -> tuple[Site, ...]:
        """The parameters that are inferred."""
        chosen = PARAMETERIZATIONS[self.parameterization]
        likelihood = LIKELIHOODS[self.likelihood]
        sites = [chosen.odds, chosen.expression]
        if likelihood.has_gate:
            sites.append(GATE)
        if likelihood.has_capture:
            sites.append(chosen.capture)
        if self.is_mixture:
            sites.append(MIXING)
        return tuple(unconstrained(site) for site in sites) if self.unconstrained else tuple(sites)

    def prior(self, site: Site) -> Prior:
        """The prior of ``site``: the user's, or its own."""
        return dict(self.priors).get(site.key, site.prior)

    def has_axis(self, site: Site, axis: str) -> bool:
        """Whether ``site`` is repeated over ``"components"``, ``"genes"`` or ``"cells"``."""
        if axis != "components":
            return axis in site.axes
        own_odds = OWN_ODDS in site.axes and self.component_specific_params
        return own_odds or ("components" in site.axes and self.is_mixture)

    def as_dict(self) -> dict[str, Any]:
        """The spec as JSON-able content; :func:`spec_from_dict` reads it back."""
        return asdict(self) | {"priors": {key: asdict(prior) for key, prior in self.priors}}


def model_spec(
    model: str = "nbdm", *, n_components: int | None = None, **settings: Any
) -> ModelSpec:
    """Make a spec from a name such as ``"nbdm"`` or ``"nbdm_mix"``.

    Parameters
    ----------
    model
        A key of ``LIKELIHOODS``, with ``_mix`` for a mixture.
    n_components
        Number of components; 1, or 2 when ``model`` says ``_mix``.
    **settings
        The other fields of :class:`ModelSpec`.
    """
    likelihood = model.removesuffix(_MIXTURE_SUFFIX)
    says_mixture = likelihood != model
    chosen = n_components if n_components is not None else 1 + says_mixture
    if says_mixture and chosen == 1:
        raise ValueError(f"{model!r} is a mixture, but n_components is 1; take {likelihood!r}.")
    return ModelSpec(likelihood=likelihood, n_components=chosen, **settings)


def spec_from_dict(content: Mapping[str, Any]) -> ModelSpec:
    """Read what :meth:`ModelSpec.as_dict` gave."""
    return ModelSpec(**content)
