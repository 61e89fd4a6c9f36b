"""The reference's names of statistics."""

from scribeviz.models.families import BetaPrime
from scribeviz.reference.bands import (
    compute_ecdf_credible_regions,
    compute_ecdf_percentiles,
    compute_histogram_credible_regions,
    compute_histogram_percentiles,
)
from scribeviz.reference.divergences import (
    hellinger,
    hellinger_beta,
    hellinger_gamma,
    hellinger_lognormal,
    jensen_shannon,
    jensen_shannon_beta,
    jensen_shannon_gamma,
    jensen_shannon_lognormal,
    kl_beta,
    kl_gamma,
    kl_lognormal,
    sq_hellinger,
    sq_hellinger_beta,
    sq_hellinger_gamma,
    sq_hellinger_lognormal,
)
from scribeviz.reference.offered import only
from scribeviz.reference.shares import (
    fit_dirichlet_minka,
    fit_dirichlet_mle,
    sample_dirichlet_from_parameters,
)

__all__ = [
    "BetaPrime",
    "compute_ecdf_credible_regions",
    "compute_ecdf_percentiles",
    "compute_histogram_credible_regions",
    "compute_histogram_percentiles",
    "fit_dirichlet_minka",
    "fit_dirichlet_mle",
    "hellinger",
    "hellinger_beta",
    "hellinger_gamma",
    "hellinger_lognormal",
    "jensen_shannon",
    "jensen_shannon_beta",
    "jensen_shannon_gamma",
    "jensen_shannon_lognormal",
    "kl_beta",
    "kl_gamma",
    "kl_lognormal",
    "sample_dirichlet_from_parameters",
    "sq_hellinger",
    "sq_hellinger_beta",
    "sq_hellinger_gamma",
    "sq_hellinger_lognormal",
]

__getattr__ = only(__name__, __all__)
