"""The count distributions.  To add one: a file of its own, and one line in ``LIKELIHOODS``."""

from collections.abc import Mapping

from scribeviz.models.likelihood import Likelihood
from scribeviz.models.negative_binomial import NBDM, NBVCP, ZINB, ZINBVCP
from scribeviz.models.own_dispersion import NB
from scribeviz.models.parameterizations import Parameterization
from scribeviz.models.poisson import POISSON

LIKELIHOODS: Mapping[str, Likelihood] = {
    entry.key: entry
    for entry in (
        NB,
        NBDM,
        ZINB,
        NBVCP,
        ZINBVCP,
        POISSON,
    )
}
"""By key; the first is what is recommended."""

PARAMETERIZATIONS: Mapping[str, Parameterization] = {
    key: entry
    for likelihood in reversed(list(LIKELIHOODS.values()))
    for key, entry in likelihood.parameterizations.items()
}
"""By key; those of the first distributions where several share one."""
