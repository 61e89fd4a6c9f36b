"""Which model is chosen, and its priors.  Plain ``param``: it runs without a server."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import param

from scribeviz.fitting.kinds import ChosenModel, Kind, Offer, known_kind_of, offers
from scribeviz.models.custom.registry import CustomSpec
from scribeviz.models.guides import GUIDE_FAMILIES
from scribeviz.models.likelihood import GIVEN, NO_DEPTH
from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.parameterizations import Parameterization, Site
from scribeviz.models.priors import Prior, prior_family
from scribeviz.models.spec import ModelSpec, applicable_spec
from scribeviz.networks.cellvae import CellVAE
from scribeviz.views.shared.forms import Form, form_for, parameter_of

_SETTINGS = (
    "parameterization",
    "n_components",
    "component_specific_params",
    "unconstrained",
    "guide_rank",
    "total_mrna",
    "depth_column",
)


class PriorState(param.Parameterized):
    """The prior of one parameter, and its posterior's family, as chosen."""

    prior = param.ClassSelector(class_=Prior, doc="A family and its numbers.")
    guide = param.String(doc="Key of the posterior's family.")

    def __init__(self, site: Site) -> None:
        super().__init__(prior=site.prior, guide=site.guide)
        self.site = site

    def choose_family(self, key: str) -> None:
        """Change the family, with its own first numbers."""
        if key == self.prior.family:
            return
        defaults = tuple(p.default for p in prior_family(key).parameters)
        is_own = key == self.site.prior.family
        self.prior = self.site.prior if is_own else Prior(key, defaults)


def numbers_form(state: PriorState) -> param.Parameterized:
    """The numbers of the chosen family as a form, which writes them back."""
    family = prior_family(state.prior.family)
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
    """Which model is chosen.

    The settings of a model of counts are parameters of this state, made from the fields of
    :class:`ModelSpec`: their labels, docs and bounds are said there.
    """

    likelihood = param.Selector(objects=[], doc="Key of the model in :func:`offers`.")
    parameterization = parameter_of(ModelSpec, "parameterization")
    n_components = parameter_of(ModelSpec, "n_components")
    component_specific_params = parameter_of(ModelSpec, "component_specific_params")
    unconstrained = parameter_of(ModelSpec, "unconstrained")
    guide_rank = parameter_of(ModelSpec, "guide_rank")
    total_mrna = parameter_of(ModelSpec, "total_mrna")
    depth_column = parameter_of(ModelSpec, "depth_column")
    priors = param.Dict({}, doc="PriorState of every parameter of the chosen model, by its key.")
    network = param.ClassSelector(class_=Form, constant=True, doc="The settings of a CellVAE.")

    def __init__(self, **params: Any) -> None:
        keys = list(offers())
        super().__init__(network=form_for(CellVAE), **({"likelihood": keys[0]} | params))
        self.param.likelihood.objects = keys
        self._known: dict[tuple[str, str], PriorState] = {}
        self._offer_priors()

    @property
    def offer(self) -> Offer:
        """The chosen entry of the picker."""
        return offers()[self.likelihood]

    @property
    def kind(self) -> Kind:
        """What follows from the choice."""
        return self.offer.kind

    @property
    def parameterizations(self) -> Mapping[str, Parameterization]:
        """Those of the chosen model, by key; none where parameters carry no priors."""
        return LIKELIHOODS[self.likelihood].parameterizations if self.kind.has_priors else {}

    @property
    def has_capture(self) -> bool:
        """Whether the chosen model gives each cell a capture probability."""
        return self.kind.has_priors and LIKELIHOODS[self.likelihood].has_capture

    @property
    def takes_depth(self) -> bool:
        """Whether the depth of a cell is given to the chosen model."""
        return self.kind.has_priors and LIKELIHOODS[self.likelihood].depth == GIVEN

    @property
    def knows_depth(self) -> bool:
        """Whether the chosen model tells the depth of a cell from its type."""
        return not self.kind.has_priors or LIKELIHOODS[self.likelihood].depth != NO_DEPTH

    @property
    def is_mixture(self) -> bool:
        """Whether the chosen model has several components."""
        return self.kind.has_priors and self.n_components > 1

    @property
    def components_can_differ(self) -> bool:
        """Whether components of the chosen model can have odds or dispersions of their own."""
        return self.is_mixture and self._without_priors().components_can_differ

    @property
    def methods(self) -> tuple[str, ...]:
        """Keys of the ways to fit the chosen model, the usual one first."""
        kind = known_kind_of(self.spec())
        return self.kind.methods if kind is None else kind.methods

    def guides_of(self, site: Site) -> dict[str, str]:
        """The families that the posterior of ``site`` can have as things are chosen, by label."""
        return {GUIDE_FAMILIES[key].label: key for key in self._without_priors().guides_of(site)}

    @param.depends("likelihood", "parameterization", "n_components", "unconstrained", watch=True)
    def _offer_priors(self) -> None:
        priors = {}
        if self.kind.has_priors:
            plain = self._without_priors()
            for site in plain.sites:
                key = (plain.parameterization, site.key)
                if key not in self._known:  # a choice is kept while others change
                    self._known[key] = PriorState(site)
                priors[site.key] = self._known[key]
        if list(priors) != list(self.priors):
            self.priors = priors

    def spec(self) -> ChosenModel:
        """The model as chosen."""
        if self.kind.has_settings:
            return self.network.value()
        if not self.kind.has_priors:
            return CustomSpec(self.likelihood)
        chosen = self.priors.items()
        return self._without_priors().changed(
            priors={key: one.prior for key, one in chosen if one.prior != one.site.prior},
            guides={key: one.guide for key, one in chosen if one.guide != one.site.guide},
        )

    def show(self, spec: ChosenModel) -> None:
        """Choose what ``spec`` says."""
        kind = known_kind_of(spec)
        if kind is None or not (kind.has_priors or kind.has_settings):
            self.likelihood = spec.name
            return
        settings = {f.name: getattr(spec, f.name) for f in fields(spec)}
        if kind.has_settings:
            self.likelihood = spec.name
            self.network.param.update(**settings)
            return
        self.param.update(**{name: settings[name] for name in ("likelihood", *_SETTINGS)})
        plain = self._without_priors()
        for site in plain.sites:
            self.priors[site.key].param.update(
                prior=dict(settings["priors"]).get(site.key, site.prior),
                guide=dict(settings["guides"]).get(site.key, site.guide),
            )

    def _without_priors(self) -> ModelSpec:
        # What does not apply to the chosen model is kept for later, and left out.
        settings = {name: getattr(self, name) for name in _SETTINGS}
        return applicable_spec(self.likelihood, **settings)
