"""Which model to fit: one choice per independent axis, so no code per combination."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from scribeviz._cards import Card, shown_as
from scribeviz._settings import check_settings, document_settings, setting
from scribeviz.models.guides import GUIDE_FAMILIES, LOW_RANK
from scribeviz.models.likelihood import GIVEN
from scribeviz.models.likelihoods import LIKELIHOODS, PARAMETERIZATIONS
from scribeviz.models.parameterizations import (
    COMPONENT_SPECIFIC,
    MIXING,
    Parameterization,
    Site,
    unconstrained,
)
from scribeviz.models.priors import Prior, as_prior, prior_family

_MIXTURE_SUFFIX = "_mix"
_USUAL = "standard"  # stands for the first parameterization of any count distribution


def _card(spec: "ModelSpec") -> Card:
    """The settings that are not as usual, and the model in words."""
    usual = {f.name: f.default for f in fields(spec)}
    usual["parameterization"] = _usual(spec.likelihood)
    given: dict[str, Any] = {f.name: getattr(spec, f.name) for f in fields(spec)}
    said = {name: value for name, value in given.items() if value != usual[name]}
    if spec.priors:
        said["priors"] = {key: (prior.family, *prior.numbers) for key, prior in spec.priors}
    if spec.guides:
        said["guides"] = dict(spec.guides)
    said = {"likelihood": spec.likelihood} | said
    written = ", ".join(f"{name}={value!r}" for name, value in said.items())
    priors = {f"prior of {site.key}": _prior_in_words(spec.prior(site)) for site in spec.sites}
    return Card(
        title=f"ModelSpec({written})",
        summary="",
        facts={"model": spec.described} | priors,
        next_step="scribeviz.fit(counts, spec)",
    )


def _prior_in_words(prior: Prior) -> str:
    if prior.is_learned:
        return "learned from all genes"
    return f"{prior.family}({', '.join(f'{number:g}' for number in prior.numbers)})"


@shown_as(_card)
@document_settings
@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model of a count matrix, as data: it hashes, compares, prints and goes to JSON.

    ``priors`` holds only what differs from the sites' own priors; it is given as a mapping from
    site to prior and kept as sorted pairs.

    Examples
    --------
    >>> import scribeviz
    >>> priors = {"r": ("gamma", 2, 1)}
    >>> spec = scribeviz.ModelSpec(likelihood="nbvcp", n_components=2, priors=priors)
    >>> spec.name, spec.described
    ('nbvcp_mix', 'negative binomial with capture, 2 components')
    >>> [site.key for site in spec.sites]
    ['p', 'r', 'p_capture', 'mixing_weights']
    >>> scribeviz.ModelSpec(n_components=0)
    Traceback (most recent call last):
        ...
    ValueError: n_components=0 is outside [1, 20].
    """

    likelihood: str = setting(
        "nbdm",
        label="Count distribution",
        doc="How a gene's counts scatter from cell to cell.",
        choices=LIKELIHOODS,
    )
    n_components: int = setting(
        1,
        label="Number of components",
        doc="Groups of cells, each with its own profile; 1 means no mixture.",
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
        label="Each component has its own p or dispersions",
        doc="The odds, or the dispersion of every gene: one for all components, or one for each.",
    )
    guide_rank: int = setting(
        0,
        label="Rank of the covariance",
        doc="0: every parameter varies by itself in the posterior. A few: so many patterns of "
        "genes that vary together are fitted too, and one along the odds; slower, with more "
        "honest intervals.",
        bounds=(0, 50),
    )
    total_mrna: float = setting(
        0.0,
        label="mRNA molecules in a cell",
        doc="Typical number, to tell capture from expression; 0 leaves their level open.",
        bounds=(0.0, 1e8),
    )
    depth_column: str = setting(
        "",
        label="Depth from",
        doc="A column of obs with size factors or totals, for models that take depths as given; "
        "empty for the total counts of the cells.",
    )
    priors: tuple[tuple[str, Prior], ...] = setting((), label="Priors", doc="One per parameter.")
    guides: tuple[tuple[str, str], ...] = setting(
        (), label="Posterior families", doc="Of parameters whose posterior has another than usual."
    )

    def __post_init__(self) -> None:
        given = self.priors.items() if isinstance(self.priors, Mapping) else self.priors
        priors = tuple(sorted((str(site), as_prior(prior)) for site, prior in given))
        object.__setattr__(self, "priors", priors)
        chosen = self.guides.items() if isinstance(self.guides, Mapping) else self.guides
        guides = tuple(sorted((str(site), str(family)) for site, family in chosen))
        object.__setattr__(self, "guides", guides)
        check_settings(self)
        if self.parameterization == _USUAL:
            object.__setattr__(self, "parameterization", _usual(self.likelihood))
        self._check_combination()
        sites = {site.key: site for site in self.sites}
        for key, prior in priors:
            if key not in sites:
                raise ValueError(
                    f"{self.name} has no parameter {key!r} to put a prior on; "
                    f"it has {', '.join(map(repr, sites))}."
                )
            family, support = prior_family(prior.family), sites[key].support
            if prior.is_learned and not sites[key].prior.is_learned:
                raise ValueError(
                    f"the prior of {key!r} cannot be learned in {self.name}; give it numbers."
                )
            if not prior.is_learned and family.support != support:
                raise ValueError(
                    f"a {prior.family} prior gives values in the {family.support} domain, "
                    f"but {key!r} lives in the {support} domain."
                )
        for key, family_key in guides:
            self._check_guide(sites, key, family_key)

    def _check_guide(self, sites: Mapping[str, Site], key: str, family: str) -> None:
        if key not in sites:
            raise ValueError(
                f"{self.name} has no parameter {key!r} whose posterior could have a family; "
                f"it has {', '.join(map(repr, sites))}."
            )
        offered = self.guides_of(sites[key])
        if family not in offered:
            raise ValueError(
                f"the posterior of {key!r} cannot be {family!r} here; "
                f"choose one of {', '.join(map(repr, offered))}."
            )

    def _check_combination(self) -> None:
        likelihood = LIKELIHOODS[self.likelihood]
        if self.parameterization not in likelihood.parameterizations:
            choices = ", ".join(map(repr, likelihood.parameterizations))
            raise ValueError(
                f"parameterization={self.parameterization!r} is none of {self.likelihood}; "
                f"choose {choices}."
            )
        if self.component_specific_params and not self._has_specific:
            raise ValueError(
                "component_specific_params gives each component odds or dispersions, and "
                f"{self.likelihood} has none; leave it out."
            )
        if self.component_specific_params and not self.is_mixture:
            raise ValueError(
                "component_specific_params needs components: set n_components to 2 or more."
            )
        if self.total_mrna and not likelihood.has_capture:
            capturing = [entry.key for entry in LIKELIHOODS.values() if entry.has_capture]
            raise ValueError(
                f"total_mrna says how much of a cell's mRNA was captured, and {self.likelihood} "
                f"has no capture probability; choose one of {', '.join(map(repr, capturing))}."
            )

        if self.depth_column and likelihood.depth != GIVEN:
            taking = [entry.key for entry in LIKELIHOODS.values() if entry.depth == GIVEN]
            raise ValueError(
                f"depth_column says where given depths come from, and {self.likelihood} takes none "
                f"as given; choose one of {', '.join(map(repr, taking))}."
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
    def learns_priors(self) -> bool:
        """Whether priors are learned from all genes."""
        return any(self.prior(site).is_learned for site in self.sites)

    @property
    def has_exact_posterior(self) -> bool:
        """Whether the posterior of every gene can be computed without approximation.

        Genes have to be independent given the depths of cells and the priors, and these learned or
        (log-)normal.
        """
        return not self.is_mixture and self._genes_are_independent

    @property
    def has_weighted_tables(self) -> bool:
        """Whether its posterior, given where cells belong, can be computed exactly.

        What :attr:`has_exact_posterior` asks for, of a mixture whose weights have a Dirichlet
        prior.
        """
        return self.is_mixture and not self.unconstrained and self._genes_are_independent

    @property
    def _genes_are_independent(self) -> bool:
        """Given depths, components and priors, and these learned or (log-)normal."""
        if not LIKELIHOODS[self.likelihood].own_odds:
            return False
        priors = (self.prior(site) for site in self.sites if site.quantity != MIXING.quantity)
        return all(prior.is_learned or prior.is_normal for prior in priors)

    @property
    def _has_specific(self) -> bool:
        """Whether it has what each component can have for itself."""
        sites = LIKELIHOODS[self.likelihood].sites(self.parameterization)
        return any(COMPONENT_SPECIFIC in site.axes for site in sites)

    @property
    def components_can_differ(self) -> bool:
        """Whether ``component_specific_params`` is a choice here."""
        return self.is_mixture and self._has_specific

    @property
    def sites(self) -> tuple[Site, ...]:
        """The parameters that are inferred."""
        likelihood = LIKELIHOODS[self.likelihood]
        mixing = (MIXING,) if self.is_mixture else ()
        sites = (*likelihood.sites(self.parameterization), *mixing)
        return tuple(unconstrained(site) for site in sites) if self.unconstrained else sites

    @property
    def odds(self) -> Site | None:
        """The site of the odds that all genes share, if there is one."""
        return self._site_of(
            LIKELIHOODS[self.likelihood].parameterizations[self.parameterization].odds
        )

    @property
    def expression(self) -> Site:
        """The site of the genes' expression."""
        return self._site_of(self._parameterization.expression)

    @property
    def _parameterization(self) -> Parameterization:
        return LIKELIHOODS[self.likelihood].parameterizations[self.parameterization]

    def _site_of(self, site: Site | None) -> Any:
        return unconstrained(site) if self.unconstrained and site is not None else site

    def guide(self, site: Site) -> str:
        """Key of the posterior's family of ``site``: the user's, or the usual one."""
        if site.key in dict(self.guides):
            return dict(self.guides)[site.key]
        low_rank = self.guide_rank and site.quantity == self.expression.quantity
        return LOW_RANK if low_rank else site.guide

    def guides_of(self, site: Site) -> tuple[str, ...]:
        """Keys of the families that the posterior of ``site`` can have; the usual one first."""
        low_rank = self.guide_rank and site.quantity == self.expression.quantity
        if low_rank:
            return (LOW_RANK,)
        fitting = [key for key, guide in GUIDE_FAMILIES.items() if site.support in guide.supports]
        others = [key for key in fitting if key not in {site.guide, LOW_RANK}]
        return (site.guide, *others)

    def prior(self, site: Site) -> Prior:
        """The prior of ``site``: the user's, or its own."""
        return dict(self.priors).get(site.key, site.prior)

    def has_axis(self, site: Site, axis: str) -> bool:
        """Whether ``site`` is repeated over ``"components"``, ``"genes"`` or ``"cells"``."""
        return self.repeats(site.axes, axis)

    def repeats(self, axes: tuple[str, ...], axis: str) -> bool:
        """The same of anything with these axes."""
        if axis != "components":
            return axis in axes
        specific = COMPONENT_SPECIFIC in axes and self.component_specific_params
        return specific or ("components" in axes and self.is_mixture)

    def changed(self, **settings: Any) -> "ModelSpec":
        """The same with other ``settings``: what does not apply to them any more is left out."""
        before = {f.name: getattr(self, f.name) for f in fields(self)}
        return applicable_spec(**(before | settings))

    def as_dict(self) -> dict[str, Any]:
        """The spec as JSON-able content; :func:`spec_from_dict` reads it back."""
        return asdict(self) | {
            "priors": {key: asdict(prior) for key, prior in self.priors},
            "guides": dict(self.guides),
        }


def _usual(likelihood: str) -> str:
    offered = LIKELIHOODS[likelihood].parameterizations
    return _USUAL if _USUAL in offered else next(iter(offered))


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


def applicable_spec(likelihood: str, **settings: Any) -> ModelSpec:
    """Make a spec of those settings that apply to the count distribution; the others are left out.

    Parameters
    ----------
    likelihood
        A key of ``LIKELIHOODS``.
    **settings
        The other fields of :class:`ModelSpec`.
    """
    entry = LIKELIHOODS[likelihood]
    offered = entry.parameterizations
    if settings.get("parameterization") not in offered:
        settings["parameterization"] = next(iter(offered))
    sites = entry.sites(settings["parameterization"])
    specific = any(COMPONENT_SPECIFIC in site.axes for site in sites)
    if not (specific and settings.get("n_components", 1) > 1):
        settings["component_specific_params"] = False
    if not entry.has_capture:
        settings["total_mrna"] = 0.0
    if entry.depth != GIVEN:
        settings["depth_column"] = ""
    priors, guides = (dict(settings.pop(name, ())) for name in ("priors", "guides"))
    plain = ModelSpec(likelihood=likelihood, **settings)
    of_plain = {site.key: site for site in plain.sites}
    return replace(
        plain,
        priors=tuple((key, prior) for key, prior in priors.items() if key in of_plain),
        guides=tuple(
            (key, family)
            for key, family in guides.items()
            if key in of_plain and family in plain.guides_of(of_plain[key])
        ),
    )
