"""Members of the first SCRIBE's results, by its names and with its arguments.

Some of these arguments say how its arrays were cut up, or what it printed.  They change no number
here, and are taken so that its notebooks run.
"""

import logging
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import DTypeLike

from scribeviz.criticism.assignments import component_probabilities, entropy
from scribeviz.criticism.dirichlet import fit_dirichlet
from scribeviz.criticism.log_likelihood import log_likelihood
from scribeviz.criticism.normalization import fit_expression, normalized_expression
from scribeviz.results.count_results import CountResults
from scribeviz.results.drawn import keep, key_or_default
from scribeviz.results.marginals import check_backend

_LOG = logging.getLogger(__name__)


class ReferenceMembers(CountResults):
    """A posterior of a count model, with the members of the first SCRIBE's results."""

    def log_likelihood(
        self,
        counts: Any,
        batch_size: int | None = None,
        return_by: str = "cell",
        cells_axis: int = 0,
        ignore_nans: bool = False,
        split_components: bool = False,
        weights: Any = None,
        weight_type: str | None = None,
        dtype: DTypeLike = np.float32,
    ) -> np.ndarray:
        """Log-likelihood of data under the stored posterior samples, in nats.

        Parameters
        ----------
        counts
            The data: AnnData, matrix or :class:`Counts`; genes that were not fitted are left out.
        batch_size
            Draws on the device at once; changes no number.
        return_by, split_components, weights, weight_type, dtype
            See :func:`scribeviz.criticism.log_likelihood.log_likelihood`.
        cells_axis
            0 if rows are cells, 1 if columns are.
        ignore_nans
            Leave out draws whose log-likelihood is NaN anywhere.

        Returns
        -------
        numpy.ndarray
            ``(n_samples, n_cells)`` or ``(n_samples, n_genes)``; split, with a last axis of
            components.

        Raises
        ------
        ValueError
            If nothing has been drawn yet, or arguments contradict each other.
        """
        scores = log_likelihood(
            self.model,
            self._stored_sites(),
            self._counts(counts, cells_axis),
            batch_size=batch_size,
            return_by=return_by,
            split_components=split_components,
            weights=weights,
            weight_type=weight_type,
            dtype=dtype,
        )
        if not ignore_nans:
            return scores
        return scores[~np.isnan(scores.reshape(len(scores), -1)).any(axis=1)]

    def log_likelihood_map(
        self,
        counts: Any,
        batch_size: int | None = None,
        gene_batch_size: int | None = None,
        return_by: str = "cell",
        cells_axis: int = 0,
        split_components: bool = False,
        weights: Any = None,
        weight_type: str | None = None,
        use_mean: bool = True,
        verbose: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> np.ndarray:
        """Log-likelihood at the point estimate: as :meth:`log_likelihood`, without draws."""
        del batch_size, gene_batch_size
        point = self.get_map(use_mean=use_mean, canonical=False)
        if verbose and any(np.isnan(value).any() for value in point.values()):
            _LOG.warning("some modes do not exist and give NaN; use_mean=True takes means there")
        return self._log_likelihood_at(
            point,
            self._counts(counts, cells_axis),
            return_by=return_by,
            split_components=split_components,
            weights=weights,
            weight_type=weight_type,
            dtype=dtype,
        )

    def mixture_component_entropy(
        self,
        counts: Any,
        return_by: str = "gene",
        batch_size: int | None = None,
        cells_axis: int = 0,
        ignore_nans: bool = False,
        temperature: float | None = None,
        dtype: DTypeLike = np.float32,
    ) -> np.ndarray:
        """Entropy of the assignment of each cell or gene, per draw, in nats.

        Returns
        -------
        numpy.ndarray
            ``(n_samples, n_cells)`` or ``(n_samples, n_genes)``, from 0 to ln K.

        Raises
        ------
        ValueError
            If this is no mixture, or nothing has been drawn yet.
        """
        self._check_mixture()
        split = self.log_likelihood(
            counts,
            batch_size,
            return_by,
            cells_axis,
            ignore_nans=ignore_nans,
            split_components=True,
            dtype=dtype,
        )
        return entropy(component_probabilities(split, temperature)).astype(dtype)

    def assignment_entropy_map(
        self,
        counts: Any,
        return_by: str = "gene",
        batch_size: int | None = None,
        cells_axis: int = 0,
        temperature: float | None = None,
        use_mean: bool = True,
        verbose: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> np.ndarray:
        """Entropy of the assignment of each cell or gene at the point estimate, in nats.

        Returns
        -------
        numpy.ndarray
            ``(n_cells,)`` or ``(n_genes,)``.

        Raises
        ------
        ValueError
            If this is no mixture.
        """
        self._check_mixture()
        split = self.log_likelihood_map(
            counts,
            batch_size,
            return_by=return_by,
            cells_axis=cells_axis,
            split_components=True,
            use_mean=use_mean,
            verbose=verbose,
            dtype=dtype,
        )
        return entropy(component_probabilities(split, temperature)).astype(dtype)

    def cell_type_probabilities(
        self,
        counts: Any,
        batch_size: int | None = None,
        cells_axis: int = 0,
        ignore_nans: bool = False,
        dtype: DTypeLike = np.float32,
        fit_distribution: bool = True,
        temperature: float | None = None,
        weights: Any = None,
        weight_type: str | None = None,
        verbose: bool = True,
    ) -> dict[str, np.ndarray]:
        """Probability that each cell belongs to each component, per draw.

        Returns
        -------
        dict
            ``sample_probabilities`` (n_samples, n_cells, n_components), and if
            ``fit_distribution`` a Dirichlet per cell: ``concentration`` and ``mean_probabilities``
            (n_cells, n_components).

        Raises
        ------
        ValueError
            If this is no mixture, or nothing has been drawn yet.
        """
        del verbose
        self._check_mixture()
        split = self.log_likelihood(
            counts,
            batch_size,
            "cell",
            cells_axis,
            ignore_nans=ignore_nans,
            split_components=True,
            weights=weights,
            weight_type=weight_type,
            dtype=dtype,
        )
        probabilities = component_probabilities(split, temperature)
        parts = {"sample_probabilities": probabilities.astype(dtype)}
        if not fit_distribution:
            return parts
        concentration = fit_dirichlet(probabilities)
        mean = concentration / concentration.sum(axis=-1, keepdims=True)
        return parts | {
            "concentration": concentration.astype(dtype),
            "mean_probabilities": mean.astype(dtype),
        }

    def cell_type_probabilities_map(
        self,
        counts: Any,
        batch_size: int | None = None,
        cells_axis: int = 0,
        dtype: DTypeLike = np.float32,
        temperature: float | None = None,
        weights: Any = None,
        weight_type: str | None = None,
        use_mean: bool = False,
        verbose: bool = True,
    ) -> dict[str, np.ndarray]:
        """Probability that each cell belongs to each component, at the point estimate.

        Returns
        -------
        dict
            ``probabilities`` (n_cells, n_components).

        Raises
        ------
        ValueError
            If this is no mixture.
        """
        self._check_mixture()
        split = self.log_likelihood_map(
            counts,
            batch_size,
            cells_axis=cells_axis,
            split_components=True,
            weights=weights,
            weight_type=weight_type,
            use_mean=use_mean,
            verbose=verbose,
            dtype=dtype,
        )
        return {"probabilities": component_probabilities(split, temperature).astype(dtype)}

    def normalize_counts(
        self,
        rng_key: PRNGKeyArray | None = None,
        n_samples_dirichlet: int = 1,
        fit_distribution: bool = False,
        store_samples: bool = True,
        sample_axis: int = 0,
        return_concentrations: bool = False,
        backend: str = "numpyro",
        verbose: bool = True,
    ) -> dict[str, Any]:
        """Expression profiles as shares: Dirichlet draws with concentrations r.

        Parameters
        ----------
        rng_key
            A JAX key; ``PRNGKey(42)`` when left out.
        n_samples_dirichlet
            Profiles per posterior draw.
        fit_distribution
            Fit one Dirichlet to all profiles, one per component in a mixture.
        store_samples, return_concentrations
            Whether the profiles, and the draws of r, are part of the result.
        sample_axis
            Axis of the posterior draws; 0 here.
        backend
            ``"numpyro"`` or ``"scipy"``, of the fitted distributions.

        Returns
        -------
        dict
            ``samples`` (n_samples, [n_components,] n_genes[, n_samples_dirichlet]);
            ``concentrations`` and ``mean_probabilities`` ([n_components,] n_genes);
            ``distributions`` (a list of components in a mixture); ``original_concentrations``.

        Raises
        ------
        ValueError
            If nothing has been drawn yet.
        """
        del verbose
        if sample_axis != 0:
            raise ValueError(f"sample_axis={sample_axis}: posterior draws are along axis 0.")
        check_backend(backend)
        key = key_or_default(rng_key)
        r, parts = self.model.likelihood.concentrations(self._stored_draws()), {}
        if store_samples:
            parts["samples"] = normalized_expression(key, r, n_samples_dirichlet)
        if return_concentrations:
            parts["original_concentrations"] = r
        if fit_distribution:
            fitted = fit_expression(key, r, n_samples_dirichlet)
            parts |= {
                "concentrations": fitted.concentrations,
                "mean_probabilities": fitted.mean_probabilities,
                "distributions": _dirichlets(fitted.concentrations, backend),
            }
        return parts

    def get_predictive_samples(
        self,
        rng_key: PRNGKeyArray | None = None,
        batch_size: int | None = None,
        store_samples: bool = True,
    ) -> np.ndarray:
        """Draw a data set for each stored posterior draw.

        Returns
        -------
        numpy.ndarray
            Counts, shape ``(n_samples, n_cells, n_genes)``.

        Raises
        ------
        ValueError
            If nothing has been drawn yet.
        MemoryBudgetError
            If it would not fit the memory budget.
        """
        del batch_size
        drawn = self._data_sets(self._stored_sites(), rng_key)
        if store_samples:
            keep(self, "predictive_samples", drawn)
        return drawn

    def get_ppc_samples(
        self,
        rng_key: PRNGKeyArray | None = None,
        n_samples: int = 100,
        batch_size: int | None = None,
        store_samples: bool = True,
    ) -> dict[str, Any]:
        """Draw from the posterior, and a data set for each draw.

        Returns
        -------
        dict
            ``parameter_samples``, and ``predictive_samples`` (n_samples, n_cells, n_genes).

        Raises
        ------
        MemoryBudgetError
            If it would not fit the memory budget.
        """
        del batch_size
        n_samples = self._most_draws(n_samples)
        self._check_data_sets(n_samples)
        key = key_or_default(rng_key)
        parameter_key, data = jax.random.split(key)
        parameters = self.get_posterior_samples(
            parameter_key, n_samples, store_samples=store_samples
        )
        predictive = self._data_sets(parameters, data)
        if store_samples:
            keep(self, "predictive_samples", predictive)
        return {"parameter_samples": parameters, "predictive_samples": predictive}

    def _stored_draws(self) -> Mapping[str, np.ndarray]:
        if self.posterior_samples is None:
            raise ValueError("nothing has been drawn yet: call get_posterior_samples() first.")
        return self.posterior_samples

    def _stored_sites(self) -> dict[str, np.ndarray]:
        stored = self._stored_draws()
        return {site.key: stored[site.key] for site in self.model_config.sites}


def _dirichlets(concentration: np.ndarray, backend: str) -> Any:
    import numpyro.distributions as dist
    import scipy.stats

    make = dist.Dirichlet if backend == "numpyro" else scipy.stats.dirichlet
    if concentration.ndim == 1:
        return make(concentration)
    return [make(one) for one in concentration]
