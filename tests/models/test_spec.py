import json
from dataclasses import FrozenInstanceError

import pytest

from scribeviz.models.likelihoods import LIKELIHOODS
from scribeviz.models.priors import Prior
from scribeviz.models.spec import ModelSpec, model_spec, spec_from_dict

SPECS = [
    ModelSpec(),
    ModelSpec(n_components=3),
    ModelSpec(priors={"r": ("gamma", 2, 0.1)}),
    ModelSpec(n_components=2, priors={"mixing_weights": ("dirichlet", 5), "p": ("beta", 2, 2)}),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_spec_survives_json(spec):
    assert spec_from_dict(json.loads(json.dumps(spec.as_dict()))) == spec


def test_specs_hash_and_compare_whatever_the_order_of_priors():
    one = ModelSpec(priors={"r": ("gamma", 2, 0.1), "p": ("beta", 1, 2)})
    other = ModelSpec(priors=(("p", Prior("beta", (1.0, 2.0))), ("r", ["gamma", 2.0, 0.1])))
    assert one == other
    assert len({one, other, *SPECS}) == 1 + len(SPECS)


def test_a_spec_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        ModelSpec().n_components = 2


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_names(likelihood):
    assert model_spec(likelihood).name == likelihood
    assert model_spec(likelihood + "_mix").name == likelihood + "_mix"
    assert model_spec(likelihood, n_components=4).name == likelihood + "_mix"
    assert model_spec(likelihood, n_components=1).name == likelihood


def test_described_is_in_words():
    assert ModelSpec().described == "negative binomial"
    assert ModelSpec(n_components=3).described == "negative binomial, 3 components"


def test_a_mixture_by_name_has_two_components_unless_told():
    assert model_spec("nbdm").n_components == 1
    assert model_spec("nbdm_mix").n_components == 2
    assert model_spec("nbdm_mix", n_components=7).n_components == 7


def test_weights_are_a_site_of_mixtures_only():
    assert [site.key for site in ModelSpec().sites] == ["p", "r"]
    assert [site.key for site in ModelSpec(n_components=2).sites] == ["p", "r", "mixing_weights"]


def test_a_prior_that_is_given_replaces_the_sites_own():
    spec = ModelSpec(priors={"r": ("exponential", 3)})
    p, r = spec.sites
    assert spec.prior(r) == Prior("exponential", (3.0,))
    assert spec.prior(p) == Prior("beta", (1.0, 1.0))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: ModelSpec(likelihood="poison"),
            "likelihood='poison' is not known; choose one of 'nb', 'nbdm'",
        ),
        (
            lambda: ModelSpec(parameterization="odd"),
            "parameterization='odd' is not known; choose one of 'standard'",
        ),
        (lambda: ModelSpec(n_components=0), r"n_components=0 is outside \[1, 20\]\."),
        (lambda: ModelSpec(n_components=21), r"n_components=21 is outside \[1, 20\]\."),
        (lambda: ModelSpec(n_components=1.5), r"n_components=1\.5 is not a whole number\."),
        (
            lambda: ModelSpec(priors={"gate": ("beta", 1, 1)}),
            "nbdm has no parameter 'gate' to put a prior on; it has 'p', 'r'.",
        ),
        (
            lambda: ModelSpec(priors={"mixing_weights": ("dirichlet", 1)}),
            "nbdm has no parameter 'mixing_weights'",
        ),
        (
            lambda: ModelSpec(priors={"r": ("beta", 1, 1)}),
            "a beta prior gives values in the unit interval domain, but 'r' lives in the positive",
        ),
        (
            lambda: ModelSpec(priors={"p": ("lognormal", 0, 1)}),
            "a lognormal prior gives values in the positive domain, but 'p' lives in the unit",
        ),
        (lambda: ModelSpec(priors={"r": ("cauchy", 1)}), "prior family 'cauchy' is not known"),
        (lambda: ModelSpec(priors={"r": 3}), "a prior is a family with its numbers"),
        (
            lambda: model_spec("nbdm_mix", n_components=1),
            "'nbdm_mix' is a mixture, but n_components is 1; take 'nbdm'.",
        ),
        (lambda: model_spec("nope_mix"), "likelihood='nope' is not known"),
    ],
)
def test_what_cannot_be_a_model_is_refused_in_words(make, says):
    with pytest.raises(ValueError, match=says):
        make()
