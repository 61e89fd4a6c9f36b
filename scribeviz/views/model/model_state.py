"""Which model is chosen, and its priors.  Plain ``param``: it runs without a server."""

from dataclasses import fields, replace
from typing import Any

import param

from scribeviz.fitting.kinds import ChosenModel, kind_of
from scribeviz.models.custom.registry import CUSTOM_MODELS, CustomSpec, OwnModel
from scribeviz.models.likelihoods import LIKELIHOODS, PARAMETERIZATIONS
from scribeviz.models.parameterizations import Site
from scribeviz.models.priors import PRIOR_FAMILIES, Prior
from scribeviz.models.spec import ModelSpec
from scribeviz.networks.cellvae import CELLVAE, CellVAE
from scribeviz.views.shared.forms import Form, form_for

_MOST_COMPONENTS = 20


class PriorState(param.Parameterized):
    """The prior of one parameter, as chosen."""

    prior = param.ClassSelector(class_=Prior, doc="A family and its numbers.")

    def __init__(self, site: Site) -> None:
        super().__init__(prior=site.prior)
        self.site = site

    def choose_family(self, key: str) -> None:
        """Change the family, with its own first numbers."""
        if key == self.prior.family:
            return
        defaults = tuple(p.default for p in PRIOR_FAMILIES[key].parameters)
        is_own = key == self.site.prior.family
        self.prior = self.site.prior if is_own else Prior(key, defaults)


def prior_numbers(state: PriorState) -> param.Parameterized:
    """The numbers of the chosen family as a form, which writes them back."""
    family = PRIOR_FAMILIES[state.prior.family]
    entries = {
        parameter.name: param.Number(number, bounds=parameter.bounds, label=parameter.label)
        for parameter, number in zip(family.parameters, state.prior.numbers, strict=True)
    }
    form = param.parameterized_class(f"{family.key}_numbers", entries)()

    def write(*_: param.parameterized.Event) -> None:
        state.prior = Prior(family.key, tuple(float(getattr(form, name)) for name in entries))

    form.param.watch(write, list(entries))
    return form


class ModelState(param.Parameterized):
    """Which model is chosen."""

    likelihood = param.Selector(objects=list(LIKELIHOODS), doc="Key of it, or of a custom model.")
    parameterization = param.Selector(objects=list(PARAMETERIZATIONS), doc="Key of it.")
    n_components = param.Integer(
        1,
        bounds=(1, _MOST_COMPONENTS),
        label="Number of components",
        doc="Groups of cells, each with its own profile; 1 means no mixture.",
    )
    component_specific_params = param.Boolean(
        False, label="Each component has its own p", doc="Or its own odds φ; else one for all."
    )
    unconstrained = param.Boolean(
        False, label="Unconstrained", doc="Normal priors on log and log-odds scales."
    )
    guide_rank = param.Integer(
        0,
        bounds=(0, 50),
        label="Directions in which genes vary together",
        doc="0: every parameter varies by itself. A few: slower, with more honest intervals.",
    )
    total_mrna = param.Number(
        0.0,
        bounds=(0.0, 1e8),
        label="mRNA molecules in a cell",
        doc="Typical number, to tell capture from expression; 0 leaves their level open.",
    )
    priors = param.Dict({}, doc="PriorState of every parameter of the chosen model, by its key.")
    network = param.ClassSelector(class_=Form, constant=True, doc="The settings of a CellVAE.")

    def __init__(self, **params: Any) -> None:
        super().__init__(network=form_for(CellVAE), **params)
        self.param.likelihood.objects = [*LIKELIHOODS, CELLVAE, *CUSTOM_MODELS]
        self._known: dict[tuple[str, str], PriorState] = {}
        self._offer_priors()

    @property
    def custom(self) -> OwnModel | None:
        """The chosen model, where it is a user's own."""
        return CUSTOM_MODELS.get(self.likelihood)

    @property
    def is_of_counts(self) -> bool:
        """Whether the chosen model is a built-in one with parameters that carry priors."""
        return self.likelihood in LIKELIHOODS

    @property
    def is_cellvae(self) -> bool:
        """Whether the chosen model is the built-in network."""
        return self.likelihood == CELLVAE

    @property
    def has_capture(self) -> bool:
        """Whether the chosen model gives each cell a capture probability."""
        return self.is_of_counts and LIKELIHOODS[self.likelihood].has_capture

    @property
    def is_mixture(self) -> bool:
        """Whether the chosen model has several components."""
        return self.is_of_counts and self.n_components > 1

    @property
    def methods(self) -> tuple[str, ...]:
        """Keys of the ways to fit the chosen model, the usual one first."""
        return kind_of(self.spec()).methods

    @param.depends("likelihood", "parameterization", "n_components", "unconstrained", watch=True)
    def _offer_priors(self) -> None:
        sites = self._without_priors().sites if self.is_of_counts else ()
        for site in sites:
            key = (self.parameterization, site.key)
            if key not in self._known:  # a choice is kept while others change
                self._known[key] = PriorState(site)
        priors = {site.key: self._known[self.parameterization, site.key] for site in sites}
        if list(priors) != list(self.priors):
            self.priors = priors

    def spec(self) -> ChosenModel:
        """The model as chosen."""
        if self.custom is not None:
            return CustomSpec(self.likelihood)
        if self.is_cellvae:
            return self.network.value()
        plain = self._without_priors()
        own = {site.key: site.prior for site in plain.sites}
        chosen = {key: state.prior for key, state in self.priors.items()}
        changed = tuple((key, prior) for key, prior in chosen.items() if prior != own[key])
        return replace(plain, priors=changed)

    def show(self, spec: ChosenModel) -> None:
        """Choose what ``spec`` says."""
        if isinstance(spec, CustomSpec):
            self.likelihood = spec.key
            return
        if isinstance(spec, CellVAE):
            self.likelihood = CELLVAE
            self.network.param.update(**{f.name: getattr(spec, f.name) for f in fields(spec)})
            return
        settings = {f.name: getattr(spec, f.name) for f in fields(spec) if f.name != "priors"}
        self.param.update(**settings)
        for site in spec.sites:
            self.priors[site.key].prior = spec.prior(site)

    def _without_priors(self) -> ModelSpec:
        # What does not apply to the chosen model is kept for later, and left out.
        return ModelSpec(
            likelihood=self.likelihood,
            parameterization=self.parameterization,
            n_components=self.n_components,
            unconstrained=self.unconstrained,
            component_specific_params=self.component_specific_params and self.is_mixture,
            guide_rank=self.guide_rank,
            total_mrna=self.total_mrna if self.has_capture else 0.0,
        )
