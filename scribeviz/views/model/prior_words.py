"""What a prior means, in words and in the units of the parameter."""

from scribeviz.models.parameterizations import Site
from scribeviz.models.priors import POSITIVE, REAL, SIMPLEX, UNIT_INTERVAL, Prior
from scribeviz.views.shared.parts import short

_NINE_IN_TEN = (0.05, 0.5, 0.95)
_OWN_SCALE = {POSITIVE: "by itself", UNIT_INTERVAL: "as a probability"}


def prior_in_words(site: Site, prior: Prior, n_components: int = 2) -> str:
    """Between which values the prior puts 90 % of its weight, and its middle.

    Examples
    --------
    >>> from scribeviz.models.parameterizations import R
    >>> prior_in_words(R, R.prior)
    'Nine in ten genes lie between 0.193 and 5.18, half of them below 1.'
    """
    if prior.is_learned:
        return (
            "Learned from all genes when the model is fitted: genes of like abundance tell what to "
            "expect of one whose counts say little."
        )
    low, middle, high = prior.quantiles(_NINE_IN_TEN, n_components)
    between = f"{short(low)} and {short(high)}"
    if site.support is REAL and site.target in _OWN_SCALE:
        ends = (short(float(site.value(end))) for end in (low, high))
        between += f" ({_OWN_SCALE[site.target]}: {' and '.join(ends)})"
    if site.support is SIMPLEX:
        return f"Nine in ten shares of a component lie between {between}, half below {middle:.3g}."
    for many in ("genes", "cells"):
        if many in site.axes:
            return f"Nine in ten {many} lie between {between}, half of them below {short(middle)}."
    return f"With a probability of 90 % it lies between {between}; its median is {short(middle)}."
